//! The check of certificates switched off in Go, Rust, Swift, Objective-C, C and C++.

use crate::scan::findings::*;
use crate::scan::languages::Language::*;
use crate::scan::place::{contains, Value};
use crate::scan::rules::idiom::{of, setting, text, Idiom, Test, ALL, CONFIGURATION};
use crate::scan::rules::{callbacks, commands};

const GO_CA: &str =
    "leave it out; for an authority of your own: RootCAs, a x509.CertPool with AppendCertsFromPEM(pem)";
const RUST_CA: &str =
    "leave it out; for an authority of your own: add_root_certificate(Certificate::from_pem(&pem)?)";
const JAVA_NAME: &str =
    "remove it, and give the certificate the name or the IP address that the client asks for";
const PHP_CA: &str = "leave it out; for an authority of your own: CURLOPT_CAINFO => 'ca.pem', 'cafile' => \
     'ca.pem', or 'verify' => 'ca.pem'";
const SWIFT_CA: &str = "SecTrustSetAnchorCertificates with the authority's certificate, then \
     SecTrustEvaluateWithError, and only then .useCredential";
const C_CA: &str = "1L, and for an authority of your own: curl_easy_setopt(curl, CURLOPT_CAINFO, \"ca.pem\")";
const DEVICE_CA: &str = "setCACert(ca_pem) with the authority's certificate";
const CONFIG_CA: &str =
    "leave it out, and name the authority's certificate in the setting beside it (ca_file, \
     cafile, rootCAs)";
const FLAG_CA: &str = "leave it out; for an authority of your own, the option that takes its certificate \
     (--certificate-authority, --cert-dir, --ca-bundle)";

pub(super) static COMPILED: &[Idiom] = &[
    // Go, and the configuration of what is written in it.
    setting("WithInsecureSkipVerify", &[], of(&[Go]), Test::On, &VERIFICATION_OFF, GO_CA),
    setting(
        "nsecure",
        &["Insecure"],
        of(&[Go]),
        Test::OnAnd(|place| contains(place.source.before(place.at, 200), "TLSClientConfig")),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: CAFile: \"ca.pem\"",
    ),
    setting(
        "nsecureSkipTLS",
        &["InsecureSkipTLS", "InsecureSkipTLSVerify"],
        of(&[Go]),
        Test::On,
        &VERIFICATION_OFF,
        GO_CA,
    ),
    setting("kipTLSVerify", &["SkipTLSVerify"], of(&[Go]), Test::On, &VERIFICATION_OFF, GO_CA),
    setting(
        "nsecureSkipTLS",
        &["insecureSkipTLSVerify"],
        of(&[JavaScript, Json, Yaml, Toml]),
        Test::On,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    setting(
        "kipTLSVerify",
        &["skipTLSVerify"],
        of(&[JavaScript, Json, Yaml, Toml]),
        Test::On,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    setting(
        "nsecureSkipVerify",
        &["InsecureSkipVerify"],
        of(&[Go]),
        Test::OnAnd(callbacks::has_no_check_of_its_own),
        &VERIFICATION_OFF,
        GO_CA,
    ),
    setting(
        "nsecureSkipVerify",
        &["insecureSkipVerify", "InsecureSkipVerify"],
        CONFIGURATION,
        Test::On,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    setting(
        "insecure_skip_verify",
        &["insecure_skip_verify", "tls_insecure_skip_verify"],
        CONFIGURATION,
        Test::On,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    setting("tlsSkipVerify", &["tlsSkipVerify"], CONFIGURATION, Test::On, &VERIFICATION_OFF, CONFIG_CA),
    text(
        "insecure-skip-",
        &["--insecure-skip-tls-verify", "--insecure-skip-verify", "--kube-insecure-skip-tls-verify"],
        ALL,
        Test::Also(|place| place.value() != Value::False),
        &INSECURE_COMMAND,
        FLAG_CA,
    ),
    setting(
        "insecure-skip-",
        &["insecure-skip-tls-verify", "insecure-skip-verify"],
        CONFIGURATION,
        Test::On,
        &VERIFICATION_OFF,
        CONFIG_CA,
    ),
    text(
        "VAULT_SKIP_VERIFY",
        &[],
        ALL,
        Test::On,
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: VAULT_CACERT=ca.pem",
    ),
    // Rust.
    setting(
        "danger_accept_invalid_certs",
        &["danger_accept_invalid_certs", "tls_danger_accept_invalid_certs"],
        of(&[Rust]),
        Test::On,
        &VERIFICATION_OFF,
        RUST_CA,
    ),
    setting(
        "danger_accept_invalid_hostnames",
        &["danger_accept_invalid_hostnames", "tls_danger_accept_invalid_hostnames"],
        of(&[Rust]),
        Test::On,
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting("DANGER_ACCEPT_INVALID_CERTS", &[], of(&[Rust]), Test::Used, &VERIFICATION_OFF, RUST_CA),
    setting("DANGER_ACCEPT_INVALID_HOSTS", &[], of(&[Rust]), Test::Used, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    setting("dangerous_accept_invalid_certs", &[], of(&[Rust]), Test::On, &VERIFICATION_OFF, RUST_CA),
    setting("dangerous_accept_invalid_hostnames", &[], of(&[Rust]), Test::On, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    setting("disable_verification", &[], of(&[Rust]), Test::On, &VERIFICATION_OFF, RUST_CA),
    setting(
        "ServerCertVerified::assertion",
        &[],
        of(&[Rust]),
        Test::Also(callbacks::asserts_at_once),
        &ACCEPTS_ANY_CERTIFICATE,
        "remove it; for an authority of your own: RootCertStore::add(certificate), and \
         with_root_certificates(store)",
    ),
    setting(
        "SslVerifyMode::NONE",
        &[],
        of(&[Rust]),
        Test::Also(|place| place.source.mentions(&["SslConnector", "SslMethod::tls_client"])),
        &VERIFICATION_OFF,
        "SslVerifyMode::PEER; for an authority of your own: set_ca_file(\"ca.pem\")",
    ),
    setting(
        "verify",
        &["ssl_verify_peer"],
        of(&[Rust]),
        Test::Off,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: cainfo(\"ca.pem\")",
    ),
    setting("verify", &["ssl_verify_host"], of(&[Rust]), Test::Off, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    // Swift and Objective-C.
    setting(
        "URLCredential(trust",
        &[],
        of(&[Swift]),
        Test::Also(callbacks::evaluates_nothing),
        &ACCEPTS_ANY_CERTIFICATE,
        SWIFT_CA,
    ),
    setting(
        "credentialForTrust",
        &[],
        of(&[C]),
        Test::Also(callbacks::evaluates_nothing),
        &ACCEPTS_ANY_CERTIFICATE,
        SWIFT_CA,
    ),
    setting("setAllowsAnyHTTPSCertificate", &[], of(&[C]), Test::Used, &ACCEPTS_ANY_CERTIFICATE, SWIFT_CA),
    setting(
        "DisabledTrustEvaluator",
        &[],
        of(&[Swift]),
        Test::Used,
        &ACCEPTS_ANY_CERTIFICATE,
        "PinnedCertificatesTrustEvaluator()",
    ),
    setting(
        "disableEvaluation",
        &[],
        of(&[Swift]),
        Test::Used,
        &ACCEPTS_ANY_CERTIFICATE,
        "PinnedCertificatesTrustEvaluator()",
    ),
    text(
        "NSAllowsArbitraryLoads",
        &[],
        CONFIGURATION,
        Test::Also(commands::is_true_in_a_property_list),
        &CLEARTEXT_ALLOWED,
        "NSExceptionDomains with the one host that needs it",
    ),
    text(
        "NSExceptionAllowsInsecureHTTPLoads",
        &[],
        CONFIGURATION,
        Test::Also(commands::is_true_in_a_property_list),
        &CLEARTEXT_ALLOWED,
        "remove it, and give that host HTTPS",
    ),
    // C and C++.
    setting(
        "SSL_VERIFY_NONE",
        &["WOLFSSL_VERIFY_NONE"],
        of(&[C]),
        Test::Also(callbacks::is_passed),
        &VERIFICATION_OFF,
        "WOLFSSL_VERIFY_PEER, and wolfSSL_CTX_load_verify_locations(ctx, \"ca.pem\", 0)",
    ),
    setting(
        "SSL_VERIFY_NONE",
        &["SSL_VERIFY_NONE"],
        of(&[C]),
        Test::Also(|place| callbacks::is_passed(place) && place.source.mentions(&["wolfSSL_connect"])),
        &VERIFICATION_OFF,
        "WOLFSSL_VERIFY_PEER, and wolfSSL_CTX_load_verify_locations(ctx, \"ca.pem\", 0)",
    ),
    setting(
        "TLS_PEER_VERIFY_NONE",
        &["TLS_PEER_VERIFY_NONE", "NRF_MODEM_TLS_PEER_VERIFY_NONE"],
        of(&[C]),
        Test::Also(|place| callbacks::is_passed(place) && callbacks::is_given(place)),
        &VERIFICATION_OFF,
        "TLS_PEER_VERIFY_REQUIRED, and the authority's certificate under TLS_SEC_TAG_LIST",
    ),
    setting(
        "tls_config_insecure_",
        &["tls_config_insecure_noverifycert"],
        of(&[C]),
        Test::Also(callbacks::is_called),
        &VERIFICATION_OFF,
        "remove it; for an authority of your own: tls_config_set_ca_file(config, \"ca.pem\")",
    ),
    setting(
        "tls_config_insecure_",
        &["tls_config_insecure_noverifyname"],
        of(&[C]),
        Test::Also(callbacks::is_called),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "mosquitto_tls_",
        &["mosquitto_tls_insecure_set"],
        of(&[C]),
        Test::Also(|place| callbacks::has_argument(place, 1, &["true", "1"])),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "mosquitto_tls_",
        &["mosquitto_tls_opts_set"],
        of(&[C]),
        Test::Also(|place| callbacks::has_argument(place, 1, &["0", "SSL_VERIFY_NONE"])),
        &VERIFICATION_OFF,
        "1 (SSL_VERIFY_PEER), and mosquitto_tls_set with the authority's certificate",
    ),
    setting(
        "ssl-strict",
        &["ssl-strict"],
        of(&[C]),
        Test::Also(callbacks::is_followed_by_false),
        &VERIFICATION_OFF,
        "TRUE",
    ),
    setting(
        "allowSelfSignedCerts",
        &[],
        of(&[C]),
        Test::Also(callbacks::is_called),
        &ACCEPTS_ANY_CERTIFICATE,
        DEVICE_CA,
    ),
    setting(
        "SECURITY_FLAG_IGNORE_",
        &["SECURITY_FLAG_IGNORE_UNKNOWN_CA"],
        of(&[C]),
        Test::Also(callbacks::is_given),
        &VERIFICATION_OFF,
        "leave the flag out, and install the authority's certificate in the system",
    ),
    setting(
        "SECURITY_FLAG_IGNORE_",
        &["SECURITY_FLAG_IGNORE_CERT_CN_INVALID"],
        of(&[C]),
        Test::Also(callbacks::is_given),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "VERIFY_NONE",
        &["VERIFY_NONE"],
        of(&[C]),
        Test::Also(|place| {
            place.source.before(place.at, 9).ends_with(b"Context::")
                && contains(place.source.before(place.at, 200), "CLIENT")
        }),
        &VERIFICATION_OFF,
        "Context::VERIFY_STRICT, with the authority's certificate as caLocation",
    ),
    setting(
        "SSL_VERIFY_NONE",
        &["SSL_VERIFY_NONE"],
        of(&[C]),
        Test::Also(callbacks::is_of_a_client),
        &VERIFICATION_OFF,
        "SSL_VERIFY_PEER; for an authority of your own: SSL_CTX_load_verify_locations(ctx, \
         \"ca.pem\", NULL)",
    ),
    setting(
        "SSL_VERIFY_NONE",
        &["MBEDTLS_SSL_VERIFY_NONE"],
        of(&[C]),
        Test::Also(callbacks::is_of_a_client),
        &VERIFICATION_OFF,
        "MBEDTLS_SSL_VERIFY_REQUIRED, with mbedtls_ssl_conf_ca_chain",
    ),
    setting(
        "verify_none",
        &["verify_none"],
        of(&[C]),
        Test::Also(|place| !place.source.mentions(&["acceptor"]) && !place.is_imported_or_declared()),
        &VERIFICATION_OFF,
        "verify_peer; for an authority of your own: load_verify_file(\"ca.pem\")",
    ),
    setting(
        "VerifyNone",
        &["VerifyNone"],
        of(&[C]),
        Test::Also(callbacks::is_passed),
        &VERIFICATION_OFF,
        "QSslSocket::VerifyPeer; for an authority of your own: addCaCertificates(\"ca.pem\")",
    ),
    setting(
        "ignoreSslErrors",
        &[],
        of(&[C]),
        Test::Also(|place| place.source.from(place.end).starts_with(b"()") && callbacks::is_a_call(place)),
        &ACCEPTS_ANY_CERTIFICATE,
        "remove it; for an authority of your own: addCaCertificates(\"ca.pem\")",
    ),
    setting(
        "setInsecure",
        &[],
        of(&[C]),
        Test::Also(|place| place.source.from(place.end).starts_with(b"()") && callbacks::is_a_call(place)),
        &ACCEPTS_ANY_CERTIFICATE,
        DEVICE_CA,
    ),
    setting(
        "skip_cert_common_name_check",
        &[],
        of(&[C]),
        Test::On,
        &HOSTNAME_CHECK_OFF,
        "leave it out; for another name: .common_name = \"the.name.in.the.certificate\"",
    ),
    setting(
        "enable_server_certificate_verification",
        &[],
        of(&[C]),
        Test::Off,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: set_ca_cert_path(\"ca.pem\")",
    ),
    setting(
        "VerifySsl",
        &["VerifySsl"],
        of(&[C]),
        Test::Off,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: cpr::ssl::CaInfo{\"ca.pem\"}",
    ),
    // curl's options, in whatever language.
    setting(
        "SSL_VERIFYPEER",
        &[
            "CURLOPT_SSL_VERIFYPEER",
            "CURLOPT_PROXY_SSL_VERIFYPEER",
            "CURLOPT_DOH_SSL_VERIFYPEER",
            "SSL_VERIFYPEER",
        ],
        of(&[C]),
        Test::Off,
        &VERIFICATION_OFF,
        C_CA,
    ),
    setting(
        "SSL_VERIFYHOST",
        &[
            "CURLOPT_SSL_VERIFYHOST",
            "CURLOPT_PROXY_SSL_VERIFYHOST",
            "CURLOPT_DOH_SSL_VERIFYHOST",
            "SSL_VERIFYHOST",
        ],
        of(&[C]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "2L",
    ),
    setting(
        "SSL_VERIFYPEER",
        &["CURLOPT_SSL_VERIFYPEER", "SSL_VERIFYPEER"],
        of(&[Php]),
        Test::Off,
        &VERIFICATION_OFF,
        PHP_CA,
    ),
    setting(
        "SSL_VERIFYHOST",
        &["CURLOPT_SSL_VERIFYHOST", "SSL_VERIFYHOST"],
        of(&[Php]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "2",
    ),
    setting(
        "SSL_VERIFYPEER",
        &["SSL_VERIFYPEER", "PROXY_SSL_VERIFYPEER", "DOH_SSL_VERIFYPEER"],
        of(&[Python]),
        Test::Off,
        &VERIFICATION_OFF,
        "1, and for an authority of your own: setopt(pycurl.CAINFO, 'ca.pem')",
    ),
    setting(
        "SSL_VERIFYHOST",
        &["SSL_VERIFYHOST", "PROXY_SSL_VERIFYHOST", "DOH_SSL_VERIFYHOST"],
        of(&[Python]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "2",
    ),
];
