//! Data packets: what waits to be sent and confirmed, and what came.

use std::{
    collections::{HashSet, VecDeque},
    mem::Discriminant,
    sync::Arc,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use tokio::sync::oneshot;
use tramline_core::{
    e2ee::{DecryptError, KeyProvider},
    packet::{
        DataPacketKind,
        reliable::{Lane, ReliableQueue, ReliableReceiver},
        seal::{OpenError, Opener},
    },
    queue::{LiveQueue, QueueConfig},
};
use tramline_transport::{Channel, SendError};

use super::connections::Connections;
use crate::{
    error::PublishDataError,
    event::{EventQueue, RoomEvent},
    sender::{Queued, STREAM_WINDOW, Wait},
};

type Reply = oneshot::Sender<Result<(), PublishDataError>>;

/// The packets of both directions.
pub(super) struct Packets {
    reliable: ReliableQueue<Waiter>,
    lossy: LiveQueue<Bytes>,
    /// Streams that wait for room.
    waiting: VecDeque<Reply>,
    received: ReliableReceiver,
    opener: Opener,
    /// What of whom was told not to be readable.
    reported: HashSet<(Arc<str>, Cause)>,
    events: Arc<EventQueue>,
    is_accepting: bool,
    ignored: u64,
}

struct Waiter {
    reply: Option<Reply>,
    _queued: Queued,
}

/// Kinds of failures; each is told once.
type Cause = (Discriminant<OpenError>, Option<Discriminant<DecryptError>>);

/// A packet that came.
pub(super) struct Received {
    /// Who sent it; empty when the server did, or somebody who is not seen.
    pub(super) from: Arc<str>,
    pub(super) kind: DataPacketKind,
    pub(super) is_encrypted: bool,
    pub(super) value: Value,
}

impl Packets {
    pub(super) fn new(events: Arc<EventQueue>, keys: Option<KeyProvider>) -> Self {
        Self {
            reliable: ReliableQueue::default(),
            lossy: LiveQueue::new(QueueConfig::default().with_max_bytes(MAX_LOSSY)),
            waiting: VecDeque::new(),
            received: ReliableReceiver::default(),
            opener: Opener::new(keys),
            reported: HashSet::new(),
            events,
            is_accepting: true,
            ignored: 0,
        }
    }

    /// A handle, or the driver itself, has something to send.
    pub(super) fn send(
        &mut self,
        now: Instant,
        packet: BytesMut,
        kind: DataPacketKind,
        lane: Lane,
        queued: Queued,
        wait: Wait,
    ) {
        if !self.is_accepting {
            if let Wait::Arrived(reply) | Wait::Room(reply) = wait {
                let _ = reply.send(Err(PublishDataError::Disconnected));
            }
            return;
        }
        if kind == DataPacketKind::Lossy {
            self.lossy.push_frame(now, [packet.freeze()]);
            if let Wait::Arrived(reply) | Wait::Room(reply) = wait {
                let _ = reply.send(Ok(()));
            }
            return;
        }
        let reply = match wait {
            Wait::Arrived(reply) => Some(reply),
            Wait::Room(reply) => {
                self.waiting.push_back(reply);
                None
            }
            Wait::Nothing => None,
        };
        self.reliable.push(lane, packet, Waiter { reply, _queued: queued });
    }

    /// Hands at most one packet of each kind to the transport.
    pub(super) fn feed_next(&mut self, now: Instant, connections: &mut Connections) -> bool {
        let mut is_fed = false;
        if connections.send_capacity(Channel::Reliable) > 0
            && let Some(packet) = self.reliable.front().cloned()
        {
            let receipt = self.reliable.front_sequence().map(u64::from);
            match connections.send_with_receipt(Channel::Reliable, &packet, receipt) {
                Ok(()) => {
                    self.reliable.advance();
                    is_fed = true;
                }
                Err(SendError::TooLarge { size, limit }) => {
                    let error = PublishDataError::TooLarge { size, limit };
                    if let Some(Waiter { reply: Some(reply), .. }) = self.reliable.refuse() {
                        let _ = reply.send(Err(error));
                    }
                    is_fed = true;
                }
                Err(error) => tracing::debug!(%error, "the transport did not take a packet"),
            }
        }
        if !self.lossy.is_empty()
            && connections.send_capacity(Channel::Lossy) > 0
            && let Some(packet) = self.lossy.pop(now)
        {
            match connections.send(Channel::Lossy, &packet) {
                Ok(()) => is_fed = true,
                Err(error) => tracing::debug!(%error, "the transport did not take a lossy packet"),
            }
        }
        is_fed
    }

    /// A packet has arrived at the server.
    pub(super) fn handle_arrived(&mut self, receipt: u64) {
        let waiter =
            u32::try_from(receipt).ok().and_then(|sequence| self.reliable.handle_acknowledged(sequence));
        if let Some(Waiter { reply: Some(reply), .. }) = waiter {
            let _ = reply.send(Ok(()));
        }
    }

    /// Lets streams go on that wait for room.
    pub(super) fn make_room(&mut self) {
        while self.reliable.bytes() < STREAM_WINDOW
            && let Some(reply) = self.waiting.pop_front()
        {
            let _ = reply.send(Ok(()));
        }
    }

    /// Reads what came; `None` when it is of no use.
    pub(super) fn handle_message(&mut self, kind: DataPacketKind, message: Bytes) -> Option<Received> {
        let packet = match proto::DataPacket::decode(message) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::debug!(%error, "a data packet cannot be read");
                self.ignored += 1;
                return None;
            }
        };
        if kind == DataPacketKind::Reliable && !self.received.accept(&packet.participant_sid, packet.sequence)
        {
            return None;
        }
        let from: Arc<str> = packet.participant_identity.into();
        let Some(value) = packet.value else {
            self.ignored += 1;
            return None;
        };
        let Value::EncryptedPacket(sealed) = value else {
            return Some(Received { from, kind, is_encrypted: false, value });
        };
        match self.opener.open(&from, sealed) {
            Ok(value) => {
                if !self.reported.is_empty() {
                    self.reported.retain(|(sender, _)| *sender != from);
                }
                Some(Received { from, kind, is_encrypted: true, value })
            }
            Err(error) => {
                if let Some(derivation) = self.opener.poll_derivation(&from) {
                    // It may take long, and nothing waits for it.
                    tokio::task::spawn_blocking(|| derivation.run());
                }
                self.report(from, error);
                None
            }
        }
    }

    fn report(&mut self, from: Arc<str>, error: OpenError) {
        self.ignored += 1;
        let inner = match &error {
            OpenError::Decrypt(error) => Some(std::mem::discriminant(error)),
            _ => None,
        };
        let cause = (std::mem::discriminant(&error), inner);
        if self.reported.len() < MAX_REPORTED && self.reported.insert((Arc::clone(&from), cause)) {
            self.events.push(RoomEvent::PacketDecryptionFailed { participant_identity: from.into(), error });
        }
    }

    /// A participant has left.
    pub(super) fn forget(&mut self, sid: &str, identity: &str) {
        self.received.forget(sid);
        self.opener.forget(identity);
        self.reported.retain(|(sender, _)| &**sender != identity);
    }

    /// No packets any more.
    pub(super) fn stop_accepting(&mut self) {
        self.is_accepting = false;
    }

    /// Whether nothing waits, here or in the transport.
    pub(super) fn is_flushed(&self, connections: &Connections) -> bool {
        self.reliable.is_empty() && self.lossy.is_empty() && connections.buffered_amount(Channel::Lossy) == 0
    }

    /// Packets that could not be read.
    pub(super) fn ignored(&self) -> u64 {
        self.ignored
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.lossy.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.lossy.poll_timeout()
    }

    pub(super) fn end(&mut self) {
        self.is_accepting = false;
        for (may_have_arrived, waiter) in self.reliable.reset() {
            if let Some(reply) = waiter.reply {
                let error = match may_have_arrived {
                    true => PublishDataError::MayHaveArrived,
                    false => PublishDataError::Disconnected,
                };
                let _ = reply.send(Err(error));
            }
        }
        for reply in self.waiting.drain(..) {
            let _ = reply.send(Err(PublishDataError::Disconnected));
        }
    }
}

impl Drop for Packets {
    /// Nobody waits for ever for a driver that has panicked.
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes of lossy packets that may wait.
const MAX_LOSSY: usize = 4 << 20;

/// Senders and causes that are remembered as told.
const MAX_REPORTED: usize = 1_000;
