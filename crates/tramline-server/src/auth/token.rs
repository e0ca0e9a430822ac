//! Making tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use thiserror::Error;

use super::claims::{Claims, VideoGrants};

/// How long a token is valid unless said otherwise, as in LiveKit's own builders.
pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(6 * 3600);

/// Makes a token.
///
/// ```
/// use tramline_server::auth::{AccessToken, VideoGrants};
///
/// let jwt = AccessToken::new("devkey", "secret")
///     .with_identity("robot-7")
///     .with_grants(VideoGrants::join("yard"))
///     .to_jwt()?;
/// assert_eq!(jwt.split('.').count(), 3);
/// # Ok::<(), tramline_server::auth::TokenError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    secret: String,
    validity: Duration,
    claims: Claims,
}

/// Why a token could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The API key or the secret is empty.
    #[error("a token needs an API key and a secret, one of them is empty")]
    NoKey,
    /// It would let somebody in without a name.
    #[error("a token that lets somebody join a room needs an identity")]
    NoIdentity,
    /// It would let somebody into no room.
    #[error("a token that lets somebody join needs the name of the room")]
    NoRoom,
    /// Signing failed.
    #[error("the token could not be signed: {0}")]
    Signing(String),
}

impl AccessToken {
    /// A token of this API key.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Self {
        let claims = Claims { iss: key.into(), ..Claims::default() };
        Self { secret: secret.into(), validity: DEFAULT_VALIDITY, claims }
    }

    /// Who the participant is.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<String>) -> Self {
        self.claims.sub = identity.into();
        self
    }

    /// The participant's name for display.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.claims.name = name.into();
        self
    }

    /// The participant's metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.claims.metadata = metadata.into();
        self
    }

    /// The participant's attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: BTreeMap<String, String>) -> Self {
        self.claims.attributes = attributes;
        self
    }

    /// What the participant is: `standard`, `agent`, …
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.claims.kind = kind.into();
        self
    }

    /// How long the token is valid, from now on; [`DEFAULT_VALIDITY`] otherwise.
    #[must_use]
    pub fn with_validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// What it permits.
    #[must_use]
    pub fn with_grants(mut self, grants: VideoGrants) -> Self {
        self.claims.video = Some(grants);
        self
    }

    /// The signed token.
    ///
    /// # Errors
    /// When it would be of no use: no key, or the right to join without an identity or a room.
    pub fn to_jwt(&self) -> Result<String, TokenError> {
        if self.claims.iss.is_empty() || self.secret.is_empty() {
            return Err(TokenError::NoKey);
        }
        if let Some(video) = self.claims.video.as_ref().filter(|video| video.room_join) {
            if self.claims.sub.is_empty() {
                return Err(TokenError::NoIdentity);
            }
            if video.room.is_empty() {
                return Err(TokenError::NoRoom);
            }
        }
        let now = tramline_net::clock::unix_millis() / 1000;
        let validity = i64::try_from(self.validity.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            nbf: Some(now),
            iat: Some(now),
            exp: Some(now.saturating_add(validity)),
            ..self.claims.clone()
        };
        sign(&claims, &self.secret)
    }
}

pub(super) fn sign(claims: &Claims, secret: &str) -> Result<String, TokenError> {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
        .map_err(|error| TokenError::Signing(error.to_string()))
}
