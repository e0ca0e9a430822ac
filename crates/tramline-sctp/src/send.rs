//! The sending half: from messages to DATA and FORWARD TSN chunks, with loss detection, congestion control and pacing.

use std::time::{Duration, Instant};

use bytes::Bytes;

mod flight;
mod pacer;
mod spares;
mod streams;

use flight::{Entry, Flight, PathTimes};
use pacer::Pacer;
use spares::{Advice, Spares};
use streams::{Queued, Streams};

use crate::config::{Config, Delivery};
use crate::congestion::{self, Ack, Controller};
use crate::rtt::Rtt;
use crate::serial::before;
use crate::stats::Stats;
use crate::wire::{CHUNK_HEADER_LEN, DATA_HEADER_LEN, DataFlags, HEADER_LEN, Sack, Writer, kind, padded};

#[derive(Debug)]
pub(crate) struct Sender {
    streams: Streams,
    flight: Flight,
    spares: Spares,
    advice: Advice,
    /// Packets with data that were made or begun.
    packets: u64,
    current: Option<Current>,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    rtt: Rtt,
    /// Longest fragment.
    fragment: usize,
    /// Bytes beyond what is in flight that the peer has room for, as of its last SACK.
    peer_window: usize,
    can_abandon: bool,
    /// The congestion window kept something from being sent since the round began.
    limited: bool,
    timers: Timers,
    forward: Forward,
    probe: Probe,
    /// Time-outs in a row.
    backoff: u32,
    rto: (Duration, Duration, Duration),
    asked_at: Option<Instant>,
    skipped: Vec<(u16, u16)>,
}

/// A message that is being cut into chunks.
#[derive(Debug)]
struct Current {
    message: Queued,
    stream: u16,
    /// Its number in the flight once a part of it was sent.
    number: Option<u64>,
    offset: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Timers {
    /// When the oldest transmission in flight left.
    oldest: Option<Instant>,
    /// When a chunk that was overtaken counts as lost.
    reorder: Option<Instant>,
    /// When data last left, or progress was last made.
    active: Option<Instant>,
    /// When the pacer lets the next packet go.
    pacing: Option<Instant>,
    forward: Option<Instant>,
}

/// What was said with FORWARD TSN so far.
#[derive(Debug, Clone, Copy, Default)]
struct Forward {
    point: u32,
    at: Option<Instant>,
    repeats: u32,
    /// When the first of what was not said yet was given up.
    since: Option<Instant>,
}

/// Whether the tail of what was sent is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// To be sent when the acknowledgement takes too long.
    Armed,
    Due,
    Done,
}

impl Sender {
    pub(crate) fn new(config: &Config, first_tsn: u32) -> Self {
        Self {
            streams: Streams::default(),
            flight: Flight::new(first_tsn),
            spares: Spares::default(),
            advice: Advice::default(),
            packets: 0,
            current: None,
            controller: congestion::controller(config),
            pacer: Pacer::new(config.packet_budget),
            rtt: Rtt::new(),
            fragment: (config.packet_budget - HEADER_LEN - DATA_HEADER_LEN) / 4 * 4,
            peer_window: 0,
            can_abandon: false,
            limited: false,
            timers: Timers::default(),
            forward: Forward::default(),
            probe: Probe::Done,
            backoff: 0,
            rto: (config.rto_initial, config.rto_margin, config.rto_backed_off),
            asked_at: None,
            skipped: Vec::new(),
        }
    }

    /// The handshake is done.
    pub(crate) fn start(&mut self, peer_window: u32, can_abandon: bool) {
        self.peer_window = peer_window as usize;
        self.can_abandon = can_abandon;
        self.flight.set_can_abandon(can_abandon);
    }

    /// A round trip that was measured by other means than data.
    pub(crate) fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        self.rtt.handle_sample(now, round_trip);
    }

    /// Queues a message; `false` while its stream is being reset.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        stream: u16,
        ppid: u32,
        payload: Bytes,
        delivery: Delivery,
    ) -> bool {
        let Delivery { ordered, max_retransmits, lifetime, copies, flow, receipt } = delivery;
        let expires = lifetime.map(|lifetime| now + lifetime);
        let message = Queued { payload, ppid, ordered, max_retransmits, expires, copies, flow, receipt };
        self.streams.push(stream, message)
    }

    pub(crate) fn handle_sack(&mut self, now: Instant, sack: &Sack<'_>, stats: &mut Stats) {
        let min = self.rtt.min();
        let Some(acked) = self.flight.handle_sack(now, sack, min, &mut self.streams, stats) else { return };
        self.peer_window = sack.window as usize;
        if let Some(round_trip) = acked.round_trip {
            self.rtt.handle_sample(now, round_trip);
        }
        if acked.progress {
            self.backoff = 0;
            self.timers.active = Some(now);
            self.probe = Probe::Armed;
        }
        if acked.bytes > 0 || acked.round_ended {
            self.controller.handle_ack(&Ack {
                now,
                bytes: acked.bytes,
                round_trip: acked.round_trip,
                round_ended: acked.round_ended,
                window_limited: self.limited,
            });
            if acked.round_ended {
                self.limited = false;
            }
        }
        self.detect_losses(now, stats);
        self.tidy(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, stats: &mut Stats) {
        if self.timers.reorder.is_some_and(|at| at <= now) {
            self.detect_losses(now, stats);
        }
        if self.timeout_at().is_some_and(|at| at <= now) {
            stats.timeouts += 1;
            // A full receiver does not acknowledge; that says nothing about the path.
            let is_full = self.peer_window == 0;
            self.flight.lose_all(now, &mut self.streams, stats);
            if !is_full {
                self.controller.handle_timeout(now);
            }
            self.check_current(now, stats);
            self.backoff += 1;
            self.timers.reorder = None;
            self.probe = Probe::Done;
            self.pacer.reset();
        } else if self.probe_at().is_some_and(|at| at <= now) {
            self.probe = Probe::Due;
        }
        self.tidy(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let Timers { reorder, pacing, forward, .. } = self.timers;
        [self.timeout_at(), self.probe_at(), reorder, pacing, forward].into_iter().flatten().min()
    }

    /// Time-outs since anything was acknowledged.
    pub(crate) fn timeouts_in_a_row(&self) -> u32 {
        self.backoff
    }

    /// Bytes of user data of the chunk that may leave now.
    pub(crate) fn ready(&mut self, now: Instant, stats: &mut Stats) -> Option<usize> {
        self.timers.pacing = None;
        let probing = self.probe == Probe::Due;
        if !probing && self.flight.bytes() >= self.controller.window() {
            self.limited |= !self.is_idle();
            return None;
        }
        let len = self.next_len(now, stats)?;
        let fits = self.flight.payload() + len <= self.peer_window || self.flight.payload() == 0;
        if !fits {
            return None;
        }
        if !probing && let Some(at) = self.pacer.blocked_until(now, self.controller.pacing_rate()) {
            self.timers.pacing = Some(at);
            return None;
        }
        Some(len)
    }

    /// Writes as many DATA chunks as may leave and fit, or a probe when one is due.
    pub(crate) fn write_data(&mut self, now: Instant, out: &mut Writer<'_>, stats: &mut Stats) {
        let mut last = None;
        let mut full = false;
        self.packets += 1;
        let probing = self.probe == Probe::Due;
        while let Some(len) = self.ready(now, stats) {
            let fits = self.write_spares(now, len, out, &mut last, stats);
            if !fits || DATA_HEADER_LEN + padded(len) > out.room() {
                full = true;
                break;
            }
            let Some(tsn) = self.send_next(now, len, stats) else { break };
            last = self.write_chunk(tsn, out).or(last);
            self.pacer.take(DATA_HEADER_LEN + padded(len));
            self.probe = Probe::Armed;
            if probing {
                break;
            }
        }
        if probing && self.probe == Probe::Due && (full || !out.is_empty()) {
            // It leaves with the next packet.
        } else if probing && self.probe == Probe::Due {
            // Nothing new may be sent: the last chunk once more, or at least a question.
            self.probe = Probe::Done;
            if let Some(tsn) = self.flight.probe(now) {
                stats.retransmissions += 1;
                last = self.write_chunk(tsn, out);
            } else if self.can_abandon && out.room() >= CHUNK_HEADER_LEN + 4 {
                // RFC 3758 section 3.6: a FORWARD TSN that is behind is answered at once.
                let point = self.flight.cumulative();
                out.chunk(kind::FORWARD_TSN, 0, 4, |body| body.u32(point));
            }
            stats.probes += 1;
        } else if probing {
            self.probe = Probe::Done;
            stats.probes += 1;
        }
        if let Some(chunk) = last {
            self.timers.active = Some(now);
            // Nothing follows for now: without being asked, the peer may wait for it.
            let asked = self.asked_at.is_some_and(|at| now < at + self.asking_interval());
            if probing || (!full && !asked) {
                out.add_flags(chunk, DataFlags::IMMEDIATE);
                self.asked_at = Some(now);
            }
        }
        self.tidy(now);
    }

    /// Writes a FORWARD TSN when one is due.
    pub(crate) fn write_forward(&mut self, now: Instant, out: &mut Writer<'_>, stats: &mut Stats) {
        if self.timers.forward.is_none_or(|at| at > now) || out.room() < CHUNK_HEADER_LEN + 4 {
            return;
        }
        let limit = (out.room() - CHUNK_HEADER_LEN - 4) / 4;
        let mut skipped = std::mem::take(&mut self.skipped);
        let point = self.flight.skipped(limit, &mut skipped);
        out.chunk(kind::FORWARD_TSN, 0, 4 + 4 * skipped.len(), |body| {
            body.u32(point);
            for (stream, ssn) in &skipped {
                body.u16(*stream);
                body.u16(*ssn);
            }
        });
        self.skipped = skipped;
        stats.forward_tsns += 1;
        let repeated = self.forward.at.is_some() && self.forward.point == point;
        let repeats = if repeated { self.forward.repeats + 1 } else { 0 };
        self.forward = Forward { point, at: Some(now), repeats, since: None };
        self.flight.note_told(point);
        self.tidy(now);
    }

    /// Bytes that the layer above may hand in now, so that the window is filled and no queue builds up behind it, nor
    /// behind the pacer: what waits here cannot be overtaken by what the layer above finds more urgent.
    pub(crate) fn room(&self) -> usize {
        let buffered = self.streams.total_buffered();
        let room = (self.controller.window() + 2 * self.fragment).saturating_sub(buffered);
        match self.controller.pacing_rate() {
            Some(rate) => {
                let current = self.current.as_ref();
                let waiting = self.streams.queued()
                    + current.map_or(0, |current| current.message.payload.len() - current.offset);
                room.min(pacer::until_next_tick(rate).saturating_sub(waiting))
            }
            None => room,
        }
    }

    pub(crate) fn is_paced(&self) -> bool {
        self.controller.pacing_rate().is_some()
    }

    pub(crate) fn suggested_copies(&self) -> u8 {
        self.advice.copies(self.rtt.min())
    }

    pub(crate) fn buffered(&self, stream: u16) -> usize {
        self.streams.buffered(stream)
    }

    /// Receipts of what was acknowledged since the last call.
    pub(crate) fn take_receipts(&mut self) -> impl Iterator<Item = u64> {
        self.flight.take_receipts()
    }

    /// Everything was sent and acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_idle() && self.flight.is_empty()
    }

    pub(crate) fn next_tsn(&self) -> u32 {
        self.flight.next_tsn()
    }

    pub(crate) fn rto(&self) -> Duration {
        self.rtt.timeout(self.rto.0, self.rto.1)
    }

    pub(crate) fn want_reset(&mut self, stream: u16) -> bool {
        self.streams.want_reset(stream)
    }

    pub(crate) fn request_resets(&mut self, limit: usize, out: &mut Vec<u16>) {
        let busy = self.current.as_ref().map(|current| current.stream);
        self.streams.request_resets(busy, limit, out);
    }

    pub(crate) fn finish_reset(&mut self, stream: u16, performed: bool) {
        self.streams.finish_reset(stream, performed);
    }

    pub(crate) fn used_streams(&self) -> impl Iterator<Item = u16> {
        self.streams.used()
    }

    pub(crate) fn report(&self, stats: &mut Stats) {
        stats.round_trip = self.rtt.smoothed();
        stats.min_round_trip = self.rtt.min();
        stats.window = self.controller.window();
        stats.in_flight = self.flight.bytes();
        stats.buffered = self.streams.total_buffered();
        stats.peer_window = self.peer_window.saturating_sub(self.flight.payload());
    }

    fn is_idle(&self) -> bool {
        self.current.is_none() && self.streams.is_empty()
    }
}

impl Sender {
    fn detect_losses(&mut self, now: Instant, stats: &mut Stats) {
        self.timers.reorder = None;
        let Some(times) = self.path_times() else { return };
        let (bytes, again) = self.flight.detect_losses(now, times, &mut self.streams, stats);
        self.timers.reorder = again;
        self.check_current(now, stats);
        if bytes > 0 {
            self.controller.handle_loss(now, bytes);
        }
    }

    /// The length of the chunk that is next, however long it has to wait.
    fn next_len(&mut self, now: Instant, stats: &mut Stats) -> Option<usize> {
        let times = self.path_times();
        if let Some(len) = self.flight.next_lost(now, times, &mut self.streams, stats) {
            return Some(len);
        }
        loop {
            if let Some(current) = &self.current {
                let expired = current.message.expires.is_some_and(|expires| expires <= now);
                let over = match current.number {
                    Some(number) => self.flight.is_abandoned(number) || (expired && self.can_abandon),
                    None => expired,
                };
                if !over {
                    return Some((current.message.payload.len() - current.offset).min(self.fragment));
                }
                self.give_up_current(now, stats);
            }
            let (stream, message) = self.streams.pop(now, || stats.abandoned_messages += 1)?;
            self.current = Some(Current { message, stream, number: None, offset: 0 });
        }
    }

    /// When a part of the message that is being sent was given up, all of it is.
    fn check_current(&mut self, now: Instant, stats: &mut Stats) {
        let number = self.current.as_ref().and_then(|current| current.number);
        if number.is_some_and(|number| self.flight.is_abandoned(number)) {
            self.give_up_current(now, stats);
        }
    }

    fn give_up_current(&mut self, now: Instant, stats: &mut Stats) {
        let Some(Current { message, stream, number, offset }) = self.current.take() else { return };
        self.streams.release(stream, message.payload.len() - offset);
        match number {
            Some(number) => {
                self.flight.give_up(number, &mut self.streams, stats);
                self.flight.cut_off(now, number);
            }
            None => stats.abandoned_messages += 1,
        }
    }

    /// Sends the chunk that [`next_len`](Self::next_len) spoke of.
    fn send_next(&mut self, now: Instant, len: usize, stats: &mut Stats) -> Option<u32> {
        if let Some(tsn) = self.flight.send_lost(now) {
            stats.retransmissions += 1;
            return Some(tsn);
        }
        let current = self.current.as_mut()?;
        let number = match current.number {
            Some(number) => number,
            None => {
                let Queued { payload, ppid, ordered, max_retransmits, expires, receipt, .. } =
                    current.message.clone();
                let stream = current.stream;
                // Unordered messages have no number of their own (RFC 9260 section 6.6).
                let ssn = if ordered { self.streams.take_ssn(stream) } else { self.streams.peek_ssn(stream) };
                let number = self.flight.begin(Entry {
                    payload,
                    stream,
                    ssn,
                    ppid,
                    ordered,
                    max_retransmits,
                    expires,
                    receipt,
                });
                current.number = Some(number);
                number
            }
        };
        let tsn = self.flight.send_new(now, number, current.offset, len);
        if len == current.message.payload.len() {
            // More than fit into a packet with the next message cost a packet each.
            let fit = (self.fragment / (DATA_HEADER_LEN + padded(len))).saturating_sub(1).clamp(1, 255);
            let copies = current.message.copies.min(fit as u8);
            self.spares.push(tsn, current.message.flow, copies, self.packets);
        }
        current.offset += len;
        if current.offset == current.message.payload.len() {
            self.current = None;
        }
        stats.chunks_sent += 1;
        Some(tsn)
    }

    fn write_chunk(&self, tsn: u32, out: &mut Writer<'_>) -> Option<usize> {
        let chunk = self.flight.written(tsn)?;
        let mut flags = 0;
        for (set, flag) in [
            (chunk.begin, DataFlags::BEGIN),
            (chunk.end, DataFlags::END),
            (!chunk.ordered, DataFlags::UNORDERED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let len = DATA_HEADER_LEN - CHUNK_HEADER_LEN + chunk.payload.len();
        Some(out.chunk(kind::DATA, flags, len, |body| {
            body.u32(chunk.tsn);
            body.u16(chunk.stream);
            body.u16(chunk.ssn);
            body.u32(chunk.ppid);
            body.bytes(chunk.payload);
        }))
    }

    /// Writes the spares that have to go ahead of the new message that is next, if one is. `false` when the message has to
    /// wait for the next packet.
    fn write_spares(
        &mut self,
        now: Instant,
        len: usize,
        out: &mut Writer<'_>,
        last: &mut Option<usize>,
        stats: &mut Stats,
    ) -> bool {
        if self.spares.is_empty() || self.flight.has_lost() {
            return true;
        }
        let Some((flow, true)) = self.current.as_ref().map(|next| (next.message.flow, next.offset == 0))
        else {
            return true;
        };
        let (new, packet) = (self.flight.next_tsn(), self.packets);
        self.spares.retain(|tsn| self.flight.in_flight(tsn).is_some());
        let total: usize = self
            .spares
            .due(flow, new, packet)
            .map(|tsn| DATA_HEADER_LEN + padded(self.flight.in_flight(tsn).unwrap_or(0)))
            .sum();
        if total == 0 {
            return true;
        }
        // A spare must not take the place of something new.
        let room = self.controller.window().saturating_sub(self.flight.bytes() + DATA_HEADER_LEN + len);
        if self.streams.queued() > self.fragment || total > room {
            self.spares.cancel(flow);
            return true;
        }
        let size_of_new = DATA_HEADER_LEN + padded(len);
        let together = total + size_of_new <= out.room();
        if !together && last.is_some() {
            // In the next packet all of them may fit.
            return false;
        }
        loop {
            let Some(tsn) = self.spares.due(flow, new, packet).next() else { break };
            let len = self.flight.in_flight(tsn).unwrap_or(0);
            if DATA_HEADER_LEN + padded(len) > out.room() {
                break;
            }
            self.flight.send_spare(now, tsn);
            self.spares.note_sent(tsn, new, packet);
            self.pacer.take(DATA_HEADER_LEN + padded(len));
            stats.copies += 1;
            *last = self.write_chunk(tsn, out).or(*last);
        }
        together
    }

    /// Brings the timers up to date.
    fn tidy(&mut self, now: Instant) {
        self.timers.oldest = self.flight.oldest().map(|(_, sent_at)| sent_at);
        if self.flight.take_lost_small() > 0 {
            self.advice.handle_loss(now, self.rtt.smoothed().unwrap_or(self.rto.0));
        }
        self.advice.handle_time(now);
        self.timers.forward = self.flight.forward_point().map(|point| {
            let told = self.forward.at.filter(|_| !before(self.forward.point, point));
            if let Some(last) = told {
                return last + self.backed_off(self.forward.repeats);
            }
            // One for all that is given up meanwhile, and a last chance for what is only late.
            let smoothed = self.rtt.smoothed().unwrap_or(self.rto.0);
            let pause = (smoothed / 4).clamp(LEAST_FORWARD_PAUSE, MOST_FORWARD_PAUSE);
            let since = *self.forward.since.get_or_insert(now);
            if self.flight.blocks_a_stream() {
                // Everything behind it waits.
                return self.forward.at.map_or(since, |last| since.max(last + LEAST_FORWARD_PAUSE));
            }
            since + pause
        });
        if self.timers.forward.is_none() {
            self.forward.repeats = 0;
            self.forward.since = None;
        }
    }

    /// RFC 7765 in its simplest form: the time-out runs from when the oldest chunk left, not from the last acknowledgement.
    fn timeout_at(&self) -> Option<Instant> {
        Some(self.timers.oldest? + self.backed_off(self.backoff))
    }

    fn backed_off(&self, times: u32) -> Duration {
        let rto = self.rto();
        (rto * (1 << times.min(10))).min(self.rto.2.max(rto))
    }

    fn probe_at(&self) -> Option<Instant> {
        if self.probe != Probe::Armed || self.timers.oldest.is_none() {
            return None;
        }
        Some(self.timers.active? + (self.rtt.smoothed()? * 2).max(LEAST_PROBE))
    }

    fn asking_interval(&self) -> Duration {
        let smoothed = self.rtt.smoothed().unwrap_or_default();
        (smoothed / 4).clamp(LEAST_ASKING, MOST_ASKING)
    }

    fn path_times(&self) -> Option<PathTimes> {
        Some(PathTimes { smoothed: self.rtt.smoothed()?.max(self.rtt.latest()), min: self.rtt.min()? })
    }
}

/// Between FORWARD TSN chunks that say something new.
const LEAST_FORWARD_PAUSE: Duration = Duration::from_millis(5);
const MOST_FORWARD_PAUSE: Duration = Duration::from_millis(50);

/// RFC 8985 section 7.2 has two round trips; a peer's scheduler is given this long at least.
const LEAST_PROBE: Duration = Duration::from_millis(10);

/// How often the peer is asked not to wait with its acknowledgement (the I bit, RFC 9260 section 3.3.1): often enough to
/// measure and to find losses within a round trip, seldom enough that not every packet has its own.
const LEAST_ASKING: Duration = Duration::from_millis(2);
const MOST_ASKING: Duration = Duration::from_millis(25);
