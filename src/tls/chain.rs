//! The certificates of a file and how they hang together: which is the server's own, and who issued whom.
//!
//! Called by programs that check or show certificates, and by `identity` for what it warns of. What is wrong with a chain is
//! said by `findings`.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::file::LooseMode;
use super::{der, file, findings, identity, pem};
use crate::error::{Error, IdentityFault};
use crate::escape;
use crate::finding::{Finding, Severity};

/// A path is followed so far and no further: clients give up sooner.
const LONGEST_PATH: usize = 10;
/// Of certificates that could be an issuer by their name, so many have their signature tried.
const MOST_TRIED: usize = 8;

/// The certificates of a server, as they stand in its file, and perhaps its key: to be checked, shown, or put in order.
///
/// Where [`Identity`](crate::Identity) refuses what cannot be served with, a chain takes all that can be read, and
/// [`findings`](Chain::findings) says what is wrong with it. Of a private key only the public half is kept.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Certificate>,
    pub(super) file: Option<PathBuf>,
    pub(super) key: Option<ChainKey>,
}

/// What is known of the private key.
#[derive(Clone, Debug)]
pub(super) struct ChainKey {
    /// The SubjectPublicKeyInfo that belongs to it.
    public: Vec<u8>,
    pub(super) file: Option<PathBuf>,
    /// The mode of its file, when that lets others at it.
    pub(super) loose_mode: Option<LooseMode>,
}

/// The way from the server's own certificate to the last issuer that is there. Numbers are places in the chain, from 0.
pub(super) struct Way {
    /// The server's own certificate first.
    pub(super) places: Vec<usize>,
    /// The last one names that one as its issuer, whose key has not signed it.
    pub(super) not_signed_by: Option<usize>,
}

impl Chain {
    /// Reads a file of at most 1 MiB: PEM with certificates in any order, or one certificate in DER. A private key in it is
    /// taken for the server's.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] with the file, when it cannot be read, when there is no certificate in it, and when something in
    /// it is damaged.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Chain, Error> {
        let path = path.as_ref();
        let contents = file::read(path)?;
        let mut chain = Chain::read(&contents).map_err(|fault| Error::identity(path.to_path_buf(), fault))?;
        if let Some(key) = &mut chain.key {
            key.file = Some(path.to_path_buf());
            key.loose_mode = file::loose_mode_of(path);
        }
        chain.file = Some(path.to_path_buf());
        Ok(chain)
    }

    /// The same from text that the program has already.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Chain::from_pem_file), with no file named.
    pub fn from_pem(contents: &[u8]) -> Result<Chain, Error> {
        Chain::read(contents).map_err(|fault| Error::identity(None, fault))
    }

    /// Certificates that the program has already.
    pub fn from_certificates(certificates: impl IntoIterator<Item = Certificate>) -> Chain {
        Chain { certificates: certificates.into_iter().collect(), file: None, key: None }
    }

    fn read(contents: &[u8]) -> Result<Chain, IdentityFault> {
        let found = pem::read(contents)?;
        let mut ders = found.certificates;
        if ders.is_empty() && der::is_one_sequence(contents) {
            ders.push(contents.to_vec().into());
        }
        if ders.is_empty() {
            return Err(match found.key {
                pem::Key::Absent if pem::holds_pkcs7(contents) => IdentityFault::Malformed(
                    "it is PKCS#7; write its certificates as PEM: openssl pkcs7 -print_certs -in FILE -out NEW"
                        .to_string(),
                ),
                _ => IdentityFault::NoCertificate,
            });
        }
        let certificates = read_all(ders)?;
        let key = match found.key {
            pem::Key::Plain(private_key) => {
                Some(ChainKey { public: identity::public_half(private_key)?, file: None, loose_mode: None })
            }
            pem::Key::Absent | pem::Key::Encrypted => None,
        };
        Ok(Chain { certificates, file: None, key })
    }

    /// With the private key of this PEM file, so that it is checked too. Its public half is kept, the rest forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] with the file, when it cannot be read, when there is no key in it, and when the key is encrypted,
    /// damaged or of a kind that is not supported. That it belongs to another certificate is no error, but a finding.
    pub fn with_key_file(mut self, path: impl AsRef<Path>) -> Result<Chain, Error> {
        let path = path.as_ref();
        let contents = file::read(path)?;
        let loose_mode = file::loose_mode_of(path);
        let public = match pem::read(&contents).map(|found| found.key) {
            Ok(pem::Key::Plain(private_key)) => identity::public_half(private_key),
            Ok(pem::Key::Encrypted) => Err(IdentityFault::EncryptedKey),
            Ok(pem::Key::Absent) => Err(IdentityFault::NoKey),
            Err(fault) => Err(fault),
        };
        let public = public.map_err(|fault| Error::identity(path.to_path_buf(), fault))?;
        self.key = Some(ChainKey { public, file: Some(path.to_path_buf()), loose_mode });
        Ok(self)
    }

    /// In the order in which they stand in the file.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether the private key belongs to one of the certificates; `None` when there is no key.
    pub fn has_certificate_of_key(&self) -> Option<bool> {
        self.key.as_ref().map(|key| self.place_of(key).is_some())
    }

    /// All that is wrong with it at `now` (seconds since 1970-01-01 UTC), what is worse first.
    pub fn findings(&self, now: i64) -> Vec<Finding> {
        findings::of(self, now)
    }

    /// The certificates as a server should send them (RFC 8446 §4.4.2): its own first, then each one's issuer, without the
    /// root at the end and without what leads nowhere. The server's own is the one that the key belongs to; without a key, the
    /// first that is not an authority's.
    pub fn in_order(&self) -> Vec<Certificate> {
        let mut places = self.way().places;
        if places.len() > 1 && places.last().is_some_and(|&last| self.certificates[last].is_self_signed()) {
            places.pop();
        }
        places.into_iter().map(|place| self.certificates[place].clone()).collect()
    }

    /// Where the certificate stands that the key belongs to. An authority that has the same key comes after others.
    fn place_of(&self, key: &ChainKey) -> Option<usize> {
        let is_its = |certificate: &Certificate| certificate.facts.key.der == key.public;
        let of = |is_ca| {
            let fits = |certificate: &Certificate| certificate.is_ca() == is_ca && is_its(certificate);
            self.certificates.iter().position(fits)
        };
        of(false).or_else(|| of(true))
    }

    /// Empty only when there is no certificate at all.
    pub(super) fn way(&self) -> Way {
        let own = self
            .key
            .as_ref()
            .and_then(|key| self.place_of(key))
            .or_else(|| self.certificates.iter().position(|certificate| !certificate.is_ca()))
            .unwrap_or(0);
        let mut way = Way { places: Vec::new(), not_signed_by: None };
        let mut next = (own < self.certificates.len()).then_some(own);
        while let Some(at) = next {
            way.places.push(at);
            if way.places.len() == LONGEST_PATH {
                break;
            }
            next = self.issuer_of(at, &mut way);
        }
        way
    }

    fn issuer_of(&self, at: usize, way: &mut Way) -> Option<usize> {
        let certificate = &self.certificates[at];
        if certificate.facts.is_self_issued() && certificate.is_self_signed() {
            return None;
        }
        let is_new = |place: usize| {
            way.places.iter().all(|&before| self.certificates[before].der() != self.certificates[place].der())
        };
        let named: Vec<usize> = (0..self.certificates.len())
            .filter(|&place| certificate.names_as_issuer(&self.certificates[place]) && is_new(place))
            .take(MOST_TRIED)
            .collect();
        let signed = |place: usize| certificate.is_signed_by(&self.certificates[place]);
        let verdicts: Vec<(usize, Option<bool>)> =
            named.into_iter().map(|place| (place, signed(place))).collect();
        let with = |wanted| verdicts.iter().find(|(_, verdict)| *verdict == wanted).map(|(place, _)| *place);
        let found = with(Some(true)).or_else(|| with(None));
        if found.is_none() {
            way.not_signed_by = with(Some(false));
        }
        found
    }
}

/// Warns of what clients will object to, in what a server is about to send.
pub(super) fn warn(certificates: &[CertificateDer<'static>], file: Option<&Path>, now: i64) {
    let place = file.map_or_else(|| "the certificate".to_string(), |file| file.display().to_string());
    let chain = match of_served(certificates, file) {
        Ok(chain) => chain,
        Err(fault) => {
            log::warn!("{}: {fault}", escape::line(&place));
            return;
        }
    };
    for finding in chain.findings(now) {
        // How much of its life is left, the server says, at the start and again later.
        if finding.severity() >= Severity::Warning && finding.id() != findings::EXPIRES_SOON.id {
            log::warn!("{}: {finding}", escape::line(&place));
        }
    }
}

/// What a server sends, to be looked at.
pub(super) fn of_served(
    certificates: &[CertificateDer<'static>],
    file: Option<&Path>,
) -> Result<Chain, IdentityFault> {
    let certificates = read_all(certificates.to_vec())?;
    Ok(Chain { file: file.map(Path::to_path_buf), ..Chain::from_certificates(certificates) })
}

fn read_all(ders: Vec<CertificateDer<'static>>) -> Result<Vec<Certificate>, IdentityFault> {
    let read = |(index, der)| {
        Certificate::read(der).map_err(|what| {
            let place = index + 1;
            IdentityFault::Malformed(format!(
                "certificate {place} in it is damaged ({what}); copy the file again from where it was issued"
            ))
        })
    };
    ders.into_iter().enumerate().map(read).collect()
}
