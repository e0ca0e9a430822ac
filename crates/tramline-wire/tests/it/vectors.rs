//! `packet_vectors.json`: packets that LiveKit's Rust, JavaScript and Go parsers were run on. This file reads it;
//! here are its `cases`, and the packets of the `packetizer` and `depacketizer` sections as far as the codec goes.

use serde::Deserialize;
use serde_json::Value;
use tramline_wire::{E2eeExtension, Marker, Packet, forward};

use crate::fuzzed;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    cases: Vec<Case>,
    depacketizer: Vec<Depacketizer>,
    packetizer: Vec<Packetizer>,
    pub(crate) e2ee: crate::e2ee::Section,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    hex: String,
    fields: Option<Fields>,
    expect: Expect,
    canonical_encoding: bool,
    observed: Value,
}

#[derive(Deserialize)]
struct Fields {
    marker: String,
    handle: u16,
    sequence: u16,
    frame_number: u16,
    timestamp: u32,
    payload: String,
}

#[derive(Deserialize)]
struct Expect {
    client_receiver: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Depacketizer {
    name: String,
    #[serde(default)] // One case describes its many packets in words.
    packets: Vec<String>,
}

#[derive(Deserialize)]
struct Packetizer {
    name: String,
    handle: u16,
    out: Vec<Value>,
}

pub(crate) fn load() -> Vectors {
    serde_json::from_str(include_str!("../packet_vectors.json")).expect("the vectors have the known shape")
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd number of digits in {text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("vectors are written in hexadecimal"))
        .collect()
}

#[test]
fn every_case_is_accepted_or_refused_as_the_rust_client_does() {
    let cases = load().cases;
    assert_eq!(cases.len(), 32);
    for case in cases {
        let bytes = unhex(&case.hex);
        let parsed = Packet::parse(&bytes);
        match (case.expect.client_receiver.as_str(), &case.fields, &case.expect.error) {
            ("accept", Some(fields), None) => {
                let packet = parsed.unwrap_or_else(|error| panic!("{}: {error}", case.name));
                assert_fields(&case, fields, &packet);
            }
            ("reject", None, Some(expected)) => {
                let error = parsed.expect_err(&case.name);
                assert_eq!(fuzzed::official_name(&error), expected, "{}", case.name);
            }
            _ => panic!("{}: neither accepted nor refused", case.name),
        }
        fuzzed::check(&bytes);
    }
}

fn assert_fields(case: &Case, fields: &Fields, packet: &Packet<'_>) {
    let name = &case.name;
    let marker = match fields.marker.as_str() {
        "inter" => Marker::Inter,
        "final" => Marker::Final,
        "start" => Marker::Start,
        "single" => Marker::Single,
        other => panic!("{name}: unknown marker {other}"),
    };
    let header = packet.header;
    assert_eq!(header.marker, marker, "{name}");
    assert_eq!(header.handle.get(), fields.handle, "{name}");
    assert_eq!(header.sequence, fields.sequence, "{name}");
    assert_eq!(header.frame_number, fields.frame_number, "{name}");
    assert_eq!(header.timestamp, fields.timestamp, "{name}");
    assert_eq!(packet.payload, unhex(&fields.payload), "{name}");

    // What the Rust client read is the reference for extensions: `fields` also lists entries that it skips.
    let seen = &case.observed["rust_datatrack_0_2_4"];
    assert_eq!(seen["ok"], true, "{name}");
    let user_timestamp = seen["user_timestamp"].as_str().map(|t| t.parse().expect("a number"));
    assert_eq!(header.extensions.user_timestamp, user_timestamp, "{name}");
    let e2ee = seen["e2ee"].as_object().map(|e2ee| E2eeExtension {
        key_index: e2ee["key_index"].as_u64().and_then(|k| u8::try_from(k).ok()).expect("a byte"),
        iv: unhex(e2ee["iv"].as_str().expect("a string")).try_into().expect("12 bytes"),
    });
    assert_eq!(header.extensions.e2ee, e2ee, "{name}");

    let mut out = vec![0; packet.encoded_len()];
    packet.encode(&mut out).expect("the buffer has the length that was asked for");
    assert_eq!(out, unhex(seen["reserialized"].as_str().expect("accepted, hence written")), "{name}");
    assert_eq!(out == unhex(&case.hex), case.canonical_encoding, "{name}");
}

#[test]
fn canonical_cases_are_forwarded_byte_for_byte_as_by_the_official_server() {
    let mut compared = 0;
    for case in load().cases.iter().filter(|case| case.canonical_encoding) {
        let expected =
            case.observed["go_server_1_13_5"]["forwarded_handle_0x0101"].as_str().expect("forwarded");
        let mut packet = unhex(&case.hex);
        forward::check(&packet).expect("a good packet");
        forward::rewrite_handle(&mut packet, 0x0101.try_into().expect("a good handle"));
        assert_eq!(packet, unhex(expected), "{}", case.name);
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} canonical cases");
}

#[test]
fn packets_of_the_reassembler_section_are_what_we_would_write() {
    let section = load().depacketizer;
    assert_eq!(section.len(), 16);
    for (case, packet) in section.iter().flat_map(|case| case.packets.iter().map(move |p| (case, p))) {
        assert_canonical(&unhex(packet), &case.name);
    }
}

#[test]
fn packets_of_the_packetizer_section_are_what_we_would_write() {
    let section = load().packetizer;
    assert_eq!(section.len(), 3);
    for case in section {
        for packet in case.out.iter().flat_map(|frame| frame.as_array().into_iter().flatten()) {
            let packet = unhex(&packet.as_str().expect("a string").replace("TTTTTTTT", "01020304"));
            let header = assert_canonical(&packet, &case.name);
            assert_eq!((header.handle.get(), header.timestamp), (case.handle, 0x0102_0304), "{}", case.name);
        }
    }
}

fn assert_canonical(bytes: &[u8], name: &str) -> tramline_wire::Header {
    let packet = Packet::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut out = vec![0; packet.encoded_len()];
    packet.encode(&mut out).expect("the buffer has the length that was asked for");
    assert_eq!(out, bytes, "{name}");
    packet.header
}
