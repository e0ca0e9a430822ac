//! Which SCTP stream is which channel, and how channels come to be (RFC 8832).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::channel::{Channel, SendOptions};
use crate::dcep::{self, Open};
use crate::dtls::Role;
use crate::peer::PeerEvent;
use crate::sctp::{Association, Ppid, Reliability};
use crate::stats::PeerStats;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

/// The channels of one association.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    /// By [`Channel`]: the stream that we send on.
    outgoing: [Option<Outgoing>; 3],
    /// Streams that we know the channel of, for receiving. A handful at most.
    incoming: Vec<(u16, Known)>,
    /// Streams with messages that nobody fetched yet.
    readable: VecDeque<u16>,
    /// Messages that overtook the OPEN of their stream.
    early: VecDeque<(u16, Bytes)>,
    early_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Outgoing {
    stream: u16,
    /// Bytes queued or in flight, as of the last [`Channels::refresh`] and what was sent since.
    buffered: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Channel(Channel),
    /// A label that means nothing here: accepted, read and dropped.
    Foreign,
}

impl Channels {
    /// Uses the agreed stream ids without a handshake.
    pub(crate) fn open_negotiated(&mut self, sctp: &mut Association, events: &mut VecDeque<PeerEvent>) {
        for channel in Channel::ALL {
            let stream = channel.negotiated_id();
            let (ordered, reliability) = delivery(channel);
            sctp.set_delivery(stream, ordered, reliability);
            self.establish(channel, stream, events);
        }
    }

    /// Opens all channels in-band. Their ids are even for the DTLS client and odd for the server (RFC 8832 section 6).
    pub(crate) fn open_in_band(
        &mut self,
        sctp: &mut Association,
        role: Role,
        events: &mut VecDeque<PeerEvent>,
    ) {
        let first = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        for (stream, channel) in (first..).step_by(2).zip(Channel::ALL) {
            let (ordered, reliability) = delivery(channel);
            // Nothing may overtake the OPEN: until the ACK everything is ordered (RFC 8832 section 6).
            sctp.set_delivery(stream, true, reliability);
            let label = channel.label().as_bytes();
            sctp.send_dcep(stream, &Open { ordered, reliability, label }.encode());
            self.establish(channel, stream, events);
        }
    }

    pub(crate) fn is_open(&self, channel: Channel) -> bool {
        self.outgoing[channel as usize].is_some()
    }

    pub(crate) fn buffered(&self, channel: Channel) -> usize {
        self.outgoing[channel as usize].map_or(0, |outgoing| outgoing.buffered)
    }

    pub(crate) fn total_buffered(&self) -> usize {
        self.outgoing.iter().flatten().map(|outgoing| outgoing.buffered).sum()
    }

    /// Takes the buffered amounts from SCTP, after acknowledgements came in.
    pub(crate) fn refresh(&mut self, sctp: &mut Association) {
        for outgoing in self.outgoing.iter_mut().flatten() {
            outgoing.buffered = sctp.buffered(outgoing.stream);
        }
    }

    /// Queues one message; `false` when the channel is not open.
    pub(crate) fn send(
        &mut self,
        sctp: &mut Association,
        channel: Channel,
        message: &Bytes,
        options: &SendOptions,
    ) -> bool {
        let Some(outgoing) = &mut self.outgoing[channel as usize] else { return false };
        if !sctp.send(outgoing.stream, message, options) {
            return false;
        }
        outgoing.buffered += message.len().max(1);
        true
    }

    /// Something arrived on a stream.
    pub(crate) fn handle_readable(
        &mut self,
        sctp: &mut Association,
        stream: u16,
        events: &mut VecDeque<PeerEvent>,
        stats: &mut PeerStats,
    ) {
        if self.known(stream).is_some_and(|known| known != Known::Foreign) {
            self.mark_readable(stream);
            return;
        }
        // Nothing holds back a stream without a reader, so it is read at once.
        while let Some((ppid, message)) = sctp.recv(stream) {
            match ppid {
                Ppid::Dcep => self.handle_dcep(sctp, stream, &message, events, stats),
                Ppid::Data | Ppid::Empty if self.known(stream).is_none() => {
                    self.hold_early(stream, message, stats);
                }
                Ppid::Data | Ppid::Empty | Ppid::Unknown => stats.rejected_messages += 1,
            }
            if self.known(stream).is_some_and(|known| known != Known::Foreign) {
                self.mark_readable(stream);
                return;
            }
        }
    }

    /// The next message for the layer above.
    pub(crate) fn poll_message(
        &mut self,
        sctp: &mut Association,
        events: &mut VecDeque<PeerEvent>,
        stats: &mut PeerStats,
    ) -> Option<(Channel, Bytes)> {
        while let Some(&stream) = self.readable.front() {
            let Some(Known::Channel(channel)) = self.known(stream) else {
                self.readable.pop_front();
                continue;
            };
            if let Some(at) = self.early.iter().position(|(early, _)| *early == stream) {
                let (_, message) = self.early.remove(at)?;
                self.early_bytes -= message.len();
                return Some((channel, message));
            }
            match sctp.recv(stream) {
                Some((Ppid::Data | Ppid::Empty, message)) => return Some((channel, message)),
                Some((Ppid::Dcep, message)) => self.handle_dcep(sctp, stream, &message, events, stats),
                Some((Ppid::Unknown, _)) => stats.rejected_messages += 1,
                None => {
                    self.readable.pop_front();
                }
            }
        }
        None
    }

    /// The peer reset a stream: its channel is gone (RFC 8831 section 6.7). The other direction is reset with it.
    pub(crate) fn handle_reset(&mut self, stream: u16, events: &mut VecDeque<PeerEvent>) {
        self.incoming.retain(|(known, _)| *known != stream);
        self.readable.retain(|readable| *readable != stream);
        self.early.retain(|(early, _)| *early != stream);
        self.early_bytes = self.early.iter().map(|(_, message)| message.len()).sum();
        for channel in Channel::ALL {
            let outgoing = &mut self.outgoing[channel as usize];
            if outgoing.is_some_and(|outgoing| outgoing.stream == stream) {
                *outgoing = None;
                events.push_back(PeerEvent::ChannelClosed(channel));
            }
        }
    }

    fn handle_dcep(
        &mut self,
        sctp: &mut Association,
        stream: u16,
        message: &[u8],
        events: &mut VecDeque<PeerEvent>,
        stats: &mut PeerStats,
    ) {
        match dcep::parse(message) {
            Some(dcep::Message::Open(open)) => {
                let already = self.known(stream).is_some();
                if !already && self.incoming.len() >= MAX_STREAMS {
                    stats.rejected_messages += 1;
                    return;
                }
                sctp.set_delivery(stream, open.ordered, open.reliability);
                // A peer that opens a channel again and again without taking the answers has had enough of them.
                if sctp.buffered(stream) < MAX_BUFFERED_TO_ANSWER {
                    sctp.send_dcep(stream, &dcep::ACK);
                }
                match Channel::from_label(open.label) {
                    // The newest channel with a label counts: a peer that opens one again has given up the old one.
                    Some(channel) => self.establish(channel, stream, events),
                    None if already => {}
                    None => {
                        stats.unknown_channels += 1;
                        self.incoming.push((stream, Known::Foreign));
                        let before = self.early.len();
                        self.early.retain(|(early, _)| *early != stream);
                        stats.rejected_messages += (before - self.early.len()) as u64;
                        self.early_bytes = self.early.iter().map(|(_, message)| message.len()).sum();
                    }
                }
            }
            Some(dcep::Message::Ack) => {
                if let Some(Known::Channel(channel)) = self.known(stream) {
                    let (ordered, reliability) = delivery(channel);
                    sctp.set_delivery(stream, ordered, reliability);
                }
            }
            None => stats.rejected_messages += 1,
        }
    }

    fn establish(&mut self, channel: Channel, stream: u16, events: &mut VecDeque<PeerEvent>) {
        self.incoming.retain(|(known, _)| *known != stream);
        self.incoming.push((stream, Known::Channel(channel)));
        let outgoing = &mut self.outgoing[channel as usize];
        if outgoing.replace(Outgoing { stream, buffered: 0 }).is_none() {
            events.push_back(PeerEvent::ChannelOpen(channel));
        }
        if self.early.iter().any(|(early, _)| *early == stream) {
            self.mark_readable(stream);
        }
    }

    fn mark_readable(&mut self, stream: u16) {
        if !self.readable.contains(&stream) {
            self.readable.push_back(stream);
        }
    }

    fn hold_early(&mut self, stream: u16, message: Bytes, stats: &mut PeerStats) {
        if self.early.len() >= MAX_EARLY_MESSAGES || self.early_bytes + message.len() > MAX_EARLY_BYTES {
            stats.rejected_messages += 1;
            return;
        }
        self.early_bytes += message.len();
        self.early.push_back((stream, message));
    }

    fn known(&self, stream: u16) -> Option<Known> {
        self.incoming.iter().find(|(known, _)| *known == stream).map(|(_, known)| *known)
    }
}

/// LiveKit's parameters: protocol.md 3.3, `rtc_session.rs` of the Rust client.
fn delivery(channel: Channel) -> (bool, Reliability) {
    if channel.is_reliable() { (true, Reliability::Reliable) } else { (false, Reliability::Retransmits(0)) }
}

/// Streams with a known purpose. Three are needed; old clients may open one or two of their own.
const MAX_STREAMS: usize = 64;

/// Unordered messages can arrive before the OPEN of their stream; only a round trip's worth of them is legitimate.
const MAX_EARLY_MESSAGES: usize = 256;
const MAX_EARLY_BYTES: usize = 256 * 1024;

/// Bytes that may wait on a stream while its OPEN is still answered: data of a channel that is in use, or answers of a byte each.
const MAX_BUFFERED_TO_ANSWER: usize = 64;
