//! Which of many peers on one socket a datagram belongs to.
//!
//! A peer is known by its ICE user name fragment from the moment it exists, and by addresses once it has accepted a datagram
//! from them. An address is never learnt from a datagram alone: anybody can send one. The calling order is
//! [`insert`](Demux::insert), then for each datagram [`route`](Demux::route), and [`learn`](Demux::learn) when the peer says that an
//! authenticated check came from an address.

use std::{collections::HashMap, hash::Hash, net::SocketAddr};

/// A table from addresses and user name fragments to peers named by `K`.
#[derive(Debug)]
pub struct Demux<K> {
    by_addr: HashMap<SocketAddr, K>,
    by_ufrag: HashMap<Box<[u8]>, K>,
    peers: HashMap<K, Known>,
    max_peers: usize,
    counters: DemuxCounters,
}

#[derive(Debug)]
struct Known {
    ufrag: Box<[u8]>,
    /// Oldest first.
    addrs: Vec<SocketAddr>,
}

/// What the table could not place, since it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DemuxCounters {
    /// STUN requests that name no peer of ours.
    pub unknown_ufrag: u64,
    /// Other datagrams from addresses that no peer has accepted.
    pub unknown_addr: u64,
}

/// Why a peer was not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The table holds as many peers as it may.
    #[error("the socket already serves {0} peers, which is its limit")]
    Full(usize),
    /// Another peer goes by this user name fragment, or this peer is known already.
    #[error("the peer or its user name fragment is in use already")]
    InUse,
}

impl<K: Copy + Eq + Hash> Demux<K> {
    /// An empty table for at most `max_peers`.
    #[must_use]
    pub fn new(max_peers: usize) -> Self {
        Self {
            by_addr: HashMap::new(),
            by_ufrag: HashMap::new(),
            peers: HashMap::new(),
            max_peers,
            counters: DemuxCounters::default(),
        }
    }

    /// Enters a peer under its local user name fragment.
    ///
    /// # Errors
    /// The table is full, or the peer or the fragment is there already.
    pub fn insert(&mut self, peer: K, local_ufrag: &str) -> Result<(), InsertError> {
        if self.peers.len() >= self.max_peers {
            return Err(InsertError::Full(self.max_peers));
        }
        let ufrag: Box<[u8]> = local_ufrag.as_bytes().into();
        if self.peers.contains_key(&peer) || self.by_ufrag.contains_key(&ufrag) {
            return Err(InsertError::InUse);
        }
        self.by_ufrag.insert(ufrag.clone(), peer);
        self.peers.insert(peer, Known { ufrag, addrs: Vec::new() });
        Ok(())
    }

    /// Forgets a peer and its addresses.
    pub fn remove(&mut self, peer: K) {
        let Some(known) = self.peers.remove(&peer) else { return };
        self.by_ufrag.remove(&known.ufrag);
        for addr in known.addrs {
            if self.by_addr.get(&addr) == Some(&peer) {
                self.by_addr.remove(&addr);
            }
        }
    }

    /// The peer accepted traffic from `addr`: datagrams from there are its own from now on. The oldest of its addresses goes when it
    /// has too many; an address that another peer had changes hands, since the peer has just proven that it is its own.
    pub fn learn(&mut self, peer: K, addr: SocketAddr) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.addrs.contains(&addr) {
            self.by_addr.insert(addr, peer);
            return;
        }
        if known.addrs.len() >= MAX_ADDRS_PER_PEER {
            let oldest = known.addrs.remove(0);
            if self.by_addr.get(&oldest) == Some(&peer) {
                self.by_addr.remove(&oldest);
            }
        }
        known.addrs.push(addr);
        self.by_addr.insert(addr, peer);
    }

    /// Whose datagram this is; `None` is counted.
    ///
    /// A STUN request that names a peer goes to that peer, wherever it comes from, also from the address of another one: a client
    /// that joins again may keep its port.
    pub fn route(&mut self, remote: SocketAddr, datagram: &[u8]) -> Option<K> {
        if !looks_like_stun(datagram) {
            let peer = self.by_addr.get(&remote).copied();
            self.counters.unknown_addr += u64::from(peer.is_none());
            return peer;
        }
        match stun_local_ufrag(datagram) {
            Some(ufrag) => {
                let peer = self.by_ufrag.get(ufrag).copied();
                self.counters.unknown_ufrag += u64::from(peer.is_none());
                peer
            }
            // Responses carry no user name.
            None => {
                let peer = self.by_addr.get(&remote).copied();
                self.counters.unknown_addr += u64::from(peer.is_none());
                peer
            }
        }
    }

    /// Number of peers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// What could not be placed so far.
    #[must_use]
    pub fn counters(&self) -> DemuxCounters {
        self.counters
    }
}

/// First two bits zero and the magic cookie (RFC 8489 section 5): never DTLS, whose first byte is 20 to 63 (RFC 7983).
fn looks_like_stun(datagram: &[u8]) -> bool {
    datagram.len() >= STUN_HEADER_LEN && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
}

/// The receiver's half of the USERNAME attribute (`receiver:sender`, RFC 8445 section 7.2.2), when there is one.
fn stun_local_ufrag(datagram: &[u8]) -> Option<&[u8]> {
    let announced = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    let mut rest = datagram.get(STUN_HEADER_LEN..STUN_HEADER_LEN + announced)?;
    while let [kind_high, kind_low, len_high, len_low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*len_high, *len_low]));
        let value = tail.get(..len)?;
        if [*kind_high, *kind_low] == USERNAME {
            let colon = value.iter().position(|&byte| byte == b':')?;
            return Some(&value[..colon]);
        }
        rest = tail.get(len.next_multiple_of(4)..)?;
    }
    None
}

const STUN_HEADER_LEN: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: [u8; 2] = [0x00, 0x06];
/// A host on two networks with both IP versions, and each of them once more after a change.
const MAX_ADDRS_PER_PEER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// A binding message with the attributes given, padded as RFC 8489 section 14 says.
    fn stun(attributes: &[([u8; 2], &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend_from_slice(kind);
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = vec![0, 1];
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.extend_from_slice(&MAGIC_COOKIE);
        message.extend_from_slice(&[9; 12]);
        message.extend_from_slice(&body);
        message
    }

    #[test]
    fn a_check_finds_its_peer_by_name_and_data_only_by_a_learnt_address() {
        let mut demux = Demux::new(4);
        demux.insert(1, "alpha").expect("room");
        demux.insert(2, "beta").expect("room");
        let check = stun(&[([0x80, 0x22], b"software"), (USERNAME, b"beta:them")]);
        assert_eq!(demux.route(addr(1), &check), Some(2));
        let dtls = [22, 254, 253, 0];
        assert_eq!(demux.route(addr(1), &dtls), None, "one check alone teaches nothing");
        demux.learn(2, addr(1));
        assert_eq!(demux.route(addr(1), &dtls), Some(2));
        assert_eq!(demux.route(addr(1), &stun(&[])), Some(2), "an answer carries no name");
        assert_eq!(
            demux.route(addr(1), &stun(&[(USERNAME, b"alpha:x")])),
            Some(1),
            "the name wins over the address"
        );
        assert_eq!(demux.route(addr(2), &stun(&[(USERNAME, b"gamma:x")])), None);
        assert_eq!(demux.counters(), DemuxCounters { unknown_ufrag: 1, unknown_addr: 1 });
    }

    #[test]
    fn a_peer_that_left_is_forgotten_but_not_the_one_that_took_its_address() {
        let mut demux = Demux::new(4);
        demux.insert(1, "a").expect("room");
        demux.insert(2, "b").expect("room");
        demux.learn(1, addr(1));
        demux.learn(2, addr(1));
        demux.remove(1);
        assert_eq!(demux.route(addr(1), &[22]), Some(2));
        demux.remove(2);
        assert_eq!(demux.route(addr(1), &[22]), None);
        assert!(demux.is_empty());
        demux.insert(3, "a").expect("the name is free again");
    }

    #[test]
    fn peers_and_addresses_are_bounded() {
        let mut demux = Demux::new(1);
        demux.insert(1, "a").expect("room");
        assert_eq!(demux.insert(2, "b"), Err(InsertError::Full(1)));
        for port in 1..=100 {
            demux.learn(1, addr(port));
        }
        assert_eq!(demux.by_addr.len(), MAX_ADDRS_PER_PEER);
        assert_eq!(demux.route(addr(100), &[22]), Some(1));
        assert_eq!(demux.route(addr(1), &[22]), None);
        demux.remove(1);
        assert!(demux.by_addr.is_empty());
        assert_eq!(Demux::new(2).insert(1, "a"), Ok(()));
    }

    #[test]
    fn any_bytes_are_placed_or_counted() {
        let mut demux = Demux::new(1);
        demux.insert(1, "abc").expect("room");
        let whole = stun(&[(USERNAME, b"abc:d"), ([0, 8], &[0; 20])]);
        let mut asked = 0;
        for cut in 0..whole.len() {
            for flip in 0..whole.len() {
                let mut bytes = whole[..cut].to_vec();
                if let Some(byte) = bytes.get_mut(flip) {
                    *byte ^= 0xff;
                }
                asked += u64::from(demux.route(addr(9), &bytes).is_none());
            }
        }
        let counters = demux.counters();
        assert_eq!(counters.unknown_addr + counters.unknown_ufrag, asked);
        assert!(asked > 0);
    }
}
