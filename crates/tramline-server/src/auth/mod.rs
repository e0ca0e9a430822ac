//! Tokens: JWTs, HS256, with LiveKit's claims.

mod claims;
mod keys;
mod token;
mod verify;

pub use claims::{Claims, VideoGrants};
pub use keys::{KeyError, Keys};
pub use token::{AccessToken, DEFAULT_VALIDITY, TokenError};
pub use verify::{Refusal, TokenVerifier};
