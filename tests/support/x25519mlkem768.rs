//! A client's side of the key exchange X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem), written apart from lockgate's own, so that
//! the two are tested against each other. tests/post_quantum.rs, tests/instructions/count.rs and the benchmark's client use it.

use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey};
use ml_kem::{Decapsulate, KeyExport, Seed};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

#[derive(Debug)]
pub struct Hybrid {
    /// What is done to the share before it is sent.
    pub damage: fn(&mut Vec<u8>),
}

pub static GOOD: &dyn SupportedKxGroup = &Hybrid { damage: |_| {} };

struct Begun {
    key: DecapsulationKey,
    classical: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = Seed::default();
        SystemRandom::new().fill(&mut seed).map_err(|_| GetRandomFailed)?;
        let key = DecapsulationKey::from_seed(seed);
        let classical = X25519.start()?;
        let mut share = [&key.encapsulation_key().to_bytes()[..], classical.pub_key()].concat();
        (self.damage)(&mut share);
        Ok(Box::new(Begun { key, classical, share }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

impl ActiveKeyExchange for Begun {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        let wrong = || Error::from(PeerMisbehaved::InvalidKeyShare);
        if share.len() < 1088 {
            return Err(wrong());
        }
        let (ciphertext, classical) = share.split_at(1088);
        let post_quantum = self.key.decapsulate(&Ciphertext::try_from(ciphertext).map_err(|_| wrong())?);
        let classical = self.classical.complete(classical)?;
        Ok([&post_quantum[..], classical.secret_bytes()].concat().into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}
