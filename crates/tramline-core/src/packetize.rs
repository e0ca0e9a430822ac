//! From frames to packets: the publisher's end of a data track.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use tramline_wire::{
    Extensions, Header, MAX_ENCODED_HEADER_LEN, MAX_PACKET_LEN, MAX_PACKETS_PER_FRAME, Marker, TrackHandle,
};

/// Makes the packets of one publication and counts its frames and packets.
///
/// One per publication: the counters start at 0, as official receivers see them start, and wrap.
#[derive(Debug)]
pub struct Packetizer {
    handle: TrackHandle,
    timestamp_base: u32,
    max_packet_len: usize,
    sequence: u16,
    frame_number: u16,
}

impl Packetizer {
    /// A packetizer for the track that the server knows as `handle`.
    ///
    /// `timestamp_base` is a random number of the caller's, added to every timestamp. `max_packet_len` is what a
    /// packet may have with its header, at most [`MAX_PACKET_LEN`].
    pub fn new(handle: TrackHandle, timestamp_base: u32, max_packet_len: usize) -> Self {
        let max_packet_len = max_packet_len.min(MAX_PACKET_LEN);
        Self { handle, timestamp_base, max_packet_len, sequence: 0, frame_number: 0 }
    }

    /// The handle in the packets.
    pub fn handle(&self) -> TrackHandle {
        self.handle
    }

    /// The longest payload that fits in the 128 packets of a frame, in bytes.
    pub fn max_frame_len(&self, extensions: &Extensions) -> usize {
        self.payload_per_packet(extensions) * MAX_PACKETS_PER_FRAME
    }

    /// Bytes of all packets of a frame with this payload: what a queue must have room for.
    pub fn encoded_len(&self, payload_len: usize, extensions: &Extensions) -> usize {
        let packets = payload_len.div_ceil(self.payload_per_packet(extensions).max(1)).max(1);
        payload_len + packets * header_len(extensions)
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
        let header_len = header_len(&extensions);
        let per_packet = self.payload_per_packet(&extensions);
        let limit = per_packet * MAX_PACKETS_PER_FRAME;
        if payload.len() > limit || self.max_packet_len < header_len {
            return Err(FrameTooLarge { size: payload.len(), limit });
        }

        let packets = payload.len().div_ceil(per_packet.max(1)).max(1);
        // Exactly the size: a buffer with spare room would be reallocated on its way into `Bytes`.
        let mut buffer = BytesMut::with_capacity(payload.len() + packets * header_len);
        let mut header = Header {
            marker: Marker::Single,
            handle: self.handle,
            sequence: self.sequence,
            frame_number: self.frame_number,
            timestamp: self.timestamp_base.wrapping_add(clock_90k),
            extensions,
        };
        let mut rest = payload;
        for index in 0..packets {
            header.marker = match (index == 0, index + 1 == packets) {
                (true, true) => Marker::Single,
                (true, false) => Marker::Start,
                (false, true) => Marker::Final,
                (false, false) => Marker::Inter,
            };
            let mut encoded = [0; MAX_ENCODED_HEADER_LEN];
            let len = header.encode(&mut encoded).expect("the array has room for the longest header");
            buffer.put_slice(&encoded[..len]);
            let (now, later) = rest.split_at(per_packet.min(rest.len()));
            buffer.put_slice(now);
            rest = later;
            header.sequence = header.sequence.wrapping_add(1);
        }

        let number = self.frame_number;
        self.sequence = header.sequence;
        self.frame_number = number.wrapping_add(1);
        Ok(PacketizedFrame { number, rest: buffer.freeze(), packet_len: header_len + per_packet })
    }

    fn payload_per_packet(&self, extensions: &Extensions) -> usize {
        self.max_packet_len.saturating_sub(header_len(extensions))
    }
}

fn header_len(extensions: &Extensions) -> usize {
    tramline_wire::MIN_HEADER_LEN + extensions.encoded_len()
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
    fn all_packets_of_a_frame_lie_one_behind_the_other() {
        let payload = vec![7; 40_000];
        let packets: Vec<_> =
            packetizer(16_000).packetize(0, &payload, Extensions::default()).expect("small").collect();
        assert_eq!(packets.iter().map(Bytes::len).collect::<Vec<_>>(), [16_000, 16_000, 8_036]);
        for pair in packets.windows(2) {
            assert_eq!(pair[0].as_ptr_range().end, pair[1].as_ptr());
        }
    }

    proptest! {
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

    fn stamped() -> Extensions {
        Extensions { user_timestamp: Some(1), ..Extensions::default() }
    }
}
