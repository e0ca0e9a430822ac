//! Signals and CPU time of threads, which std does not offer.
#![allow(unsafe_code)] // Three libc calls; each block says why it is sound.

use std::{mem::MaybeUninit, os::unix::thread::JoinHandleExt, ptr, thread::JoinHandle, time::Duration};

/// Signals by which the processor reports a fault in the running code, and the profiler's: blocking the former turns a crash
/// report into a silent end, and the latter makes the thread invisible to profilers.
const LEFT_OPEN: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGPROF];

/// Runs `start`, which may start threads, with nearly all signals blocked; threads inherit that from their first moment on.
pub(super) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` initialises the set that the other calls then read; all pointers are to live locals.
    let changed = unsafe {
        libc::sigfillset(blocked.as_mut_ptr());
        for signal in LEFT_OPEN {
            libc::sigdelset(blocked.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = start();
    if changed {
        // SAFETY: the call above succeeded, so it wrote `before`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        }
    }
    result
}

/// CPU time of a thread that has not been joined.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn thread_cpu_time(handle: &JoinHandle<()>) -> Option<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the handle is neither joined nor detached, so its pthread_t names a thread; an ended one gives an error.
    let found = unsafe { libc::pthread_getcpuclockid(handle.as_pthread_t(), &mut clock) };
    if found == 0 { read(clock) } else { None }
}

/// CPU time of a thread that has not been joined: not told here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn thread_cpu_time(_handle: &JoinHandle<()>) -> Option<Duration> {
    None
}

/// CPU time of the calling thread.
pub(super) fn own_cpu_time() -> Option<Duration> {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is writable, and it is read only when the call says that it wrote it.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(Duration::new(seconds, nanos))
}
