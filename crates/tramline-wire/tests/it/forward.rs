//! The server's half: what passes, and that nothing but the handle changes.

use tramline_wire::{Marker, Packet, ParseError, TrackHandle, forward};

#[test]
fn a_packet_with_an_extension_that_receivers_refuse_is_still_forwarded() {
    let mut packet = b"\x1c\0\0\x01\0\x05\0\x06\0\0\0\0\0\x01\x09\xc8\x01\x01\x01\x01hello".to_vec();
    assert_eq!(Packet::parse(&packet), Err(ParseError::Extension { tag: 9, len: 200, available: 4 }));

    let forwardable = forward::check(&packet).expect("the block fits, the rest is not the server's business");
    let handle = TrackHandle::FIRST;
    assert_eq!(
        forwardable,
        forward::Forwardable { handle, marker: Marker::Single, frame_number: 6, sequence: 5 }
    );

    let before = packet.clone();
    forward::rewrite_handle(&mut packet, TrackHandle::try_from(0xabcd).expect("a good handle"));
    assert_eq!(packet[2..4], [0xab, 0xcd]);
    assert_eq!((&packet[..2], &packet[4..]), (&before[..2], &before[4..]));
}

#[test]
fn reserved_bits_reach_the_subscriber() {
    let mut packet = b"\x1b\xee\0\x03\0\x01\0\x01\0\0\0\x01hello".to_vec();
    forward::check(&packet).expect("reserved bits are not ours to judge");
    forward::rewrite_handle(&mut packet, TrackHandle::FIRST);
    assert_eq!(packet, b"\x1b\xee\0\x01\0\x01\0\x01\0\0\0\x01hello");
}

#[test]
fn what_is_not_a_packet_is_refused_with_the_reason() {
    let good = b"\x18\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    assert!(forward::check(&good).is_ok());
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        forward::check(&packet)
    };
    assert_eq!(forward::check(&good[..11]), Err(ParseError::TooShort { len: 11 }));
    assert_eq!(forward::check(&[]), Err(ParseError::TooShort { len: 0 }));
    assert_eq!(with(0, 0x38), Err(ParseError::Version { version: 1 }));
    assert_eq!(with(0, 0xff), Err(ParseError::Version { version: 7 }));
    assert_eq!(with(3, 0), Err(ParseError::ZeroHandle));
    assert_eq!(with(0, 0x1c), Err(ParseError::NoExtensionLength { available: 0 }));
    let overrun = [&b"\x1c"[..], &good[1..], b"\xff\xff\0\0"].concat();
    assert_eq!(forward::check(&overrun), Err(ParseError::ExtensionOverrun { len: 262_144, available: 4 }));
}

#[test]
fn bytes_too_few_for_a_handle_are_left_as_they_are() {
    let mut bytes = [1, 2, 3];
    forward::rewrite_handle(&mut bytes, TrackHandle::FIRST);
    assert_eq!(bytes, [1, 2, 3]);
}
