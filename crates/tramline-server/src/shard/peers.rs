//! The participants as the shard sees them: connections, a WebSocket, a set of queues.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use tramline_core::forward::PeerKey;
use tramline_core::outbox::{Outbox, QueueAccess, SlotKey};
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::stats::{Counters, DropReason};
use tramline_wire::TrackHandle;

use super::command::Control;
use super::connections::Connections;
use super::descriptions::HeldAnswer;
use super::packets::PacketQueues;
use super::rooms::RoomKey;
use super::signal::SignalSender;
use crate::auth::Claims;

/// All participants, by keys that are never given out twice.
#[derive(Debug)]
pub(super) struct Peers {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    /// Who has something to be served in this turn, each once, in order.
    touched: Vec<PeerKey>,
    /// What the queues of tracks and participants that are gone have counted.
    retired: Counters,
    control: mpsc::UnboundedSender<Control>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    entry: Option<Box<Entry>>,
}

/// One participant.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) room: RoomKey,
    pub(super) room_name: String,
    pub(super) connections: Connections,
    /// `None` when its WebSocket is gone.
    pub(super) signal: Option<SignalSender>,
    pub(super) outbox: Outbox<RoutedQueue>,
    pub(super) packets: PacketQueues,
    tracks: HashMap<TrackHandle, SlotKey>,
    pub(super) claims: Box<Claims>,
    /// Whether its channels are there without a handshake of their own.
    pub(super) negotiated_channels: bool,
    /// What it is not sent before it is ready for it.
    pub(super) held_answer: HeldAnswer,
    pub(super) remote: IpAddr,
    /// When its timer goes off; timers in the heap for other times are stale.
    pub(super) armed: Option<Instant>,
    touched: bool,
}

/// What waits for one participant of one track, and the handle that its packets leave with.
#[derive(Debug)]
pub(super) struct RoutedQueue {
    pub(super) handle: TrackHandle,
    queue: LiveQueue<Bytes>,
}

impl Entry {
    /// Whether packets of the track that it knows as `handle` wait for it.
    pub(super) fn has_queued(&mut self, handle: TrackHandle) -> bool {
        let Some(slot) = self.tracks.get(&handle) else { return false };
        self.outbox.queue_mut(*slot).is_some_and(|routed| !routed.queue.is_empty())
    }
}

impl QueueAccess<Bytes> for RoutedQueue {
    fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<Bytes>) -> R) -> R {
        f(&mut self.queue)
    }
}

impl Peers {
    /// Nobody yet. `control` is where dropped WebSocket tasks report.
    pub(super) fn new(control: mpsc::UnboundedSender<Control>) -> Self {
        let retired = Counters::default();
        Self { slots: Vec::new(), free: Vec::new(), len: 0, touched: Vec::new(), retired, control }
    }

    pub(super) fn control(&self) -> mpsc::UnboundedSender<Control> {
        self.control.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(
        &mut self,
        room: RoomKey,
        signal: SignalSender,
        claims: Box<Claims>,
        negotiated_channels: bool,
        remote: IpAddr,
        room_name: String,
    ) -> PeerKey {
        let entry = Box::new(Entry {
            room,
            room_name,
            connections: Connections::default(),
            signal: Some(signal),
            outbox: Outbox::new(),
            packets: PacketQueues::default(),
            tracks: HashMap::new(),
            claims,
            negotiated_channels,
            held_answer: HeldAnswer::Nothing,
            remote,
            armed: None,
            touched: false,
        });
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.entry = Some(entry);
        PeerKey(u64::from(slot.generation) << 32 | u64::from(index))
    }

    pub(super) fn at(&mut self, key: PeerKey) -> Option<&mut Entry> {
        let slot = self.slots.get_mut((key.0 & u64::from(u32::MAX)) as usize)?;
        if u64::from(slot.generation) == key.0 >> 32 { slot.entry.as_deref_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Box<Entry>> {
        self.at(key)?;
        let index = (key.0 & u64::from(u32::MAX)) as u32;
        let slot = self.slots.get_mut(index as usize)?;
        let mut entry = slot.entry.take()?;
        self.len -= 1;
        // After four thousand million participants a place is left empty rather than mistaken for an earlier one.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(index);
        }
        for (_, routed) in entry.outbox.queues_mut() {
            self.retired += retired(&routed.queue);
        }
        Some(entry)
    }

    /// `key` is to be served at the end of this turn.
    pub(super) fn touch(&mut self, key: PeerKey) {
        if let Some(entry) = self.at(key)
            && !entry.touched
        {
            entry.touched = true;
            self.touched.push(key);
        }
    }

    /// The touched participants, one by one; what is touched meanwhile comes too.
    pub(super) fn touched(&self, index: usize) -> Option<PeerKey> {
        self.touched.get(index).copied()
    }

    /// Whoever is touched from now on belongs to the next turn.
    pub(super) fn clear_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for key in touched.drain(..) {
            if let Some(entry) = self.at(key) {
                entry.touched = false;
            }
        }
        // Given back for its memory.
        self.touched = touched;
    }

    pub(super) fn add_track(&mut self, key: PeerKey, handle: TrackHandle, config: QueueConfig) {
        if let Some(entry) = self.at(key) {
            let slot = entry.outbox.add(RoutedQueue { handle, queue: LiveQueue::new(config) });
            entry.tracks.insert(handle, slot);
        }
    }

    pub(super) fn remove_track(&mut self, key: PeerKey, handle: TrackHandle) {
        let Some(entry) = self.at(key) else { return };
        let Some(slot) = entry.tracks.remove(&handle) else { return };
        if let Some(routed) = entry.outbox.remove(slot) {
            self.retired += retired(&routed.queue);
        }
    }

    /// Queues one packet for a participant.
    pub(super) fn push(
        &mut self,
        now: Instant,
        key: PeerKey,
        handle: TrackHandle,
        packet: &tramline_wire::forward::Forwardable,
        bytes: Bytes,
    ) {
        let Some(entry) = self.at(key) else { return };
        let Some(slot) = entry.tracks.get(&handle).copied() else { return };
        let (is_start, is_end) = (packet.marker.is_start(), packet.marker.is_end());
        entry.outbox.push_part(now, slot, packet.frame_number, is_start, is_end, bytes);
        self.touch(key);
    }

    /// All queues together, with those that are gone.
    pub(super) fn queue_counters(&mut self) -> Counters {
        let mut sum = self.retired;
        for entry in self.slots.iter_mut().filter_map(|slot| slot.entry.as_deref_mut()) {
            for (_, routed) in entry.outbox.queues_mut() {
                sum += routed.queue.counters();
            }
        }
        sum
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|slot| slot.entry.as_deref())
    }
}

/// The last word of a queue: what still waits will never leave.
fn retired(queue: &LiveQueue<Bytes>) -> Counters {
    let mut counters = queue.counters();
    let ended = counters.accepted.saturating_sub(counters.sent + counters.dropped.total());
    // A frame whose parts had left and were counted may make the difference smaller, never larger.
    if !queue.is_empty() {
        counters.dropped.add_many(DropReason::TrackEnded, ended);
    }
    counters
}
