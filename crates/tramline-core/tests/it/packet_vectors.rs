//! What the official Rust packetizer and reassembler were seen to do, replayed.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use tramline_core::packetize::Packetizer;
use tramline_core::reassemble::{self, Reassembler};
use tramline_core::stats::{DropReason, Drops};
use tramline_sim::VirtualClock;
use tramline_wire::{Extensions, Header, Marker, Packet, TrackHandle};

const VECTORS: &str = include_str!("../../../tramline-wire/tests/packet_vectors.json");

#[test]
fn a_reassembler_of_one_frame_does_what_official_clients_do() {
    let scenarios = section("depacketizer");
    let mut replayed = 0;
    for scenario in &scenarios {
        let name = text(&scenario["name"]);
        let limit = number(&scenario["max_partial_frames"]) as usize;
        let mut replay = Replay::new(limit);
        if let Some(generate) = scenario.get("generate") {
            let packets = generated(generate);
            let (last, before) = packets.split_last().expect("has packets");
            for packet in before {
                assert_eq!(replay.push(packet), (None, vec![]), "{name}");
            }
            let (frame, drops) = replay.push(last);
            let step = &scenario["last_step"];
            let expected =
                step["frame"].as_str().map(|frame| frame.strip_prefix("len=").expect("a length").to_owned());
            assert_eq!(frame.map(|frame| frame.len().to_string()), expected, "{name}");
            assert_eq!(drops, expected_drops(&step["drop"]), "{name}");
        } else {
            let packets = scenario["packets"].as_array().expect("packets");
            let steps = scenario["steps"].as_array().expect("steps");
            assert_eq!(packets.len(), steps.len());
            for (index, (packet, step)) in packets.iter().zip(steps).enumerate() {
                let (frame, drops) = replay.push(&hex(text(packet)));
                assert_eq!(
                    frame.as_deref(),
                    step["frame"].as_str().map(hex).as_deref(),
                    "{name}, step {index}"
                );
                assert_eq!(drops, expected_drops(&step["drop"]), "{name}, step {index}");
            }
        }
        replayed += 1;
    }
    assert_eq!(replayed, 16);
}

#[test]
fn frames_that_official_clients_lose_to_reordering_arrive_with_room_for_several() {
    // What one frame in flight costs, and what it does not cost any more by default.
    for (name, frames) in [
        ("final_before_last_inter", 1),
        ("inter_before_start", 1),
        ("new_start_interrupts_one_partial", 2),
        ("single_interrupts_one_partial", 2),
        ("single_delivered_twice_when_duplicated", 1),
    ] {
        let scenarios = section("depacketizer");
        let scenario = scenarios.iter().find(|scenario| scenario["name"] == name).expect("a known scenario");
        let mut replay = Replay::new(8);
        let packets = scenario["packets"].as_array().expect("packets");
        let delivered = packets.iter().filter_map(|packet| replay.push(&hex(text(packet))).0).count();
        assert_eq!(delivered, frames, "{name}");
    }
}

#[test]
fn the_packetizer_makes_the_packets_that_the_official_one_makes() {
    let scenarios = section("packetizer");
    assert_eq!(scenarios.len(), 3);
    for scenario in &scenarios {
        let name = text(&scenario["name"]);
        let handle = TrackHandle::try_from(number(&scenario["handle"]) as u32).expect("a valid handle");
        let mut packetizer = Packetizer::new(handle, 0x5000_0000, number(&scenario["mtu"]) as usize);
        // The official one sends nothing for an empty payload, we one packet: later sequences are one ahead.
        let mut ahead = 0u16;
        let frames = scenario["frames"].as_array().expect("frames");
        for (frame, expected) in frames.iter().zip(scenario["out"].as_array().expect("out")) {
            let user_timestamp = frame.get("user_timestamp").and_then(Value::as_u64);
            let extensions = Extensions { user_timestamp, ..Extensions::default() };
            let made = packetizer.packetize(0x0123_4567, &hex(text(&frame["payload"])), extensions);
            if expected == "MtuTooShort" {
                let error = made.expect_err("nothing fits beside the header");
                assert_eq!((error.size, error.limit), (1, 0));
                continue;
            }
            let mut made: Vec<Vec<u8>> = made.expect("fits").map(|packet| packet.to_vec()).collect();
            let expected: Vec<_> = expected
                .as_array()
                .expect("packets")
                .iter()
                .map(|packet| hex(&text(packet).replace("TTTTTTTT", "51234567")))
                .collect();
            if expected.is_empty() {
                let packet = Packet::parse(&made[0]).expect("own packet");
                assert_eq!((made.len(), packet.header.marker, packet.payload), (1, Marker::Single, &[][..]));
                ahead += 1;
                continue;
            }
            for packet in &mut made {
                let sequence = u16::from_be_bytes([packet[4], packet[5]]) - ahead;
                packet[4..6].copy_from_slice(&sequence.to_be_bytes());
            }
            assert_eq!(made, expected, "{name}");
        }
    }
}

/// A reassembler, and what each packet changed in its counters.
struct Replay {
    reassembler: Reassembler,
    now: Instant,
    before: Drops,
}

impl Replay {
    fn new(max_partial_frames: usize) -> Self {
        let config = reassemble::Config::default().with_max_partial_frames(max_partial_frames);
        Self {
            reassembler: Reassembler::new(config),
            now: VirtualClock::new().now(),
            before: Drops::default(),
        }
    }

    fn push(&mut self, packet: &[u8]) -> (Option<Vec<u8>>, Vec<DropReason>) {
        let (header, payload) = reassemble::split(Bytes::copy_from_slice(packet)).expect("a valid packet");
        let frame = self.reassembler.handle_packet(self.now, &header, payload);
        let after = self.reassembler.counters().dropped;
        let mut drops = Vec::new();
        for reason in DropReason::ALL {
            let count = after.count(reason) - self.before.count(reason);
            drops.extend((0..count).map(|_| reason));
        }
        self.before = after;
        (frame.map(|frame| frame.payload.to_vec()), drops)
    }
}

fn expected_drops(drop: &Value) -> Vec<DropReason> {
    let Some(reason) = drop.get("reason") else { return vec![] };
    vec![match text(reason) {
        "Incomplete" => DropReason::Incomplete,
        "Interrupted" => DropReason::Interrupted,
        "UnknownFrame" => DropReason::UnknownFrame,
        "BufferFull" => DropReason::Oversize,
        other => panic!("the vectors know no reason {other:?}"),
    }]
}

fn generated(generate: &Value) -> Vec<Vec<u8>> {
    let count = number(&generate["packets"]) as u16;
    let payload = hex(text(&generate["payload_each"]));
    (0..count)
        .map(|index| {
            let header = Header {
                marker: match index {
                    0 => Marker::Start,
                    _ if index + 1 == count => Marker::Final,
                    _ => Marker::Inter,
                },
                handle: TrackHandle::try_from(number(&generate["handle"]) as u32).expect("a valid handle"),
                sequence: number(&generate["first_sequence"]) as u16 + index,
                frame_number: number(&generate["frame_number"]) as u16,
                timestamp: 0,
                extensions: Extensions::default(),
            };
            let mut packet = vec![0; header.encoded_len()];
            header.encode(&mut packet).expect("has room");
            packet.extend_from_slice(&payload);
            packet
        })
        .collect()
}

fn section(name: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("valid JSON");
    vectors[name].as_array().expect("a list").clone()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}
