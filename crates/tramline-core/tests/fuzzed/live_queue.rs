//! The live queue against a model of the same rules that has no cleverness: one list of all frames ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tramline_core::queue::{LiveQueue, MAX_PARTS_PER_FRAME, Part, QueueConfig};
use tramline_core::stats::DropReason;
use tramline_sim::{Choices, VirtualClock};

/// Frames that can be told apart; the queue promises to remember so many.
const KEYS: u8 = 24;
/// The queue forgets frames after a silence of 10 s; the model does not.
const LONGEST_RUN: Duration = Duration::from_secs(9);

/// Runs the operations that `data` stands for on the queue and on the model.
pub(crate) fn check(data: &[u8]) {
    let mut input = Choices::new(data);
    let mut clock = VirtualClock::new();
    let config = config(&mut input);
    let mut queue = LiveQueue::new(config);
    let mut model = Model { config, ..Model::default() };
    let mut names = 0..;
    let mut name = move |len: usize| Token { id: names.next().expect("endless"), len };

    while !input.is_empty() && clock.elapsed() < LONGEST_RUN {
        let now = clock.now();
        model.rate = queue.drain_rate();
        let agreed = match input.below(8) {
            0 => {
                let parts: Vec<Token> = (0..input.below(5)).map(|_| name(len(&mut input))).collect();
                let entered = queue.push_frame(now, parts.iter().copied());
                model.push_frame(now, None, &parts).map(|expected| assert_eq!(entered, expected))
            }
            1..=3 => {
                let key = input.byte() % KEYS;
                let (is_start, is_end) =
                    input.one_of(&[(true, false), (false, false), (false, true), (true, true)]);
                let part = name(len(&mut input));
                let entered = queue.push_part(now, key.into(), is_start, is_end, part);
                model.push_part(now, key, is_start && is_end, is_end, part).map(|e| assert_eq!(entered, e))
            }
            4 | 5 => {
                let expected = queue.next_len();
                let popped = queue.pop(now);
                if let Some(part) = popped
                    && queue.counters().dropped.total() == model.dropped()
                {
                    assert_eq!(
                        expected,
                        Some(part.len),
                        "nothing was dropped, so the next part is the one foretold"
                    );
                }
                model.pop(now).map(|expected| assert_eq!(popped, expected))
            }
            6 => {
                clock.advance(Duration::from_millis(u64::from(input.byte())));
                queue.handle_timeout(clock.now());
                let agreed = model.expire(clock.now());
                assert!(
                    queue.poll_timeout().is_none_or(|at| at > clock.now()),
                    "time-outs are dealt with at once"
                );
                agreed
            }
            _ if input.byte() < 200 => {
                // Many small parts of one frame.
                let key = input.byte() % KEYS;
                (0..input.byte()).try_for_each(|_| {
                    let part = name(1);
                    let entered = queue.push_part(now, key.into(), false, false, part);
                    model
                        .push_part(now, key, false, false, part)
                        .map(|expected| assert_eq!(entered, expected))
                })
            }
            _ if input.flag() => {
                queue.clear(DropReason::TrackEnded);
                model.clear();
                Some(())
            }
            _ => {
                let config = self::config(&mut input);
                queue.set_config(now, config);
                model.set_config(now, config)
            }
        };
        if agreed.is_none() {
            return;
        }
        model.compare(&queue);
    }
    // What is left comes out in the right order.
    model.rate = queue.drain_rate();
    while let Some(expected) = model.pop(clock.now()) {
        let popped = queue.pop(clock.now());
        assert_eq!(popped, expected);
        if popped.is_none() {
            break;
        }
        model.rate = queue.drain_rate();
        model.compare(&queue);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    id: u32,
    len: usize,
}

impl Part for Token {
    fn byte_len(&self) -> usize {
        self.len
    }
}

fn len(input: &mut Choices<'_>) -> usize {
    input.one_of(&[0, 1, 10, 100, 1_000])
}

fn config(input: &mut Choices<'_>) -> QueueConfig {
    QueueConfig::default()
        .with_max_bytes(input.one_of(&[0, 10, 150, 1_500, 100_000]))
        .with_max_frames(input.one_of(&[None, Some(0), Some(1), Some(3), Some(100)]))
        .with_max_age(input.one_of(&[None, Some(0), Some(20), Some(100)]).map(Duration::from_millis))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Started(Instant),
    Dropped,
}

#[derive(Debug)]
struct Frame {
    key: Option<u8>,
    state: State,
    entered: Instant,
    parts: VecDeque<(Token, Instant)>,
    total_bytes: usize,
    total_parts: u32,
    ended: bool,
    /// Counted as sent; what comes later is extra.
    sent: bool,
}

#[derive(Default)]
struct Model {
    config: QueueConfig,
    frames: Vec<Frame>,
    /// Started frames with parts, in the order in which they get their turn.
    turns: VecDeque<usize>,
    /// Bytes per second, rounded down, as the queue measured it.
    rate: Option<u64>,
    accepted: u64,
    sent: u64,
    stale: u64,
    no_room: u64,
    cleared: u64,
}

/// `None` means that the model cannot tell: an age lies within the rounding of the measured rate.
impl Model {
    fn push_frame(&mut self, now: Instant, key: Option<u8>, parts: &[Token]) -> Option<bool> {
        self.expire(now)?;
        if parts.is_empty() {
            return Some(false);
        }
        let bytes = parts.iter().map(|part| part.len).sum();
        if !self.make_room(bytes, 1, None) {
            self.no_room += 1;
            return Some(false);
        }
        self.accepted += 1;
        self.frames.push(Frame {
            key,
            state: State::Waiting,
            entered: now,
            parts: parts.iter().map(|part| (*part, now)).collect(),
            total_bytes: bytes,
            total_parts: parts.len() as u32,
            ended: key.is_none(),
            sent: false,
        });
        Some(true)
    }

    fn push_part(
        &mut self,
        now: Instant,
        key: u8,
        is_single: bool,
        is_end: bool,
        part: Token,
    ) -> Option<bool> {
        if is_single {
            return self.push_frame(now, None, &[part]);
        }
        self.expire(now)?;
        let Some(index) = self.frames.iter().position(|frame| frame.key == Some(key)) else {
            let entered = self.push_frame(now, Some(key), &[part])?;
            if entered {
                self.frames.last_mut().expect("it was just pushed").ended = is_end;
            } else {
                self.frames.push(Frame::refused(key, now));
            }
            return Some(entered);
        };
        if self.frames[index].state == State::Dropped {
            return Some(false);
        }
        if self.frames[index].sent && self.frames[index].parts.is_empty() {
            // Late parts of a sent frame form a frame of their own that counts nowhere.
            let frame = &mut self.frames[index];
            (frame.state, frame.entered) = (State::Started(now), now);
            (frame.total_bytes, frame.total_parts) = (0, 0);
        }
        // A frame that has started already has its place, even while nothing of it waits.
        let started = matches!(self.frames[index].state, State::Started(_));
        let full = self.frames[index].total_parts >= MAX_PARTS_PER_FRAME;
        let fits = !(started && full) && self.make_room(part.len, 0, started.then_some(index));
        if self.frames[index].state == State::Dropped {
            return Some(false);
        }
        let entered = self.add_or_drop(now, index, is_end, part, fits);
        if entered && started && !self.turns.contains(&index) {
            self.turns.push_back(index);
        }
        Some(entered)
    }

    fn add_or_drop(&mut self, now: Instant, index: usize, is_end: bool, part: Token, fits: bool) -> bool {
        let frame = &mut self.frames[index];
        if fits && frame.total_parts < MAX_PARTS_PER_FRAME {
            frame.parts.push_back((part, now));
            frame.total_bytes += part.len;
            frame.total_parts += 1;
            frame.ended |= is_end;
            return true;
        }
        self.no_room += self.drop_frame(index);
        false
    }

    fn pop(&mut self, now: Instant) -> Option<Option<Token>> {
        self.expire(now)?;
        let waiting = || self.frames.iter().position(|frame| frame.state == State::Waiting);
        let Some(index) = self.turns.front().copied().or_else(waiting) else { return Some(None) };
        let frame = &mut self.frames[index];
        if frame.state == State::Waiting {
            frame.state = State::Started(now);
            self.turns.push_front(index);
        }
        let (part, _) = frame.parts.pop_front().expect("frames that wait have parts");
        if frame.parts.is_empty() {
            self.turns.pop_front();
            if frame.ended && !frame.sent {
                frame.sent = true;
                self.sent += 1;
            }
        }
        Some(Some(part))
    }

    fn expire(&mut self, now: Instant) -> Option<()> {
        let Some(max_age) = self.config.max_age else { return Some(()) };
        for index in 0..self.frames.len() {
            let frame = &self.frames[index];
            let is_stale = match frame.state {
                State::Waiting => frame.entered + max_age <= now,
                State::Started(started) => {
                    let Some((_, first)) = frame.parts.front() else { continue };
                    let since = started.max(*first);
                    let [earliest, latest] =
                        self.serialisation(frame.total_bytes).map(|time| since + max_age.max(2 * time));
                    if earliest <= now && now < latest {
                        return None;
                    }
                    latest <= now
                }
                State::Dropped => false,
            };
            if is_stale {
                self.stale += self.drop_frame(index);
            }
        }
        Some(())
    }

    /// The least and the most that it may be at the measured rate.
    fn serialisation(&self, bytes: usize) -> [Duration; 2] {
        let Some(rate) = self.rate else { return [Duration::ZERO; 2] };
        let at = |rate: f64| {
            Duration::try_from_secs_f64(bytes as f64 / rate).map_or(LIMIT, |time| time.min(LIMIT))
        };
        const LIMIT: Duration = Duration::from_secs(10);
        let nano = Duration::from_nanos(10);
        [at(rate as f64 + 1.0).saturating_sub(nano), at(rate as f64) + nano]
    }

    /// Evicts until this much more fits, besides the place of frame `placed`.
    fn make_room(&mut self, bytes: usize, frames: usize, placed: Option<usize>) -> bool {
        if bytes > self.config.max_bytes {
            return false;
        }
        loop {
            let placed = placed.is_some_and(|index| !self.frames[index].parts.is_empty());
            let frames = self.waiting_frames() - usize::from(placed) + frames;
            if self.bytes() + bytes <= self.config.max_bytes
                && self.config.max_frames.is_none_or(|max| frames <= max)
            {
                return true;
            }
            let Some(oldest) = self.frames.iter().position(|frame| frame.state == State::Waiting) else {
                return false;
            };
            self.no_room += self.drop_frame(oldest);
        }
    }

    fn set_config(&mut self, now: Instant, config: QueueConfig) -> Option<()> {
        self.config = config;
        self.expire(now)?;
        self.make_room(0, 0, None);
        Some(())
    }

    fn clear(&mut self) {
        for index in 0..self.frames.len() {
            if !self.frames[index].parts.is_empty() {
                self.cleared += self.drop_frame(index);
            }
        }
    }

    /// Drops a frame; returns what that adds to a counter.
    fn drop_frame(&mut self, index: usize) -> u64 {
        self.turns.retain(|turn| *turn != index);
        let frame = &mut self.frames[index];
        frame.parts.clear();
        frame.state = State::Dropped;
        u64::from(!frame.sent)
    }

    fn bytes(&self) -> usize {
        self.frames.iter().flat_map(|frame| &frame.parts).map(|(part, _)| part.len).sum()
    }

    fn waiting_frames(&self) -> usize {
        self.frames.iter().filter(|frame| !frame.parts.is_empty()).count()
    }

    fn dropped(&self) -> u64 {
        self.stale + self.no_room + self.cleared
    }

    fn compare(&self, queue: &LiveQueue<Token>) {
        assert_eq!(queue.frames(), self.waiting_frames());
        assert_eq!(queue.bytes(), self.bytes());
        assert_eq!(queue.is_empty(), self.waiting_frames() == 0);
        assert!(queue.bytes() <= self.config.max_bytes || self.turns.len() == queue.frames());
        let counters = queue.counters();
        assert_eq!((counters.accepted, counters.sent), (self.accepted, self.sent));
        let count = |reason| counters.dropped.count(reason);
        assert_eq!(count(DropReason::Stale), self.stale, "stale");
        assert_eq!(count(DropReason::QueueFull) + count(DropReason::Oversize), self.no_room, "no room");
        assert_eq!(count(DropReason::TrackEnded), self.cleared, "cleared");
        assert_eq!(counters.dropped.total(), self.dropped());
    }
}

impl Frame {
    /// A frame whose first part found no room.
    fn refused(key: u8, now: Instant) -> Self {
        Self {
            key: Some(key),
            state: State::Dropped,
            entered: now,
            parts: VecDeque::new(),
            total_bytes: 0,
            total_parts: 0,
            ended: false,
            sent: false,
        }
    }
}
