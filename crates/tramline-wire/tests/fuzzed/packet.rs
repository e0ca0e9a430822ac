//! What must hold for any bytes that arrive as a packet. The fuzz target `packet`, the replay of its corpus and
//! the property tests all call [`check`].

use bytes::Bytes;
use livekit_datatrack::__fuzz as official;
use tramline_wire::{Header, MAX_ENCODED_HEADER_LEN, Marker, Packet, ParseError, TrackHandle, forward};

/// Parses, forwards and re-encodes `data`, and compares with LiveKit's Rust client at each step.
pub(crate) fn check(data: &[u8]) {
    let parsed = Packet::parse(data);
    agrees_with_the_official_parser(data, parsed);
    forwards_all_that_it_should(data, parsed);
    if let Ok(packet) = parsed {
        survives_encoding(&packet);
    }
}

fn agrees_with_the_official_parser(data: &[u8], ours: Result<Packet<'_>, ParseError>) {
    let theirs = official::Packet::deserialize(Bytes::copy_from_slice(data));
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_same_header(&ours.header, &theirs.header);
            assert_eq!(ours.payload, theirs.payload);
            assert!(data.ends_with(ours.payload));
        }
        (Err(ours), Err(theirs)) => assert_eq!(official_name(&ours), error_kind(&theirs)),
        (ours, theirs) => panic!("we say {ours:?}, LiveKit's parser says {theirs:?}"),
    }
}

fn forwards_all_that_it_should(data: &[u8], parsed: Result<Packet<'_>, ParseError>) {
    let forwardable = match (forward::check(data), parsed) {
        (Ok(forwardable), Ok(Packet { header, .. })) => {
            assert_eq!(forwardable.handle, header.handle);
            assert_eq!(forwardable.marker, header.marker);
            assert_eq!(forwardable.frame_number, header.frame_number);
            assert_eq!(forwardable.sequence, header.sequence);
            forwardable
        }
        (Ok(forwardable), Err(error)) => {
            assert!(matches!(error, ParseError::Extension { .. }), "forwarded in spite of {error}");
            forwardable
        }
        (Err(check), parsed) => {
            assert_eq!(parsed, Err(check));
            return;
        }
    };
    let handle = TrackHandle::new(!forwardable.handle.get()).unwrap_or(TrackHandle::FIRST);
    let mut rewritten = data.to_vec();
    forward::rewrite_handle(&mut rewritten, handle);
    assert_eq!(rewritten[..2], data[..2]);
    assert_eq!(rewritten[4..], data[4..]);
    assert_eq!(forward::check(&rewritten), Ok(forward::Forwardable { handle, ..forwardable }));
}

fn survives_encoding(packet: &Packet<'_>) {
    let mut out = vec![0xa5; packet.encoded_len() + 1];
    assert_eq!(packet.encode(&mut out), Ok(packet.encoded_len()));
    assert_eq!(out.pop(), Some(0xa5), "wrote past its length");
    assert_eq!(Packet::parse(&out).as_ref(), Ok(packet));
    assert!(packet.header.encoded_len() <= MAX_ENCODED_HEADER_LEN);
    let (_, payload_offset) = Header::parse(&out).expect("it was just parsed");
    assert_eq!(payload_offset, packet.header.encoded_len());

    let theirs =
        official::Packet::deserialize(Bytes::from(out.clone())).expect("LiveKit reads what we write");
    assert_eq!(theirs.serialize(), out, "LiveKit writes the same bytes");
}

fn assert_same_header(ours: &Header, theirs: &official::Header) {
    let marker = match theirs.marker {
        official::FrameMarker::Start => Marker::Start,
        official::FrameMarker::Inter => Marker::Inter,
        official::FrameMarker::Final => Marker::Final,
        official::FrameMarker::Single => Marker::Single,
    };
    assert_eq!(ours.marker, marker);
    assert_eq!(ours.handle.get(), u16::from(theirs.track_handle));
    assert_eq!(ours.sequence, theirs.sequence);
    assert_eq!(ours.frame_number, theirs.frame_number);
    assert_eq!(ours.timestamp, theirs.timestamp.as_ticks());
    assert_eq!(ours.extensions.user_timestamp, theirs.extensions.user_timestamp.map(|t| t.0));
    assert_eq!(
        ours.extensions.e2ee.map(|e| (e.key_index, e.iv)),
        theirs.extensions.e2ee.map(|e| (e.key_index, e.iv))
    );
}

/// The name that LiveKit's parser has for the same error.
pub(crate) fn official_name(error: &ParseError) -> &'static str {
    match error {
        ParseError::TooShort { .. } => "TooShort",
        ParseError::Version { .. } => "UnsupportedVersion",
        ParseError::ZeroHandle => "InvalidHandle",
        ParseError::NoExtensionLength { .. } => "MissingExtWords",
        ParseError::ExtensionOverrun { .. } => "HeaderOverrun",
        ParseError::Extension { .. } => "MalformedExt",
        _ => "an error that these tests do not know",
    }
}

/// `MalformedExt(9)` is a `MalformedExt`. Their error type cannot be named from outside, its text can.
fn error_kind(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").split('(').next().unwrap_or_default().to_owned()
}
