//! Threads for the application's handlers, so that these may block and call back without holding anything up.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use tramline_net::runtime::spawn_thread;

use crate::link::lock;

type Job = Box<dyn FnOnce() + Send>;

/// A pool that grows with the handlers that run at once, and shrinks when they rest.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    has_work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl Workers {
    /// Runs `job` on a thread of the pool; `false` when there is none to be had, or the pool is closed.
    pub(crate) fn run(&self, job: Job) -> bool {
        let mut state = lock(&self.shared.state);
        if state.is_closed {
            return false;
        }
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.shared.has_work.notify_one();
            return true;
        }
        state.threads.retain(|thread| !thread.is_finished());
        if state.threads.len() >= MAX_THREADS {
            return true;
        }
        let shared = Arc::clone(&self.shared);
        match spawn_thread("tramline-rpc", move || shared.work()) {
            Ok(thread) => state.threads.push(thread),
            Err(error) if state.threads.is_empty() => {
                tracing::error!(%error, "no thread for a handler");
                state.jobs.pop_back();
                return false;
            }
            // One of those that there are takes it.
            Err(error) => tracing::warn!(%error, "no thread for a handler"),
        }
        true
    }

    /// Nothing new is run; what waits is dropped, what runs goes on.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.shared.state);
        state.is_closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.shared.has_work.notify_all();
    }

    /// Waits until nothing runs any more, but for the calling thread.
    pub(crate) fn join(&self) {
        self.close();
        let threads = std::mem::take(&mut lock(&self.shared.state).threads);
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() {
                // A panic in there was caught, or has been reported.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = lock(&self.state);
                continue;
            }
            if state.is_closed {
                return;
            }
            state.idle += 1;
            let waited = self.has_work.wait_timeout(state, REST);
            let (woken, time_out) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if time_out.timed_out() && state.jobs.is_empty() {
                return;
            }
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

/// Handlers that run at once; more wait.
const MAX_THREADS: usize = 256;

/// How long a thread without work stays.
const REST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[test]
    fn jobs_that_wait_for_each_other_run_at_once() {
        let workers = Workers::default();
        for _ in 0..3 {
            let (barrier, (done, wait)) = (Arc::new(Barrier::new(50)), mpsc::channel());
            for _ in 0..50 {
                let (barrier, done) = (Arc::clone(&barrier), done.clone());
                assert!(workers.run(Box::new(move || {
                    barrier.wait();
                    let _ = done.send(());
                })));
            }
            assert_eq!(wait.iter().take(50).count(), 50);
        }
        assert!(lock(&workers.shared.state).threads.len() <= 150);
        workers.join();
        assert!(!workers.run(Box::new(|| ())));
    }

    #[test]
    fn a_job_may_end_the_pool_that_runs_it() {
        let workers = Workers::default();
        let (own, (done, wait)) = (workers.clone(), mpsc::channel());
        workers.run(Box::new(move || {
            own.join();
            let _ = done.send(());
        }));
        assert_eq!(wait.recv(), Ok(()));
        workers.join();
    }
}
