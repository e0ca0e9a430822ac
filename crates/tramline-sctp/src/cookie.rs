//! The state cookie: what the answering side would have to remember of an INIT, kept by the peer instead
//! (RFC 9260 section 5.1.3). An INIT costs no memory.

use std::time::Duration;

use crate::secret::Secret;
use crate::wire::{read_u16, read_u32};

/// Both sides' parameters, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Time since the association's first call.
    pub(crate) created: Duration,
    pub(crate) local_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) local_tsn: u32,
    pub(crate) peer_tsn: u32,
    pub(crate) peer_window: u32,
    /// Streams that we may send on.
    pub(crate) outbound_streams: u16,
    /// Streams that the peer may send on.
    pub(crate) inbound_streams: u16,
    pub(crate) forward_tsn: bool,
    pub(crate) reconfig: bool,
    pub(crate) zero_checksum: bool,
    /// The tags of the association that existed when the INIT came; 0 without one (section 5.2.2).
    pub(crate) tie_tags: (u32, u32),
}

pub(crate) const COOKIE_LEN: usize = BODY_LEN + MAC_LEN;
const BODY_LEN: usize = 1 + 8 + 5 * 4 + 2 * 2 + 1 + 2 * 4;
const MAC_LEN: usize = 32;
/// First byte, so that a later layout can be told apart.
const LAYOUT: u8 = 1;

impl Cookie {
    pub(crate) fn encode(&self, secret: &Secret) -> [u8; COOKIE_LEN] {
        let mut out = [0; COOKIE_LEN];
        let flags =
            u8::from(self.forward_tsn) | u8::from(self.reconfig) << 1 | u8::from(self.zero_checksum) << 2;
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[LAYOUT]);
        put(&(self.created.as_micros() as u64).to_be_bytes());
        for number in [self.local_tag, self.peer_tag, self.local_tsn, self.peer_tsn, self.peer_window] {
            put(&number.to_be_bytes());
        }
        put(&self.outbound_streams.to_be_bytes());
        put(&self.inbound_streams.to_be_bytes());
        put(&[flags]);
        put(&self.tie_tags.0.to_be_bytes());
        put(&self.tie_tags.1.to_be_bytes());
        let mac = secret.sign(&out[..BODY_LEN]);
        out[BODY_LEN..].copy_from_slice(mac.as_ref());
        out
    }

    /// `None` unless it was made here.
    pub(crate) fn decode(bytes: &[u8], secret: &Secret) -> Option<Self> {
        if bytes.len() != COOKIE_LEN
            || bytes[0] != LAYOUT
            || !secret.verify(&bytes[..BODY_LEN], &bytes[BODY_LEN..])
        {
            return None;
        }
        let created = u64::from_be_bytes(bytes[1..9].try_into().ok()?);
        let flags = bytes[33];
        Some(Self {
            created: Duration::from_micros(created),
            local_tag: read_u32(bytes, 9)?,
            peer_tag: read_u32(bytes, 13)?,
            local_tsn: read_u32(bytes, 17)?,
            peer_tsn: read_u32(bytes, 21)?,
            peer_window: read_u32(bytes, 25)?,
            outbound_streams: read_u16(bytes, 29)?,
            inbound_streams: read_u16(bytes, 31)?,
            forward_tsn: flags & 1 != 0,
            reconfig: flags & 2 != 0,
            zero_checksum: flags & 4 != 0,
            tie_tags: (read_u32(bytes, 34)?, read_u32(bytes, 38)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> Cookie {
        Cookie {
            created: Duration::from_micros(123_456_789),
            local_tag: 1,
            peer_tag: u32::MAX,
            local_tsn: 3,
            peer_tsn: 4,
            peer_window: 5,
            outbound_streams: 6,
            inbound_streams: 7,
            forward_tsn: true,
            reconfig: false,
            zero_checksum: true,
            tie_tags: (8, 9),
        }
    }

    #[test]
    fn a_cookie_comes_back_as_it_went() {
        let secret = Secret::new(&[7; 32]);
        assert_eq!(Cookie::decode(&cookie().encode(&secret), &secret), Some(cookie()));
    }

    #[test]
    fn a_cookie_that_was_changed_or_made_elsewhere_is_refused() {
        let secret = Secret::new(&[7; 32]);
        let good = cookie().encode(&secret);
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(Cookie::decode(&bad, &secret), None, "byte {at}");
        }
        assert_eq!(Cookie::decode(&good, &Secret::new(&[8; 32])), None);
        assert_eq!(Cookie::decode(&good[1..], &secret), None);
    }
}
