//! From frames to packets: the publisher's end of a data track.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use tramline_wire::{Extensions, Header, MAX_PACKET_LEN, MAX_PACKETS_PER_FRAME, Marker, TrackHandle};

/// Makes the packets of one publication and counts its frames and packets.
///
/// One per publication: the counters start at 0, as official receivers see them start, and wrap.
///
/// The work is in two parts, so that threads that push to one track wait for each other only for the numbers:
/// [`PacketLayout::prepare`] (or [`Encryptor::prepare`](crate::e2ee::Encryptor::prepare)) moves the bytes, or
/// encrypts them, and needs no packetizer; [`number`](Self::number) writes the headers. [`packetize`](Self::packetize)
/// does both.
#[derive(Debug)]
pub struct Packetizer {
    handle: TrackHandle,
    timestamp_base: u32,
    layout: PacketLayout,
    sequence: u16,
    frame_number: u16,
}

impl Packetizer {
    /// A packetizer for the track that the server knows as `handle`.
    ///
    /// `timestamp_base` is a random number of the caller's, added to every timestamp. `max_packet_len` is what a
    /// packet may have with its header, at most [`MAX_PACKET_LEN`].
    pub fn new(handle: TrackHandle, timestamp_base: u32, max_packet_len: usize) -> Self {
        let layout = PacketLayout::new(max_packet_len);
        Self { handle, timestamp_base, layout, sequence: 0, frame_number: 0 }
    }

    /// The handle in the packets.
    pub fn handle(&self) -> TrackHandle {
        self.handle
    }

    /// How [`packetize`](Self::packetize) cuts frames.
    pub fn layout(&self) -> PacketLayout {
        self.layout
    }

    /// The longest payload that fits in the 128 packets of a frame, in bytes.
    pub fn max_frame_len(&self, extensions: &Extensions) -> usize {
        self.layout.max_frame_len(extensions)
    }

    /// Bytes of all packets of a frame with this payload: what a queue must have room for.
    pub fn encoded_len(&self, payload_len: usize, extensions: &Extensions) -> usize {
        self.layout.encoded_len(payload_len, extensions)
    }

    /// Makes the packets of one frame.
    ///
    /// `clock_90k` is the caller's clock in units of 1/90,000 s; it may wrap. All packets lie in one buffer, which
    /// is the one allocation (when there are several, slicing it adds its reference count, once). An empty payload
    /// makes one packet of nothing but a header, which every official parser takes.
    ///
    /// # Errors
    /// The payload does not fit in 128 packets. Nothing is counted then: the next frame follows the last good one.
    pub fn packetize(
        &mut self,
        clock_90k: u32,
        payload: &[u8],
        extensions: Extensions,
    ) -> Result<PacketizedFrame, FrameTooLarge> {
        let frame = self.layout.prepare(payload, extensions)?;
        Ok(self.number(clock_90k, frame))
    }

    /// Gives a prepared frame its numbers: the next one of this publication. `clock_90k` as in
    /// [`packetize`](Self::packetize). The frame keeps the layout that it was prepared with.
    pub fn number(&mut self, clock_90k: u32, frame: PreparedFrame) -> PacketizedFrame {
        let PreparedFrame { layout, extensions, mut buffer } = frame;
        let mut header = Header {
            marker: Marker::Single,
            handle: self.handle,
            sequence: self.sequence,
            frame_number: self.frame_number,
            timestamp: self.timestamp_base.wrapping_add(clock_90k),
            extensions,
        };
        let packet_len = layout.max_packet_len;
        let last = buffer.len().div_ceil(packet_len).saturating_sub(1);
        for (index, packet) in buffer.chunks_mut(packet_len).enumerate() {
            header.marker = match (index == 0, index == last) {
                (true, true) => Marker::Single,
                (true, false) => Marker::Start,
                (false, true) => Marker::Final,
                (false, false) => Marker::Inter,
            };
            header.encode(packet).expect("every packet was given room for its header");
            header.sequence = header.sequence.wrapping_add(1);
        }

        let number = self.frame_number;
        self.sequence = header.sequence;
        self.frame_number = number.wrapping_add(1);
        PacketizedFrame { number, rest: buffer.freeze(), packet_len }
    }
}

/// How the frames of a track are cut into packets. Needs no packetizer, so a frame can be prepared on any thread
/// while another one is being numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketLayout {
    max_packet_len: usize,
}

impl PacketLayout {
    /// Packets of at most this many bytes with their headers; more than [`MAX_PACKET_LEN`] is that.
    pub fn new(max_packet_len: usize) -> Self {
        Self { max_packet_len: max_packet_len.min(MAX_PACKET_LEN) }
    }

    /// Packets that fill this many datagrams each, at least one, if frames need no longer ones.
    ///
    /// A packet is a message of SCTP, of which no other data comes in between: on a thin link it should be one
    /// datagram, so that a small frame waits for one datagram of a large frame and not for fourteen. On a fast link
    /// nobody feels that, and fewer packets cost less.
    pub fn of_datagrams(datagrams: usize) -> Self {
        Self::new(datagrams.max(1).saturating_mul(DATAGRAM_LEN))
    }

    /// This layout for frames with so long a payload; with packets of more datagrams when they would be too many.
    #[must_use]
    pub fn for_payload(self, payload_len: usize, extensions: &Extensions) -> Self {
        if payload_len <= self.max_frame_len(extensions) {
            return self;
        }
        let needed = payload_len.div_ceil(MAX_PACKETS_PER_FRAME) + header_len(extensions);
        Self::new(needed.next_multiple_of(DATAGRAM_LEN))
    }

    /// The longest payload that fits in the 128 packets of a frame, in bytes. Of an encrypted frame that is the
    /// ciphertext with its tag: see [`Encryptor::max_frame_len`](crate::e2ee::Encryptor::max_frame_len).
    pub fn max_frame_len(&self, extensions: &Extensions) -> usize {
        self.payload_per_packet(extensions) * MAX_PACKETS_PER_FRAME
    }

    /// Bytes of all packets of a frame with this payload: what a queue must have room for.
    pub fn encoded_len(&self, payload_len: usize, extensions: &Extensions) -> usize {
        payload_len + self.packets(payload_len, extensions) * header_len(extensions)
    }

    /// Copies the payload to its places in the packets; what is left to do is numbering them.
    ///
    /// # Errors
    /// The payload does not fit in 128 packets.
    pub fn prepare(&self, payload: &[u8], extensions: Extensions) -> Result<PreparedFrame, FrameTooLarge> {
        self.check(payload.len(), &extensions)?;
        let header_len = header_len(&extensions);
        let per_packet = self.payload_per_packet(&extensions);
        // Exactly the size: a buffer with spare room would be reallocated on its way into `Bytes`.
        let mut buffer = BytesMut::with_capacity(self.encoded_len(payload.len(), &extensions));
        let mut rest = payload;
        loop {
            buffer.put_bytes(0, header_len);
            let (now, later) = rest.split_at(per_packet.min(rest.len()));
            buffer.put_slice(now);
            rest = later;
            if rest.is_empty() {
                return Ok(PreparedFrame { layout: *self, extensions, buffer });
            }
        }
    }

    /// As [`prepare`](Self::prepare), for a payload that has yet to be made: `fill` writes all `len` bytes of it, in
    /// one piece, to the end of the buffer, and the packets but the last move to their places afterwards.
    pub(crate) fn prepare_in_place(
        &self,
        len: usize,
        extensions: Extensions,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<PreparedFrame, FrameTooLarge> {
        self.check(len, &extensions)?;
        let packets = self.packets(len, &extensions);
        let header_len = header_len(&extensions);
        let per_packet = self.payload_per_packet(&extensions);
        let headers = packets * header_len;
        let mut buffer = BytesMut::zeroed(headers + len);
        fill(&mut buffer[headers..]);
        for index in 0..packets - 1 {
            // Never to the right, and never over a piece that has yet to move.
            let from = headers + index * per_packet;
            buffer.copy_within(from..from + per_packet, index * self.max_packet_len + header_len);
        }
        Ok(PreparedFrame { layout: *self, extensions, buffer })
    }

    pub(crate) fn check(&self, size: usize, extensions: &Extensions) -> Result<(), FrameTooLarge> {
        let limit = self.max_frame_len(extensions);
        if size > limit || self.max_packet_len < header_len(extensions) {
            return Err(FrameTooLarge { size, limit });
        }
        Ok(())
    }

    fn packets(&self, payload_len: usize, extensions: &Extensions) -> usize {
        payload_len.div_ceil(self.payload_per_packet(extensions).max(1)).max(1)
    }

    fn payload_per_packet(&self, extensions: &Extensions) -> usize {
        self.max_packet_len.saturating_sub(header_len(extensions))
    }
}

/// What a UDP payload of 1,200 bytes has room for within DTLS 1.2 (37 bytes) and SCTP (12, and 20 for a chunk of I-DATA), down
/// to a multiple of 4.
const DATAGRAM_LEN: usize = 1_128;

fn header_len(extensions: &Extensions) -> usize {
    tramline_wire::MIN_HEADER_LEN + extensions.encoded_len()
}

/// A frame whose bytes are in place and whose packets have no headers yet. A [`Packetizer`] gives it its numbers;
/// one that is thrown away costs none.
#[derive(Debug)]
pub struct PreparedFrame {
    layout: PacketLayout,
    extensions: Extensions,
    buffer: BytesMut,
}

impl PreparedFrame {
    /// Bytes of all packets: what a queue must have room for.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What every packet will say.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

/// The packets of one frame, in order: iterate to have each as `Bytes` of the same buffer.
#[derive(Clone, Debug)]
pub struct PacketizedFrame {
    number: u16,
    rest: Bytes,
    /// Of every packet but the last.
    packet_len: usize,
}

impl PacketizedFrame {
    /// The frame number in the packets.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Bytes of the packets that were not taken yet.
    pub fn bytes(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for PacketizedFrame {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.rest.split_to(self.packet_len.min(self.rest.len())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let packets = self.rest.len().div_ceil(self.packet_len);
        (packets, Some(packets))
    }
}

impl ExactSizeIterator for PacketizedFrame {}

/// A frame that no receiver could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a frame of {size} bytes is larger than the limit of {limit} bytes: split it, or send a byte stream")]
#[non_exhaustive]
pub struct FrameTooLarge {
    /// Bytes of the payload.
    pub size: usize,
    /// The most that a payload with these extensions may have.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tramline_wire::{E2eeExtension, Packet};

    #[test]
    fn a_frame_that_is_too_large_is_refused_with_its_size_and_the_limit_and_costs_no_number() {
        let mut packetizer = packetizer(16_000);
        let none = Extensions::default();
        assert_eq!(packetizer.max_frame_len(&none), 2_046_464);
        assert_eq!(packetizer.max_frame_len(&stamped()), 128 * 15_976);
        assert_eq!(packetizer.max_frame_len(&encrypted(None)), 128 * 15_968);
        assert_eq!(packetizer.max_frame_len(&encrypted(Some(1))), 128 * 15_960);
        let payload = vec![0; 2_046_465];
        let error = packetizer.packetize(0, &payload, none).expect_err("one byte too many");
        assert_eq!(error, FrameTooLarge { size: 2_046_465, limit: 2_046_464 });
        assert!(error.to_string().contains("2046465 bytes") && error.to_string().contains("2046464 bytes"));

        let frame = packetizer.packetize(0, &payload[1..], none).expect("exactly the limit");
        assert_eq!((frame.number(), frame.len()), (0, 128));
        let last = frame.last().expect("128 packets");
        let header = Packet::parse(&last).expect("own packet").header;
        assert_eq!((header.marker, header.sequence), (Marker::Final, 127));
    }

    #[test]
    fn an_empty_payload_is_one_packet_without_payload() {
        let packets: Vec<_> = packetizer(16_000).packetize(7, &[], stamped()).expect("small").collect();
        assert_eq!(packets.len(), 1);
        let packet = Packet::parse(&packets[0]).expect("own packet");
        assert_eq!((packet.header.marker, packet.payload.len()), (Marker::Single, 0));
        assert_eq!(packet.header.extensions, stamped());
    }

    #[test]
    fn a_limit_below_the_header_refuses_every_frame() {
        assert_eq!(
            packetizer(23).packetize(0, &[], stamped()).err(),
            Some(FrameTooLarge { size: 0, limit: 0 })
        );
        assert!(packetizer(24).packetize(0, &[], stamped()).is_ok());
    }

    #[test]
    fn counters_and_timestamp_wrap() {
        let mut packetizer = Packetizer::new(TrackHandle::FIRST, u32::MAX, 13);
        for number in 0..=u16::MAX {
            let frame = packetizer.packetize(0, &[1], Extensions::default()).expect("small");
            assert_eq!(frame.number(), number);
        }
        packetizer.sequence = u16::MAX;
        let frame = packetizer.packetize(2, &[1, 2], Extensions::default()).expect("small");
        let headers: Vec<_> =
            frame.map(|packet| Packet::parse(&packet).expect("own packet").header).collect();
        let numbers: Vec<_> =
            headers.iter().map(|header| (header.frame_number, header.sequence, header.timestamp)).collect();
        assert_eq!(numbers, [(0, u16::MAX, 1), (0, 0, 1)]);
    }

    #[test]
    fn a_frame_of_too_many_packets_gets_larger_ones_and_fills_datagrams() {
        let none = Extensions::default();
        let small = PacketLayout::of_datagrams(1);
        assert_eq!(small.for_payload(128 * 1_116, &none), small);
        assert_eq!(small.for_payload(128 * 1_116 + 1, &none), PacketLayout::of_datagrams(2));
        assert_eq!(small.for_payload(1 << 20, &none), PacketLayout::of_datagrams(8));
        assert_eq!(small.for_payload(2_046_464, &none), PacketLayout::new(MAX_PACKET_LEN));
        assert_eq!(PacketLayout::of_datagrams(0), small);
        for len in [0, 1, 5_000, 200_000, 2_046_464] {
            let layout = small.for_payload(len, &none);
            let frame = layout.prepare(&vec![1; len], none).expect("fits");
            assert!(packetizer(16_000).number(0, frame).len() <= MAX_PACKETS_PER_FRAME);
        }
    }

    #[test]
    fn all_packets_of_a_frame_lie_one_behind_the_other() {
        let payload = vec![7; 40_000];
        let packets: Vec<_> =
            packetizer(16_000).packetize(0, &payload, Extensions::default()).expect("small").collect();
        assert_eq!(packets.iter().map(Bytes::len).collect::<Vec<_>>(), [16_000, 16_000, 8_036]);
        for pair in packets.windows(2) {
            assert_eq!(pair[0].as_ptr_range().end, pair[1].as_ptr());
        }
    }

    #[test]
    fn the_order_of_numbering_counts_and_a_frame_thrown_away_leaves_no_gap() {
        let mut packetizer = packetizer(100);
        let layout = packetizer.layout();
        let first = layout.prepare(&[1; 200], Extensions::default()).expect("small");
        let lost = layout.prepare(&[2; 200], Extensions::default()).expect("small");
        let second = layout.prepare(&[3], Extensions::default()).expect("small");
        assert_eq!((second.bytes(), lost.bytes()), (13, 236));
        let second: Vec<_> = packetizer.number(0, second).collect();
        drop(lost);
        let first: Vec<_> = packetizer.number(0, first).collect();
        let header = |packet: &Bytes| Packet::parse(packet).expect("own packet").header;
        assert_eq!((header(&second[0]).frame_number, header(&second[0]).sequence), (0, 0));
        assert_eq!((header(&first[0]).frame_number, header(&first[0]).sequence), (1, 1));
    }

    proptest! {
        #[test]
        fn a_payload_made_in_place_gives_the_packets_of_a_copied_one(
            payload in proptest::collection::vec(any::<u8>(), 0..5_000),
            max_packet_len in 80usize..6_000,
            user_timestamp: Option<u64>,
        ) {
            let layout = PacketLayout::new(max_packet_len);
            let extensions = encrypted(user_timestamp);
            let copied = layout.prepare(&payload, extensions).expect("small");
            let made = layout
                .prepare_in_place(payload.len(), extensions, |place| place.copy_from_slice(&payload))
                .expect("small");
            let number = |frame| -> Vec<Bytes> { packetizer(max_packet_len).number(0, frame).collect() };
            prop_assert_eq!(number(made), number(copied));
        }

        #[test]
        fn packets_carry_the_payload_and_say_where_they_belong(
            payload in proptest::collection::vec(any::<u8>(), 0..5_000),
            max_packet_len in 80usize..20_000,
            user_timestamp: Option<u64>,
            e2ee in proptest::option::of((any::<u8>(), any::<[u8; 12]>())),
            base: u32,
            clock: u32,
        ) {
            let e2ee = e2ee.map(|(key_index, iv)| E2eeExtension { key_index, iv });
            let extensions = Extensions { e2ee, user_timestamp };
            let mut packetizer = Packetizer::new(TrackHandle::FIRST, base, max_packet_len);
            for number in 0..3 {
                let frame = packetizer.packetize(clock, &payload, extensions).expect("small");
                let count = frame.len();
                prop_assert_eq!(frame.bytes(), packetizer.encoded_len(payload.len(), &extensions));
                let mut joined = Vec::new();
                for (index, packet) in frame.enumerate() {
                    prop_assert!(packet.len() <= max_packet_len.min(MAX_PACKET_LEN));
                    let Packet { header, payload } = Packet::parse(&packet).expect("own packet");
                    prop_assert_eq!(header.marker.is_start(), index == 0);
                    prop_assert_eq!(header.marker.is_end(), index + 1 == count);
                    prop_assert_eq!(header.frame_number, number);
                    prop_assert_eq!(usize::from(header.sequence), usize::from(number) * count + index);
                    prop_assert_eq!(header.timestamp, base.wrapping_add(clock));
                    prop_assert_eq!(header.extensions, extensions);
                    joined.extend_from_slice(payload);
                }
                prop_assert_eq!(&joined, &payload);
            }
        }
    }

    fn packetizer(max_packet_len: usize) -> Packetizer {
        Packetizer::new(TrackHandle::FIRST, 0, max_packet_len)
    }

    fn encrypted(user_timestamp: Option<u64>) -> Extensions {
        Extensions { e2ee: Some(E2eeExtension { key_index: 3, iv: [9; 12] }), user_timestamp }
    }

    fn stamped() -> Extensions {
        Extensions { user_timestamp: Some(1), ..Extensions::default() }
    }
}
