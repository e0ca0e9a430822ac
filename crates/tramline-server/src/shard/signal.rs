//! The queue between the shard and the task of one WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use tokio::sync::mpsc;
use tramline_core::forward::PeerKey;

use super::command::{Command, Control, Handle};

/// The shard's end.
#[derive(Debug)]
pub(super) struct SignalSender {
    messages: mpsc::UnboundedSender<Bytes>,
    /// Bytes that wait. The channel has no bound of its own: bytes are what costs memory, not messages.
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

/// The client does not read what it is sent.
#[derive(Debug)]
pub(super) struct Stalled;

impl SignalSender {
    /// Queues one message. A client that has nothing waiting gets any message, however long.
    pub(super) fn send(&self, message: Bytes) -> Result<(), Stalled> {
        let len = message.len();
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting + len > self.limit {
            return Err(Stalled);
        }
        self.waiting.fetch_add(len, Ordering::Relaxed);
        // Fails when the task has ended, which it reports by itself.
        let _ = self.messages.send(message);
        Ok(())
    }
}

/// The task's end, before it belongs to a participant.
#[derive(Debug)]
pub(super) struct Unattached {
    messages: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn channel(limit: usize) -> (SignalSender, Unattached) {
    let (tx, rx) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (SignalSender { messages: tx, waiting: waiting.clone(), limit }, Unattached { messages: rx, waiting })
}

impl Unattached {
    pub(super) fn attach(self, peer: PeerKey, control: mpsc::UnboundedSender<Control>) -> SignalReceiver {
        SignalReceiver { peer, messages: self.messages, waiting: self.waiting, control: Some(control) }
    }
}

/// The task's end. Dropping it tells the shard that the WebSocket is gone.
#[derive(Debug)]
pub(crate) struct SignalReceiver {
    peer: PeerKey,
    messages: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    control: Option<mpsc::UnboundedSender<Control>>,
}

impl SignalReceiver {
    /// Whose WebSocket it is.
    pub(crate) fn peer(&self) -> PeerKey {
        self.peer
    }

    /// The next message, `None` at the end of the session. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        let message = self.messages.recv().await?;
        self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// The next message if it is there already.
    pub(crate) fn try_recv(&mut self) -> Option<Bytes> {
        let message = self.messages.try_recv().ok()?;
        self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// Tells the shard that the WebSocket ended, behind everything that was received from it.
    pub(crate) async fn closed(mut self, shard: &Handle) {
        if shard.commands.send(Command::SignalClosed { peer: self.peer }).await.is_ok() {
            self.control = None;
        }
    }
}

impl Drop for SignalReceiver {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            // Fails only when the shard has ended.
            let _ = control.send(Control::SignalDropped { peer: self.peer });
        }
    }
}

/// Encodes messages; one that goes to many is encoded once.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    last: Option<(Arc<proto::SignalResponse>, Bytes)>,
}

impl Encoder {
    pub(super) fn encode(&mut self, message: Arc<proto::SignalResponse>) -> Bytes {
        if let Some((last, bytes)) = &self.last
            && Arc::ptr_eq(last, &message)
        {
            return bytes.clone();
        }
        let bytes = Bytes::from(message.encode_to_vec());
        // A message of its own is not worth remembering, and must not be kept alive.
        self.last = (Arc::strong_count(&message) > 1).then(|| (message, bytes.clone()));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_is_given_up_but_gets_its_first_message() {
        let (sender, receiver) = channel(10);
        let (control, _keep) = mpsc::unbounded_channel();
        let mut receiver = receiver.attach(PeerKey(1), control);
        sender.send(Bytes::from(vec![0; 100])).expect("nothing waits yet");
        sender.send(Bytes::from(vec![0; 1])).expect_err("a hundred bytes wait");
        assert_eq!(receiver.try_recv().map(|message| message.len()), Some(100));
        sender.send(Bytes::from(vec![0; 10])).expect("it has read");
    }

    #[test]
    fn a_dropped_task_is_reported_once() {
        let (_sender, receiver) = channel(10);
        let (control, mut said) = mpsc::unbounded_channel();
        drop(receiver.attach(PeerKey(7), control));
        assert!(matches!(said.try_recv(), Ok(Control::SignalDropped { peer: PeerKey(7) })));
        assert!(said.try_recv().is_err());
    }
}
