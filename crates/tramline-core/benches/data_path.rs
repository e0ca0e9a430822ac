//! What one packet costs in the machines of the data path, in nanoseconds.
//!
//! ```text
//! cargo bench -p tramline-core --bench data_path
//! ```
//!
//! Each line is the median of several rounds; payloads of 1 KiB are one packet, of 64 KiB five.

#![allow(clippy::print_stdout, reason = "a benchmark talks on stdout")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tramline_core::e2ee::{Decryptor, Encryptor, KeyDerivation, KeyOptions, KeyProvider};
use tramline_core::outbox::Outbox;
use tramline_core::packetize::Packetizer;
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::reassemble::{self, Reassembler};
use tramline_wire::{Extensions, MAX_PACKET_LEN, TrackHandle, forward};

const ROUNDS: usize = 15;
const FRAMES: usize = 4_000;

fn main() {
    for (name, size) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let payload = vec![7; size];
        report(&format!("packetize, frames of {name}"), || {
            let mut packetizer = packetizer();
            measure(FRAMES, |_| {
                packetizer.packetize(0, &payload, stamped()).map_or(0, |frame| frame.map(black_box).count())
            })
        });
        let (keys, sender) = encrypted();
        report(&format!("encrypt and packetize, frames of {name}"), || {
            let mut packetizer = packetizer();
            let layout = packetizer.layout();
            measure(FRAMES, |_| {
                let frame = sender.prepare(&layout, &payload, Some(1)).expect("has a key, fits");
                packetizer.number(0, frame).map(black_box).count()
            })
        });
        report(&format!("decrypt, frames of {name} (per frame)"), || {
            let frames: Vec<_> = (0..FRAMES / 4).map(|_| sender.seal(&payload).expect("has a key")).collect();
            let mut receiver = Decryptor::new(keys.clone(), "robot");
            let mut frames = frames.into_iter();
            measure(frames.len(), |_| {
                let frame = frames.next().expect("as many as counted");
                black_box(receiver.open(frame.e2ee, frame.payload).expect("the same key"));
                1
            })
        });
        report(&format!("reassemble, frames of {name}"), || {
            let messages = messages(&payload);
            let mut reassembler = Reassembler::new(reassemble::Config::default());
            let now = Instant::now();
            let mut messages = messages.into_iter();
            measure(messages.len(), |_| {
                let message = messages.next().expect("as many as counted");
                let (header, payload) = reassemble::split(message).expect("own packet");
                black_box(reassembler.handle_packet(now, &header, payload));
                1
            })
        });
        report(&format!("forwarding queue, frames of {name}: check, push, pop"), || {
            let messages = messages(&payload);
            let mut queue = LiveQueue::new(QueueConfig::default());
            let now = Instant::now();
            let mut messages = messages.into_iter();
            measure(messages.len(), |_| {
                let message = messages.next().expect("as many as counted");
                let packet = forward::check(&message).expect("own packet");
                queue.push_part(
                    now,
                    packet.frame_number,
                    packet.marker.is_start(),
                    packet.marker.is_end(),
                    message,
                );
                black_box(queue.pop(now));
                1
            })
        });
    }
    report("outbox of 256 tracks with a backlog each: push, next", || {
        let packet = Bytes::from(vec![7; 1_024]);
        let mut outbox = Outbox::new();
        let now = Instant::now();
        let keys: Vec<_> = (0..256).map(|_| outbox.add(LiveQueue::new(QueueConfig::default()))).collect();
        for key in keys.iter().cycle().take(1_024) {
            outbox.push_frame(now, *key, [packet.clone()]);
        }
        measure(FRAMES, |index| {
            outbox.push_frame(now, keys[index % keys.len()], [packet.clone()]);
            black_box(outbox.next(now));
            1
        })
    });
}

/// Prints the median time for a packet; `round` returns the time that one round took, and its packets.
fn report(name: &str, mut round: impl FnMut() -> (Duration, usize)) {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let (time, packets) = round();
            time.as_secs_f64() * 1e9 / packets as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:<60} {:>8.0} ns/packet", times[ROUNDS / 2]);
}

/// Times `count` calls, each of which returns how many packets it handled.
fn measure(count: usize, mut step: impl FnMut(usize) -> usize) -> (Duration, usize) {
    let start = Instant::now();
    let packets = (0..count).map(&mut step).sum();
    (start.elapsed(), packets)
}

/// Every packet of `FRAMES / 4` frames, each in a buffer of its own as SCTP hands them out.
fn messages(payload: &[u8]) -> Vec<Bytes> {
    let mut packetizer = packetizer();
    (0..FRAMES / 4)
        .flat_map(|_| packetizer.packetize(0, payload, stamped()).into_iter().flatten())
        .map(|packet| Bytes::from(packet.to_vec()))
        .collect()
}

fn packetizer() -> Packetizer {
    Packetizer::new(TrackHandle::FIRST, 0, MAX_PACKET_LEN)
}

fn encrypted() -> (KeyProvider, Encryptor) {
    let keys = KeyProvider::new(KeyOptions::default().with_derivation(KeyDerivation::Hkdf));
    keys.set_shared_key(b"a key of sixteen", 0).expect("not empty");
    (keys.clone(), Encryptor::new(keys, "robot", [7; 12]))
}

fn stamped() -> Extensions {
    Extensions { user_timestamp: Some(1), ..Extensions::default() }
}
