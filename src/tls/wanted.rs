//! The errors for a file that does not hold what it should: it holds something of another kind.
//!
//! All readers of PEM call it: `load`, `chain` and `client_auth`.

use super::form::{self, Coding, Form};
use super::pem::{Contents, Key};
use crate::error::IdentityFault;

/// What a file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Certificate,
    Key,
    /// The certificates of authorities.
    Authority,
}

/// Why this file does not hold what is wanted.
pub(super) fn nothing(file: &[u8], contents: &Contents, wanted: Wanted) -> IdentityFault {
    let of_it = form::of(file).map(|form| (form, Coding::Der));
    let found = of_it.or(contents.forms.first().map(|form| (*form, Coding::Pem)));
    match (found, wanted) {
        (Some((form @ (Form::Certificate | Form::Pkcs7), coding)), Wanted::Authority) => {
            return fault(form, coding, Wanted::Certificate);
        }
        (Some(_), Wanted::Authority) => return IdentityFault::NoAuthority,
        (Some((form, coding)), _) => return fault(form, coding, wanted),
        (None, _) => {}
    }
    let is_other = match wanted {
        Wanted::Certificate | Wanted::Authority => !matches!(contents.key, Key::Absent),
        Wanted::Key => !contents.certificates.is_empty(),
    };
    match contents.unread.first().filter(|_| !is_other) {
        Some(unread) => IdentityFault::Malformed(format!(
            "nothing in it can be read, and on line {} {}",
            unread.line, unread.what
        )),
        None => match wanted {
            Wanted::Certificate => IdentityFault::NoCertificate,
            Wanted::Key => IdentityFault::NoKey,
            Wanted::Authority => IdentityFault::NoAuthority,
        },
    }
}

fn fault(form: Form, coding: Coding, wanted: Wanted) -> IdentityFault {
    let what = match (form, coding, wanted) {
        (Form::Certificate, _, Wanted::Certificate) => "it is a certificate in DER; write it as PEM",
        (Form::Certificate, ..) => "it is a certificate, and holds no private key; give the file of its key",
        (Form::Pkcs7, _, Wanted::Certificate) => "it is PKCS#7, a bag of certificates; write them as PEM",
        (Form::Pkcs7, ..) => "it is PKCS#7, which holds certificates and no private key; give the file of the key",
        (Form::Pkcs12, ..) => {
            "it is PKCS#12, which holds a certificate and its private key; write both as PEM, and give that file for both"
        }
        (Form::Request, _, Wanted::Certificate) => {
            "it is a request for a certificate (CSR) and not the certificate; give what an authority has answered to it, or \
             sign it with an authority of your own"
        }
        (Form::Request, ..) => {
            "it is a request for a certificate (CSR), and holds no private key; give the file of the key that it was made with"
        }
        (Form::RevocationList, ..) => "it is a revocation list (CRL); give the server's own certificate, and its key",
        (Form::PublicKey, _, Wanted::Certificate) => {
            "it is a public key alone; give the certificate, or request one: lockgate cert csr --name NAME --key new-key.pem"
        }
        (Form::PublicKey, ..) => "it is a public key; give the private key that it belongs to",
        (Form::PrivateKey | Form::EncryptedKey, _, Wanted::Certificate) => {
            "it is a private key in DER; give the certificate first, and the key as PEM"
        }
        (Form::PrivateKey, ..) => "it is a private key in DER; write it as PEM",
        (Form::EncryptedKey, ..) => "it is a private key in DER behind a passphrase; write it as PEM without one",
    };
    let conversion = match (form, wanted) {
        (Form::Pkcs7 | Form::Certificate | Form::Request, Wanted::Key) => None,
        _ => form.conversion(coding),
    };
    IdentityFault::OtherForm { what, conversion: conversion.unwrap_or_default() }
}
