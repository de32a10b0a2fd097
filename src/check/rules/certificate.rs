//! The findings about a certificate as a server sends it: whether it is trusted, and for the name. The findings about the
//! content of a certificate are in the table of `tls::findings`.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    UNTRUSTED_SELF_SIGNED: "untrusted-self-signed", Error;
        why "No client can tell this server from an impostor with a certificate of the same kind.";
        about "The certificate is its own issuer, and is in none of the stores: Mozilla's authorities, this machine's store, or the \
            file given with --ca.";
        fix "a device: give the certificate to clients and to the check: lockgate check URL --ca cert.pem
a public name: get a certificate from an authority such as Let's Encrypt";
        see "RFC 5280 §6.1";
    UNTRUSTED_AUTHORITY: "untrusted-authority", Error;
        why "Clients refuse a server whose certificate comes from an authority that they do not know.";
        about "The chain that the server sends leads to no authority in Mozilla's store, in this machine's, or in the file given \
            with --ca. Either the authority is private, and each client needs its certificate, or the server leaves out an \
            intermediate certificate.";
        fix "lockgate check URL --ca ca.pem, and give the same file to every client: curl --cacert ca.pem, \
            NODE_EXTRA_CA_CERTS=ca.pem, REQUESTS_CA_BUNDLE=ca.pem, SSL_CERT_FILE=ca.pem";
        see "RFC 5280 §6.1";
    UNTRUSTED_CHAIN: "untrusted-chain", Error;
        why "Clients refuse a chain that breaks a rule on its way to the authority.";
        about "A known authority has issued the chain, and the chain still does not verify. The report has the library's reason: a \
            signature that is wrong or of a kind that is no longer accepted, a name that the authority may not sign for, \
            another purpose, or a validity that does not include the present.";
        fix "get a new certificate from the authority, for the purpose serverAuth";
        see "RFC 5280 §6.1";
    NAME_MISMATCH: "name-mismatch", Error;
        why "Clients refuse a certificate that is not for the name or address they connect to.";
        about "The host of the URL is not among the names and addresses of the certificate (subjectAltName). Current clients \
            ignore a name in the subject (CN).";
        fix "connect by a name of the certificate, or get a certificate for this name as well; a device's certificate should have every name \
            and address by which clients reach it";
        see "RFC 9110 §4.3.4";
    KEY_UNPROVEN: "key-unproven", Error;
        why "A server that cannot prove that it has the certificate's key may be anyone with a copy of the certificate.";
        about "The signature of the handshake could not be verified with the certificate's key. Keys that clients no longer \
            accept (RSA below 2048 bits) cannot be checked here either.";
        fix "give the server the key that belongs to the certificate, of a kind that clients accept: ECDSA P-256, or RSA of \
            2048 bits or more";
        see "RFC 8446 §4.4.3";
    CLOCKS_DIFFER: "clocks-differ", Warning;
        why "A clock that is wrong makes good certificates expired or not yet valid, and tokens and logs useless.";
        about "The Date field of the answer differs from this machine's clock by more than two minutes. Which of the two is \
            wrong cannot be known for certain; a clock outside the certificate's validity is more likely to be wrong.";
        fix "set the clock on both sides, and keep it: timedatectl set-ntp true, or chrony, or systemd-timesyncd";
        see "RFC 9110 §6.6.1";
}
