//! Every kind of finding about a certificate, in one table: `lockgate cert show`, the log and the documentation read it.
//! Ids never change their meaning.
//!
//! Facts about clients were looked up in 2026: Apple, "Requirements for trusted certificates in iOS 13 and macOS 10.15"
//! (support.apple.com/103769); Chromium's `net/cert/cert_verify_proc.cc`; Firefox's `mozilla::pkix`; CA/Browser Forum ballot
//! SC-081v3.

use crate::finding::{Rule, Severity};

const ALL: &[&str] = &["Apple", "Chrome", "Firefox"];
const APPLE_PAGE: &str = "Apple, Requirements for trusted certificates in iOS 13 and macOS 10.15";

macro_rules! rules {
    ($($name:ident: $id:literal, $severity:ident, refused by $refused:expr;
        why $why:expr; fix $fix:expr; see $reference:expr;)*) => {
        $(pub(crate) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            why: $why,
            refused_by: $refused,
            fix: $fix,
            reference: $reference,
        };)*
        /// All of them, the worst first.
        #[cfg(any(test, feature = "check"))]
        pub(crate) static TABLE: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    EXPIRED: "expired", Error, refused by ALL;
        why "Every client refuses a server whose certificate has expired.";
        fix "renew it, or set this machine's clock if that is wrong";
        see "RFC 5280 §4.1.2.5";
    NOT_YET_VALID: "not-yet-valid", Error, refused by ALL;
        why "Every client refuses a certificate before its time. Most often a clock is wrong, here or where it was issued.";
        fix "set this machine's clock, or get a certificate that is valid now";
        see "RFC 5280 §4.1.2.5";
    KEY_MISMATCH: "key-mismatch", Error, refused by ALL;
        why "A server proves with its key that the certificate is its own; with another key no handshake succeeds.";
        fix "give the key that the certificate was requested with";
        see "RFC 8446 §4.4.3";
    LEAF_NOT_FIRST: "leaf-not-first", Error, refused by ALL;
        why "Clients take the first certificate for the server's own.";
        fix "put the server's own certificate first, then each one's issuer";
        see "RFC 8446 §4.4.2";
    BROKEN_SIGNATURE: "broken-signature", Error, refused by ALL;
        why "It names an issuer whose key has not signed it, so the chain leads nowhere. An authority that has got a new key \
             under its old name looks like this.";
        fix "get the issuer's certificate from the same place as this one, and put it in place of the other";
        see "RFC 5280 §6.1.3";
    MISSING_INTERMEDIATE: "missing-intermediate", Error, refused by &["Firefox"];
        why "Public authorities sign with an intermediate certificate, which the server must send along. Chrome and Apple may \
             fetch it by themselves; Firefox only when it knows it already; curl, Node, Python, Go, Java and Android do not.";
        fix "serve the full chain, with certbot fullchain.pem instead of cert.pem";
        see "RFC 8446 §4.4.2";
    NO_NAMES: "no-names", Error, refused by ALL;
        why "Clients look for the server's name among the subjectAltNames and no longer in the subject, so this one is for \
             no server at all.";
        fix "request it again with its names as subjectAltName: lockgate cert csr --name NAME --key new-key.pem --out request.pem";
        see "RFC 9525 §6.1";
    UNMATCHABLE_NAME: "unmatchable-name", Error, refused by ALL;
        why "Clients compare the host of a URL with the certificate's names, and no host has such a name. So the certificate \
             is for one name less than it seems.";
        fix "request it again with the name alone, without scheme, port, path or kind: lockgate cert csr --name NAME --key \
             new-key.pem --out request.pem";
        see "RFC 9525 §6.3, RFC 5280 §4.2.1.6";
    CA_AS_LEAF: "ca-as-leaf", Error, refused by &["Firefox"];
        why "It is an authority's certificate. Firefox (MOZILLA_PKIX_ERROR_CA_CERT_USED_AS_END_ENTITY) and clients with rustls \
             refuse it as a server's; and anybody who gets its key can issue certificates that its clients trust.";
        fix "let it sign a certificate with CA:FALSE, and serve that one";
        see "RFC 5280 §4.2.1.9";
    KEY_USAGE: "key-usage", Error, refused by &["Chrome", "Firefox"];
        why "In TLS 1.3 and with ECDHE the server signs. Chrome (ERR_SSL_KEY_USAGE_INCOMPATIBLE) and Firefox refuse a key that \
             is not meant to.";
        fix "request it again with keyUsage = critical, digitalSignature";
        see "RFC 5280 §4.2.1.3, RFC 8446 §4.4.2.2";
    SERVER_AUTH: "no-server-auth", Error, refused by ALL;
        why "The certificate is meant for something else than servers.";
        fix "request it again with extendedKeyUsage = serverAuth";
        see "RFC 5280 §4.2.1.12";
    NO_EXTENDED_KEY_USAGE: "no-extended-key-usage", Error, refused by &["Apple"];
        why "Apple's devices want the extension with serverAuth in it, of private authorities too.";
        fix "request it again with extendedKeyUsage = serverAuth";
        see APPLE_PAGE;
    WEAK_KEY: "weak-key", Error, refused by &["Apple"];
        why "A key of this kind can be broken, or is known to few clients. Apple's devices, Go and rustls refuse RSA under 2048 \
             bits (Chrome and Firefox under 1024), and no browser takes other curves than P-256, P-384 and P-521.";
        fix "request it again with a new key: lockgate cert csr --name NAME --key new-key.pem --out request.pem makes an ECDSA \
             P-256 one";
        see APPLE_PAGE;
    WEAK_SIGNATURE: "weak-signature", Error, refused by ALL;
        why "With MD5 and SHA-1 another certificate can be made that has the same signature.";
        fix "have it issued again with SHA-256; where the authority can do no better, replace the authority";
        see "RFC 9155, and Apple, Requirements for trusted certificates in iOS 13 and macOS 10.15";
    PUBLIC_LIFETIME: "public-lifetime", Error, refused by &["Apple", "Chrome"];
        why "Certificates of public authorities may last 398 days, 200 when issued from 2026-03-15, 100 from 2027-03-15 and 47 \
             from 2029-03-15. Chrome and Apple refuse those that last too long for their date.";
        fix "have it issued again with a shorter life, and renew by machine (ACME)";
        see "CA/Browser Forum, Baseline Requirements §6.3.2";
    PRIVATE_LIFETIME: "private-lifetime", Error, refused by &["Apple"];
        why "Apple's devices refuse a server's certificate that lasts longer than 825 days, of private authorities too.";
        fix "have it issued again for at most 825 days; 90 are enough where renewing is done by machine";
        see APPLE_PAGE;
    UNKNOWN_CRITICAL: "unknown-critical-extension", Error, refused by ALL;
        why "A client that does not know a critical extension must refuse the certificate.";
        fix "have it issued again without that extension, or with it as not critical";
        see "RFC 5280 §4.2";
    ISSUER_NOT_ALLOWED: "issuer-not-allowed", Error, refused by ALL;
        why "A certificate signed with a key that may not sign certificates is worth nothing, or anybody could issue them.";
        fix "have the authority's own certificate made anew with basicConstraints = critical, CA:TRUE and keyUsage = critical, \
             keyCertSign, cRLSign";
        see "RFC 5280 §4.2.1.9 and §6.1.4";
    OLD_VERSION: "old-version", Error, refused by ALL;
        why "X.509 before version 3 has no place for names, usages and constraints.";
        fix "request it again; every authority of today issues version 3";
        see "RFC 5280 §4.1.2.1";
    REPEATED_SERIAL: "repeated-serial", Error, refused by &["Firefox"];
        why "Two different certificates of one issuer have the same serial number. Firefox refuses both \
             (SEC_ERROR_REUSED_ISSUER_AND_SERIAL), and its user has no way on.";
        fix "have one of them issued again, with a random serial number";
        see "RFC 5280 §4.1.2.2";
    WRONG_ORDER: "wrong-order", Warning, refused by &[];
        why "Each certificate should be issued by the one that follows. TLS 1.2 demands it, and some devices still do.";
        fix "put them in order, each one's issuer after it";
        see "RFC 8446 §4.4.2, RFC 5246 §7.4.2";
    UNRELATED: "unrelated-certificate", Warning, refused by &[];
        why "What is not on the way from the server's certificate to its authority is sent for nothing, and strict clients stop \
             at it. Often it stands where the right intermediate should.";
        fix "take it out of the file";
        see "RFC 8446 §4.4.2";
    UNREAD_PART: "unread-part", Warning, refused by &[];
        why "Something that looks like a part of a certificate's file is not read, by lockgate or by OpenSSL. Programs pass over \
             it in silence, and then a certificate is missing from the chain.";
        fix "write the file again: openssl x509 -in FILE for each certificate, openssl pkey -in FILE for the key";
        see "RFC 7468 §2, §3";
    NOT_PEM: "not-pem", Warning, refused by &[];
        why "Servers read PEM, in which certificates can stand one after the other; lockgate serve does not start with this file.";
        fix "openssl x509 -inform DER -in FILE -out NEW";
        see "RFC 7468 §5";
    EXPIRES_SOON: "expires-soon", Warning, refused by &[];
        why "Less than a tenth of its life is left. Renewal should have come at two thirds of it, so something has failed.";
        fix "renew it now, and find out why that has not happened by itself";
        see "RFC 9773 §4.2";
    ISSUER_EXPIRES_FIRST: "issuer-expires-first", Warning, refused by &[];
        why "When its issuer's certificate expires, clients refuse this one too.";
        fix "have it issued again by an authority that outlives it";
        see "RFC 5280 §6.1.3";
    SELF_SIGNED: "self-signed", Warning, refused by &[];
        why "No client trusts it by itself; each has to be told, and told again when it is renewed. People learn to click \
             warnings away.";
        fix "get one from an authority, or let a CA of your own issue it and trust that CA once";
        see "RFC 5280 §3.2";
    BAD_SERIAL: "bad-serial", Warning, refused by &[];
        why "Serial numbers are positive and have at most 20 bytes. Go refuses negative ones, other clients those that are too \
             long.";
        fix "have it issued again with a random, positive serial number";
        see "RFC 5280 §4.1.2.2";
    KEY_FILE_MODE: "key-file-mode", Warning, refused by &[];
        why "Anybody who can read the key can pose as this server.";
        fix "let only its owner read it (chmod 600 FILE), or root's file its group (chmod 640 FILE)";
        see "CWE-732";
    RARE_KEY: "rare-key", Warning, refused by &["Chrome"];
        why "Not every client can check it: no browser takes Ed25519 in certificates, and Chrome does not take P-521. curl, \
             OpenSSL and Go take both.";
        fix "request it again with an ECDSA P-256 key if browsers are to connect";
        see "CA/Browser Forum, Baseline Requirements §6.1.5";
    ADDRESS_AS_NAME: "address-as-dns-name", Warning, refused by ALL;
        why "Clients look for an address among the certificate's addresses, and never among its DNS names.";
        fix "request it again with the address as an address: lockgate cert csr --name ADDRESS, or in OpenSSL IP:ADDRESS";
        see "RFC 9525 §6.5";
    NO_AUTHORITY_KEY_ID: "no-authority-key-id", Warning, refused by &[];
        why "Certificates that others have issued must say by which key. Python from 3.13 on refuses them otherwise.";
        fix "have it issued again with authorityKeyIdentifier = keyid";
        see "RFC 5280 §4.2.1.1";
    ROOT_INCLUDED: "root-included", Note, refused by &[];
        why "A client trusts a root because it has it already, so it is sent for nothing in each handshake.";
        fix "take the last certificate out of the file";
        see "RFC 8446 §4.4.2";
    DUPLICATE: "duplicate-certificate", Note, refused by &[];
        why "It is sent for nothing in each handshake.";
        fix "take the second one out of the file";
        see "RFC 8446 §4.4.2";
    ISSUER_ELSEWHERE: "issuer-elsewhere", Note, refused by &[];
        why "When the issuer is no root that clients trust already, its certificate must be sent along.";
        fix "unless its issuer is a root, add the issuer's certificate to the file";
        see "RFC 8446 §4.4.2";
    RENEWAL_DUE: "renewal-due", Note, refused by &[];
        why "Less than a third of its life is left. That is the time to renew, while there is still time for a second try.";
        fix "renew it";
        see "RFC 9773 §4.2";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_kebab_case_and_one_of_a_kind_and_says_all_there_is_to_say() {
        let mut ids: Vec<&str> = TABLE.iter().map(|rule| rule.id).collect();
        for rule in TABLE {
            assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", rule.id);
            for text in [rule.why, rule.fix, rule.reference] {
                assert!(!text.is_empty() && !text.contains("  ") && text.trim() == text, "{}", rule.id);
            }
            assert!(rule.why.ends_with('.') && !rule.fix.ends_with('.'), "{}", rule.id);
            let provoked = include_str!("../../../tests/chain.rs").contains(&format!("\"{}\"", rule.id));
            assert!(provoked, "{}: no test provokes it", rule.id);
            assert!(
                rule.refused_by.windows(2).all(|two| two[0] <= two[1])
                    && rule.refused_by.iter().all(|name| ALL.contains(name))
            );
        }
        assert!(TABLE.windows(2).all(|two| two[0].severity >= two[1].severity), "the worst first");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), TABLE.len());
    }
}
