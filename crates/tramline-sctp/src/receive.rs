//! The receiving half: from DATA and FORWARD TSN chunks to messages and acknowledgements.

use std::time::{Duration, Instant};

use bytes::Bytes;

mod reassembly;
mod received;

pub(crate) use reassembly::Refused;
use reassembly::{Place, Reassembly, Verdict};
use received::{Arrival, Received};

use crate::config::Config;
use crate::event::Message;
use crate::stats::Stats;
use crate::wire::{CHUNK_HEADER_LEN, Data, ForwardTsn, Writer, kind};

#[derive(Debug)]
pub(crate) struct Receiver {
    received: Received,
    reassembly: Reassembly,
    acknowledgement: Acknowledgement,
    delay: Duration,
    /// Packets with data since the last SACK.
    packets: u32,
    /// Packets with data since a gap opened.
    since_gap: u32,
    duplicates: Vec<u32>,
    advertised: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledgement {
    Nothing,
    /// Together with the next packet with data, or at this time.
    By(Instant),
    Now,
}

impl Receiver {
    pub(crate) fn new(config: &Config, peer_tsn: u32) -> Self {
        Self {
            received: Received::new(peer_tsn),
            reassembly: Reassembly::new(
                config.receive_buffer,
                config.max_receive_message_size,
                config.streams,
            ),
            acknowledgement: Acknowledgement::Nothing,
            delay: config.sack_delay,
            packets: 0,
            since_gap: 0,
            duplicates: Vec::new(),
            advertised: config.receive_buffer,
        }
    }

    /// Takes one DATA chunk of `packet` in. An error ends the association.
    pub(crate) fn handle_data(
        &mut self,
        packet: &Bytes,
        data: &Data<'_>,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) -> Result<(), Refused> {
        if data.flags.is_immediate() {
            self.acknowledgement = Acknowledgement::Now;
        }
        match self.received.look(data.tsn) {
            Arrival::Duplicate => {
                stats.duplicates_received += 1;
                if self.duplicates.len() < MAX_DUPLICATES {
                    self.duplicates.push(data.tsn);
                }
                self.acknowledgement = Acknowledgement::Now;
                return Ok(());
            }
            Arrival::TooFar => {
                stats.chunks_rejected += 1;
                return Ok(());
            }
            Arrival::New => {}
        }
        let place = match (data.tsn == self.received.cumulative().wrapping_add(1), self.received.has_gap()) {
            (true, true) => Place::FirstGap,
            (true, false) => Place::InOrder,
            (false, _) => Place::Ahead,
        };
        match self.reassembly.handle_data(packet, data, place, self.received.cumulative(), readable, stats)? {
            Verdict::Taken => {}
            Verdict::NoRoom => {
                // Not acknowledged, so it comes again.
                stats.chunks_dropped += 1;
                self.acknowledgement = Acknowledgement::Now;
                return Ok(());
            }
        }
        let in_order = data.tsn == self.received.highest().wrapping_add(1);
        self.received.insert(data.tsn);
        if !in_order {
            // A gap opened, or was mended at least in part.
            self.since_gap = 0;
            self.acknowledgement = Acknowledgement::Now;
        }
        Ok(())
    }

    /// A packet with data was taken in whole.
    pub(crate) fn finish_packet(&mut self, now: Instant) {
        self.packets += 1;
        self.since_gap = self.since_gap.saturating_add(1);
        let keen = self.received.has_gap() && self.since_gap <= KEEN_PACKETS;
        if self.packets >= 2 || keen {
            self.acknowledgement = Acknowledgement::Now;
        }
        if self.acknowledgement == Acknowledgement::Nothing {
            self.acknowledgement = Acknowledgement::By(now + self.delay);
        }
    }

    /// The peer gave up everything up to a TSN.
    pub(crate) fn handle_forward(
        &mut self,
        forward: &ForwardTsn<'_>,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) {
        self.acknowledgement = Acknowledgement::Now;
        if self.received.forward(forward.tsn) {
            self.reassembly.forward(forward, readable, stats);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.acknowledgement {
            Acknowledgement::By(at) => Some(at),
            _ => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.acknowledgement, Acknowledgement::By(at) if at <= now) {
            self.acknowledgement = Acknowledgement::Now;
        }
    }

    /// A SACK has to leave now.
    pub(crate) fn is_sack_due(&self) -> bool {
        self.acknowledgement == Acknowledgement::Now
    }

    /// A SACK may leave, if a packet does anyway.
    pub(crate) fn is_sack_welcome(&self) -> bool {
        self.acknowledgement != Acknowledgement::Nothing
    }

    /// Length of the SACK chunk, gaps aside.
    pub(crate) const SACK_LEN: usize = CHUNK_HEADER_LEN + 12;

    /// Writes a SACK with as many gap blocks as fit.
    pub(crate) fn write_sack(&mut self, out: &mut Writer<'_>, stats: &mut Stats) {
        let Some(room) = out.room().checked_sub(Self::SACK_LEN) else { return };
        let duplicates = self.duplicates.len().min(room / 4);
        let limit = ((room - 4 * duplicates) / 4).min(MAX_GAPS);
        let window = self.reassembly.window();
        let cumulative = self.received.cumulative();
        let gaps = self.received.gaps(limit);
        let len = Self::SACK_LEN - CHUNK_HEADER_LEN + 4 * (gaps.len() + duplicates);
        out.chunk(kind::SACK, 0, len, |body| {
            body.u32(cumulative);
            body.u32(window as u32);
            body.u16(gaps.len() as u16);
            body.u16(duplicates as u16);
            for (start, end) in gaps {
                body.u16(*start);
                body.u16(*end);
            }
            for tsn in &self.duplicates[..duplicates] {
                body.u32(*tsn);
            }
        });
        self.duplicates.clear();
        self.acknowledgement = Acknowledgement::Nothing;
        self.packets = 0;
        self.advertised = window;
        stats.sacks_sent += 1;
    }

    /// The next message of a stream.
    pub(crate) fn recv(&mut self, stream: u16) -> Option<Message> {
        let message = self.reassembly.recv(stream)?;
        // A peer that was told of little room waits to hear of more (RFC 9260 section 6.2.1).
        if self.advertised < self.reassembly.limit() / 4
            && self.reassembly.window() >= self.reassembly.limit() / 2
        {
            self.acknowledgement = Acknowledgement::Now;
        }
        Some(message)
    }

    pub(crate) fn cumulative(&self) -> u32 {
        self.received.cumulative()
    }

    /// The peer begins anew on this stream; `None` means on all.
    pub(crate) fn reset(&mut self, stream: Option<u16>, out: &mut Vec<u16>) {
        self.reassembly.reset(stream, out);
    }

    pub(crate) fn buffered(&self) -> usize {
        self.reassembly.used()
    }
}

/// Duplicates named in one SACK.
const MAX_DUPLICATES: usize = 16;

/// Gap blocks in one SACK; the newest gaps are the ones that may be left out, the peer hears of them later.
const MAX_GAPS: usize = 256;

/// After a gap opens, so many packets are acknowledged one by one (RFC 9260 section 6.7), so that any sender has its three
/// reports of the gap. A gap that stays has nothing new to say.
const KEEN_PACKETS: u32 = 4;
