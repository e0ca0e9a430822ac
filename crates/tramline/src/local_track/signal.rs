//! Telling the driver that a queue has something, once however much comes.

use super::sync::{AtomicBool, Ordering};

/// One side puts something into a queue and then [raises](Self::raise) this; the other side [acknowledges](Self::acknowledge) and then looks at the queue.
/// In that order nothing is left behind: what was put in before the acknowledgement is seen, what comes after raises again.
#[derive(Debug)]
pub(super) struct Signal {
    is_raised: AtomicBool,
}

impl Signal {
    pub(super) fn new() -> Self {
        Self { is_raised: AtomicBool::new(false) }
    }

    /// Whether the other side has to be told; otherwise it knows already.
    pub(super) fn raise(&self) -> bool {
        !self.is_raised.swap(true, Ordering::AcqRel)
    }

    /// What is put in from now on raises again.
    pub(super) fn acknowledge(&self) {
        // A swap, not a store: it reads what the raising side wrote, and with it everything that was put in before.
        self.is_raised.swap(false, Ordering::AcqRel);
    }
}
