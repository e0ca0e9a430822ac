//! API keys and their secrets.

use std::fmt;

use thiserror::Error;

/// API keys with their secrets. The first one signs the tokens that the server itself makes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<(String, String)>);

/// Why a list of keys is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not `key: secret`.
    #[error("cannot read the API keys: expected `key: secret`, one pair per line or separated by commas")]
    Format,
    /// The same key twice.
    #[error("the API key {0} is there twice")]
    Duplicate(String),
    /// No pair at all.
    #[error("there are no API keys; give at least one pair `key: secret`")]
    None,
}

impl Keys {
    /// The pair of LiveKit's and our own development mode: `devkey`, `secret`.
    pub fn dev() -> Self {
        Self::pair("devkey", "secret")
    }

    /// One pair.
    pub fn pair(key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self(vec![(key.into(), secret.into())])
    }

    /// Reads `key: secret` pairs, one per line or separated by commas.
    ///
    /// # Errors
    /// When there is none, or one is not a pair. Secrets never stand in the error.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for pair in text.split([',', '\n']).map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, secret) = pair.split_once(':').ok_or(KeyError::Format)?;
            let (key, secret) = (key.trim(), secret.trim());
            if key.is_empty() || secret.is_empty() {
                return Err(KeyError::Format);
            }
            if keys.secret(key).is_some() {
                return Err(KeyError::Duplicate(key.to_owned()));
            }
            keys.0.push((key.to_owned(), secret.to_owned()));
        }
        if keys.0.is_empty() { Err(KeyError::None) } else { Ok(keys) }
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pair that signs, as key and secret.
    pub fn signer(&self) -> Option<(&str, &str)> {
        self.0.first().map(|(key, secret)| (key.as_str(), secret.as_str()))
    }

    /// The secret of `key`.
    pub fn secret(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, secret)| secret.as_str())
    }
}

/// Keys only: secrets do not belong into logs.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}
