//! The rustls configuration for handshakes: versions, cipher suites, protocols, tickets, records.
//!
//! Knows rustls; nothing of files or names in certificates. `live` calls it each time the identities or the rules for clients
//! change.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::crypto::CryptoProvider;
#[cfg(feature = "operations")]
use rustls::server::ProducesTickets;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

#[cfg(feature = "operations")]
use super::client_tickets::ClientTickets;
use super::resolver::{Resolver, ALPN_CHALLENGE};
use super::{provider, Clients};
use crate::error::Error;

/// The supported protocols, the preferred first (RFC 7301 §6). An HTTP/1.0 client, such as `curl --http1.0`, offers only that.
/// rustls refuses a client that offers only other protocols, with `no_application_protocol`. A client without ALPN is served.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The range for the largest record, in bytes. In smaller records most bytes would be overhead.
pub(crate) const RECORD_BYTES: RangeInclusive<usize> = 128..=16 * 1024;

/// The overhead of a record, in bytes: a header of 5, and at most 24 for the encryption (TLS 1.2 with AES-GCM: a nonce of 8 and
/// a tag of 16; TLS 1.3 has 17).
const RECORD_OVERHEAD: usize = 29;

/// rustls counts the header's bytes as part of the size.
const COUNTED_BY_RUSTLS: usize = 5;

/// The configuration for every handshake: TLS 1.3 and 1.2, HTTP/1.1, and client certificates only if there are rules for them.
///
/// # Errors
///
/// [`Error::Io`] when the operating system has no random numbers for the keys of the session tickets.
pub(super) fn server_config(
    resolver: Resolver,
    clients: Option<&Clients>,
    record_bytes: Option<usize>,
    #[cfg(feature = "operations")] shared: Option<Arc<dyn ProducesTickets>>,
) -> Result<Arc<ServerConfig>, Error> {
    let answers_challenges = resolver.answers_challenges();
    let failed =
        |error: rustls::Error| Error::Io { doing: "setting up TLS", source: io::Error::other(error) };
    let verifier =
        clients.map_or_else(WebPkiClientVerifier::no_client_auth, |clients| clients.verifier.clone());
    let provider = provider();
    let cipher_suites = in_order(&provider.cipher_suites, has_aes());
    let provider = CryptoProvider { cipher_suites, ..(*provider).clone() };
    // rustls takes the first group of the client's list that is here too. So a client that does not know this one, or prefers
    // another, gets what it would get without it.
    #[cfg(feature = "post-quantum")]
    let provider = CryptoProvider {
        kx_groups: [&[super::post_quantum::ANSWERED], &provider.kx_groups[..]].concat(),
        ..provider
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    if answers_challenges {
        config.alpn_protocols.push(ALPN_CHALLENGE.to_vec());
    }
    config.max_fragment_size =
        record_bytes.map(|most| most.saturating_sub(RECORD_OVERHEAD) + COUNTED_BY_RUSTLS);
    // The server's order counts, as TLS testers recommend.
    config.ignore_client_order = true;
    // A ticket stores the session at the client, encrypted under a key that rotates every 6 hours, or that servers share. So
    // resumption, which saves a weak CPU the signature, needs no memory on the server.
    #[cfg(feature = "operations")]
    let shared = shared.map_or_else(Ticketer::new, Ok);
    #[cfg(not(feature = "operations"))]
    let shared = Ticketer::new();
    config.ticketer = shared.map_err(failed)?;
    #[cfg(feature = "operations")]
    if let Some(clients) = clients.cloned() {
        config.ticketer = Arc::new(ClientTickets { tickets: config.ticketer, clients });
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One ticket is enough, because no API client needs two at once. Without a ticket the first request of a client that does
    // not set TCP_NODELAY would take about 45 ms longer.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// The cipher suites in the server's order. The cheapest come first, because none is known to be weak. AES-128 comes before
/// AES-256, which many clients prefer: it uses SHA-256 instead of SHA-384, a handshake hashes more than it encrypts, and many
/// processors have instructions for SHA-256 but few for SHA-384. A client that offers only AES-256 gets it. Many small ARM
/// processors lack instructions for AES; on them ChaCha20 is several times as fast.
///
/// A client that prefers ChaCha20 may lack those instructions itself. rustls cannot follow that preference while it uses the
/// server's order otherwise, and the client's order alone is not used, because TLS testers want the server's order.
fn in_order(suites: &[SupportedCipherSuite], has_aes: bool) -> Vec<SupportedCipherSuite> {
    let is_best = |suite: &SupportedCipherSuite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => has_aes,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => !has_aes,
        _ => false,
    };
    let (mut suites, others): (Vec<_>, Vec<_>) = suites.iter().partition(|suite| is_best(suite));
    suites.extend(others);
    suites
}

/// Whether the processor has the instructions for AES-GCM.
pub(super) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has_aes =
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes =
        std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    has_aes
}

#[cfg(test)]
mod tests {
    use rustls::ProtocolVersion;

    use super::*;

    #[test]
    fn the_order_is_by_what_the_processor_can_do_and_leaves_no_suite_out() {
        let all = &provider().cipher_suites;
        for (has_aes, first) in [(true, "AES_128"), (false, "CHACHA20")] {
            let ordered = in_order(all, has_aes);
            assert_eq!(ordered.len(), all.len());
            for version in [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2] {
                let best = ordered.iter().find(|suite| suite.version().version == version).unwrap();
                assert!(best.suite().as_str().unwrap().contains(first), "{best:?}");
            }
        }
    }
}
