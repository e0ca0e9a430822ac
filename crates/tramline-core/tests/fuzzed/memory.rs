//! Bytes that can be counted for as long as somebody holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Makes buffers and knows how much of them is still held.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<AtomicUsize>);

impl Ledger {
    pub(crate) fn lend(&self, data: Vec<u8>) -> Bytes {
        self.0.fetch_add(data.len(), Ordering::Relaxed);
        Bytes::from_owner(Loan { data, ledger: self.clone() })
    }

    pub(crate) fn held(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Loan {
    data: Vec<u8>,
    ledger: Ledger,
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.ledger.0.fetch_sub(self.data.len(), Ordering::Relaxed);
    }
}
