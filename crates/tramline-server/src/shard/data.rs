//! The way of a packet: from a publisher's connection into the queues of its subscribers, and out of them again.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tramline_core::forward::PeerKey;
use tramline_core::outbox::Outbox;
use tramline_core::packet::DataPacketKind;
use tramline_core::repair::Repair;
use tramline_core::room::{Target, TransportEnd};
use tramline_core::stats::DropReason;
use tramline_transport::{Channel, CloseReason, Peer, PeerEvent, SendError, SendOptions};
use tramline_wire::{Marker, TrackHandle, forward};

use super::Shard;
use super::farewell::Said;
use super::peers::{Entry, RoutedQueue};
use super::rooms::RoomKey;
use super::timers::Timer;

/// How long after it has left the queue a packet may still be repaired, see [`tramline_core::repair`].
const LIFETIME: Duration = Duration::from_millis(250);

/// Copies are cut from pieces of this size.
const ARENA: usize = 256 * 1024;

impl Shard {
    /// Takes what the touched transports have received; their packets touch their subscribers.
    pub(super) fn handle_peer_events(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(key) = self.peers.touched(index) {
            index += 1;
            while let Some((room, target, event)) = next_event(self.peers.at(key)) {
                self.handle_event(now, key, target, room, event);
            }
        }
    }

    fn handle_event(&mut self, now: Instant, key: PeerKey, target: Target, room: RoomKey, event: PeerEvent) {
        match event {
            // Nobody sends on the connection that is for receiving.
            PeerEvent::Message(Channel::DataTrack, packet) if target == Target::Publisher => {
                self.forward(now, key, room, packet);
            }
            PeerEvent::Message(Channel::Reliable, packet) if target == Target::Publisher => {
                self.route_packet(now, key, room, DataPacketKind::Reliable, &packet);
            }
            PeerEvent::Message(Channel::Lossy, packet) if target == Target::Publisher => {
                self.route_packet(now, key, room, DataPacketKind::Lossy, &packet);
            }
            PeerEvent::Message(_, _) => self.stats.data_packets_dropped.add(DropReason::NotPermitted),
            PeerEvent::RemoteAddress(addr) => self.demux.learn((key, target), addr),
            PeerEvent::Connected => {
                if self.peers.at(key).is_some_and(|entry| entry.connections.primary() == target) {
                    self.rooms.with(room, |room| room.handle_transport_connected(now, key));
                }
            }
            PeerEvent::Closed(reason) => {
                let end = match &reason {
                    CloseReason::CloseNotify | CloseReason::Local => TransportEnd::ClosedByPeer,
                    CloseReason::WrongFingerprint { .. } => TransportEnd::Refused,
                    _ => TransportEnd::Lost,
                };
                tracing::info!(peer = key.0, ?target, %reason, "transport closed");
                self.tell(now, key, Said::TransportClosed(end));
            }
            PeerEvent::ChannelOpen(channel) => {
                tracing::debug!(peer = key.0, ?target, channel = channel.label(), "open")
            }
            event => tracing::debug!(peer = key.0, ?target, ?event, "transport"),
        }
    }

    /// One packet, to the queue of everybody who subscribes to its track.
    fn forward(&mut self, now: Instant, publisher: PeerKey, room: RoomKey, packet: Bytes) {
        self.stats.packets_in += 1;
        let Ok(header) = forward::check(&packet) else {
            return self.stats.packets_dropped.add(DropReason::Malformed);
        };
        let routes =
            self.rooms.room(room).and_then(|room| room.forwarding().routes(publisher, header.handle));
        let Some(routes) = routes else {
            return self.stats.packets_dropped.add(DropReason::UnknownHandle);
        };
        let Some((last, others)) = routes.split_last() else {
            return self.stats.packets_dropped.add(DropReason::NoReader);
        };
        for route in others {
            self.peers.push(now, route.subscriber, route.handle, &header, packet.clone());
        }
        // The last one takes the packet itself: a single subscriber needs no copy at all.
        self.peers.push(now, last.subscriber, last.handle, &header, packet);
    }

    /// Lets everybody write who received, or has got something to send, in this turn.
    pub(super) fn serve_touched_peers(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(key) = self.peers.touched(index) {
            index += 1;
            let Some(entry) = self.peers.at(key) else { continue };
            // What leaves makes room for more: until the pacer, or the window, holds something back, whose timer goes on from there.
            loop {
                let sent = pump(now, entry, &mut self.rewriter);
                self.stats.packets_out += sent.packets;
                self.stats.data_packets_out += sent.data_packets;
                self.stats.packets_dropped.add_many(DropReason::Transport, sent.refused);
                entry.connections.poll_transmit(now, &mut self.transmits);
                if sent.packets + sent.data_packets == 0 {
                    break;
                }
            }
            let due =
                [entry.outbox.poll_timeout(), entry.packets.poll_timeout(), entry.connections.poll_timeout()];
            if let Some(at) = due.into_iter().flatten().min()
                && entry.armed.is_none_or(|armed| at < armed)
            {
                entry.armed = Some(at);
                self.timers.set(at, Timer::Peer(key));
            }
        }
        self.peers.clear_touched();
    }
}

fn next_event(entry: Option<&mut Entry>) -> Option<(RoomKey, Target, PeerEvent)> {
    let entry = entry?;
    let (target, event) = entry.connections.poll_event()?;
    Some((entry.room, target, event))
}

#[derive(Debug, Default)]
struct Sent {
    packets: u64,
    data_packets: u64,
    refused: u64,
}

/// Moves packets from the queues of one subscriber into its connection, as long as that takes them gladly. Data packets and
/// those of tracks take turns, so that neither holds the other up.
fn pump(now: Instant, entry: &mut Entry, rewriter: &mut Rewriter) -> Sent {
    let mut sent = Sent::default();
    let Some(connection) = entry.connections.downstream() else { return sent };
    loop {
        let data_packets = entry.packets.send_next(now, connection);
        sent.data_packets += data_packets;
        let goes_on = pump_track(now, &mut entry.outbox, connection, rewriter, &mut sent);
        if !goes_on && data_packets == 0 {
            return sent;
        }
    }
}

/// One packet of a track; `false` when there is none, or no room for it.
fn pump_track(
    now: Instant,
    outbox: &mut Outbox<RoutedQueue>,
    connection: &mut Peer,
    rewriter: &mut Rewriter,
    sent: &mut Sent,
) -> bool {
    if outbox.is_empty() || connection.send_capacity(Channel::DataTrack) == 0 {
        return false;
    }
    let Some((slot, packet)) = outbox.next(now) else { return false };
    let Some(handle) = outbox.queue_mut(slot).map(|routed| routed.handle) else { return true };
    let packet = rewriter.rewrite(packet, handle);
    let marker = forward::check(&packet).map_or(Marker::Inter, |packet| packet.marker);
    let mending = Repair::Auto.mending(marker, connection.suggested_copies());
    let options = SendOptions {
        deadline: Some(now + LIFETIME),
        retransmit: mending.retransmit,
        copies: mending.copies,
        flow: handle.get().into(),
        receipt: None,
    };
    match connection.send_with(Channel::DataTrack, &packet, &options) {
        Ok(()) => sent.packets += 1,
        Err(error) => {
            sent.refused += 1;
            tracing::trace!(%error, "packet refused");
            return !matches!(error, SendError::Full { .. } | SendError::NotOpen(_));
        }
    }
    true
}

/// Puts a subscriber's handle into packets.
#[derive(Debug, Default)]
pub(super) struct Rewriter {
    arena: BytesMut,
}

impl Rewriter {
    /// In place when nobody else holds the packet, otherwise in a copy cut from a large piece: either way without an
    /// allocation of its own.
    fn rewrite(&mut self, packet: Bytes, handle: TrackHandle) -> Bytes {
        match packet.try_into_mut() {
            Ok(mut packet) => {
                forward::rewrite_handle(&mut packet, handle);
                packet.freeze()
            }
            Err(shared) => {
                if self.arena.capacity() < shared.len() {
                    self.arena.reserve(ARENA.max(shared.len()));
                }
                self.arena.extend_from_slice(&shared);
                let mut copy = self.arena.split();
                forward::rewrite_handle(&mut copy, handle);
                copy.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_packet_is_copied_and_a_single_one_is_not() {
        let mut rewriter = Rewriter::default();
        let handle = TrackHandle::new(0x0203).expect("not zero");
        let packet = Bytes::from(vec![0x18, 0, 0, 1, 9, 9]);
        let other = packet.clone();
        let copy = rewriter.rewrite(packet, handle);
        assert_eq!((&copy[..], &other[..]), (&[0x18, 0, 2, 3, 9, 9][..], &[0x18, 0, 0, 1, 9, 9][..]));
        let before = other.as_ptr();
        let same = rewriter.rewrite(other, handle);
        assert_eq!((same.as_ptr(), &same[..]), (before, &[0x18, 0, 2, 3, 9, 9][..]));
    }
}
