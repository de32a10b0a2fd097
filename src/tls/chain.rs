//! The certificates of a file and their relations: which is the server's own, and which issued which.
//!
//! Programs that check or show certificates use it, and `findings`, which says what is wrong with a chain.

use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Certificate;
use super::file::LooseMode;
use super::form::{self, Form};
use super::pem::Unread;
use super::wanted::{self, Wanted};
use super::{file, key, pem};
use crate::error::{Error, IdentityFault};

/// The longest path that is followed. Clients give up sooner.
const LONGEST_PATH: usize = 10;
/// How many certificates with the issuer's name are tried with the signature.
const MOST_TRIED: usize = 8;

/// The certificates of a server, in the order of its file, and perhaps its key. They can be checked, shown, or put in order.
///
/// [`Identity`](crate::Identity) refuses files that a server cannot use. A chain accepts everything that can be read, and
/// [`findings`](Chain::findings) says what is wrong with it. A chain keeps only the public half of a private key.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Certificate>,
    pub(super) file: Option<PathBuf>,
    pub(super) key: Option<ChainKey>,
    /// The parts of its file that are not read.
    pub(super) unread: Vec<Unread>,
    /// Its file holds one certificate in DER, which a server does not accept.
    pub(super) is_der: bool,
}

/// The known facts about the private key.
#[derive(Clone, Debug)]
pub(super) struct ChainKey {
    /// Its SubjectPublicKeyInfo.
    public: Vec<u8>,
    pub(super) file: Option<PathBuf>,
    /// The mode of its file, if the mode lets others read or write it.
    pub(super) loose_mode: Option<LooseMode>,
    /// The parts of its file that are not read.
    pub(super) unread: Vec<Unread>,
}

/// The path from the server's own certificate to the last issuer in the file. Numbers are places in the chain, from 0.
pub(super) struct Way {
    /// The server's own certificate first.
    pub(super) places: Vec<usize>,
    /// The last certificate names the certificate at this place as its issuer, but that one's key has not signed it.
    pub(super) not_signed_by: Option<usize>,
}

impl Chain {
    /// Reads a file of at most 1 MiB: PEM with certificates in any order, or one certificate in DER. A private key in it counts
    /// as the server's.
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

    /// As [`from_pem_file`](Chain::from_pem_file), from PEM in memory.
    ///
    /// # Errors
    ///
    /// As in [`from_pem_file`](Chain::from_pem_file), without a file's name.
    pub fn from_pem(contents: &[u8]) -> Result<Chain, Error> {
        Chain::read(contents).map_err(|fault| Error::identity(None, fault))
    }

    /// A chain of certificates in memory.
    pub fn from_certificates(certificates: impl IntoIterator<Item = Certificate>) -> Chain {
        Chain {
            certificates: certificates.into_iter().collect(),
            file: None,
            key: None,
            unread: Vec::new(),
            is_der: false,
        }
    }

    /// Reads a file that an authority has sent. It accepts the forms of [`from_pem_file`](Chain::from_pem_file), and also
    /// PKCS#7 (RFC 2315) in DER or PEM. A private key in the file is ignored.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Chain::from_pem_file).
    pub fn from_answer_file(path: impl AsRef<Path>) -> Result<Chain, Error> {
        let path = path.as_ref();
        let contents = file::read(path)?;
        let read = || {
            let mut found = pem::read(&contents)?;
            if form::of(&contents) == Some(Form::Pkcs7) {
                found.pkcs7.push(contents.clone());
            }
            let bags = found.pkcs7.iter().filter_map(|bag| form::certificates_of_pkcs7(bag)).flatten();
            let in_bags: Vec<CertificateDer<'static>> = bags.map(CertificateDer::from).collect();
            if in_bags.is_empty() {
                return Chain::read(&contents);
            }
            found.certificates.extend(in_bags);
            Ok(Chain::from_certificates(read_all(found.certificates)?))
        };
        read().map_err(|fault| Error::identity(path.to_path_buf(), fault))
    }

    fn read(contents: &[u8]) -> Result<Chain, IdentityFault> {
        let found = pem::read(contents)?;
        let mut ders = found.certificates.clone();
        let is_der = ders.is_empty() && form::of(contents) == Some(Form::Certificate);
        if is_der {
            ders.push(contents.to_vec().into());
        }
        if ders.is_empty() {
            return Err(wanted::nothing(contents, &found, Wanted::Certificate));
        }
        let key = match found.key {
            pem::Key::Plain(private_key) => Some(ChainKey {
                public: public_half(private_key, &ders)?,
                file: None,
                loose_mode: None,
                unread: Vec::new(),
            }),
            pem::Key::Absent | pem::Key::Encrypted => None,
        };
        Ok(Chain { certificates: read_all(ders)?, file: None, key, unread: found.unread, is_der })
    }

    /// Adds the private key of this PEM file, so that it is checked too. Only its public half is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] with the file, when it cannot be read, when there is no key in it, and when the key is encrypted,
    /// damaged or of a kind that is not supported. A key of another certificate is not an error, but a finding.
    pub fn with_key_file(mut self, path: impl AsRef<Path>) -> Result<Chain, Error> {
        let path = path.as_ref();
        let contents = file::read(path)?;
        let loose_mode = file::loose_mode_of(path);
        let ders: Vec<CertificateDer<'_>> =
            self.certificates.iter().map(|certificate| certificate.der().into()).collect();
        let read = || {
            let found = pem::read(&contents)?;
            let public = match found.key {
                pem::Key::Plain(private_key) => public_half(private_key, &ders)?,
                pem::Key::Encrypted => return Err(IdentityFault::EncryptedKey),
                pem::Key::Absent => return Err(wanted::nothing(&contents, &found, Wanted::Key)),
            };
            Ok((public, found.unread))
        };
        let (public, mut unread) = read().map_err(|fault| Error::identity(path.to_path_buf(), fault))?;
        if self.file.as_deref() == Some(path) {
            // These parts are already known from the chain's file.
            unread.clear();
        }
        self.key = Some(ChainKey { public, file: Some(path.to_path_buf()), loose_mode, unread });
        Ok(self)
    }

    /// The certificates, in the order of the file.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether the private key belongs to one of the certificates; `None` when there is no key.
    pub fn has_certificate_of_key(&self) -> Option<bool> {
        self.key.as_ref().map(|key| self.place_of(key).is_some())
    }

    /// The certificates as a server should send them (RFC 8446 §4.4.2): its own first, then the issuer of each, without the
    /// root at the end and without unrelated certificates. The server's own certificate belongs to the key; without a key it is
    /// the first that does not belong to an authority.
    pub fn in_order(&self) -> Vec<Certificate> {
        let mut places = self.way().places;
        if places.len() > 1 && places.last().is_some_and(|&last| self.certificates[last].is_self_signed()) {
            places.pop();
        }
        places.into_iter().map(|place| self.certificates[place].clone()).collect()
    }

    /// The place of the certificate that belongs to the key. An authority's certificate with the same key counts only if there
    /// is no other.
    fn place_of(&self, key: &ChainKey) -> Option<usize> {
        let is_its = |certificate: &Certificate| certificate.facts.key.der == key.public;
        let of = |is_ca| {
            let fits = |certificate: &Certificate| certificate.is_ca() == is_ca && is_its(certificate);
            self.certificates.iter().position(fits)
        };
        of(false).or_else(|| of(true))
    }

    /// The path through the chain. Empty only when there are no certificates.
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

/// The certificates of the file with authorities at this path.
#[cfg(feature = "proxy")]
pub(crate) fn authorities_in_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let contents = file::read(path)?;
    authorities(&contents).map_err(|fault| Error::identity(path.to_path_buf(), fault))
}

/// The certificates of a file with authorities.
#[cfg(any(feature = "check", feature = "proxy"))]
pub(crate) fn authorities(contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityFault> {
    let found = pem::read(contents)?;
    if found.certificates.is_empty() {
        return Err(wanted::nothing(contents, &found, Wanted::Authority));
    }
    Ok(found.certificates)
}

/// The chain that a server sends.
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

/// The public half of a key. A key that is written without it, and belongs to no certificate of the chain, gives an empty one,
/// which matches no certificate.
fn public_half(
    private_key: PrivateKeyDer<'static>,
    chain: &[CertificateDer<'_>],
) -> Result<Vec<u8>, IdentityFault> {
    match key::public_half(private_key, chain) {
        Err(IdentityFault::KeyMismatch) => Ok(Vec::new()),
        public => public,
    }
}
