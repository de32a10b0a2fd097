//! What decides which listeners resume each other's sessions: a digest of their certificates' names and authorities, and of their rules
//! for clients. `ticket_keys` derives a listener's key with it, and `client_auth` makes the digest of its rules.

use ring::digest;

use super::x509::Facts;
use super::Identity;

/// What a resumed session takes over: whom the client has authenticated, and by which rules the server has let it in.
pub(super) struct Scope(pub(super) [u8; 32]);

impl Scope {
    /// Of these identities, and the [digest](super::Clients::digest) of the rules for clients.
    ///
    /// An identity counts by its names, and by who vouches for them: the issuer of the chain's last certificate, by its name and
    /// the identifier of its key (without one, that certificate as a whole), or that certificate's own key if it is signed by
    /// itself. So servers agree
    /// although each has renewed its certificate with a key of its own, and a client that has authenticated a server resumes only
    /// with another one that it would have accepted.
    pub(super) fn of(identities: &[Identity], clients: Option<&[u8; 32]>) -> Scope {
        let mut each: Vec<[u8; 32]> = identities.iter().map(digest_of).collect();
        // The first is the default. Of the others, one that was missing at the start comes last (`add_pem_files`).
        each.get_mut(1..).unwrap_or_default().sort_unstable();
        let mut all = Digest::new("lockgate ticket scope 1");
        all.add(&each.concat());
        all.add(clients.map_or(&[][..], |digest| digest));
        Scope(all.finish())
    }
}

fn digest_of(identity: &Identity) -> [u8; 32] {
    let mut digest = Digest::new("identity");
    let certified = identity.certified_key();
    let read = |certificate: Option<&rustls::pki_types::CertificateDer<'_>>| {
        certificate.and_then(|certificate| Facts::read(certificate).ok())
    };
    let last_der = certified.cert.last();
    let (Some(own), Some(last), Some(last_der)) = (read(certified.cert.first()), read(last_der), last_der)
    else {
        // Loading has read them. Of what cannot be read, nobody else has the same bytes.
        certified.cert.iter().for_each(|certificate| digest.add(certificate));
        return digest.finish();
    };
    let names = own.extensions.dns_names.iter().map(|name| name.to_ascii_lowercase());
    let mut names: Vec<String> =
        names.chain(own.extensions.addresses.iter().map(ToString::to_string)).collect();
    names.sort_unstable();
    digest.add(names.join("\n").as_bytes());
    if last.is_self_issued() {
        digest.add(&last.key.der);
    } else {
        digest.add(&last.issuer.der);
        // A name alone is no authority: another one may have the same. So without the identifier of its key, only the same
        // certificate is alike.
        digest.add(match last.extensions.authority_key_id.as_deref() {
            Some(id) if !id.is_empty() => id,
            _ => last_der,
        });
    }
    digest.finish()
}

/// SHA-256 of parts, each with its length, so that no two lists of parts look alike.
pub(super) struct Digest(digest::Context);

impl Digest {
    pub(super) fn new(purpose: &str) -> Digest {
        let mut digest = Digest(digest::Context::new(&digest::SHA256));
        digest.add(purpose.as_bytes());
        digest
    }

    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}
