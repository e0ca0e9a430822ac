//! Entries that fail on purpose. Only in a library built for the tests; never in the header.

use crate::{error::guard, status::tramline_status};

/// Panics, as only a bug can make an entry do.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_test_panic() -> tramline_status {
    guard(|| panic!("on purpose"))
}
