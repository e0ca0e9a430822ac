//! TLS with the system's roots.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};

/// Reading and parsing some hundred and fifty certificates takes milliseconds, and they do not change while a process runs.
fn system_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a system root certificate could not be read");
        }
        found.certs
    })
}

/// The client side of TLS 1.2 and 1.3 for HTTP/1.1.
pub(crate) fn client_config(
    with_system_roots: bool,
    extra: &[CertificateDer<'static>],
) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    if with_system_roots {
        // Some systems hold certificates that today's rules refuse; they are left out, as browsers do.
        roots.add_parsable_certificates(system_roots().iter().cloned());
    }
    for root in extra {
        roots.add(root.clone()).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("an extra root certificate cannot be used: {error}"),
            )
        })?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A WebSocket upgrade is HTTP/1.1; without this a proxy may choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
