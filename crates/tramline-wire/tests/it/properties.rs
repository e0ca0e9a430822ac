//! Properties over made-up packets: good ones, nearly good ones and noise.

use proptest::collection::vec;
use proptest::prelude::*;
use tramline_wire::{E2eeExtension, Extensions, Header, Marker, Packet, TrackHandle};

use crate::fuzzed;

fn any_marker() -> impl Strategy<Value = Marker> {
    prop_oneof![Just(Marker::Inter), Just(Marker::Final), Just(Marker::Start), Just(Marker::Single)]
}

prop_compose! {
    fn any_extensions()(
        e2ee in proptest::option::of((any::<u8>(), any::<[u8; 12]>())),
        user_timestamp in proptest::option::of(any::<u64>()),
    ) -> Extensions {
        let e2ee = e2ee.map(|(key_index, iv)| E2eeExtension { key_index, iv });
        Extensions { e2ee, user_timestamp }
    }
}

prop_compose! {
    fn any_header()(
        marker in any_marker(),
        handle in 1..=u32::from(u16::MAX),
        sequence: u16,
        frame_number: u16,
        timestamp: u32,
        extensions in any_extensions(),
    ) -> Header {
        let handle = TrackHandle::try_from(handle).expect("1 to 65535");
        Header { marker, handle, sequence, frame_number, timestamp, extensions }
    }
}

prop_compose! {
    /// An extension block whose entries and length are often right and sometimes not.
    fn nearly_a_block()(
        entries in vec(
            (
                prop_oneof![0..=2_u8, Just(255), any::<u8>()],
                prop_oneof![Just(8_u8), Just(13), 0..=20_u8, any::<u8>()],
                vec(any::<u8>(), 0..24),
                prop::bool::weighted(0.8),
            ),
            0..5,
        ),
        skew in prop_oneof![4 => Just(0_i32), 1 => -3..=3_i32],
    ) -> Vec<u8> {
        let mut block = vec![0, 0];
        for (tag, len, mut value, fits) in entries {
            if fits {
                value.resize(usize::from(len), 7);
            }
            block.extend([tag, len]);
            block.extend(value);
        }
        block.resize(block.len().next_multiple_of(4), 0);
        let words = i32::try_from(block.len() / 4 - 1).expect("a short block") + skew;
        block[..2].copy_from_slice(&(words as u16).to_be_bytes());
        block
    }
}

prop_compose! {
    fn nearly_a_packet()(
        mut fixed: [u8; 12],
        version in prop_oneof![9 => Just(0_u8), 1 => 0..8_u8],
        block in proptest::option::of(nearly_a_block()),
        payload in vec(any::<u8>(), 0..40),
        keep in prop_oneof![3 => Just(usize::MAX), 1 => 0..60_usize],
    ) -> Vec<u8> {
        fixed[0] = (fixed[0] & 0b0001_1011) | (version << 5) | (u8::from(block.is_some()) << 2);
        let mut packet = [&fixed[..], &block.unwrap_or_default(), &payload].concat();
        packet.truncate(keep);
        packet
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_parsed_back(header in any_header(), payload in vec(any::<u8>(), 0..200)) {
        let sent = Packet { header, payload: &payload };
        let mut wire = vec![0; sent.encoded_len()];
        prop_assert_eq!(sent.encode(&mut wire), Ok(wire.len()));
        prop_assert_eq!(Packet::parse(&wire), Ok(sent));
        fuzzed::check(&wire);
    }

    #[test]
    fn a_packet_with_one_byte_changed_is_read_as_officially(
        header in any_header(), payload in vec(any::<u8>(), 0..20), at: prop::sample::Index, byte: u8,
    ) {
        let sent = Packet { header, payload: &payload };
        let mut wire = vec![0; sent.encoded_len()];
        prop_assert_eq!(sent.encode(&mut wire), Ok(wire.len()));
        let at = at.index(wire.len());
        wire[at] = byte;
        fuzzed::check(&wire);
    }

    #[test]
    fn nearly_good_packets_are_read_as_officially(packet in nearly_a_packet()) {
        fuzzed::check(&packet);
    }

    #[test]
    fn noise_is_read_as_officially(noise in vec(any::<u8>(), 0..64)) {
        fuzzed::check(&noise);
    }
}
