//! The publishing side, on a thread of its own as in an application.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tramline::LocalDataTrack;

use super::pace::Pace;
use super::{Load, thread_cpu_time, write_stamp};
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

pub(super) fn start(load: &Load, track: LocalDataTrack, epoch: Instant) -> JoinHandle<Result<Pushed, Error>> {
    let load = *load;
    thread::Builder::new()
        .name("bench-publisher".to_owned())
        .spawn(move || push_all(&load, &track, epoch))
        .expect("the system has a thread to give")
}

fn push_all(load: &Load, track: &LocalDataTrack, epoch: Instant) -> Result<Pushed, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let cpu_before = thread_cpu_time();
    let mut pace = Pace::new(Instant::now(), load.rate);
    let mut payload = vec![0; load.size];
    let mut accepted = 0;
    for number in 0..u64::from(load.frames) {
        if let Some(pace) = &mut pace {
            pace.wait();
        }
        write_stamp(&mut payload, number, epoch);
        if pace.is_some() {
            accepted += u64::from(track.try_push(&payload[..]).is_ok());
        } else {
            runtime.block_on(track.push(&payload[..]))?;
            accepted += 1;
        }
    }
    let cpu = thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before);
    Ok(Pushed { pushed: u64::from(load.frames), accepted, cpu })
}
