//! Waiting: several threads at one source, each with a time-out, woken by the driver or by a close.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::{error::Failure, status::tramline_status::TRAMLINE_TIMED_OUT};

/// Wakes every thread that waits at it. It counts, so that a ring between looking and waiting is not missed.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut rings = lock(&self.rings);
        *rings = rings.wrapping_add(1);
        self.rung.notify_all();
    }

    fn rings(&self) -> u64 {
        *lock(&self.rings)
    }

    /// Waits for a ring after `seen`; `false` when there was none by the deadline.
    fn wait_past(&self, seen: u64, deadline: Option<Instant>) -> bool {
        let mut rings = lock(&self.rings);
        while *rings == seen {
            rings = match deadline {
                None => self.rung.wait(rings).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.rung.wait_timeout(rings, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// A time-out as it crosses the boundary: negative is without end, 0 does not wait.
pub(crate) fn timeout(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// Polls until there is something, at most for the time given. What `poll` locks is free while the thread waits.
pub(crate) fn wait_for<R>(
    bell: &Arc<Bell>,
    timeout_ms: i64,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Result<R, Failure> {
    let waker = Waker::from(Arc::clone(bell));
    let mut context = Context::from_waker(&waker);
    let mut deadline = None;
    loop {
        let seen = bell.rings();
        if let Poll::Ready(result) = poll(&mut context) {
            return Ok(result);
        }
        let timeout = timeout(timeout_ms);
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Failure::outcome(TRAMLINE_TIMED_OUT));
        }
        if deadline.is_none() {
            // Our own threads, and those of somebody's runtime, must not wait for themselves.
            sdk::block_on(std::future::ready(()))?;
            deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        }
        if !bell.wait_past(seen, deadline) {
            return Err(Failure::outcome(TRAMLINE_TIMED_OUT));
        }
    }
}

/// Locks, also after a panic of another holder: what is behind our locks is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_waiting_thread_is_woken_and_a_ring_in_between_is_not_missed() {
        let bell = Arc::new(Bell::default());
        let open = Arc::new(Mutex::new(false));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (bell, open) = (Arc::clone(&bell), Arc::clone(&open));
                std::thread::spawn(move || {
                    wait_for(&bell, -1, |_| if *lock(&open) { Poll::Ready(()) } else { Poll::Pending })
                })
            })
            .collect();
        *lock(&open) = true;
        bell.ring();
        for thread in waiting {
            thread.join().expect("no panic").expect("woken");
        }
    }

    #[test]
    fn time_goes_by_and_zero_does_not_wait() {
        let bell = Arc::new(Bell::default());
        for millis in [0, 2] {
            let error = wait_for::<()>(&bell, millis, |_| Poll::Pending).expect_err("nothing comes");
            assert_eq!(error.status, TRAMLINE_TIMED_OUT);
        }
    }
}
