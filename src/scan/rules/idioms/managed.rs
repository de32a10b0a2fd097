//! The check of certificates switched off in Java, Kotlin and C#.

use crate::backports::Trim;
use crate::scan::findings::*;
use crate::scan::languages::Language::*;
use crate::scan::place::contains;
use crate::scan::place::Value;
use crate::scan::rules::callbacks;
use crate::scan::rules::idiom::{of, setting, text, Idiom, Test};

const JAVA_CA: &str = "a KeyStore with the authority's certificate, and the TrustManagerFactory's own trust \
     managers made from it";
const JAVA_NAME: &str = "remove it, and give the certificate the name or the IP address that the client uses";
const CSHARP_CA: &str = "remove it; for an authority of your own: a callback that builds the chain with \
     X509ChainTrustMode.CustomRootTrust";

pub(super) static MANAGED: &[Idiom] = &[
    // Java and Kotlin.
    setting(
        "checkServerTrusted",
        &[],
        of(&[Java]),
        Test::Also(callbacks::has_an_empty_body),
        &ACCEPTS_ANY_CERTIFICATE,
        JAVA_CA,
    ),
    setting("TrustAllStrategy", &[], of(&[Java]), Test::Used, &ACCEPTS_ANY_CERTIFICATE, JAVA_CA),
    setting("TrustSelfSignedStrategy", &[], of(&[Java]), Test::Used, &ACCEPTS_ANY_CERTIFICATE, JAVA_CA),
    setting(
        "InsecureTrustManagerFactory",
        &[],
        of(&[Java]),
        Test::Used,
        &ACCEPTS_ANY_CERTIFICATE,
        "SslContextBuilder.forClient().trustManager(new File(\"ca.pem\"))",
    ),
    setting("rustAll", &["trustAll", "setTrustAll"], of(&[Java]), Test::On, &VERIFICATION_OFF, JAVA_CA),
    setting(
        "loadTrustMaterial",
        &[],
        of(&[Java]),
        Test::Also(callbacks::returns_true),
        &ACCEPTS_ANY_CERTIFICATE,
        JAVA_CA,
    ),
    setting(
        "onReceivedSslError",
        &[],
        of(&[Java]),
        Test::Also(callbacks::proceeds),
        &ACCEPTS_ANY_CERTIFICATE,
        "handler.cancel(), and the authority's certificate in the network security configuration",
    ),
    setting("ALLOW_ALL_HOSTNAME_VERIFIER", &[], of(&[Java]), Test::Used, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    setting("AllowAllHostnameVerifier", &[], of(&[Java]), Test::Used, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    setting("NoopHostnameVerifier", &[], of(&[Java]), Test::Used, &HOSTNAME_CHECK_OFF, JAVA_NAME),
    setting(
        "ostnameVerifier",
        &[
            "HostnameVerifier",
            "hostnameVerifier",
            "setHostnameVerifier",
            "setDefaultHostnameVerifier",
            "setSSLHostnameVerifier",
            "defaultHostnameVerifier",
        ],
        of(&[Java]),
        Test::Also(callbacks::returns_true),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "boolean verify",
        &[],
        of(&[Java]),
        Test::Also(callbacks::says_yes_to_a_session),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "fun verify",
        &[],
        of(&[Java]),
        Test::Also(callbacks::says_yes_to_a_session),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    setting(
        "setEndpointIdentificationAlgorithm",
        &[],
        of(&[Java]),
        Test::Also(|place| place.value() == Value::Nothing),
        &HOSTNAME_CHECK_OFF,
        "setEndpointIdentificationAlgorithm(\"HTTPS\")",
    ),
    text(
        "usesCleartextTraffic",
        &[],
        of(&[Xml]),
        Test::On,
        &CLEARTEXT_ALLOWED,
        "android:usesCleartextTraffic=\"false\"",
    ),
    text(
        "cleartextTrafficPermitted",
        &[],
        of(&[Xml]),
        Test::On,
        &CLEARTEXT_ALLOWED,
        "cleartextTrafficPermitted=\"false\"",
    ),
    text(
        "disableHostnameVerification",
        &["disableHostnameVerification"],
        of(&[Java, Ini]),
        Test::Also(|place| {
            let after = place.source.line_after(place.end);
            ["\", \"true\"", "=true"].iter().any(|on| after.starts_with(on.as_bytes()))
        }),
        &HOSTNAME_CHECK_OFF,
        JAVA_NAME,
    ),
    text(
        "endpoint.identification.algorithm",
        &[],
        of(&[Java, Ini, Yaml]),
        Test::Also(|place| {
            let after = place.source.line_after(place.end).trimmed();
            [&b"="[..], b"=\"\"", b": \"\"", b": ''"].contains(&after) || after.starts_with(b"\", \"\")")
        }),
        &HOSTNAME_CHECK_OFF,
        "https",
    ),
    // C#, and connection settings of databases in every language.
    text(
        "rustServerCertificate",
        &["TrustServerCertificate", "trustServerCertificate"],
        of(&[CSharp, JavaScript, Java, Json, Yaml, Ini, Xml, Php, Python]),
        Test::On,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own, install its certificate where the client runs",
    ),
    text(
        "Trust Server Certificate",
        &[],
        of(&[CSharp, Json, Xml, Ini, Yaml]),
        Test::On,
        &VERIFICATION_OFF,
        "leave it out; for an authority of your own, install its certificate where the client runs",
    ),
    setting(
        "AllowUntrustedCertificates",
        &["AllowUntrustedCertificates", "WithAllowUntrustedCertificates"],
        of(&[CSharp]),
        Test::On,
        &VERIFICATION_OFF,
        CSHARP_CA,
    ),
    setting(
        "SslStream",
        &[],
        of(&[CSharp]),
        Test::Also(callbacks::is_made_with_a_yes),
        &ACCEPTS_ANY_CERTIFICATE,
        CSHARP_CA,
    ),
    setting(
        "CertificateValidationCallback",
        &["ServerCertificateValidationCallback"],
        of(&[CSharp]),
        Test::Also(|place| {
            contains(place.source.line_before(place.at), "ServicePointManager")
                && callbacks::returns_true(place)
        }),
        &VERIFICATION_OFF_EVERYWHERE,
        CSHARP_CA,
    ),
    setting(
        "CertificateValidationCallback",
        &[
            "ServerCertificateValidationCallback",
            "RemoteCertificateValidationCallback",
            "serverCertificateValidationCallback",
            "userCertificateValidationCallback",
        ],
        of(&[CSharp]),
        Test::Also(callbacks::returns_true),
        &ACCEPTS_ANY_CERTIFICATE,
        CSHARP_CA,
    ),
    setting(
        "ServerCertificateCustomValidationCallback",
        &[],
        of(&[CSharp]),
        Test::Also(callbacks::returns_true),
        &ACCEPTS_ANY_CERTIFICATE,
        CSHARP_CA,
    ),
    setting(
        "DangerousAcceptAnyServerCertificateValidator",
        &[],
        of(&[CSharp]),
        Test::Used,
        &ACCEPTS_ANY_CERTIFICATE,
        CSHARP_CA,
    ),
    setting(
        "SslPolicyErrors",
        &[],
        of(&[CSharp]),
        Test::Also(callbacks::is_last_parameter_of_a_yes),
        &ACCEPTS_ANY_CERTIFICATE,
        CSHARP_CA,
    ),
    setting(
        "X509CertificateValidationMode.None",
        &[],
        of(&[CSharp]),
        Test::Used,
        &VERIFICATION_OFF,
        "X509CertificateValidationMode.ChainTrust",
    ),
];
