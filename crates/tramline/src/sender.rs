//! From a value to an encoded, perhaps encrypted packet on its way to the driver: all on the thread of whoever sends.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::BytesMut;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use tokio::sync::oneshot;
use tramline_core::{
    e2ee::{Encryptor, KeyProvider},
    packet::{
        DataPacketKind, MAX_PACKET_LEN,
        reliable::{Lane, ReliableQueue},
        seal,
    },
};
use tramline_net::random;

use crate::{
    error::PublishDataError,
    link::{Link, ToDriver},
};

/// What sends the packets of one room: its handles and its driver share it.
#[derive(Debug)]
pub(crate) struct PacketSender {
    link: Link,
    keys: Option<KeyProvider>,
    encryptor: OnceLock<Encryptor>,
    is_encrypting: AtomicBool,
    /// Bytes that were given to the driver and are not known to have arrived.
    queued: Arc<AtomicUsize>,
    /// Longest encoded packet.
    limit: AtomicUsize,
}

/// Bytes of one packet that count as queued until this is dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    counter: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the sender of a packet waits for.
#[derive(Debug)]
pub(crate) enum Wait {
    Nothing,
    /// That it has arrived at the server; a lossy one, that it is queued.
    Arrived(oneshot::Sender<Result<(), PublishDataError>>),
    /// That there is room for more of the kind.
    Room(oneshot::Sender<Result<(), PublishDataError>>),
}

/// What goes into one packet.
pub(crate) struct Outgoing<'a> {
    pub(crate) value: Value,
    pub(crate) kind: DataPacketKind,
    pub(crate) destinations: &'a [String],
    /// For agents, in whose name they send.
    pub(crate) sender_identity: Option<&'a str>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn reliable(value: Value, destinations: &'a [String]) -> Self {
        Self { value, kind: DataPacketKind::Reliable, destinations, sender_identity: None }
    }
}

impl PacketSender {
    pub(crate) fn new(link: Link, keys: Option<KeyProvider>) -> Self {
        Self {
            link,
            keys,
            encryptor: OnceLock::new(),
            is_encrypting: AtomicBool::new(true),
            queued: Arc::default(),
            limit: AtomicUsize::new(MAX_PACKET_LEN),
        }
    }

    /// For packets that are made from now on.
    pub(crate) fn set_encrypting(&self, is_encrypting: bool) {
        self.is_encrypting.store(is_encrypting, Ordering::Relaxed);
    }

    /// What the server takes, when that is less than what LiveKit's clients send.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit.min(MAX_PACKET_LEN), Ordering::Relaxed);
    }

    /// Bytes that are not known to have arrived.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// The encoded packet, with everything but its number. `identity` is that of the local participant.
    pub(crate) fn encode(
        &self,
        identity: &str,
        outgoing: Outgoing<'_>,
    ) -> Result<BytesMut, PublishDataError> {
        let Outgoing { value, kind, destinations, sender_identity } = outgoing;
        let value = match self.encryptor(identity)? {
            Some(encryptor) => seal::seal(encryptor, value)?,
            None => value,
        };
        #[allow(deprecated, reason = "LiveKit's servers of old read it")]
        let packet = proto::DataPacket {
            kind: kind.to_wire(),
            participant_identity: sender_identity.unwrap_or_default().to_owned(),
            destination_identities: destinations.to_vec(),
            sequence: 0,
            participant_sid: String::new(),
            value: Some(value),
        };
        let size = packet.encoded_len() + NUMBER_LEN;
        let limit = self.limit.load(Ordering::Relaxed);
        if size > limit {
            return Err(PublishDataError::TooLarge { size, limit });
        }
        let mut encoded = BytesMut::with_capacity(size);
        packet.encode(&mut encoded).map_err(|error| PublishDataError::Internal(error.to_string()))?;
        Ok(encoded)
    }

    /// Counts a packet as queued.
    pub(crate) fn queue(&self, packet: &BytesMut) -> Queued {
        let bytes = packet.len() + PACKET_COST;
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        Queued { counter: Arc::clone(&self.queued), bytes }
    }

    /// Sends without waiting, when less than `bound` bytes are queued.
    pub(crate) fn try_send(
        &self,
        identity: &str,
        outgoing: Outgoing<'_>,
        bound: usize,
    ) -> Result<(), PublishDataError> {
        let kind = outgoing.kind;
        let packet = self.encode(identity, outgoing)?;
        let queued = self.queue(&packet);
        let before = self.queued() - queued.bytes;
        if before >= bound {
            return Err(PublishDataError::QueueFull { queued: before, limit: bound });
        }
        self.link.send(ToDriver::Packet { packet, kind, lane: Lane::Prompt, queued, wait: Wait::Nothing });
        Ok(())
    }

    /// Sends, and returns when the packet has arrived at the server; a lossy one, when it is queued.
    pub(crate) async fn send(
        &self,
        identity: &str,
        outgoing: Outgoing<'_>,
        lane: Lane,
    ) -> Result<(), PublishDataError> {
        let kind = outgoing.kind;
        let packet = self.encode(identity, outgoing)?;
        let queued = self.queue(&packet);
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::Packet { packet, kind, lane, queued, wait: Wait::Arrived(reply) });
        answer.await.unwrap_or(Err(PublishDataError::Disconnected))
    }

    /// Sends a part of a stream, and returns when there is room for the next one.
    pub(crate) async fn send_part(
        &self,
        identity: &str,
        outgoing: Outgoing<'_>,
    ) -> Result<(), PublishDataError> {
        let kind = outgoing.kind;
        let packet = self.encode(identity, outgoing)?;
        let queued = self.queue(&packet);
        if self.queued() < STREAM_WINDOW {
            self.link.send(ToDriver::Packet { packet, kind, lane: Lane::Bulk, queued, wait: Wait::Nothing });
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::Packet { packet, kind, lane: Lane::Bulk, queued, wait: Wait::Room(reply) });
        answer.await.unwrap_or(Err(PublishDataError::Disconnected))
    }

    /// Sends the end of a stream that was given up; nobody waits for it.
    pub(crate) fn send_last_word(
        &self,
        identity: &str,
        outgoing: Outgoing<'_>,
    ) -> Result<(), PublishDataError> {
        let kind = outgoing.kind;
        let packet = self.encode(identity, outgoing)?;
        let queued = self.queue(&packet);
        self.link.send(ToDriver::Packet { packet, kind, lane: Lane::Bulk, queued, wait: Wait::Nothing });
        Ok(())
    }

    fn encryptor(&self, identity: &str) -> Result<Option<&Encryptor>, PublishDataError> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.is_encrypting.load(Ordering::Relaxed)) else {
            return Ok(None);
        };
        if let Some(encryptor) = self.encryptor.get() {
            return Ok(Some(encryptor));
        }
        let first_iv = random::bytes().map_err(|error| PublishDataError::Internal(error.to_string()))?;
        Ok(Some(self.encryptor.get_or_init(|| Encryptor::new(keys.clone(), identity, first_iv))))
    }
}

/// Bytes that may be queued before a stream waits: what a fast link takes in one round trip.
pub(crate) const STREAM_WINDOW: usize = 1 << 20;

/// Bytes that may be queued before packets without a waiter are refused.
pub(crate) const MAX_QUEUED: usize = 8 << 20;

/// What a packet costs besides its bytes, roughly.
const PACKET_COST: usize = 200;

const NUMBER_LEN: usize = ReliableQueue::<()>::NUMBER_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(len: usize) -> Value {
        Value::User(proto::UserPacket { payload: vec![7; len], ..Default::default() })
    }

    #[test]
    fn what_is_too_long_is_refused_with_its_size_and_the_limit() {
        let sender = PacketSender::new(Link::new().0, None);
        let encode = |len| sender.encode("me", Outgoing::reliable(user(len), &[]));
        assert!(encode(63_900).is_ok());
        assert!(matches!(encode(64_000), Err(PublishDataError::TooLarge { size: 64_001.., limit: 64_000 })));
        sender.set_limit(1_000);
        assert!(matches!(encode(1_000), Err(PublishDataError::TooLarge { limit: 1_000, .. })));
        sender.set_limit(1 << 20);
        assert!(matches!(encode(64_000), Err(PublishDataError::TooLarge { limit: 64_000, .. })));
    }

    #[test]
    fn what_nobody_waits_for_is_refused_beyond_the_bound() {
        let (link, mut inbox) = Link::new();
        let sender = PacketSender::new(link, None);
        let send = || sender.try_send("me", Outgoing::reliable(user(400), &[]), 1_000);
        assert_eq!((send(), send()), (Ok(()), Ok(())));
        assert!(matches!(send(), Err(PublishDataError::QueueFull { queued: 1_000.., limit: 1_000 })));
        drop(inbox.try_recv());
        assert_eq!(send(), Ok(()));
        drop(inbox);
        assert_eq!(sender.queued(), 0);
    }
}
