//! The one place where panics are caught and errors become a status and a text.

use std::{
    any::Any,
    borrow::Cow,
    cell::RefCell,
    ffi::c_char,
    panic::{AssertUnwindSafe, catch_unwind},
};

use sdk::BlockError;

use crate::status::tramline_status::{self, *};

/// Why a call did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: tramline_status,
    /// Empty for an outcome that is no error.
    pub(crate) text: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(status: tramline_status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into() }
    }

    /// An outcome that is no error.
    pub(crate) const fn outcome(status: tramline_status) -> Self {
        Self { status, text: Cow::Borrowed("") }
    }

    pub(crate) fn null(what: &str) -> Self {
        Self::new(
            TRAMLINE_ERR_NULL,
            format!(
                "{what} is null; expected a pointer that this library gave, or to memory of the caller's"
            ),
        )
    }

    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(TRAMLINE_ERR_INVALID_ARGUMENT, text)
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::TimedOut(_) => Self::outcome(TRAMLINE_TIMED_OUT),
            error => Self::new(TRAMLINE_ERR_WOULD_BLOCK, error.to_string()),
        }
    }
}

/// Runs the body of an entry. A panic, which only a bug can cause, becomes a status.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> tramline_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => TRAMLINE_OK,
        Ok(Err(failure)) => {
            if !failure.text.is_empty() {
                remember(&failure.text);
            }
            failure.status
        }
        Err(panic) => {
            report(panic);
            TRAMLINE_ERR_PANIC
        }
    }
}

/// As [`guard`], for an entry that returns a value and has a neutral one for failures.
pub(crate) fn guard_or<T>(neutral: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    let mut value = neutral;
    guard(|| {
        value = body()?;
        Ok(())
    });
    value
}

fn report(panic: Box<dyn Any + Send>) {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    remember(&format!("a bug of the library, please report it: it panicked: {text}"));
    // What a panic carries may itself panic when it goes.
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(panic))) {
        std::mem::forget(second);
    }
}

thread_local! {
    /// NUL-terminated.
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn remember(text: &str) {
    // A thread that is ending has no last error any more.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            last.clear();
            last.extend(text.bytes().filter(|byte| *byte != 0));
            last.push(0);
        }
    });
}

/// What went wrong in the last call of this thread that returned an error: what it was, what was expected, what to do. Calls that succeed
/// leave it alone. NUL-terminated, empty when there was none; valid until the next call of this library on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_last_error() -> *const c_char {
    let text = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        (!last.is_empty()).then(|| last.as_ptr().cast())
    });
    text.ok().flatten().unwrap_or(c"".as_ptr())
}
