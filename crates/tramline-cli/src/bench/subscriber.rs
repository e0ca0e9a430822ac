//! The subscribing side, on a thread of its own as in an application.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tramline::{DataTrackStream, ReadError, StreamStats};

use super::{Load, nanos_since, read_stamp, thread_cpu_time};
use crate::output::Error;

/// Without a frame for this long after the last push, nothing more is on its way.
const QUIET: Duration = Duration::from_secs(1);
/// The publisher has not said yet how many frames it pushed.
const UNKNOWN: u64 = u64::MAX;

/// What arrived.
pub(super) struct Arrived {
    /// From the epoch to the last arrival.
    pub(super) elapsed: Duration,
    /// From push to read, a value per distinct frame.
    pub(super) latencies: Vec<Duration>,
    /// CPU time of the reading thread.
    pub(super) cpu: Option<Duration>,
    pub(super) stats: StreamStats,
}

/// The reading thread.
pub(super) struct Subscriber {
    expected: Arc<AtomicU64>,
    thread: JoinHandle<Result<Arrived, Error>>,
}

pub(super) fn start(
    load: &Load,
    stream: DataTrackStream,
    epoch: Instant,
    progress: ProgressBar,
) -> Subscriber {
    let expected = Arc::new(AtomicU64::new(UNKNOWN));
    let frames = load.frames as usize;
    let reader = Reader { stream, epoch, expected: Arc::clone(&expected), progress };
    let thread = thread::Builder::new()
        .name("bench-subscriber".to_owned())
        .spawn(move || reader.read_all(frames))
        .expect("the system has a thread to give");
    Subscriber { expected, thread }
}

impl Subscriber {
    /// No more than `accepted` frames will come.
    pub(super) fn publisher_is_done(&self, accepted: u64) {
        self.expected.store(accepted, Ordering::Release);
    }

    /// What arrived, once everything has or nothing more comes.
    pub(super) fn join(self) -> Result<Arrived, Error> {
        self.thread.join().map_err(|_| "the subscriber's thread panicked")?
    }
}

struct Reader {
    stream: DataTrackStream,
    epoch: Instant,
    expected: Arc<AtomicU64>,
    progress: ProgressBar,
}

impl Reader {
    fn read_all(self, frames: usize) -> Result<Arrived, Error> {
        let cpu_before = thread_cpu_time();
        let mut seen = vec![false; frames];
        let mut latencies = Vec::with_capacity(frames);
        let mut elapsed = Duration::ZERO;
        while (latencies.len() as u64) < self.expected.load(Ordering::Acquire) {
            match self.stream.read_timeout(QUIET) {
                Ok(Some(frame)) => {
                    let now = nanos_since(self.epoch);
                    let Some((number, pushed_at)) = read_stamp(frame.payload()) else { continue };
                    if let Some(seen @ false) = seen.get_mut(number) {
                        *seen = true;
                        elapsed = Duration::from_nanos(now);
                        latencies.push(Duration::from_nanos(now.saturating_sub(pushed_at)));
                        if latencies.len() % 256 == 0 {
                            self.progress.set_position(latencies.len() as u64);
                        }
                    }
                }
                Ok(None) => break,
                Err(ReadError::Timeout { .. }) if self.expected.load(Ordering::Acquire) == UNKNOWN => {}
                Err(ReadError::Timeout { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Arrived {
            elapsed,
            latencies,
            cpu: thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before),
            stats: self.stream.stats(),
        })
    }
}
