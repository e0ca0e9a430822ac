use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Ids longer than this, in bytes, are refused. LiveKit makes them 15 or 16 bytes long; the limit keeps a peer
/// from having us store whatever it likes as a key.
const MAX_LEN: usize = 128;

/// Random characters behind the prefix of an id that we make: 12 of 62 are 71 bits.
const RANDOM_CHARS: usize = 12;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        /// Cheap to clone, and refuses on construction what does not look like such an id.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id of the caller's random bits.
            pub fn from_random(random: u128) -> Self {
                Self(spell(Self::PREFIX, random).into())
            }

            /// The id with its prefix, as it stands in signalling messages.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = SidError;

            fn try_from(id: &str) -> Result<Self, SidError> {
                check(Self::PREFIX, id)?;
                Ok(Self(id.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = SidError;

            fn try_from(id: String) -> Result<Self, SidError> {
                Self::try_from(id.as_str())
            }
        }

        impl FromStr for $name {
            type Err = SidError;

            fn from_str(id: &str) -> Result<Self, SidError> {
                Self::try_from(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        // Maps keyed by the id can be asked with the string of a message.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

sid!(
    /// The server's id of a published data track, `DTR_…`.
    TrackSid, "DTR_"
);
sid!(
    /// The server's id of one participant's stay in a room, `PA_…`.
    ParticipantSid, "PA_"
);
sid!(
    /// The server's id of a room, `RM_…`.
    RoomSid, "RM_"
);

/// Why a string is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SidError {
    /// It starts with something else: probably an id of another kind, or a name.
    #[error("id {found:?} does not start with {expected}")]
    Prefix {
        /// The prefix of the wanted kind.
        expected: &'static str,
        /// The beginning of what was given.
        found: String,
    },
    /// There is nothing behind the prefix.
    #[error("id has nothing behind its prefix {prefix}")]
    Empty {
        /// The prefix, which was all there was.
        prefix: &'static str,
    },
    /// It is longer than any server makes them.
    #[error("id is {len} bytes long, at most 128 are accepted")]
    TooLong {
        /// The length in bytes.
        len: usize,
    },
    /// It has a character other than visible ASCII.
    #[error("id has the character {found:?}; only visible ASCII characters are accepted")]
    Character {
        /// The first such character.
        found: char,
    },
}

fn check(prefix: &'static str, id: &str) -> Result<(), SidError> {
    if id.len() > MAX_LEN {
        return Err(SidError::TooLong { len: id.len() });
    }
    let Some(rest) = id.strip_prefix(prefix) else {
        return Err(SidError::Prefix { expected: prefix, found: id.chars().take(24).collect() });
    };
    if rest.is_empty() {
        return Err(SidError::Empty { prefix });
    }
    match rest.chars().find(|c| !c.is_ascii_graphic()) {
        Some(found) => Err(SidError::Character { found }),
        None => Ok(()),
    }
}

fn spell(prefix: &str, mut random: u128) -> String {
    let mut id = String::with_capacity(prefix.len() + RANDOM_CHARS);
    id.push_str(prefix);
    for _ in 0..RANDOM_CHARS {
        id.push(char::from(ALPHABET[(random % 62) as usize]));
        random /= 62;
    }
    id
}
