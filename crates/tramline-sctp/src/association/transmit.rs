//! Making packets.

use std::time::Instant;

use super::{Association, State};
use crate::receive::Receiver;
use crate::wire::{CHUNK_HEADER_LEN, Checksum, DATA_HEADER_LEN, Header, Writer, extension, kind, padded};

impl Association {
    /// Writes the next packet that may leave now into `out`, and returns its length. Call it until it returns `None`.
    ///
    /// Packets are at most [`Config::packet_budget`](crate::Config::packet_budget) bytes long; `out` has to hold that.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        self.epoch.get_or_insert(now);
        let out = &mut out[..self.config.packet_budget];
        let len =
            self.write_farewell(out).or_else(|| self.write_init_ack(out)).or_else(|| match self.state {
                State::Over => None,
                State::CookieWait => self.write_init(now, out),
                _ => self.write_packet(now, out),
            })?;
        self.stats.packets_sent += 1;
        if self.is_open() {
            self.heartbeat.quiet_since = Some(now);
        }
        Some(len)
    }

    /// ABORT and SHUTDOWN COMPLETE: the last words.
    fn write_farewell(&mut self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, self.header(self.peer.tag));
        if let Some(cause) = self.pending.abort.take() {
            writer.chunk(kind::ABORT, 0, 4, |body| body.parameter(cause as u16, &[]));
        } else if std::mem::take(&mut self.pending.shutdown_complete) {
            writer.chunk(kind::SHUTDOWN_COMPLETE, 0, 0, |_| {});
        } else {
            return None;
        }
        Some(writer.finish(self.checksum()))
    }

    fn write_init_ack(&mut self, out: &mut [u8]) -> Option<usize> {
        let ack = self.pending.init_ack.take()?;
        let mut writer = Writer::new(out, self.header(ack.peer_tag));
        let cookie = 4 + padded(ack.cookie.len());
        let len = INIT_LEN + self.extensions_len() + cookie + ack.unknown.len();
        writer.chunk(kind::INIT_ACK, 0, len, |body| {
            self.write_init_body(ack.local_tag, ack.local_tsn, body);
            body.parameter(extension::STATE_COOKIE, &ack.cookie);
            body.bytes(&ack.unknown);
        });
        // Not before the peer has said that it accepts a checksum of zero, and then only if it did in this INIT.
        Some(writer.finish(Checksum::Crc32c))
    }

    fn write_init(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if self.handshake.at.is_some_and(|at| at > now) {
            return None;
        }
        let mut writer = Writer::new(out, self.header(0));
        writer.chunk(kind::INIT, 0, INIT_LEN + self.extensions_len(), |body| {
            self.write_init_body(self.local_tag, self.local_tsn, body);
        });
        self.note_try(now);
        Some(writer.finish(Checksum::Crc32c))
    }

    fn write_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out, self.header(self.peer.tag));
        let mut checksum = self.checksum();
        if self.state == State::CookieEchoed {
            if self.handshake.at.is_some_and(|at| at > now) {
                return None;
            }
            let cookie = self.handshake.cookie.clone();
            writer.chunk(kind::COOKIE_ECHO, 0, cookie.len(), |body| body.bytes(&cookie));
            self.note_try(now);
            // RFC 9653 section 5.2.
            return Some(writer.finish(Checksum::Crc32c));
        }
        if std::mem::take(&mut self.pending.cookie_ack) {
            writer.chunk(kind::COOKIE_ACK, 0, 0, |_| {});
        }
        self.write_replies(&mut writer);
        if !self.is_open() {
            if writer.is_empty() {
                return None;
            }
            checksum = Checksum::Crc32c;
            return Some(writer.finish(checksum));
        }
        self.write_shutdown(now, &mut writer);
        self.write_heartbeat(now, &mut writer);
        self.resets.prepare(now, &mut self.sender);
        if self.resets.is_due(now) {
            let rto = self.sender.rto();
            self.resets.write(now, rto, &mut writer);
        }
        if self.receiver.is_sack_due() {
            self.receiver.write_sack(&mut writer, &mut self.stats);
        }
        self.sender.write_forward(now, &mut writer, &mut self.stats);
        if self.receiver.is_sack_welcome()
            && let Some(len) = self.sender.ready(now, &mut self.stats)
            && Receiver::SACK_LEN + DATA_HEADER_LEN + padded(len) <= writer.room()
        {
            self.receiver.write_sack(&mut writer, &mut self.stats);
        }
        self.sender.write_data(now, &mut writer, &mut self.stats);
        if writer.is_empty() {
            return None;
        }
        Some(writer.finish(checksum))
    }

    /// HEARTBEAT ACK and ERROR.
    fn write_replies(&mut self, writer: &mut Writer<'_>) {
        while let Some(info) = self
            .pending
            .heartbeat_acks
            .pop_front()
            .filter(|info| CHUNK_HEADER_LEN + padded(info.len()) <= writer.room())
        {
            writer.chunk(kind::HEARTBEAT_ACK, 0, info.len(), |body| body.bytes(&info));
        }
        if let Some((cause, info)) = self.pending.error.take()
            && CHUNK_HEADER_LEN + 4 + padded(info.len()) <= writer.room()
        {
            writer.chunk(kind::ERROR, 0, 4 + padded(info.len()), |body| body.parameter(cause as u16, &info));
        }
    }

    fn write_shutdown(&mut self, now: Instant, writer: &mut Writer<'_>) {
        let is_due = self.handshake.at.is_some_and(|at| at <= now);
        match self.state {
            State::ShutdownSent if is_due => {
                let cumulative = self.receiver.cumulative();
                writer.chunk(kind::SHUTDOWN, 0, 4, |body| body.u32(cumulative));
                self.note_try(now);
            }
            State::ShutdownAckSent if is_due || std::mem::take(&mut self.pending.shutdown_ack) => {
                writer.chunk(kind::SHUTDOWN_ACK, 0, 0, |_| {});
                self.note_try(now);
            }
            _ => {}
        }
    }

    fn write_heartbeat(&mut self, now: Instant, writer: &mut Writer<'_>) {
        if self.state != State::Established || self.heartbeat_at().is_none_or(|at| at > now) {
            return;
        }
        let heartbeat = &mut self.heartbeat;
        if heartbeat.unanswered.is_some() {
            heartbeat.missed += 1;
        }
        heartbeat.number += 1;
        heartbeat.unanswered = Some((heartbeat.number, now));
        let number = heartbeat.number.to_be_bytes();
        writer.chunk(kind::HEARTBEAT, 0, 12, |body| body.parameter(1, &number));
    }

    fn write_init_body(&self, tag: u32, tsn: u32, body: &mut crate::wire::Body<'_>) {
        body.u32(tag);
        body.u32(self.config.receive_buffer.try_into().unwrap_or(u32::MAX));
        body.u16(self.config.streams);
        body.u16(self.config.streams);
        body.u32(tsn);
        body.parameter(extension::FORWARD_TSN, &[]);
        body.parameter(extension::SUPPORTED_CHUNKS, &[kind::RECONFIG, kind::FORWARD_TSN]);
        if self.config.zero_checksum {
            body.parameter(extension::ZERO_CHECKSUM, &extension::METHOD_DTLS.to_be_bytes());
        }
    }

    fn extensions_len(&self) -> usize {
        4 + 8 + if self.config.zero_checksum { 8 } else { 0 }
    }

    fn note_try(&mut self, now: Instant) {
        self.handshake.tries += 1;
        self.handshake.sent = Some(now);
        self.handshake.at = Some(now + self.handshake_timeout());
    }

    fn header(&self, tag: u32) -> Header {
        Header { source_port: self.config.local_port, destination_port: self.config.remote_port, tag }
    }

    /// RFC 9653: DTLS protects the packets better than a checksum, if both sides rely on it.
    fn checksum(&self) -> Checksum {
        if self.config.zero_checksum && self.peer.zero_checksum { Checksum::Zero } else { Checksum::Crc32c }
    }
}

/// The fixed part of INIT and INIT ACK.
const INIT_LEN: usize = 16;
