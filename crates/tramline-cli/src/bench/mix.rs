//! `tramline bench mix`: what a bulk stream does to a small one beside it.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;
use tramline::{DataTrackOptions, LocalDataTrack, RemoteDataTrack};

use super::report::ratio;
use super::{Load, parse_rate, parse_size, publisher, subscriber};
use crate::credentials::Target;
use crate::output::{Distribution, Error, Percentiles, print_json, round3};
use crate::venue::{Venue, Via, await_track, room_name};

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    via: Via,
    /// How long the control stream runs alone, and then again beside bulk.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Bytes of a control frame, at least 16.
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = parse_size)]
    control_size: usize,
    /// Control frames per second.
    #[arg(long, default_value_t = 200.0, value_name = "HZ", value_parser = parse_rate)]
    control_rate: f64,
    /// Bytes of a bulk frame, at least 16.
    #[arg(long, default_value_t = 262_144, value_name = "BYTES", value_parser = parse_size)]
    bulk_size: usize,
    /// Bulk frames per second.
    #[arg(long, default_value_t = 20.0, value_name = "HZ", value_parser = parse_rate)]
    bulk_rate: f64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The result of one run.
#[derive(Serialize)]
struct Report {
    /// Before the bulk stream began.
    control_alone: Flow,
    /// Beside it.
    control: Flow,
    bulk: Flow,
}

#[derive(Serialize)]
struct Flow {
    pushed: u64,
    received: u64,
    delivery_ratio: f64,
    /// Payload that arrived, between the first push and the last arrival.
    mbit_per_second: f64,
    latency_us: Percentiles,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let venue = Venue::open_via(&args.target, &args.via)?;
    let report = runtime.block_on(measure(args, &venue))?;
    if args.json {
        print_json(&report)?;
    } else {
        println!("{report}");
    }
    Ok(if report.control.received == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn measure(args: &Args, venue: &Venue) -> Result<Report, Error> {
    let name = room_name("mix");
    let (publisher_room, _publisher_events) = venue.join_via(&name, "publisher", &args.via).await?;
    let (subscriber_room, mut subscriber_events) = venue.join_via(&name, "subscriber", &args.via).await?;
    let local = publisher_room.local_participant();
    let control = local.publish_data_track(DataTrackOptions::new("control")).await?;
    let remote_control = await_track(&mut subscriber_events, "control").await?;
    let bulk = local.publish_data_track(DataTrackOptions::new("bulk")).await?;
    let remote_bulk = await_track(&mut subscriber_events, "bulk").await?;

    let load =
        |size, rate: f64| Load { frames: (rate * f64::from(args.seconds)).max(1.0) as u32, size, rate };
    let control_load = load(args.control_size, args.control_rate);
    let alone = Running::start(&control_load, &control, &remote_control).await?.finish()?;
    let control = Running::start(&control_load, &control, &remote_control).await?;
    let bulk = Running::start(&load(args.bulk_size, args.bulk_rate), &bulk, &remote_bulk).await?;
    let report = Report { control_alone: alone, control: control.finish()?, bulk: bulk.finish()? };
    publisher_room.close().await;
    subscriber_room.close().await;
    Ok(report)
}

/// A stream with its two threads.
struct Running {
    size: usize,
    publisher: std::thread::JoinHandle<Result<publisher::Pushed, Error>>,
    subscriber: subscriber::Subscriber,
}

impl Running {
    async fn start(load: &Load, local: &LocalDataTrack, remote: &RemoteDataTrack) -> Result<Self, Error> {
        let stream = remote.subscribe().await?;
        let epoch = Instant::now();
        let subscriber = subscriber::start(load, stream, epoch, ProgressBar::hidden());
        Ok(Self { size: load.size, publisher: publisher::start(load, local.clone(), epoch), subscriber })
    }

    fn finish(self) -> Result<Flow, Error> {
        let pushed = self.publisher.join().map_err(|_| "a publisher's thread panicked")??;
        self.subscriber.publisher_is_done(pushed.accepted);
        let arrived = self.subscriber.join()?;
        let received = arrived.latencies.len() as u64;
        let bits = received as f64 * self.size as f64 * 8.0;
        let elapsed = arrived.elapsed.max(Duration::from_nanos(1)).as_secs_f64();
        Ok(Flow {
            pushed: pushed.pushed,
            received,
            delivery_ratio: ratio(received, pushed.pushed),
            mbit_per_second: round3(bits / elapsed / 1e6),
            latency_us: Distribution::of(arrived.latencies).in_micros(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "control alone  {}", self.control_alone)?;
        writeln!(f, "control        {}", self.control)?;
        write!(f, "bulk           {}", self.bulk)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p99, max } = self.latency_us;
        write!(
            f,
            "{} of {} ({:.3} %), {:.2} Mbit/s, p50 {p50:.0} us, p99 {p99:.0} us, max {max:.0} us",
            self.received,
            self.pushed,
            self.delivery_ratio * 100.0,
            self.mbit_per_second
        )
    }
}
