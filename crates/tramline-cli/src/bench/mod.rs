//! `tramline bench`: a publisher, a server and a subscriber, and what a frame costs between them.
//!
//! Publisher and subscriber live on threads of their own in this process and read one clock, so a
//! one-way time needs no synchronisation. Without `--url` the server is in the process as well, and with `--via` a relay
//! with bad links between it and its clients.

mod floor;
mod mix;
mod pace;
mod publisher;
mod report;
mod subscriber;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::credentials::Target;
use crate::output::Error;
use crate::venue::{Venue, Via, await_track, room_name};
use report::{CpuTime, Report};

/// Bytes at the start of each frame: its number, and when it was pushed.
const STAMP_LEN: usize = 16;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The machine's own limit for the same work: AES-128-GCM and UDP with GSO and GRO on both hops, and nothing else.
    Floor(floor::Args),
    /// A small control stream alone, and then beside a bulk one of the same publisher.
    Mix(Box<mix::Args>),
}

#[derive(clap::Args, Clone)]
struct RunArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    via: Via,
    #[command(flatten)]
    load: Load,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What is pushed.
#[derive(clap::Args, Clone, Copy)]
struct Load {
    /// Frames to push.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    frames: u32,
    /// Bytes of a frame, at least 16.
    #[arg(long, default_value_t = 1_024, value_name = "BYTES", value_parser = parse_size)]
    size: usize,
    /// Frames per second; 0 waits for room in the queue and pushes as fast as that allows.
    #[arg(long, default_value_t = 1_000.0, value_name = "HZ", value_parser = parse_rate)]
    rate: f64,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    match args.command {
        Some(Command::Floor(args)) => floor::run(&args),
        Some(Command::Mix(args)) => mix::run(&args),
        None => run_once(&args.run),
    }
}

fn run_once(args: &RunArgs) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let venue = Venue::open_via(&args.target, &args.via)?;
    let report = runtime.block_on(measure(args, &venue))?;
    report.print(args.json)
}

async fn measure(args: &RunArgs, venue: &Venue) -> Result<Report, Error> {
    let name = room_name("bench");
    let (publisher_room, _publisher_events) = venue.join_via(&name, "publisher", &args.via).await?;
    let (subscriber_room, mut subscriber_events) = venue.join_via(&name, "subscriber", &args.via).await?;
    let track = publisher_room.local_participant().publish_data_track("bench").await?;
    let remote = await_track(&mut subscriber_events, "bench").await?;
    let stream = remote.subscribe().await?;

    let cpu_before = CpuTime::of(&publisher_room, &subscriber_room, venue);
    let epoch = Instant::now();
    let progress = progress_bar(&args.load);
    let subscriber = subscriber::start(&args.load, stream, epoch, progress.clone());
    let publisher = publisher::start(&args.load, track.clone(), epoch);
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
fn progress_bar(load: &Load) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} frames, {per_sec}, {eta} left");
    let style = style.expect("the template is fixed and valid");
    ProgressBar::with_draw_target(Some(u64::from(load.frames)), ProgressDrawTarget::stderr_with_hz(10))
        .with_style(style)
}

fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Puts a frame's number and time into it.
fn write_stamp(payload: &mut [u8], number: u64, epoch: Instant) {
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload[8..STAMP_LEN].copy_from_slice(&nanos_since(epoch).to_be_bytes());
}

/// The number and the time in a frame; `None` when it is too short to be one of ours.
fn read_stamp(payload: &[u8]) -> Option<(usize, u64)> {
    let (stamp, _) = payload.split_at_checked(STAMP_LEN)?;
    let number = u64::from_be_bytes(stamp[..8].try_into().ok()?);
    let pushed_at = u64::from_be_bytes(stamp[8..].try_into().ok()?);
    Some((usize::try_from(number).ok()?, pushed_at))
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
