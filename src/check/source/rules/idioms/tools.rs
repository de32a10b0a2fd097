//! The check of certificates switched off in commands, and in the configuration of programs in whatever language.

use super::super::super::findings::*;
use super::super::super::languages::Language::*;
use super::super::{commands, Idiom, Test};
use super::{of, setting, text, ALL, CONFIGURATION};

const GIT_CA: &str = "remove it; for an authority of your own: git config http.sslCAInfo ca.pem";
const NPM_CA: &str = "remove it; for an authority of your own: npm config set cafile ca.pem";
const CONFIG_CA: &str =
    "leave it out, and name the authority's certificate in the setting beside it (ca_file, \
     cafile, rootCAs)";
const CURL_CA: &str = "leave it out; for an authority of your own: --cacert ca.pem";
const FLAG_CA: &str = "leave it out; for an authority of your own, the option that takes its certificate \
     (--certificate-authority, --cert-dir, --ca-bundle)";

pub(super) static TOOLS: &[Idiom] = &[
    // Commands, and the configuration of tools.
    text("curl", &[], ALL, Test::Also(commands::curl_does_not_check), &INSECURE_COMMAND, CURL_CA),
    text(
        "--no-check-certificate",
        &[],
        ALL,
        Test::Also(commands::is_no_mention),
        &INSECURE_COMMAND,
        "leave it out; for an authority of your own: --ca-certificate=ca.pem",
    ),
    text(
        "check_certificate",
        &["check_certificate"],
        of(&[Ini]),
        Test::Off,
        &VERIFICATION_OFF_EVERYWHERE,
        "ca_certificate = ca.pem",
    ),
    text(
        "--verify=no",
        &[],
        ALL,
        Test::Also(commands::is_no_mention),
        &INSECURE_COMMAND,
        "leave it out; for an authority of your own: --verify=ca.pem",
    ),
    text("--no-verify-ssl", &[], ALL, Test::Also(commands::is_no_mention), &INSECURE_COMMAND, FLAG_CA),
    text(
        "tls-verify",
        &["--tls-verify", "--src-tls-verify", "--dest-tls-verify"],
        ALL,
        Test::OffAnd(commands::is_no_mention),
        &INSECURE_COMMAND,
        FLAG_CA,
    ),
    text(
        "trusted-host",
        &["--trusted-host", "trusted-host"],
        ALL,
        Test::Also(commands::trusts_a_host),
        &INSECURE_COMMAND,
        "leave it out, and serve the index over HTTPS; for an authority of your own: --cert ca.pem",
    ),
    text(
        "sslVerify",
        &["sslVerify"],
        ALL,
        Test::OffAnd(commands::is_no_mention),
        &VERIFICATION_OFF_EVERYWHERE,
        GIT_CA,
    ),
    text(
        "sslverify",
        &["sslverify"],
        of(&[Ini, Shell, Dockerfile, Yaml, Makefile]),
        Test::OffAnd(commands::is_no_mention),
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: sslcacert=ca.pem",
    ),
    text("GIT_SSL_NO_VERIFY", &[], ALL, Test::On, &VERIFICATION_OFF_EVERYWHERE, GIT_CA),
    text(
        "strict-ssl",
        &["strict-ssl", "--strict-ssl"],
        ALL,
        Test::OffAnd(commands::is_no_mention),
        &VERIFICATION_OFF_EVERYWHERE,
        NPM_CA,
    ),
    setting(
        "enableStrictSsl",
        &[],
        of(&[Yaml]),
        Test::Off,
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: httpsCaFilePath: ca.pem",
    ),
    text(
        "Verify-Peer",
        &["Verify-Peer"],
        ALL,
        Test::Off,
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: Acquire::https::CaInfo",
    ),
    // Configuration of programs in whatever language. What is longer stands before what it contains.
    setting(
        "verify",
        &[
            "verify_ssl",
            "ssl_verify",
            "verify_certs",
            "verify_tls",
            "tls_verify",
            "verify_certificate",
            "ssl_verify_peer",
            "verify_peer",
        ],
        CONFIGURATION,
        Test::Off,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    text(
        "verify",
        &["ssl_verify"],
        of(&[Shell, Dockerfile]),
        Test::OffAnd(commands::is_no_mention),
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: conda config --set ssl_verify ca.pem",
    ),
];
