//! Driver threads: named, with a runtime of their own, deaf to signals; and blocking calls that refuse to block a runtime.
//!
//! A library is a guest in its process. Its threads must not run the application's signal handlers, a write to a reset
//! connection must not end the process by SIGPIPE, and a blocking call must not freeze somebody's event loop.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

#[cfg(unix)]
mod posix;

/// A thread that runs one future on a current-thread tokio runtime until that future ends.
///
/// Dropping the handle does not stop the thread: what its future waits for must end it. The future is made on the
/// thread itself, so it need not be `Send`.
#[derive(Debug)]
pub struct DriverThread {
    handle: JoinHandle<()>,
    spent: Arc<AtomicU64>,
}

impl DriverThread {
    /// Starts a thread called `name` (15 bytes are visible in tools on Linux) and runs what `make` returns on it.
    ///
    /// All signals are blocked in the thread, except those that report a fault in the code that runs; with SIGPIPE blocked,
    /// a write to a reset connection is only an error. Threads that its runtime starts (for name look-ups) inherit that.
    ///
    /// # Errors
    /// The operating system gave no thread, or no event queue for the runtime.
    pub fn spawn<F, Fut>(name: &str, make: F) -> io::Result<Self>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .thread_name("tramline-dns")
            .thread_keep_alive(Duration::from_millis(100))
            .max_blocking_threads(2)
            .build()?;
        let spent = Arc::new(AtomicU64::new(0));
        let at_end = Arc::clone(&spent);
        let body = move || {
            // The last word on the CPU time is written even when the future panics.
            let _record = RecordCpuTime(at_end);
            let runtime = ShutInBackground(Some(runtime));
            if let Some(runtime) = &runtime.0 {
                runtime.block_on(async { make().await });
            }
        };
        let handle = spawn_thread(name, body)?;
        Ok(Self { handle, spent })
    }

    /// CPU time that the thread has used, user and system; `None` where the platform does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        if !self.handle.is_finished() {
            #[cfg(unix)]
            if let Some(time) = posix::thread_cpu_time(&self.handle) {
                return Some(time);
            }
        }
        match self.spent.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Whether the thread's future has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Whether the caller runs on this very thread, where [`join`](Self::join) would never return.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.handle.thread().id() == thread::current().id()
    }

    /// Waits for the end. `false` when the thread panicked.
    pub fn join(self) -> bool {
        self.handle.join().is_ok()
    }
}

/// Starts a thread without a runtime, named and deaf to signals as those of [`DriverThread`] are.
///
/// # Errors
/// The operating system gave no thread.
pub fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let start = || thread::Builder::new().name(name.to_owned()).spawn(body);
    #[cfg(unix)]
    return posix::with_signals_blocked(start);
    #[cfg(not(unix))]
    start()
}

/// The future in hand may not wait for a name look-up that hangs, so the runtime never joins its helpers.
struct ShutInBackground(Option<tokio::runtime::Runtime>);

impl Drop for ShutInBackground {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct RecordCpuTime(Arc<AtomicU64>);

impl Drop for RecordCpuTime {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(time) = posix::own_cpu_time() {
            self.0.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
        }
    }
}

/// Why a blocking call gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The call was made on a thread that drives an async runtime, which it would have frozen.
    #[error("blocking call inside an async runtime; use the async form, or a thread of its own")]
    InsideRuntime,
    /// The time allowed went by.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
}

/// Whether the calling thread drives a tokio runtime, which a blocking call would freeze.
#[must_use]
pub fn is_inside_runtime() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

/// Runs `future` to its end on the calling thread, for at most `timeout`.
///
/// Uses no runtime: the future must be one that any executor can run.
///
/// # Errors
/// The thread drives a tokio runtime, or the time went by; the future is dropped then.
pub fn block_on<F: Future>(future: F, timeout: Option<Duration>) -> Result<F::Output, BlockError> {
    if is_inside_runtime() {
        return Err(BlockError::InsideRuntime);
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        match (deadline, timeout) {
            (Some(deadline), Some(timeout)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(BlockError::TimedOut(timeout));
                }
                thread::park_timeout(left);
            }
            _ => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn a_driver_runs_a_future_that_is_not_send_and_is_named() {
        let (tx, rx) = oneshot::channel();
        let driver = DriverThread::spawn("tramline-test", move || async move {
            let local = std::rc::Rc::new(5);
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = tx.send((thread::current().name().map(str::to_owned), *local));
        })
        .expect("a thread");
        let (name, value) = block_on(rx, None).expect("outside a runtime").expect("an answer");
        assert_eq!(name.as_deref(), Some("tramline-test"));
        assert_eq!(value, 5);
        assert!(driver.join());
    }

    #[test]
    fn blocking_inside_a_runtime_is_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let inside = runtime.block_on(async { block_on(std::future::ready(1), None) });
        assert_eq!(inside, Err(BlockError::InsideRuntime));
        assert_eq!(block_on(std::future::ready(1), None), Ok(1));
    }

    #[test]
    fn blocking_ends_with_its_time() {
        let timeout = Duration::from_millis(5);
        assert_eq!(block_on(std::future::pending::<()>(), Some(timeout)), Err(BlockError::TimedOut(timeout)));
    }

    #[test]
    fn a_panicking_driver_is_told_apart() {
        let driver =
            DriverThread::spawn("tramline-test", || async { panic!("on purpose") }).expect("a thread");
        assert!(!driver.join());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_driver_takes_no_signals_and_tells_its_cpu_time() {
        let (tx, rx) = oneshot::channel();
        let (go, wait) = oneshot::channel::<()>();
        let driver = DriverThread::spawn("tramline-test", move || async move {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
            let _ = tx.send(status);
            let _ = wait.await;
        })
        .expect("a thread");
        let status = block_on(rx, None).expect("outside").expect("a status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGUSR1, libc::SIGCHLD] {
            assert_ne!(mask & (1 << (signal - 1)), 0, "signal {signal} reaches the driver thread");
        }
        assert_eq!(mask & (1 << (libc::SIGSEGV - 1)), 0, "faults must stay visible");
        assert!(driver.cpu_time().is_some());
        drop(go);
        assert!(driver.join());
    }
}
