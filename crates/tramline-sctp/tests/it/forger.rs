//! A peer that knows the tags and says what it likes, and what must hold whatever it says. The fuzz targets use it too.

use std::time::Duration;

use bytes::Bytes;
use tramline_sctp::Delivery;
use tramline_sim::Choices;

use crate::link::{Link, delay, message};

/// Chunks in a packet as end 0 would send it to end 1.
pub(crate) struct Forger {
    pub(crate) tag: u32,
    /// The next TSN that end 1 expects.
    pub(crate) tsn: u32,
    /// The last TSN that end 1 has sent.
    pub(crate) sent: u32,
}

impl Forger {
    /// Listens to one message in each direction.
    pub(crate) fn new(link: &mut Link) -> Self {
        let seen = std::rc::Rc::new(std::cell::Cell::new((0, [0_u32; 2])));
        let note = seen.clone();
        link.filter = Some(Box::new(move |end, _, packet| {
            let (mut tag, mut tsns) = note.get();
            let mut at = 12;
            while let Some(header) = packet.get(at..at + 8) {
                if header[0] == 0 {
                    tsns[end] = u32::from_be_bytes(header[4..8].try_into().expect("four bytes"));
                }
                at += usize::from(u16::from_be_bytes([header[2], header[3]])).next_multiple_of(4);
            }
            if end == 0 {
                tag = u32::from_be_bytes(packet[4..8].try_into().expect("four bytes"));
            }
            note.set((tag, tsns));
            true
        }));
        for from in 0..2 {
            link.send(from, 0, message(10, 1), Delivery::RELIABLE);
        }
        link.run_for(Duration::from_secs(1));
        link.filter = None;
        link.received = Default::default();
        let (tag, [tsn, sent]) = seen.get();
        Self { tag, tsn: tsn.wrapping_add(1), sent }
    }

    pub(crate) fn packet(&self, chunks: &[Vec<u8>]) -> Bytes {
        let mut packet = Vec::new();
        packet.extend_from_slice(&5_000_u16.to_be_bytes());
        packet.extend_from_slice(&5_000_u16.to_be_bytes());
        packet.extend_from_slice(&self.tag.to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        chunks.iter().for_each(|chunk| packet.extend_from_slice(chunk));
        let crc = crc32c(&packet);
        packet[8..12].copy_from_slice(&crc.to_le_bytes());
        packet.into()
    }

    pub(crate) fn hand_in(&self, link: &mut Link, chunks: &[Vec<u8>]) {
        let now = link.now();
        link.ends[1].handle_packet(now, &self.packet(chunks));
    }
}

/// Bit by bit: slow, and nobody's code but the polynomial's.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

pub(crate) fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(crate) fn data(flags: u8, tsn: u32, stream: u16, ssn: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = words(&[tsn, u32::from(stream) << 16 | u32::from(ssn), 53]);
    value.extend_from_slice(payload);
    chunk(0, flags, &value)
}

pub(crate) fn sack(cumulative: u32, window: u32, gaps: &[(u16, u16)], claimed: u16) -> Vec<u8> {
    let mut value = words(&[cumulative, window, u32::from(claimed) << 16]);
    for (start, end) in gaps {
        value.extend_from_slice(&words(&[u32::from(*start) << 16 | u32::from(*end)]));
    }
    chunk(3, 0, &value)
}

/// Well-formed chunks with hostile numbers, and sometimes nonsense.
fn forged(forger: &Forger, input: &mut Choices<'_>) -> Vec<u8> {
    let near = |base: u32, input: &mut Choices<'_>| match input.below(4) {
        0 => base.wrapping_add(u32::from(input.byte()) << 8),
        1 => base.wrapping_sub(u32::from(input.byte())),
        2 => u32::from_be_bytes([input.byte(), input.byte(), input.byte(), input.byte()]),
        _ => base.wrapping_add(u32::from(input.byte() % 8)),
    };
    match input.below(10) {
        0..=2 => {
            let (flags, tsn) = (input.byte() & 15, near(forger.tsn, input));
            let (stream, ssn) = (u16::from(input.byte() % 4), u16::from(input.byte() % 4));
            data(flags, tsn, stream, ssn, &vec![7; 1 + usize::from(input.byte())])
        }
        3..=4 => {
            let gaps: Vec<(u16, u16)> =
                (0..input.below(4)).map(|_| (u16::from(input.byte()), u16::from(input.byte()))).collect();
            let claimed = gaps.len() as u16 + u16::from(input.byte() == 255);
            sack(near(forger.sent, input), u32::from(input.byte()) << 12, &gaps, claimed)
        }
        5 => {
            let mut value = words(&[near(forger.tsn, input)]);
            value.extend_from_slice(input.bytes());
            chunk(192, 0, &value)
        }
        6 => {
            let kind = u32::from(input.below(8) as u8 + 12);
            let mut value = words(&[kind << 16 | 18, near(forger.tsn, input), 0, near(forger.tsn, input)]);
            value.extend_from_slice(&[0, input.byte() % 4, 0, 0]);
            chunk(130, 0, &value)
        }
        7 => chunk(input.one_of(&[1, 2, 4, 5, 7, 9, 10, 11, 132]), input.byte(), input.bytes()),
        8 => chunk(input.byte(), input.byte(), input.bytes()),
        _ => input.bytes().to_vec(),
    }
}

/// Anything at all from a peer that knows the tags, between genuine traffic.
pub(crate) fn survives(input: &[u8]) {
    let mut input = Choices::new(input);
    let mut link = Link::with(1, delay(5), |config| {
        config.receive_buffer = 50_000;
        config.first_tsn = Some(u32::MAX - 20);
    })
    .connect();
    let forger = Forger::new(&mut link);
    while !input.is_empty() {
        match input.below(6) {
            0 if link.ends[1].is_connected() => {
                let delivery = input.one_of(&[Delivery::RELIABLE, Delivery::ONCE]);
                let len = 1 + 30 * usize::from(input.byte());
                let (now, stream) = (link.now(), u16::from(input.byte() % 4));
                // Refused while the stream is being reset.
                let _ = link.ends[1].send(now, stream, 53, message(len, 5), delivery);
            }
            1 => link.run_for(Duration::from_millis(u64::from(input.byte()))),
            2 if link.ends[1].is_connected() => link.ends[1].reset_stream(u16::from(input.byte() % 4)),
            _ => {
                let chunks: Vec<Vec<u8>> =
                    (0..=input.below(3)).map(|_| forged(&forger, &mut input)).collect();
                forger.hand_in(&mut link, &chunks);
            }
        }
        let stats = link.ends[1].stats();
        assert!(stats.receive_buffered <= 100_000, "{stats:?}");
        assert!(link.events[1].len() < 10_000);
    }
    link.run_for(Duration::from_secs(2));
    let stats = link.ends[1].stats();
    assert!(stats.buffered < 1_000_000 && stats.in_flight < 1_000_000, "{stats:?}");
}

/// Bytes of anybody, at any time: before, during and after the handshake.
pub(crate) fn survives_packets<'a>(packets: impl Iterator<Item = &'a [u8]> + Clone) {
    for connected in [false, true] {
        let mut link = Link::new(1, delay(5));
        if connected {
            link = link.connect();
        }
        let now = link.now();
        for packet in packets.clone() {
            link.ends[1].handle_packet(now, &Bytes::copy_from_slice(packet));
        }
        if !connected {
            link = link.connect();
        }
        link.received = Default::default();
        link.send(1, 5, message(5_000, 4), Delivery::RELIABLE);
        link.run_until(Duration::from_secs(10), |link| link.received[0].len() == 1);
        assert_eq!(link.payloads(0), [message(5_000, 4)]);
    }
}
