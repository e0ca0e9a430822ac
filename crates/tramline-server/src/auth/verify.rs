//! Checking tokens.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use thiserror::Error;

use super::claims::Claims;
use super::keys::Keys;

/// How far clocks may disagree, in seconds.
const LEEWAY: i64 = 60;

/// Why a token does not count. The texts are those of LiveKit's server, which clients show and some test for; but the
/// token itself never stands in them, since answers end up in logs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a JWT.
    #[error("invalid authorization token")]
    Garbage,
    /// Signed by nobody we know.
    #[error("invalid API key: {0}")]
    UnknownKey(String),
    /// The algorithm is not HS256.
    #[error("invalid token, error: token signature is invalid: signing method {0} is invalid")]
    Algorithm(String),
    /// Signed with another secret, or changed since.
    #[error("invalid token, error: token signature is invalid: signature is invalid")]
    Signature,
    /// Its time is over.
    #[error("invalid token, error: token has invalid claims: token is expired")]
    Expired,
    /// Its time has not come.
    #[error("invalid token, error: token has invalid claims: token is not valid yet")]
    NotYetValid,
}

/// Checks tokens against a set of keys.
#[derive(Debug, Clone)]
pub struct TokenVerifier {
    keys: Arc<Keys>,
    validation: Validation,
}

impl TokenVerifier {
    /// A verifier that knows these keys.
    pub fn new(keys: Arc<Keys>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here, against the caller's clock; a token without `exp` is valid for ever.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims = HashSet::new();
        Self { keys, validation }
    }

    /// The claims of a token that is good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, Refusal> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Garbage);
        };
        let header: Header = part(header)?;
        let unverified: Claims = part(claims)?;
        let Some(secret) = self.keys.secret(&unverified.iss) else {
            return Err(Refusal::UnknownKey(printable(&unverified.iss)));
        };
        if header.alg != "HS256" {
            return Err(Refusal::Algorithm(printable(&header.alg)));
        }
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)
            .map_err(|_| Refusal::Signature)?
            .claims;
        if claims.exp.is_some_and(|exp| exp.saturating_add(LEEWAY) <= now) {
            return Err(Refusal::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(LEEWAY) > now) {
            return Err(Refusal::NotYetValid);
        }
        Ok(claims)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Garbage)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Garbage)
}

/// What a stranger wrote, short and visible.
fn printable(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::token::sign;
    use super::super::{AccessToken, VideoGrants};
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn verifier() -> TokenVerifier {
        TokenVerifier::new(Arc::new(Keys::dev()))
    }

    fn claims() -> Claims {
        Claims {
            iss: "devkey".to_owned(),
            sub: "me".to_owned(),
            video: Some(VideoGrants::join("yard")),
            ..Claims::default()
        }
    }

    fn verify(claims: &Claims) -> Result<Claims, Refusal> {
        verifier().verify(&sign(claims, "secret").expect("it can be signed"), NOW)
    }

    #[test]
    fn a_token_of_the_builder_is_good() {
        let token =
            AccessToken::new("devkey", "secret").with_identity("me").with_grants(VideoGrants::join("yard"));
        let now = tramline_net::clock::unix_millis() / 1000;
        let claims = verifier().verify(&token.to_jwt().expect("complete"), now).expect("good");
        assert_eq!((claims.identity(), &claims.video), ("me", &Some(VideoGrants::join("yard"))));
        assert!(claims.exp.expect("it ends") - now >= 6 * 3600 - 1);
    }

    #[test]
    fn times_count_with_a_minute_of_leeway() {
        assert!(verify(&claims()).is_ok(), "no times at all");
        assert!(verify(&Claims { exp: Some(NOW - 20), ..claims() }).is_ok());
        assert_eq!(verify(&Claims { exp: Some(NOW - 120), ..claims() }), Err(Refusal::Expired));
        assert!(verify(&Claims { nbf: Some(NOW + 20), ..claims() }).is_ok());
        assert_eq!(verify(&Claims { nbf: Some(NOW + 120), ..claims() }), Err(Refusal::NotYetValid));
    }

    #[test]
    fn the_identity_falls_back_to_the_token_id() {
        let token = Claims { sub: String::new(), jti: "id".to_owned(), ..claims() };
        assert_eq!(verify(&token).expect("good").identity(), "id");
    }

    #[test]
    fn a_date_with_a_fraction_is_a_date() {
        let json = format!(r#"{{"iss":"devkey","sub":"me","exp":{}.25}}"#, NOW + 5);
        let claims: Claims = serde_json::from_str(&json).expect("claims");
        assert_eq!(claims.exp, Some(NOW + 5));
    }

    #[test]
    fn foreign_and_broken_tokens_are_told_apart_and_never_repeated() {
        let good = sign(&claims(), "secret").expect("signed");
        let foreign = sign(&claims(), "another secret").expect("signed");
        let unknown = sign(&Claims { iss: "nobody".to_owned(), ..claims() }, "secret").expect("signed");
        let payload = good.split('.').nth(1).expect("three parts");
        let unsigned = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
        let cases = [
            ("rubbish", Refusal::Garbage),
            ("a.b.c", Refusal::Garbage),
            (foreign.as_str(), Refusal::Signature),
            (unknown.as_str(), Refusal::UnknownKey("nobody".to_owned())),
            (unsigned.as_str(), Refusal::Algorithm("none".to_owned())),
        ];
        for (token, expected) in cases {
            let refusal = verifier().verify(token, NOW).expect_err("bad");
            assert_eq!(refusal, expected);
            assert!(!refusal.to_string().contains(payload));
        }
        assert!(verifier().verify(&good, NOW).is_ok());
    }

    #[test]
    fn a_token_without_identity_or_room_is_not_made() {
        use super::super::TokenError;
        let token = AccessToken::new("devkey", "secret");
        assert_eq!(
            token.clone().with_grants(VideoGrants::join("yard")).to_jwt(),
            Err(TokenError::NoIdentity)
        );
        let nowhere = token.with_identity("me").with_grants(VideoGrants::join(""));
        assert_eq!(nowhere.to_jwt(), Err(TokenError::NoRoom));
        assert_eq!(AccessToken::new("", "secret").to_jwt(), Err(TokenError::NoKey));
    }

    #[test]
    fn keys_are_read_and_their_secrets_not_shown() {
        use super::super::KeyError;
        let keys = Keys::parse("a: one\nb: two").expect("two pairs");
        assert_eq!((keys.signer(), keys.secret("b")), (Some(("a", "one")), Some("two")));
        assert_eq!(format!("{keys:?}"), r#"{"a", "b"}"#);
        assert_eq!(Keys::parse("a"), Err(KeyError::Format));
        assert_eq!(Keys::parse("a: x, a: y"), Err(KeyError::Duplicate("a".to_owned())));
        assert_eq!(Keys::parse(" "), Err(KeyError::None));
    }
}
