//! Certificates and TLS settings of both listeners.

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The only place that names the cryptography library of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
