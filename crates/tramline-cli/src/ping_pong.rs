//! `tramline ping-pong`: two participants, one data track each, every frame answered.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tramline::{DataTrackFrame, DataTrackStream, LocalDataTrack};

use crate::credentials::Target;
use crate::output::{Distribution, Error, Percentiles, millis, print_json};
use crate::venue::{Venue, await_track, room_name};

/// How long an answer may take before its frame counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Frames to send.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Seconds between two frames.
    #[arg(long, default_value = "0.1", value_name = "SECONDS", value_parser = parse_interval)]
    interval: Duration,
    /// Bytes of a frame, at least 24.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = parse_size)]
    size: usize,
    /// Print one JSON object on standard output, the lines for people on standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    sent: usize,
    answered: usize,
    lost: usize,
    rtt_ms: Percentiles,
    ping_to_pong_ms: Percentiles,
    pong_to_ping_ms: Percentiles,
}

/// What one answered frame took. Both participants live in this process and read one clock.
struct Answer {
    rtt: Duration,
    ping_to_pong: Duration,
    pong_to_ping: Duration,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let venue = Venue::open(&args.target)?;
    let answers = runtime.block_on(play(&args, &venue))?;
    let report = Report::new(args.count as usize, &answers);
    if args.json {
        print_json(&report)?;
    } else {
        println!("{report}");
    }
    Ok(if report.answered == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Both participants join, find each other's track and exchange `count` frames.
async fn play(args: &Args, venue: &Venue) -> Result<Vec<Answer>, Error> {
    let name = room_name("ping-pong");
    let (ping_room, mut ping_events) = venue.join(&name, "ping").await?;
    let (pong_room, mut pong_events) = venue.join(&name, "pong").await?;
    let ping_track = ping_room.local_participant().publish_data_track("ping").await?;
    let pong_track = pong_room.local_participant().publish_data_track("pong").await?;
    let pings = await_track(&mut pong_events, "ping").await?.subscribe().await?;
    let pongs = await_track(&mut ping_events, "pong").await?.subscribe().await?;

    let epoch = Instant::now();
    let answers = tokio::select! {
        ended = answer_pings(pings, &pong_track, epoch) => Err(ended),
        answers = exchange(args, &ping_track, pongs, epoch) => answers,
    };
    ping_room.close().await;
    pong_room.close().await;
    answers
}

/// The pong side: every frame goes back with the time it was read. Returns only when its stream ends.
async fn answer_pings(mut pings: DataTrackStream, pong_track: &LocalDataTrack, epoch: Instant) -> Error {
    while let Some(frame) = pings.read().await {
        let mut payload = frame.payload().to_vec();
        let Some(received) = payload.get_mut(16..24) else { continue };
        received.copy_from_slice(&nanos_since(epoch).to_be_bytes());
        if let Err(error) = pong_track.try_push(payload) {
            return error.into();
        }
    }
    "the subscription of `pong` ended before every frame was answered".into()
}

/// The ping side: sends on the beat, and matches the answers as they come.
async fn exchange(
    args: &Args,
    ping_track: &LocalDataTrack,
    mut pongs: DataTrackStream,
    epoch: Instant,
) -> Result<Vec<Answer>, Error> {
    let mut beat = tokio::time::interval(args.interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = vec![false; args.count as usize];
    let mut answers = Vec::with_capacity(answered.len());
    let mut sent = 0;
    let mut last_sent = tokio::time::Instant::now();
    while answers.len() < answered.len() {
        tokio::select! {
            frame = pongs.read() => {
                let Some(frame) = frame else {
                    return Err("the subscription of `ping` ended before every frame was answered".into());
                };
                let Some((id, answer)) = Answer::read(&frame, nanos_since(epoch)) else { continue };
                if answered.get(id).is_some_and(|done| !done) {
                    answered[id] = true;
                    answer.print(id, args.json);
                    answers.push(answer);
                }
            }
            _ = beat.tick(), if sent < answered.len() => {
                ping_track.try_push(ping(sent as u64, nanos_since(epoch), args.size))?;
                last_sent = tokio::time::Instant::now();
                sent += 1;
            }
            () = tokio::time::sleep_until(last_sent + ANSWER_TIMEOUT), if sent == answered.len() => break,
        }
    }
    Ok(answers)
}

/// A frame of `size` bytes: id, time of sending, room for the time of arrival, zeros.
fn ping(id: u64, now: u64, size: usize) -> DataTrackFrame {
    let mut payload = Vec::with_capacity(size);
    payload.extend_from_slice(&id.to_be_bytes());
    payload.extend_from_slice(&now.to_be_bytes());
    payload.resize(size, 0);
    payload.into()
}

impl Answer {
    fn read(frame: &DataTrackFrame, now: u64) -> Option<(usize, Self)> {
        let field = |at: usize| {
            let bytes = frame.payload().get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        let (id, sent, turned) = (field(0)?, field(8)?, field(16)?);
        let answer = Self {
            rtt: Duration::from_nanos(now.saturating_sub(sent)),
            ping_to_pong: Duration::from_nanos(turned.saturating_sub(sent)),
            pong_to_ping: Duration::from_nanos(now.saturating_sub(turned)),
        };
        Some((usize::try_from(id).ok()?, answer))
    }

    fn print(&self, id: usize, json: bool) {
        let line = format!(
            "pong id={id} rtt_ms={:.3} ping_to_pong_ms={:.3} pong_to_ping_ms={:.3}",
            millis(self.rtt),
            millis(self.ping_to_pong),
            millis(self.pong_to_ping)
        );
        if json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }
}

impl Report {
    fn new(sent: usize, answers: &[Answer]) -> Self {
        let of =
            |part: fn(&Answer) -> Duration| Distribution::of(answers.iter().map(part).collect()).in_millis();
        Self {
            sent,
            answered: answers.len(),
            lost: sent - answers.len(),
            rtt_ms: of(|answer| answer.rtt),
            ping_to_pong_ms: of(|answer| answer.ping_to_pong),
            pong_to_ping_ms: of(|answer| answer.pong_to_ping),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Percentiles { p50, p99, max } = self.rtt_ms;
        write!(
            f,
            "sent {}, answered {}, lost {}; RTT p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms",
            self.sent, self.answered, self.lost
        )
    }
}

fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds, as in 0.1"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if interval >= Duration::from_millis(1) && interval <= Duration::from_secs(3_600) => {
            Ok(interval)
        }
        _ => Err(format!("`{text}` is out of range; expected 0.001 to 3600 seconds")),
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size >= 24 => Ok(size),
        _ => Err(format!(
            "`{text}` is not a frame size; expected 24 bytes or more: id and two times stand in the frame"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_ways_apart() {
        let mut payload = [0; 24];
        payload[7] = 3;
        payload[8..16].copy_from_slice(&1_000u64.to_be_bytes());
        payload[16..].copy_from_slice(&1_400u64.to_be_bytes());
        let (id, answer) =
            Answer::read(&DataTrackFrame::from(payload.to_vec()), 2_000).expect("24 bytes are enough");
        assert_eq!(id, 3);
        assert_eq!(answer.rtt.as_nanos(), 1_000);
        assert_eq!(answer.ping_to_pong.as_nanos(), 400);
        assert_eq!(answer.pong_to_ping.as_nanos(), 600);
    }

    #[test]
    fn a_foreign_frame_is_no_answer() {
        assert!(Answer::read(&DataTrackFrame::from(vec![1; 23]), 0).is_none());
    }

    #[test]
    fn intervals_and_sizes_have_limits() {
        assert_eq!(parse_interval("0.005"), Ok(Duration::from_millis(5)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_size("24"), Ok(24));
        assert!(parse_size("23").is_err());
    }
}
