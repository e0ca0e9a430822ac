//! Which process a handle belongs to.
//!
//! A child of `fork` has the parent's memory and none of its threads: a handle of the parent's would wait for ever for a thread that is not
//! there, or write to the parent's sockets. So each handle knows the generation of its process, and the child is the next one.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

/// Of this process. In each copy of the library its own.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTER: Once = Once::new();

/// Marks something as made in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn of_this_process() -> Self {
        REGISTER.call_once(|| {
            // SAFETY: the handler is async-signal-safe: it adds one to an atomic.
            let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            // Without memory for the registration there would be none for a room either.
            debug_assert_eq!(result, 0);
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this process made it.
    pub(crate) fn is_current(self) -> bool {
        self.0 == GENERATION.load(Ordering::Relaxed)
    }
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
