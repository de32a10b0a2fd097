//! Reads and checks certificate revocation lists (CRL, RFC 5280 §5) before they are used.
//!
//! webpki looks up certificates in the lists later, but does not tell a list's issuer and when it must be replaced; this module
//! does. `client_auth` calls it.

use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{BorrowedCertRevocationList, CertRevocationList, EndEntityCert};

use super::form::Form;
use super::{der, file, pem, provider, Expiry};
use crate::calendar::from_unix;
use crate::error::{Error, IdentityFault};

/// A good list, and the authorities that have issued it.
pub(super) struct RevocationList {
    pub(super) der: CertificateRevocationListDer<'static>,
    /// Indices into the given authorities.
    pub(super) authorities: Vec<usize>,
    issuer: Vec<u8>,
    /// Which part of the authority's certificates it covers, if not all.
    scope: Option<Vec<u8>>,
    pub(super) due: Due,
}

/// When a revocation list was issued, and by when it must be replaced. Seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) this_update: i64,
    pub(super) next_update: i64,
}

/// Adds the lists in a file to `lists`. Each must be good at `now`.
///
/// # Errors
/// [`Error::Identity`] with the file.
pub(super) fn read(
    path: &Path,
    authorities: &[CertificateDer<'static>],
    now: i64,
    lists: &mut Vec<RevocationList>,
) -> Result<(), Error> {
    let bytes = file::read(path)?;
    // Ignoring it silently would drop a list, and its authority's clients would be refused.
    let is_pem = bytes.first() != Some(&der::SEQUENCE);
    let found = is_pem.then(|| pem::read(&bytes).ok()).flatten();
    let unread = found.map(|found| found.unread).unwrap_or_default();
    for unread in unread.iter().filter(|unread| unread.form != Some(Form::RevocationList)) {
        unread.warn(Some(path));
    }
    take_in(bytes, authorities, now, lists).map_err(|fault| Error::identity(path.to_path_buf(), fault))
}

fn take_in(
    bytes: Vec<u8>,
    authorities: &[CertificateDer<'static>],
    now: i64,
    lists: &mut Vec<RevocationList>,
) -> Result<(), IdentityFault> {
    // Authorities publish their lists as DER (RFC 5280 §4.2.1.13), tools write PEM.
    let found = if bytes.first() == Some(&der::SEQUENCE) {
        vec![CertificateRevocationListDer::from(bytes)]
    } else {
        pem::read(&bytes)?.revocation_lists
    };
    // In DER a certificate is easily mistaken for a list.
    if found.is_empty() || found.iter().any(|der| der::validity(der).is_ok()) {
        return Err(IdentityFault::NoRevocationList);
    }
    for der in found {
        let list = check(der, authorities, now)?;
        let same = |other: &RevocationList| (&other.issuer, &other.scope) == (&list.issuer, &list.scope);
        // rustls would use only the first of them.
        if lists.iter().any(same) {
            return Err(IdentityFault::Malformed(
                "there are two revocation lists of the same authority; give the newer one only".to_string(),
            ));
        }
        lists.push(list);
    }
    Ok(())
}

/// Checks that one of these authorities has signed the list and that the list is not out of date.
pub(super) fn check(
    der: CertificateRevocationListDer<'static>,
    authorities: &[CertificateDer<'static>],
    now: i64,
) -> Result<RevocationList, IdentityFault> {
    let damaged = |what| {
        IdentityFault::Malformed(format!(
            "its revocation list is damaged ({what}); copy the file again from where it was issued"
        ))
    };
    let signed = der::signed(&der).map_err(damaged)?;
    let list =
        BorrowedCertRevocationList::from_der(&der).and_then(|list| list.to_owned()).map_err(unsupported)?;
    let list = CertRevocationList::from(list);
    let (mut of, mut forged) = (Vec::new(), false);
    for (index, authority) in authorities.iter().enumerate() {
        let Ok(certificate) = EndEntityCert::try_from(authority) else { continue };
        if certificate.subject() != list.issuer() {
            continue;
        }
        // An authority's name may have several keys, such as before and after a change of keys.
        if is_signed_by(&signed, &certificate) {
            of.push(index);
        } else {
            forged = true;
        }
    }
    match (of.is_empty(), forged) {
        (false, _) => {}
        (true, false) => return Err(IdentityFault::RevocationListOfAnother),
        (true, true) => {
            return Err(IdentityFault::Malformed(
                "its revocation list is not signed by the authority that it names; get it again from there"
                    .into(),
            ));
        }
    }
    let due = due(signed.tbs).map_err(damaged)?;
    if now >= due.next_update {
        return Err(IdentityFault::RevocationListExpired {
            next_update: from_unix(due.next_update),
            now: from_unix(now),
        });
    }
    let scope = list.issuing_distribution_point().map(<[u8]>::to_vec);
    Ok(RevocationList { authorities: of, issuer: list.issuer().to_vec(), scope, due, der })
}

/// The two times of a list (RFC 5280 §5.1.2.4 and §5.1.2.5). webpki has checked that both exist.
fn due(tbs: &[u8]) -> Result<Due, &'static str> {
    let mut tbs = der::Reader::new(der::Reader::new(tbs).expect(der::SEQUENCE)?);
    tbs.expect(der::INTEGER)?; // version
    tbs.expect(der::SEQUENCE)?; // signature
    tbs.expect(der::SEQUENCE)?; // issuer
    Ok(Due { this_update: tbs.time()?, next_update: tbs.time()? })
}

fn is_signed_by(list: &der::Signed<'_>, authority: &EndEntityCert<'_>) -> bool {
    let algorithms = provider().signature_verification_algorithms.all;
    algorithms
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == list.algorithm)
        .any(|algorithm| authority.verify_signature(*algorithm, list.tbs, list.signature).is_ok())
}

fn unsupported(error: webpki::Error) -> IdentityFault {
    use webpki::Error::*;
    let what = match error {
        UnsupportedCrlVersion | BadDer | MalformedExtensions => {
            "it must be of version 2, with a nextUpdate and a CRL number (for openssl ca: crl_extensions in the configuration)"
        }
        UnsupportedDeltaCrl => "a delta list is not supported; give the complete one",
        UnsupportedIndirectCrl => "a list for other issuers is not supported; give the authority's own",
        UnsupportedCriticalExtension => "it has a critical extension that is not supported",
        _ => "it is not one of RFC 5280",
    };
    IdentityFault::Malformed(format!("its revocation list is not accepted: {what}"))
}

impl Due {
    /// How soon the list expires. It is not reported while more than a tenth of the time is left, because authorities replace
    /// lists late.
    pub(super) fn expiry(self, now: i64) -> Expiry {
        let whole = self.next_update.saturating_sub(self.this_update);
        match self.next_update.saturating_sub(now) {
            ..=0 => Expiry::Expired,
            left if left < whole / 10 => Expiry::Imminent,
            _ => Expiry::Distant,
        }
    }
}
