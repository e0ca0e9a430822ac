//! The publishing side, on a thread of its own as in an application.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tramline::LocalDataTrack;

use super::pace::Pace;
use super::{Args, STAMP_LEN, nanos_since, thread_cpu_time};
use crate::output::Error;

/// What the publisher did.
pub(super) struct Pushed {
    /// Frames handed to the track.
    pub(super) pushed: u64,
    /// Frames that the track took.
    pub(super) accepted: u64,
    /// CPU time of the pushing thread.
    pub(super) cpu: Option<Duration>,
}

pub(super) fn start(args: &Args, track: LocalDataTrack, epoch: Instant) -> JoinHandle<Result<Pushed, Error>> {
    let args = args.clone();
    thread::Builder::new()
        .name("bench-publisher".to_owned())
        .spawn(move || push_all(&args, &track, epoch))
        .expect("the system has a thread to give")
}

fn push_all(args: &Args, track: &LocalDataTrack, epoch: Instant) -> Result<Pushed, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let cpu_before = thread_cpu_time();
    let mut pace = Pace::new(Instant::now(), args.rate);
    let mut payload = vec![0; args.size];
    let mut accepted = 0;
    for number in 0..u64::from(args.frames) {
        if let Some(pace) = &mut pace {
            pace.wait();
        }
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload[8..STAMP_LEN].copy_from_slice(&nanos_since(epoch).to_be_bytes());
        if pace.is_some() {
            accepted += u64::from(track.try_push(&payload[..]).is_ok());
        } else {
            runtime.block_on(track.push(&payload[..]))?;
            accepted += 1;
        }
    }
    let cpu = thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before);
    Ok(Pushed { pushed: u64::from(args.frames), accepted, cpu })
}
