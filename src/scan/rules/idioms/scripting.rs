//! The check of certificates switched off in JavaScript, TypeScript, Python, PHP and Ruby.

use crate::backports::Trim;
use crate::scan::findings::*;
use crate::scan::languages::Language::*;
use crate::scan::place::{contains, Value};
use crate::scan::rules::idiom::{of, setting, text, Idiom, Test, ALL};
use crate::scan::rules::{callbacks, commands, node};

const NODE_CA: &str = "leave it out; for an authority of your own: ca: fs.readFileSync('ca.pem')";
const NODE_ENV: &str = "remove it; for an authority of your own: NODE_EXTRA_CA_CERTS=ca.pem";
const PYTHON_CA: &str = "leave it out; for an authority of your own: verify='ca.pem'";
const PYTHON_SSL: &str =
    "ssl.create_default_context(cafile='ca.pem'), and leave its verify_mode and check_hostname alone";
const JAVA_NAME: &str = "remove it, and give the certificate the name or the IP address that the client uses";
const PHP_CA: &str = "leave it out; for an authority of your own: CURLOPT_CAINFO => 'ca.pem', 'cafile' => \
     'ca.pem', or 'verify' => 'ca.pem'";
const RUBY_CA: &str = "OpenSSL::SSL::VERIFY_PEER; for an authority of your own: ca_file = 'ca.pem'";

const HOST_NAME: &str = "leave it out, and give the certificate the name that clients use";
const LDAP_CA: &str = "LDAP_OPT_X_TLS_DEMAND; for an authority of your own: LDAP_OPT_X_TLS_CACERTFILE";
const BUNDLE_CA: &str = "remove it; for an authority of your own, the path of its certificate";

pub(super) static SCRIPTING: &[Idiom] = &[
    // JavaScript and TypeScript.
    setting(
        "rejectUnauthorized",
        &[],
        of(&[JavaScript]),
        Test::OffAnd(|place| contains(place.source.line_before(place.at), "globalAgent")),
        &VERIFICATION_OFF_EVERYWHERE,
        NODE_ENV,
    ),
    setting(
        "rejectUnauthorized",
        &[],
        of(&[JavaScript, Json, Yaml, Toml, Ini]),
        Test::OffAnd(node::is_of_a_client_of_node),
        &VERIFICATION_OFF,
        NODE_CA,
    ),
    text(
        "NODE_TLS_REJECT_UNAUTHORIZED",
        &[],
        ALL,
        Test::Also(commands::sets_zero),
        &VERIFICATION_OFF_EVERYWHERE,
        NODE_ENV,
    ),
    setting(
        "secure",
        &["secure"],
        of(&[JavaScript, Json]),
        Test::OffAnd(node::is_of_a_proxy_over_tls),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: agent: new https.Agent({ ca: fs.readFileSync('ca.pem') })",
    ),
    setting(
        "certificate-error",
        &["certificate-error"],
        of(&[JavaScript]),
        Test::Also(node::trusts_at_once),
        &ACCEPTS_ANY_CERTIFICATE,
        "remove it, and install the authority's certificate in the system",
    ),
    setting("sslValidate", &["sslValidate"], of(&[JavaScript, Json]), Test::Off, &VERIFICATION_OFF, NODE_CA),
    setting("strictSSL", &[], of(&[JavaScript, Json]), Test::Off, &VERIFICATION_OFF, NODE_CA),
    setting(
        "checkServerIdentity",
        &[],
        of(&[JavaScript]),
        Test::Also(node::says_nothing),
        &HOSTNAME_CHECK_OFF,
        "remove it; for another name: servername: 'the.name.in.the.certificate'",
    ),
    setting("ignoreHTTPSErrors", &[], of(&[JavaScript, Json, Java]), Test::On, &VERIFICATION_OFF, NODE_CA),
    setting(
        "ignore_https_errors",
        &[],
        of(&[Python]),
        Test::On,
        &VERIFICATION_OFF,
        "leave it out, and let the browser trust the authority",
    ),
    setting(
        "cceptInsecureCert",
        &["acceptInsecureCerts", "setAcceptInsecureCerts", "AcceptInsecureCertificates"],
        of(&[JavaScript, Java, CSharp, Json]),
        Test::On,
        &VERIFICATION_OFF,
        "leave it out, and let the browser trust the authority",
    ),
    text(
        "ignore-certificate-errors",
        &["ignore-certificate-errors", "--ignore-certificate-errors"],
        ALL,
        Test::Also(|place| !place.is_imported_or_declared() && !commands::asks_only_this_machine_after(place)),
        &VERIFICATION_OFF_EVERYWHERE,
        "leave it out, and let the browser trust the authority",
    ),
    setting(
        "setCertificateVerifyProc",
        &[],
        of(&[JavaScript]),
        Test::Also(node::calls_back_with_zero),
        &ACCEPTS_ANY_CERTIFICATE,
        "remove it, and install the authority's certificate in the system",
    ),
    text(
        "tlsInsecure",
        &["tlsInsecure"],
        ALL,
        Test::On,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: tlsCAFile=ca.pem",
    ),
    text(
        "tlsAllowInvalid",
        &["tlsAllowInvalidCertificates"],
        ALL,
        Test::On,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: tlsCAFile=ca.pem",
    ),
    text(
        "tlsAllowInvalid",
        &["tlsAllowInvalidHostnames"],
        ALL,
        Test::On,
        &HOSTNAME_CHECK_OFF,
        "leave it out, and give the certificate the name that clients use",
    ),
    // Python.
    setting(
        "verify",
        &["verify"],
        of(&[Python]),
        Test::OffAnd(callbacks::is_about_requests),
        &VERIFICATION_OFF,
        PYTHON_CA,
    ),
    setting(
        "verify",
        &[
            "verify_ssl",
            "ssl_verify",
            "verify_certs",
            "verify_tls",
            "tls_verify",
            "verify_certificate",
            "verify_cert",
            "verify_ssl_cert",
        ],
        of(&[Python]),
        Test::Off,
        &VERIFICATION_OFF,
        PYTHON_CA,
    ),
    setting(
        "validate_cert",
        &["validate_certs", "validate_cert"],
        of(&[Python, Yaml]),
        Test::Off,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ca_path: ca.pem",
    ),
    setting(
        "ssl=False",
        &[],
        of(&[Python]),
        Test::Also(callbacks::is_about_aiohttp),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ssl=ssl.create_default_context(cafile='ca.pem')",
    ),
    setting(
        "ssl = False",
        &[],
        of(&[Python]),
        Test::Also(callbacks::is_about_aiohttp),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ssl=ssl.create_default_context(cafile='ca.pem')",
    ),
    setting(
        "_create_default_https_context",
        &[],
        of(&[Python]),
        Test::Also(|place| contains(place.source.line_after(place.end), "_create_unverified_context")),
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: SSL_CERT_FILE=ca.pem in the environment",
    ),
    setting(
        "_create_unverified",
        &["_create_unverified_context", "_create_unverified_https_context"],
        of(&[Python]),
        Test::Also(callbacks::is_used_for_one_context),
        &VERIFICATION_OFF,
        PYTHON_SSL,
    ),
    text(
        "CERT_NONE",
        &["CERT_NONE"],
        of(&[Python]),
        Test::Also(callbacks::is_assigned),
        &VERIFICATION_OFF,
        PYTHON_SSL,
    ),
    setting(
        "check_hostname",
        &[],
        of(&[Python]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "leave it True; server_hostname= names what is in the certificate",
    ),
    setting(
        "assert_hostname",
        &[],
        of(&[Python]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "assert_hostname='the.name.in.the.certificate'",
    ),
    setting(
        "disable_warnings",
        &[],
        of(&[Python]),
        Test::Also(callbacks::silences),
        &WARNINGS_SILENCED,
        "remove it, and fix the code that it warns of",
    ),
    setting(
        "InsecureRequestWarning",
        &[],
        of(&[Python]),
        Test::Also(callbacks::is_filtered),
        &WARNINGS_SILENCED,
        "remove it, and fix the code that it warns of",
    ),
    setting("tls_insecure_set", &[], of(&[Python]), Test::OnAnd(callbacks::is_a_call), &HOSTNAME_CHECK_OFF, HOST_NAME),
    setting(
        "disable_ssl_certificate_validation",
        &[],
        of(&[Python]),
        Test::On,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ca_certs='ca.pem'",
    ),
    setting("disableSslCertValidation", &[], of(&[Python]), Test::On, &VERIFICATION_OFF, PYTHON_SSL),
    setting(
        "OPT_X_TLS_REQUIRE_CERT",
        &["OPT_X_TLS_REQUIRE_CERT", "LDAP_OPT_X_TLS_REQUIRE_CERT"],
        of(&[Python, Php, C]),
        Test::Also(callbacks::asks_for_no_certificate),
        &VERIFICATION_OFF,
        LDAP_CA,
    ),
    setting(
        "server_cert_validation",
        &[],
        of(&[Python]),
        Test::Also(|place| {
            let after = place.source.line_after(place.end).trimmed_start();
            after.starts_with(b"='ignore'") || after.starts_with(b"=\"ignore\"")
        }),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ca_trust_path='ca.pem'",
    ),
    setting(
        "ssl_cert_reqs",
        &[],
        of(&[Python]),
        Test::Also(|place| {
            let after = place.source.line_after(place.end).trimmed_start();
            place.value() == Value::Nothing || [&b"=\"none\""[..], b"='none'"].iter().any(|none| after.starts_with(none))
        }),
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own: ssl_ca_certs='ca.pem'",
    ),
    setting(
        "SSL.VERIFY_NONE",
        &[],
        of(&[Python]),
        Test::Also(|place| contains(place.source.line_before(place.at), "set_verify(")),
        &VERIFICATION_OFF,
        "SSL.VERIFY_PEER, and load_verify_locations('ca.pem')",
    ),
    text("CURL_CA_BUNDLE", &[], ALL, Test::Also(commands::sets_nothing), &VERIFICATION_OFF_EVERYWHERE, BUNDLE_CA),
    text("REQUESTS_CA_BUNDLE", &[], ALL, Test::Also(commands::sets_nothing), &VERIFICATION_OFF_EVERYWHERE, BUNDLE_CA),
    text(
        "PYTHONHTTPSVERIFY",
        &[],
        ALL,
        Test::Also(commands::sets_zero),
        &VERIFICATION_OFF_EVERYWHERE,
        "remove it; for an authority of your own: SSL_CERT_FILE=ca.pem",
    ),
    // PHP.
    setting(
        "_ssl_verify",
        &["https_ssl_verify", "https_local_ssl_verify"],
        of(&[Php]),
        Test::Also(|place| {
            contains(place.source.line_after(place.end), "__return_false")
                && contains(place.source.line_before(place.at), "add_filter")
        }),
        &VERIFICATION_OFF,
        "remove it; for an authority of your own: 'sslcertificates' => 'ca.pem'",
    ),
    setting("MYSQL_ATTR_SSL_VERIFY_SERVER_CERT", &[], of(&[Php]), Test::Off, &VERIFICATION_OFF, "PDO::MYSQL_ATTR_SSL_CA => 'ca.pem'"),
    setting(
        "verify",
        &["verify_host"],
        of(&[Php]),
        Test::OffAnd(|place| place.source.mentions(&["HttpClient", "http_client"])),
        &HOSTNAME_CHECK_OFF,
        HOST_NAME,
    ),
    setting(
        "verify",
        &["verify_peer_name"],
        of(&[Php]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        "leave it out; for another name: 'peer_name' => 'the.name.in.the.certificate'",
    ),
    setting(
        "verify",
        &["verify_peer", "ssl_verify", "verify_ssl"],
        of(&[Php]),
        Test::Off,
        &VERIFICATION_OFF,
        PHP_CA,
    ),
    setting(
        "verify",
        &["verify"],
        of(&[Php]),
        Test::OffAnd(|place| {
            place.source.mentions(&["Guzzle", "Http::", "HttpClient", "http_client", "Client("])
        }),
        &VERIFICATION_OFF,
        PHP_CA,
    ),
    setting("sslverify", &[], of(&[Php]), Test::Off, &VERIFICATION_OFF, PHP_CA),
    setting("allow_self_signed", &[], of(&[Php]), Test::On, &VERIFICATION_OFF, PHP_CA),
    setting(
        "withoutVerifying",
        &[],
        of(&[Php]),
        Test::Also(|place| {
            place.source.from(place.end).starts_with(b"()") && !place.is_imported_or_declared()
        }),
        &VERIFICATION_OFF,
        PHP_CA,
    ),
    // Ruby.
    setting(
        "openssl_verify_mode",
        &[],
        of(&[Ruby]),
        Test::Also(|place| {
            let value = place.source.line_after(place.end);
            let value = value.split(|byte| b",}".contains(byte)).next().unwrap_or_default();
            ["'none'", "\"none\"", ":none"].iter().any(|none| contains(value, none))
        }),
        &VERIFICATION_OFF,
        RUBY_CA,
    ),
    setting(
        "VERIFY_NONE",
        &["VERIFY_NONE"],
        of(&[Ruby]),
        Test::Also(callbacks::is_assigned),
        &VERIFICATION_OFF,
        RUBY_CA,
    ),
    setting("verify_none", &["verify_none"], of(&[Ruby]), Test::Used, &VERIFICATION_OFF, RUBY_CA),
    setting(
        "verify",
        &["verify_ssl", "ssl_verify", "verify_peer", "ssl_verifypeer", "ssl_verify_peer", "verify_certs"],
        of(&[Ruby]),
        Test::Off,
        &VERIFICATION_OFF,
        RUBY_CA,
    ),
    setting(
        "verify",
        &["ssl_verifyhost", "ssl_verify_host", "verify_hostname"],
        of(&[Ruby]),
        Test::Off,
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "verify",
        &["verify"],
        of(&[Ruby]),
        Test::OffAnd(|place| {
            place.source.mentions(&["Faraday", "HTTParty", "HTTP.", "Excon", "HTTPX", "httparty", "faraday"])
        }),
        &VERIFICATION_OFF,
        RUBY_CA,
    ),
];
