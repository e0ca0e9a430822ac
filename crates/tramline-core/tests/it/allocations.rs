//! The way of a packet through a server costs no memory of its own.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tramline_core::forward::PeerKey;
use tramline_core::outbox::{Outbox, SlotKey};
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::room::Room;
use tramline_wire::{Extensions, Header, Marker, TrackHandle, forward};

use crate::world::World;

const PACKETS_PER_FRAME: u16 = 4;

#[test]
fn a_packet_is_forwarded_to_three_subscribers_without_an_allocation() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let readers = ["a", "b", "c"].map(|identity| world.active(identity));
    let published = world.publish(robot, "lidar");
    world.run(Duration::from_millis(20));
    for reader in readers {
        let sid = world.track(reader, "lidar").expect("announced");
        world.subscribe(reader, &sid);
    }
    world.run(Duration::from_millis(20));
    assert_eq!(world.room.forwarding().routes(robot, published).map(<[_]>::len), Some(3));

    let now = world.now();
    let mut subscribers = readers.map(|reader| {
        let mut outbox = Outbox::new();
        let slot = outbox.add(LiveQueue::new(QueueConfig::default()));
        (reader, outbox, slot)
    });
    let mut forward_all = |packets: &mut Vec<Bytes>| {
        let mut taken = 0;
        for packet in packets.drain(..) {
            forward_one(now, &world.room, robot, packet, &mut subscribers);
        }
        for (_, outbox, _) in &mut subscribers {
            while outbox.next(now).is_some() {
                taken += 1;
            }
        }
        taken
    };
    // What the queues need is there after the first round.
    forward_all(&mut packets(published, 0..32));
    let mut later = packets(published, 32..64);
    let mut taken = 0;
    let measured = allocation_counter::measure(|| taken = forward_all(&mut later));
    assert_eq!(taken, 3 * 32 * usize::from(PACKETS_PER_FRAME));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

fn forward_one(
    now: Instant,
    room: &Room,
    publisher: PeerKey,
    packet: Bytes,
    subscribers: &mut [(PeerKey, Outbox, SlotKey)],
) {
    let header = forward::check(&packet).expect("well formed");
    for route in room.forwarding().routes(publisher, header.handle).expect("published") {
        let (_, outbox, slot) =
            subscribers.iter_mut().find(|(key, ..)| *key == route.subscriber).expect("one of the three");
        let (is_start, is_end) = (header.marker.is_start(), header.marker.is_end());
        assert!(outbox.push_part(now, *slot, header.frame_number, is_start, is_end, packet.clone()));
    }
}

/// Packets as a transport hands them over: cut from one large piece of memory.
fn packets(handle: TrackHandle, frames: std::ops::Range<u16>) -> Vec<Bytes> {
    let mut arena = BytesMut::with_capacity(1 << 20);
    let mut packets = Vec::new();
    for frame_number in frames {
        for sequence in 0..PACKETS_PER_FRAME {
            let marker = match sequence {
                0 => Marker::Start,
                last if last == PACKETS_PER_FRAME - 1 => Marker::Final,
                _ => Marker::Inter,
            };
            let extensions = Extensions::default();
            let header = Header { marker, handle, sequence, frame_number, timestamp: 0, extensions };
            arena.resize(header.encoded_len() + 1000, 7);
            header.encode(&mut arena).expect("room for it");
            packets.push(arena.split().freeze());
        }
    }
    packets
}
