//! From packets to frames: the subscriber's end of a data track.

mod partial;
mod window;

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tracing::trace;
use tramline_wire::{Header, MAX_PACKETS_PER_FRAME, Marker, ParseError};

use crate::frame::Frame;
use crate::stats::{Counters, DropReason};
use partial::{Added, Partial};
use window::{Verdict, Window};

/// What a reassembler may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Frames of several packets that may be in flight at once.
    ///
    /// 1 (and 0) behaves exactly as LiveKit's clients do by default: the start of a frame ends the one before it,
    /// the final packet must come last, parts in flight do not age, and a repeated frame is delivered again.
    pub max_partial_frames: usize,
    /// Payload bytes that may wait for the rest of their frames.
    pub max_bytes: usize,
    /// How long a frame may wait for its next packet.
    pub max_age: Duration,
}

impl Config {
    /// One lost packet does not cost its neighbours, even when packets overtake each other across frames.
    pub const DEFAULT_MAX_PARTIAL_FRAMES: usize = 8;
    /// Four frames of the largest size.
    pub const DEFAULT_MAX_BYTES: usize = 8 << 20;
    /// Far above the time between two packets of a frame on any link that is of use.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(1);

    /// Sets [`max_partial_frames`](Self::max_partial_frames).
    pub fn with_max_partial_frames(self, max_partial_frames: usize) -> Self {
        Self { max_partial_frames, ..self }
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Sets [`max_age`](Self::max_age).
    pub fn with_max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_partial_frames: Self::DEFAULT_MAX_PARTIAL_FRAMES,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            max_age: Self::DEFAULT_MAX_AGE,
        }
    }
}

/// Parses a message of the data-track channel into header and payload, without copying or counting references.
///
/// # Errors
/// The message is no data-track packet.
pub fn split(mut message: Bytes) -> Result<(Header, Bytes), ParseError> {
    let (header, payload_offset) = Header::parse(&message)?;
    message.advance(payload_offset);
    Ok((header, message))
}

/// Makes the frames of one subscribed track again.
///
/// Give it every packet with [`handle_packet`](Self::handle_packet); a frame comes out with the packet that makes
/// it whole. Packets of a frame may come in any order and more than once. A frame that cannot be made whole is
/// dropped whole and counted, once; a whole frame that comes again is not delivered again.
///
/// When packets stop coming, [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout) lets
/// go of what is left.
#[derive(Debug)]
pub struct Reassembler {
    config: Config,
    /// Oldest first.
    partials: Vec<Partial>,
    /// Emptied, with the memory that they have.
    spare: Vec<Partial>,
    /// Payload bytes in `partials`.
    bytes: usize,
    window: Window,
    counters: Counters,
}

impl Reassembler {
    /// A reassembler that has seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            partials: Vec::new(),
            spare: Vec::new(),
            bytes: 0,
            window: Window::new(),
            counters: Counters::default(),
        }
    }

    /// Changes the bounds; what is above the new ones is dropped now.
    pub fn set_config(&mut self, now: Instant, config: Config) {
        self.config = config;
        while self.partials.len() > config.max_partial_frames.max(1) || self.bytes > config.max_bytes {
            self.drop_partial(now, 0, DropReason::Interrupted);
        }
    }

    /// Takes a packet of the track; returns the frame that it makes whole.
    ///
    /// `payload` is what [`split`] leaves of the message. A frame of one packet is that payload itself.
    pub fn handle_packet(&mut self, now: Instant, header: &Header, payload: Bytes) -> Option<Frame> {
        if self.is_strict() {
            self.handle_strict(now, header, payload)
        } else {
            self.handle(now, header, payload)
        }
    }

    /// When the oldest frame in flight has waited too long for its next packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_strict() {
            return None;
        }
        self.partials
            .iter()
            .filter_map(|partial| partial.last_packet)
            .min()
            .map(|last| last + self.config.max_age)
    }

    /// Drops frames that have waited too long for their next packet.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_strict() {
            return;
        }
        let mut index = 0;
        while let Some(partial) = self.partials.get(index) {
            if partial.last_packet.is_none_or(|last| last + self.config.max_age <= now) {
                self.drop_partial(now, index, DropReason::Incomplete);
            } else {
                index += 1;
            }
        }
    }

    /// Frames begun, delivered, and dropped by reason; packets of frames that are known to be over count nowhere.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames that wait for packets.
    pub fn partial_frames(&self) -> usize {
        self.partials.len()
    }

    fn is_strict(&self) -> bool {
        self.config.max_partial_frames <= 1
    }

    fn handle(&mut self, now: Instant, header: &Header, payload: Bytes) -> Option<Frame> {
        match self.window.check(now, header) {
            Verdict::New => {}
            Verdict::Delivered => {
                // A repeated frame has one start, so that it counts once however many packets it has.
                if header.marker.is_start() {
                    self.drop_unheld(header, DropReason::Duplicate);
                }
                return None;
            }
            Verdict::Dropped => return None,
        }
        if header.marker == Marker::Single {
            self.counters.accepted += 1;
            self.window.note_delivered(now, header.frame_number, header.timestamp, header.sequence, 1);
            return Some(self.deliver(header.frame_number, header, payload));
        }

        self.handle_timeout(now);
        let mut index = self.position(header.frame_number);
        if let Some(old) = index
            && self.partials[old].timestamp != header.timestamp
        {
            // The same number with another time is another frame: the publisher began again.
            self.drop_partial(now, old, DropReason::Incomplete);
            index = None;
        }
        let index = index.unwrap_or_else(|| self.begin(now, header));
        self.add(now, index, header, payload)
    }

    fn handle_strict(&mut self, now: Instant, header: &Header, payload: Bytes) -> Option<Frame> {
        if header.marker.is_start() {
            while !self.partials.is_empty() {
                self.drop_partial(now, 0, DropReason::Interrupted);
            }
        }
        match header.marker {
            Marker::Single => {
                self.counters.accepted += 1;
                Some(self.deliver(header.frame_number, header, payload))
            }
            Marker::Start => {
                let index = self.begin(now, header);
                self.add(now, index, header, payload)
            }
            Marker::Inter | Marker::Final => {
                let Some(index) = self.position(header.frame_number) else {
                    self.drop_unheld(header, DropReason::UnknownFrame);
                    return None;
                };
                if self.partials[index].packets() == MAX_PACKETS_PER_FRAME {
                    self.drop_partial(now, index, DropReason::Oversize);
                    return None;
                }
                let frame = self.add(now, index, header, payload);
                if frame.is_none()
                    && header.marker == Marker::Final
                    && let Some(index) = self.position(header.frame_number)
                {
                    self.drop_partial(now, index, DropReason::Incomplete);
                }
                frame
            }
        }
    }

    /// Makes room for a frame and opens it; returns its place.
    fn begin(&mut self, now: Instant, header: &Header) -> usize {
        while self.partials.len() >= self.config.max_partial_frames.max(1) {
            self.drop_partial(now, 0, DropReason::Interrupted);
        }
        self.counters.accepted += 1;
        let mut partial = self.spare.pop().unwrap_or_default();
        partial.begin(now, header);
        self.partials.push(partial);
        self.partials.len() - 1
    }

    fn add(&mut self, now: Instant, mut index: usize, header: &Header, payload: Bytes) -> Option<Frame> {
        let partial = &mut self.partials[index];
        self.bytes -= partial.bytes;
        let added = partial.add(now, header, payload);
        self.bytes += partial.bytes;
        match added {
            Added::Complete => {
                let mut partial = self.partials.remove(index);
                self.bytes -= partial.bytes;
                let packets = partial.packets() as u16;
                let (number, start) = (partial.number, partial.start_header());
                let payload = partial.assemble();
                self.spare.push(partial);
                if !self.is_strict() {
                    self.window.note_delivered(now, number, start.timestamp, start.sequence, packets);
                }
                Some(self.deliver(number, &start, payload))
            }
            Added::Partly => {
                while self.bytes > self.config.max_bytes && self.partials.len() > 1 {
                    let oldest = usize::from(index == 0);
                    self.drop_partial(now, oldest, DropReason::Interrupted);
                    index = index.saturating_sub(1);
                }
                if self.bytes > self.config.max_bytes {
                    self.drop_partial(now, index, DropReason::Oversize);
                }
                None
            }
            Added::Never(reason) => {
                self.drop_partial(now, index, reason);
                None
            }
        }
    }

    fn deliver(&mut self, number: u16, start: &Header, payload: Bytes) -> Frame {
        self.counters.sent += 1;
        self.counters.bytes += payload.len() as u64;
        Frame {
            payload,
            user_timestamp: start.extensions.user_timestamp,
            e2ee: start.extensions.e2ee,
            number,
            timestamp: start.timestamp,
        }
    }

    fn position(&self, number: u16) -> Option<usize> {
        self.partials.iter().position(|partial| partial.number == number)
    }

    fn drop_partial(&mut self, now: Instant, index: usize, reason: DropReason) {
        let mut partial = self.partials.remove(index);
        trace!(frame = partial.number, packets = partial.packets(), %reason, "frame dropped");
        self.bytes -= partial.bytes;
        self.counters.dropped.add(reason);
        if !self.is_strict() {
            // Its later packets must not open it again.
            self.window.note_dropped(now, partial.number, partial.timestamp);
        }
        partial.clear();
        self.spare.push(partial);
    }

    fn drop_unheld(&mut self, header: &Header, reason: DropReason) {
        trace!(frame = header.frame_number, sequence = header.sequence, %reason, "packet dropped");
        self.counters.dropped.add(reason);
    }
}

#[cfg(test)]
mod tests;
