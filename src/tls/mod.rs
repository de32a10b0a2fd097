//! From PEM files to a rustls ServerConfig: the only place, with the transport, that names rustls types.

/// A certificate chain and its private key, checked.
#[derive(Debug, Clone)]
pub struct Identity {}

// STUB, to be replaced by the real one at the merge.
impl Identity {
    /// Loads a certificate chain and its private key.
    pub fn from_pem_files(
        cert: impl AsRef<std::path::Path>,
        key: impl AsRef<std::path::Path>,
    ) -> Result<Identity, crate::Error> {
        for file in [cert.as_ref(), key.as_ref()] {
            if !file.exists() {
                return Err(crate::Error::identity(
                    file.to_path_buf(),
                    crate::IdentityFault::Missing,
                ));
            }
        }
        Ok(Identity {})
    }

    /// Whether the certificate is for `host`.
    pub fn is_valid_for(&self, host: &str) -> bool {
        host == "localhost"
    }
}
