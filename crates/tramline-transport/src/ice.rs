//! Finding and keeping a path to the peer.
//!
//! A client runs the full agent of the crate `is` ([`full`]); a server only answers authenticated checks ([`lite`], RFC 8445
//! section 2.5), with the STUN codec of the same crate.

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::hmac;

mod full;
mod lite;

pub(crate) use full::Full;
pub(crate) use lite::Lite;

/// A local and a remote address that packets travel between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// ICE user name fragment and password of one side.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Derived from the secret of the peer; each `generation` (ICE restart) has its own.
    pub(crate) fn derive(secret: &[u8; 32], generation: u64) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let word = |label: u8, len: usize| -> String {
            let mut message = [label; 9];
            message[1..].copy_from_slice(&generation.to_be_bytes());
            let tag = hmac::sign(&key, &message);
            tag.as_ref().iter().take(len).map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()
        };
        // RFC 8445 section 5.3 wants 24 and 128 bits; these have 72 and 192.
        Self { ufrag: word(b'u', 12), pwd: word(b'p', 32) }
    }
}

/// Random-looking 64 bits for the tie-breaker and the session id.
pub(crate) fn derive_number(secret: &[u8; 32], label: u8) -> u64 {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &[label]);
    u64::from_be_bytes(tag.as_ref()[..8].try_into().expect("a tag has 32 bytes"))
}

/// What a check led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not STUN, not for us, or not authentic.
    Rejected,
    /// An authentic message of the peer.
    Accepted,
    /// The same, and the first one from this address.
    NewAddress(SocketAddr),
}

/// Either kind of agent.
#[derive(Debug)]
pub(crate) enum Agent {
    Full(Box<Full>),
    Lite(Box<Lite>),
}

impl Agent {
    pub(crate) fn local(&self) -> &Credentials {
        match self {
            Self::Full(agent) => agent.local(),
            Self::Lite(agent) => agent.local(),
        }
    }

    pub(crate) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Verdict {
        match self {
            Self::Full(agent) => agent.handle_stun(now, path, datagram),
            Self::Lite(agent) => agent.handle_stun(now, path, datagram),
        }
    }

    /// An authentic record arrived over `path`; a server follows its client there when the address was checked.
    pub(crate) fn handle_data(&mut self, now: Instant, path: Path) {
        if let Self::Lite(agent) = self {
            agent.handle_data(now, path);
        }
    }

    /// Whether the peer proved that it is at `remote`.
    pub(crate) fn is_checked(&self, remote: SocketAddr) -> bool {
        match self {
            Self::Full(agent) => agent.is_checked(remote),
            Self::Lite(agent) => agent.is_checked(remote),
        }
    }

    /// Where to send.
    pub(crate) fn path(&self) -> Option<Path> {
        match self {
            Self::Full(agent) => agent.path(),
            Self::Lite(agent) => agent.path(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Full(agent) = self {
            agent.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        match self {
            Self::Full(agent) => agent.poll_timeout(),
            Self::Lite(_) => None,
        }
    }

    pub(crate) fn poll_transmit(&mut self, send: impl FnMut(Path, &[u8])) {
        match self {
            Self::Full(agent) => agent.poll_transmit(send),
            Self::Lite(agent) => agent.poll_transmit(send),
        }
    }
}

/// HMAC-SHA1 over several slices, the shape in which `is` asks for it.
fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
    payloads.iter().for_each(|payload| context.update(payload));
    context.sign().as_ref().try_into().expect("HMAC-SHA1 has 20 bytes")
}

/// The 64 `ice-char`s of RFC 8839 section 5.4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
