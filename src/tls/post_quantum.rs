//! The key exchange X25519MLKEM768 (IANA group 0x11EC, draft-ietf-tls-ecdhe-mlkem): X25519 of ring and ML-KEM-768 (FIPS 203)
//! together, so that a connection stays secret as long as one of the two holds.
//!
//! Knows the key exchanges of rustls and the crate ml-kem; nothing of sockets or certificates. `server_config` adds
//! [`ANSWERED`], and the client of a check offers [`OFFERED`]. They are two, so that a program without the check has no code
//! that makes ML-KEM keys.

#[cfg(any(feature = "check", test, fuzzing))]
pub(crate) use offered::OFFERED;

use ml_kem::ml_kem_768::{Ciphertext, EncapsulationKey};
use ml_kem::B32;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// The length of an ML-KEM-768 encapsulation key, in bytes (FIPS 203 §8, table 3). The client sends it, and its X25519 key
/// behind it.
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// The length of an ML-KEM-768 ciphertext, in bytes (FIPS 203 §8, table 3). The server sends it, and its X25519 key behind it.
#[cfg(any(feature = "check", test, fuzzing))]
const CIPHERTEXT_BYTES: usize = 1088;
/// RFC 7748 §5.
const X25519_BYTES: usize = 32;

/// The server's side.
pub(crate) static ANSWERED: &dyn SupportedKxGroup = &Answered;

#[derive(Debug)]
struct Answered;

impl SupportedKxGroup for Answered {
    /// Only a client begins this key exchange, and a server with TLS 1.2, which does not have it.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Err(Error::General("a server does not begin X25519MLKEM768".into()))
    }

    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, classical) = split(client_share, ENCAPSULATION_KEY_BYTES)?;
        // The size and the modulus check of FIPS 203 §7.2, which the draft requires.
        let key = <&ml_kem::Key<EncapsulationKey>>::try_from(key).map_err(|_| invalid())?;
        let key = EncapsulationKey::new(key).map_err(|_| invalid())?;
        let classical = X25519.start_and_complete(classical)?;
        let mut message = Zeroizing::new(B32::default());
        SystemRandom::new().fill(&mut message).map_err(|_| GetRandomFailed)?;
        let (ciphertext, secret) = encapsulate(&key, &message);
        Ok(CompletedKeyExchange {
            group: NamedGroup::X25519MLKEM768,
            pub_key: [&ciphertext[..], &classical.pub_key].concat(),
            secret: both(&secret, &classical.secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// `message` is 32 random bytes that are used once (FIPS 203 §7.2). ml-kem would take them from a generator that cannot fail;
/// given like this, a failure of the operating system's becomes an error.
fn encapsulate(key: &EncapsulationKey, message: &B32) -> (Ciphertext, Zeroizing<B32>) {
    let (ciphertext, secret) = key.encapsulate_deterministic(message);
    (ciphertext, Zeroizing::new(secret))
}

/// The parts of a share: ML-KEM's, which has so many bytes, and X25519's.
fn split(share: &[u8], post_quantum_bytes: usize) -> Result<(&[u8], &[u8]), Error> {
    if share.len() != post_quantum_bytes + X25519_BYTES {
        return Err(invalid());
    }
    Ok(share.split_at(post_quantum_bytes))
}

/// ML-KEM's secret, and X25519's behind it. rustls wipes what it holds.
fn both(post_quantum: &B32, classical: &SharedSecret) -> SharedSecret {
    SharedSecret::from([&post_quantum[..], classical.secret_bytes()].concat())
}

/// rustls answers it with the alert `illegal_parameter`.
fn invalid() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}

#[cfg(any(feature = "check", test, fuzzing))]
mod offered {
    use ml_kem::ml_kem_768::DecapsulationKey;
    use ml_kem::{Decapsulate, KeyExport, Seed};

    use super::*;

    /// The client's side.
    pub(crate) static OFFERED: &dyn SupportedKxGroup = &Offered;

    #[derive(Debug)]
    struct Offered;

    impl SupportedKxGroup for Offered {
        fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
            let mut seed = Zeroizing::new(Seed::default());
            SystemRandom::new().fill(&mut seed).map_err(|_| GetRandomFailed)?;
            Ok(Box::new(Begun::from_seed(&seed, X25519.start()?)))
        }

        fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
            ANSWERED.start_and_complete(client_share)
        }

        fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
            None
        }

        fn name(&self) -> NamedGroup {
            ANSWERED.name()
        }

        fn usable_for_version(&self, version: ProtocolVersion) -> bool {
            ANSWERED.usable_for_version(version)
        }
    }

    /// A key exchange that waits for the server's share. The keys are wiped when it ends.
    pub(super) struct Begun {
        pub(super) key: DecapsulationKey,
        classical: Box<dyn ActiveKeyExchange>,
        pub(super) share: Vec<u8>,
    }

    impl Begun {
        pub(super) fn from_seed(seed: &Seed, classical: Box<dyn ActiveKeyExchange>) -> Begun {
            let key = DecapsulationKey::from_seed(*seed);
            let share = [&key.encapsulation_key().to_bytes()[..], classical.pub_key()].concat();
            Begun { key, classical, share }
        }
    }

    impl ActiveKeyExchange for Begun {
        fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
            let (ciphertext, classical) = split(server_share, CIPHERTEXT_BYTES)?;
            let ciphertext = <&Ciphertext>::try_from(ciphertext).map_err(|_| invalid())?;
            let classical = self.classical.complete(classical)?;
            let secret = Zeroizing::new(self.key.decapsulate(ciphertext));
            Ok(both(&secret, &classical))
        }

        /// The hello has a share for X25519 too, with the same key (draft-ietf-tls-hybrid-design §3.2), so a server that does
        /// not have this key exchange needs no second hello.
        fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
            Some((self.classical.group(), self.classical.pub_key()))
        }

        fn complete_hybrid_component(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
            self.classical.complete(server_share)
        }

        fn pub_key(&self) -> &[u8] {
            &self.share
        }

        fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
            None
        }

        fn group(&self) -> NamedGroup {
            NamedGroup::X25519MLKEM768
        }
    }
}

/// The properties for the fuzzer: shares with any content and length are answered or refused with an error, on both sides.
#[cfg(any(test, fuzzing))]
pub(crate) mod properties {
    use super::*;

    /// The input is the peer's share; an input that is too short or damaged must be refused, and no input may panic.
    pub(crate) fn hold(share: &[u8]) {
        if let Ok(done) = ANSWERED.start_and_complete(share) {
            assert_eq!(share.len(), ENCAPSULATION_KEY_BYTES + X25519_BYTES);
            assert!(
                is_reduced(&share[..ENCAPSULATION_KEY_BYTES]),
                "a key with a number of 3,329 or more was taken"
            );
            assert_eq!(done.pub_key.len(), CIPHERTEXT_BYTES + X25519_BYTES);
            assert_eq!(done.secret.secret_bytes().len(), 64);
        }
        // Without random numbers nothing begins.
        if let Ok(secret) = OFFERED.start().and_then(|begun| begun.complete(share)) {
            assert_eq!(share.len(), CIPHERTEXT_BYTES + X25519_BYTES);
            assert_eq!(secret.secret_bytes().len(), 64);
        }
    }

    /// Whether every number of an encapsulation key is below the modulus (FIPS 203 §7.2): 768 of 12 bits, then 32 bytes.
    fn is_reduced(key: &[u8]) -> bool {
        key[..key.len() - 32].chunks_exact(3).all(|three| {
            let [a, b, c] = [0, 1, 2].map(|at| u16::from(three[at]));
            a | (b & 15) << 8 < 3329 && b >> 4 | c << 4 < 3329
        })
    }
}

#[cfg(test)]
mod tests {
    use ml_kem::ml_kem_768::DecapsulationKey;
    use ml_kem::{Decapsulate, KeyExport, Seed};
    use ring::agreement::{agree_ephemeral, EphemeralPrivateKey, UnparsedPublicKey, X25519 as RING_X25519};

    use super::offered::Begun;
    use super::*;

    /// See the head of the file with the known answers. `None` for an unknown message.
    struct Known {
        seed: Seed,
        key: Vec<u8>,
        message: Option<B32>,
        ciphertext: Ciphertext,
        secret: Vec<u8>,
    }

    fn known() -> Vec<Known> {
        let bytes = |word: &str| -> Vec<u8> {
            (0..word.len()).step_by(2).map(|at| u8::from_str_radix(&word[at..at + 2], 16).unwrap()).collect()
        };
        let lines = include_str!("post_quantum/ml_kem_768.txt").lines().filter(|line| !line.starts_with('#'));
        let known: Vec<Known> = lines
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                Known {
                    seed: Seed::try_from(&bytes(words[1])[..]).unwrap(),
                    key: bytes(words[2]),
                    message: (words[3] != "-").then(|| B32::try_from(&bytes(words[3])[..]).unwrap()),
                    ciphertext: Ciphertext::try_from(&bytes(words[4])[..]).unwrap(),
                    secret: bytes(words[5]),
                }
            })
            .collect();
        assert_eq!(known.len(), 2);
        known
    }

    /// What a client sends, with ML-KEM's part given.
    fn client_share(key: &[u8]) -> Vec<u8> {
        [key, X25519.start().unwrap().pub_key()].concat()
    }

    #[track_caller]
    fn assert_refused<T>(answer: Result<T, Error>) {
        let Err(error) = answer else { panic!("it was taken") };
        assert_eq!(error, Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare));
    }

    #[test]
    fn the_known_answers_of_fips_203_come_out() {
        for known in known() {
            let begun = Begun::from_seed(&known.seed, X25519.start().unwrap());
            assert_eq!(begun.share[..ENCAPSULATION_KEY_BYTES], known.key);
            assert_eq!(begun.key.decapsulate(&known.ciphertext)[..], known.secret);
            if let Some(message) = known.message {
                let key = EncapsulationKey::new(known.key[..].try_into().unwrap()).unwrap();
                let (ciphertext, secret) = encapsulate(&key, &message);
                assert_eq!(ciphertext, known.ciphertext);
                assert_eq!(secret[..], known.secret);
            }
        }
    }

    #[test]
    fn shares_and_secrets_are_laid_out_as_the_draft_says() {
        let rng = SystemRandom::new();
        let own = EphemeralPrivateKey::generate(&RING_X25519, &rng).unwrap();
        let key = DecapsulationKey::from_seed(known()[0].seed);
        let share =
            [&key.encapsulation_key().to_bytes()[..], own.compute_public_key().unwrap().as_ref()].concat();
        assert_eq!(share.len(), 1216);
        let done = ANSWERED.start_and_complete(&share).unwrap();
        assert_eq!((u16::from(done.group), done.pub_key.len()), (0x11ec, 1120));

        let (ciphertext, theirs) = done.pub_key.split_at(1088);
        let post_quantum = key.decapsulate(&Ciphertext::try_from(ciphertext).unwrap());
        let theirs = UnparsedPublicKey::new(&RING_X25519, theirs);
        let classical = agree_ephemeral(own, &theirs, <[u8]>::to_vec).unwrap();
        assert_eq!(done.secret.secret_bytes(), [&post_quantum[..], &classical].concat());
    }

    #[test]
    fn client_and_server_get_the_same_secret_and_never_the_same_twice() {
        let mut secrets = Vec::new();
        for _ in 0..3 {
            let begun = OFFERED.start().unwrap();
            assert_eq!(begun.pub_key().len(), 1216);
            let done = ANSWERED.start_and_complete(begun.pub_key()).unwrap();
            assert_eq!((begun.group(), done.group), (ANSWERED.name(), OFFERED.name()));
            let secret = begun.complete(&done.pub_key).unwrap();
            assert_eq!(secret.secret_bytes(), done.secret.secret_bytes());
            secrets.push(secret.secret_bytes().to_vec());
        }
        secrets.dedup();
        assert_eq!(secrets.len(), 3);
    }

    #[test]
    fn the_clients_x25519_share_is_the_same_in_both() {
        let begun = OFFERED.start().unwrap();
        let (group, share) = begun.hybrid_component().unwrap();
        assert_eq!((group, share), (NamedGroup::X25519, &begun.pub_key()[ENCAPSULATION_KEY_BYTES..]));
        let done = X25519.start_and_complete(share).unwrap();
        let secret = begun.complete_hybrid_component(&done.pub_key).unwrap();
        assert_eq!(secret.secret_bytes(), done.secret.secret_bytes());
    }

    #[test]
    fn a_share_of_another_length_is_refused_on_both_sides() {
        for length in (0..=1300).chain([2336, 65_535]) {
            let share = vec![1; length];
            if length != 1216 {
                assert_refused(ANSWERED.start_and_complete(&share));
            }
            // A client's keys cost more to make.
            if length != 1120 && (length % 97 == 0 || length.abs_diff(1120) <= 33) {
                assert_refused(OFFERED.start().unwrap().complete(&share));
            }
        }
    }

    /// FIPS 203 §7.2, the modulus check: a number is below 3,329.
    #[test]
    fn a_key_with_one_number_too_large_is_refused_wherever_it_stands() {
        let good = known().remove(0).key;
        assert!(ANSWERED.start_and_complete(&client_share(&good)).is_ok());
        for at in 0..768 {
            for number in [3329_u16, 3330, 4095] {
                let mut key = good.clone();
                let three = &mut key[at / 2 * 3..at / 2 * 3 + 3];
                if at % 2 == 0 {
                    three[0] = number as u8;
                    three[1] = three[1] & 0xf0 | (number >> 8) as u8;
                } else {
                    three[1] = three[1] & 0x0f | (number << 4) as u8;
                    three[2] = (number >> 4) as u8;
                }
                let refused = EncapsulationKey::new(key[..].try_into().unwrap());
                assert!(refused.is_err(), "{number} at {at}");
                if at % 100 == 0 {
                    assert_refused(ANSWERED.start_and_complete(&client_share(&key)));
                }
            }
        }
    }

    /// RFC 7748 §6.1 and RFC 8446 §7.4.2: with a point of small order the result is zero whatever the own key is.
    #[test]
    fn an_x25519_key_that_makes_the_secret_zero_is_refused_on_both_sides() {
        let good = known().remove(0).key;
        for first in [0, 1] {
            let mut point = [0; X25519_BYTES];
            point[0] = first;
            assert_refused(ANSWERED.start_and_complete(&[&good[..], &point].concat()));
            let begun = OFFERED.start().unwrap();
            let done = ANSWERED.start_and_complete(begun.pub_key()).unwrap();
            assert_refused(begun.complete(&[&done.pub_key[..CIPHERTEXT_BYTES], &point].concat()));
        }
    }

    /// FIPS 203 §6.3: a client that gets a wrong ciphertext goes on with another secret, so the handshake fails at Finished.
    #[test]
    fn a_damaged_ciphertext_gives_another_secret_and_no_error() {
        let begun = OFFERED.start().unwrap();
        let mut done = ANSWERED.start_and_complete(begun.pub_key()).unwrap();
        done.pub_key[7] ^= 1;
        let secret = begun.complete(&done.pub_key).unwrap();
        assert_ne!(secret.secret_bytes()[..32], done.secret.secret_bytes()[..32]);
        assert_eq!(secret.secret_bytes()[32..], done.secret.secret_bytes()[32..]);
    }

    #[test]
    fn it_is_for_tls_1_3_alone_and_a_server_does_not_begin_it() {
        for group in [ANSWERED, OFFERED] {
            assert!(group.usable_for_version(ProtocolVersion::TLSv1_3));
            assert!(!group.usable_for_version(ProtocolVersion::TLSv1_2));
            assert!(!group.fips());
        }
        assert!(ANSWERED.start().is_err());
    }

    #[test]
    fn shares_with_any_content_are_answered_or_refused() {
        let begun = OFFERED.start().unwrap();
        let server_share = ANSWERED.start_and_complete(begun.pub_key()).unwrap().pub_key;
        for good in [begun.pub_key().to_vec(), server_share] {
            for at in (0..good.len()).step_by(61).chain([1087, 1088, 1119, 1183, 1184, 1215]) {
                let mut share = good.clone();
                if let Some(byte) = share.get_mut(at) {
                    *byte = 0xff;
                    properties::hold(&share);
                }
                share.truncate(at);
                properties::hold(&share);
            }
        }
    }
}
