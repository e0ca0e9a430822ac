//! Lengths and limits of encoding, by hand; the vectors have the rest.

use tramline_wire::{
    E2eeExtension, EncodeError, Extensions, Header, MAX_ENCODED_HEADER_LEN, MAX_PACKET_LEN, Marker, Packet,
    TrackHandle,
};

const E2EE: Option<E2eeExtension> = Some(E2eeExtension { key_index: 1, iv: [7; 12] });

fn header(extensions: Extensions) -> Header {
    let handle = TrackHandle::FIRST;
    Header { marker: Marker::Start, handle, sequence: 1, frame_number: 2, timestamp: 3, extensions }
}

#[test]
fn room_for_payload_is_what_official_clients_have() {
    let room =
        |e2ee, user_timestamp| MAX_PACKET_LEN - header(Extensions { e2ee, user_timestamp }).encoded_len();
    assert_eq!(room(None, None), 15_988);
    assert_eq!(room(None, Some(0)), 15_976);
    assert_eq!(room(E2EE, None), 15_968);
    assert_eq!(room(E2EE, Some(0)), 15_960);
    assert_eq!(room(E2EE, Some(0)), MAX_PACKET_LEN - MAX_ENCODED_HEADER_LEN);
}

#[test]
fn a_buffer_that_is_too_short_is_refused_and_left_alone() {
    let header = header(Extensions { e2ee: None, user_timestamp: Some(5) });
    let mut out = [0xa5; 23];
    assert_eq!(header.encode(&mut out), Err(EncodeError { needed: 24, available: 23 }));
    let packet = Packet { header, payload: b"hello" };
    assert_eq!(packet.encode(&mut out), Err(EncodeError { needed: 29, available: 23 }));
    assert_eq!(out, [0xa5; 23]);
}

#[test]
fn padding_is_zero_in_a_buffer_that_was_used_before() {
    let header = header(Extensions { e2ee: E2EE, user_timestamp: Some(u64::MAX) });
    let mut out = [0xa5; 41];
    assert_eq!(header.encode(&mut out), Ok(40));
    assert_eq!((out[39], out[40]), (0, 0xa5));
}

#[test]
fn markers_say_where_a_frame_begins_and_ends() {
    let ends =
        [Marker::Start, Marker::Inter, Marker::Final, Marker::Single].map(|m| (m.is_start(), m.is_end()));
    assert_eq!(ends, [(true, false), (false, false), (false, true), (true, true)]);
}
