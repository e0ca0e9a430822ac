//! The certificate by which a peer proves that it wrote its SDP.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use dimpl::DtlsCertificate;
use thiserror::Error;

/// A self-signed ECDSA certificate with its key; cheap to clone, so that one serves all peers of a process.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    dtls: DtlsCertificate,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// Makes a new P-256 certificate that is valid for a year.
    ///
    /// Draws on the operating system's randomness and clock: call it from the layer that owns both.
    pub fn generate() -> Result<Self, CertificateError> {
        let dtls = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| CertificateError::Generation(error.to_string()))?;
        Ok(Self::new(dtls))
    }

    /// Uses an existing certificate; both parts in DER, the key as PKCS #8.
    pub fn from_der(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, CertificateError> {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        };
        if certificate.is_empty() {
            return Err(CertificateError::Empty);
        }
        // Checked here because dimpl panics on a key that it cannot use.
        let usable = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING]
            .into_iter()
            .any(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, &private_key).is_ok());
        if !usable {
            return Err(CertificateError::Key);
        }
        Ok(Self::new(DtlsCertificate { certificate, private_key }))
    }

    /// SHA-256 over the certificate, as `a=fingerprint` carries it.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    pub(crate) fn dtls(&self) -> &DtlsCertificate {
        &self.inner.dtls
    }

    fn new(dtls: DtlsCertificate) -> Self {
        let fingerprint = Fingerprint::of(&dtls.certificate);
        Self { inner: Arc::new(Inner { dtls, fingerprint }) }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.inner.fingerprint).finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The operating system or the crypto library refused.
    #[error("cannot make a certificate: {0}")]
    Generation(String),
    /// No certificate bytes.
    #[error("the certificate is empty; expected DER")]
    Empty,
    /// The key is of another kind.
    #[error("the private key is not a PKCS #8 ECDSA key on P-256 or P-384")]
    Key,
}

/// SHA-256 of a certificate (RFC 8122 section 5), written as colon-separated upper-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }

    /// From colon-separated hex, either case; `None` unless it is exactly 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next()?;
            // `from_str_radix` alone would also take a sign.
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
