//! What a run showed, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tramline::{Drops, LocalTrackStats, RemoteTrackStats, Room};

use super::publisher::Pushed;
use super::subscriber::Arrived;
use crate::output::{Distribution, Error, Percentiles, micros, print_json, round3};
use crate::venue::Venue;

/// The result of one run.
#[derive(Serialize)]
pub(super) struct Report {
    pushed: u64,
    accepted: u64,
    received: u64,
    /// Received of pushed.
    delivery_ratio: f64,
    /// Frames that arrived per second between the first push and the last arrival.
    frames_per_second: f64,
    latency_us: Percentiles,
    cpu_us_per_frame: CpuPerFrame,
    /// Frames (packets, where the frame is not known) that a hop dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

/// CPU time of the threads of each part, per frame pushed; absent where the system does not tell.
#[derive(Serialize)]
struct CpuPerFrame {
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<f64>,
    /// Absent when the server is not in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriber: Option<f64>,
}

/// CPU time of the threads of each part.
#[derive(Clone, Copy)]
pub(super) struct CpuTime {
    pub(super) publisher: Option<Duration>,
    pub(super) server: Option<Duration>,
    pub(super) subscriber: Option<Duration>,
}

impl CpuTime {
    /// What the threads that Tramline brings have used so far.
    pub(super) fn of(publisher: &Room, subscriber: &Room, venue: &Venue) -> Self {
        Self {
            publisher: publisher.driver_thread_cpu_time(),
            server: venue.server.as_ref().and_then(|server| server.cpu_time()),
            subscriber: subscriber.driver_thread_cpu_time(),
        }
    }

    /// Used between `earlier` and this.
    pub(super) fn since(self, earlier: Self) -> Self {
        let since = |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Self {
            publisher: since(self.publisher, earlier.publisher),
            server: since(self.server, earlier.server),
            subscriber: since(self.subscriber, earlier.subscriber),
        }
    }
}

impl Report {
    pub(super) fn new(
        pushed: &Pushed,
        arrived: Arrived,
        cpu: CpuTime,
        local: &LocalTrackStats,
        remote: &RemoteTrackStats,
        venue: &Venue,
    ) -> Self {
        let both = |ours: Option<Duration>, theirs: Option<Duration>| Some(ours? + theirs?);
        let mut dropped = BTreeMap::new();
        let server = venue.server.as_ref().and_then(|server| server.stats());
        let server_drops = server.iter().flat_map(|stats| [&stats.queues.dropped, &stats.packets_dropped]);
        for drops in [&local.dropped, &remote.dropped, &arrived.stats.dropped].into_iter().chain(server_drops)
        {
            add(&mut dropped, drops);
        }
        let cpu = CpuTime {
            publisher: both(cpu.publisher, pushed.cpu),
            server: cpu.server,
            subscriber: both(cpu.subscriber, arrived.cpu),
        };
        Self::of(pushed, arrived.latencies, arrived.elapsed, cpu, dropped)
    }

    /// From the plain figures.
    pub(super) fn of(
        pushed: &Pushed,
        latencies: Vec<Duration>,
        elapsed: Duration,
        cpu: CpuTime,
        dropped: BTreeMap<&'static str, u64>,
    ) -> Self {
        let per_frame = |total: Option<Duration>| Some(round3(micros(total?) / pushed.pushed as f64));
        let received = latencies.len() as u64;
        Self {
            pushed: pushed.pushed,
            accepted: pushed.accepted,
            received,
            delivery_ratio: ratio(received, pushed.pushed),
            frames_per_second: round3(received as f64 / elapsed.as_secs_f64().max(1e-9)),
            latency_us: Distribution::of(latencies).in_micros(),
            cpu_us_per_frame: CpuPerFrame {
                publisher: per_frame(cpu.publisher),
                server: per_frame(cpu.server),
                subscriber: per_frame(cpu.subscriber),
            },
            dropped,
        }
    }

    /// Prints it, and says whether anything arrived at all.
    pub(super) fn print(&self, json: bool) -> Result<ExitCode, Error> {
        if json {
            print_json(self)?;
        } else {
            println!("{self}");
        }
        Ok(if self.received == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// `part` of `whole`, to a millionth.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 1e6).round() / 1e6
}

fn add(total: &mut BTreeMap<&'static str, u64>, drops: &Drops) {
    for (reason, count) in drops.iter().filter(|(_, count)| *count > 0) {
        *total.entry(reason.as_str()).or_default() += count;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99, max } = self.latency_us;
        writeln!(
            f,
            "pushed {}, accepted {}, received {} ({:.3} %), {:.0} frames/s",
            self.pushed,
            self.accepted,
            self.received,
            self.delivery_ratio * 100.0,
            self.frames_per_second
        )?;
        writeln!(f, "latency p50 {p50:.0} us, p99 {p99:.0} us, max {max:.0} us")?;
        write!(f, "CPU per frame")?;
        let cpu = &self.cpu_us_per_frame;
        for (name, value) in
            [("publisher", cpu.publisher), ("server", cpu.server), ("subscriber", cpu.subscriber)]
        {
            if let Some(value) = value {
                write!(f, ", {name} {value:.1} us")?;
            }
        }
        if !self.dropped.is_empty() {
            write!(f, "\ndropped")?;
            for (reason, count) in &self.dropped {
                write!(f, ", {reason} {count}")?;
            }
        }
        Ok(())
    }
}
