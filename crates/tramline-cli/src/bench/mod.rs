//! `tramline bench`: a publisher, a server and a subscriber, and what a frame costs between them.
//!
//! Publisher and subscriber live on threads of their own in this process and read one clock, so a
//! one-way time needs no synchronisation. Without `--url` the server is in the process as well.

mod pace;
mod publisher;
mod report;
mod subscriber;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::credentials::Target;
use crate::output::{Error, print_json};
use crate::venue::{Venue, await_track, room_name};
use report::{CpuTime, Report};

/// Bytes at the start of each frame: its number, and when it was pushed.
const STAMP_LEN: usize = 16;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Frames to push.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    frames: u32,
    /// Bytes of a frame, at least 16.
    #[arg(long, default_value_t = 1_024, value_name = "BYTES", value_parser = parse_size)]
    size: usize,
    /// Frames per second; 0 waits for room in the queue and pushes as fast as that allows.
    #[arg(long, default_value_t = 1_000.0, value_name = "HZ", value_parser = parse_rate)]
    rate: f64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let venue = Venue::open(&args.target)?;
    let report = runtime.block_on(measure(&args, &venue))?;
    if args.json {
        print_json(&report)?;
    } else {
        println!("{report}");
    }
    Ok(if report.received == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn measure(args: &Args, venue: &Venue) -> Result<Report, Error> {
    let name = room_name("bench");
    let (publisher_room, _publisher_events) = venue.join(&name, "publisher").await?;
    let (subscriber_room, mut subscriber_events) = venue.join(&name, "subscriber").await?;
    let track = publisher_room.local_participant().publish_data_track("bench").await?;
    let remote = await_track(&mut subscriber_events, "bench").await?;
    let stream = remote.subscribe().await?;

    let cpu_before = CpuTime::of(&publisher_room, &subscriber_room, venue);
    let epoch = Instant::now();
    let progress = progress_bar(args);
    let subscriber = subscriber::start(args, stream, epoch, progress.clone());
    let publisher = publisher::start(args, track.clone(), epoch);
    let pushed = publisher.join().map_err(|_| "the publisher's thread panicked")??;
    subscriber.publisher_is_done(pushed.accepted);
    let arrived = subscriber.join()?;
    progress.finish_and_clear();
    let cpu = CpuTime::of(&publisher_room, &subscriber_room, venue).since(cpu_before);

    let report = Report::new(&pushed, arrived, cpu, &track.stats(), &remote.stats(), venue);
    publisher_room.close().await;
    subscriber_room.close().await;
    Ok(report)
}

/// Drawn on a terminal only.
fn progress_bar(args: &Args) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames, {per_sec}, {eta} left");
    let style = style.expect("the template is fixed and valid");
    ProgressBar::with_draw_target(Some(u64::from(args.frames)), ProgressDrawTarget::stderr_with_hz(10))
        .with_style(style)
}

fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn parse_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size >= STAMP_LEN => Ok(size),
        _ => Err(format!(
            "`{text}` is not a frame size; expected {STAMP_LEN} bytes or more: number and time stand in the frame"
        )),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1e7).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is not a rate; expected frames per second from 0 to 10000000")),
    }
}

/// CPU time of the calling thread; `None` where the system does not tell.
fn thread_cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split_ascii_whitespace().next()?.parse().ok()?))
}
