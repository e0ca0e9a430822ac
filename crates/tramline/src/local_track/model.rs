//! All interleavings of pushes and the driver, as far as the signal between them goes.

use std::collections::VecDeque;

use loom::sync::{Arc, Condvar, Mutex};

/// The signal once more, on the locks of the model.
#[path = "signal.rs"]
#[allow(clippy::duplicate_mod, reason = "its parent decides what it locks with")]
mod signal;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
}

use signal::Signal;

/// A track's queue, its signal, and the driver's inbox.
struct Track {
    queue: Mutex<VecDeque<u8>>,
    signal: Signal,
    inbox: Mutex<usize>,
    told: Condvar,
}

impl Track {
    fn new() -> Arc<Self> {
        let (queue, inbox) = (Mutex::new(VecDeque::new()), Mutex::new(0));
        Arc::new(Self { queue, signal: Signal::new(), inbox, told: Condvar::new() })
    }

    fn push(&self, frame: u8) {
        self.queue.lock().unwrap().push_back(frame);
        if self.signal.raise() {
            *self.inbox.lock().unwrap() += 1;
            self.told.notify_one();
        }
    }

    /// Waits until it is told and takes what there is. How often it was told.
    fn take(&self, frames: &mut Vec<u8>) -> usize {
        let mut inbox = self.inbox.lock().unwrap();
        while *inbox == 0 {
            inbox = self.told.wait(inbox).unwrap();
        }
        let told = std::mem::take(&mut *inbox);
        drop(inbox);
        self.signal.acknowledge();
        frames.extend(self.queue.lock().unwrap().drain(..));
        told
    }
}

#[test]
fn whatever_is_pushed_the_driver_hears_of_it() {
    loom::model(|| {
        let track = Track::new();
        let threads = [1, 2].map(|frame| {
            let track = Arc::clone(&track);
            loom::thread::spawn(move || track.push(frame))
        });
        let (mut frames, mut told) = (Vec::new(), 0);
        // A push that the driver does not hear of would leave it waiting for ever, which the model takes for an error.
        while frames.len() < 2 {
            told += track.take(&mut frames);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        frames.sort_unstable();
        assert_eq!(frames, [1, 2]);
        assert!(told <= 2, "at most once for each push");
    });
}

#[test]
fn the_driver_is_told_once_for_all_that_comes_before_it_looks() {
    loom::model(|| {
        let track = Track::new();
        track.push(1);
        track.push(2);
        let pusher = {
            let track = Arc::clone(&track);
            loom::thread::spawn(move || track.push(3))
        };
        let mut frames = Vec::new();
        assert_eq!(track.take(&mut frames), 1);
        pusher.join().unwrap();
        if frames.len() < 3 {
            assert_eq!(track.take(&mut frames), 1);
        }
        assert_eq!(frames, [1, 2, 3]);
    });
}

#[test]
fn pushes_one_after_the_other_are_all_heard_of() {
    loom::model(|| {
        let track = Track::new();
        let pusher = {
            let track = Arc::clone(&track);
            loom::thread::spawn(move || (1..=3).for_each(|frame| track.push(frame)))
        };
        let mut frames = Vec::new();
        while frames.len() < 3 {
            track.take(&mut frames);
        }
        pusher.join().unwrap();
        assert_eq!(frames, [1, 2, 3]);
    });
}
