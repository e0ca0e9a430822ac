//! Opaque handles: made, borrowed, shared, freed.

use std::sync::Arc;

use crate::{error::Failure, fork::Generation, status::tramline_status::TRAMLINE_ERR_FORKED};

/// What a handle holds.
pub(crate) struct Owned<T> {
    generation: Generation,
    value: Arc<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::from_shared(Arc::new(value))
    }

    pub(crate) fn from_shared(value: Arc<T>) -> Self {
        Self { generation: Generation::of_this_process(), value }
    }

    pub(crate) fn into_shared(self) -> Arc<T> {
        self.value
    }

    pub(crate) fn value(&self) -> Result<&Arc<T>, Failure> {
        if self.generation.is_current() { Ok(&self.value) } else { Err(forked()) }
    }
}

pub(crate) fn forked() -> Failure {
    Failure::new(
        TRAMLINE_ERR_FORKED,
        "the handle belongs to the process that this one was forked from; connect anew in this process",
    )
}

/// A type of the header that holds an [`Owned`].
pub(crate) trait Handle: From<Owned<Self::Value>> + Into<Owned<Self::Value>> {
    type Value;

    fn owned(&self) -> &Owned<Self::Value>;
}

macro_rules! handle {
    ($handle:ident holds $value:ty) => {
        impl crate::handle::Handle for $handle {
            type Value = $value;

            fn owned(&self) -> &crate::handle::Owned<$value> {
                &self.0
            }
        }

        impl From<crate::handle::Owned<$value>> for $handle {
            fn from(owned: crate::handle::Owned<$value>) -> Self {
                Self(owned)
            }
        }

        impl From<$handle> for crate::handle::Owned<$value> {
            fn from(handle: $handle) -> Self {
                handle.0
            }
        }
    };
}
pub(crate) use handle;

/// A new handle, for the caller to free.
pub(crate) fn new<H: Handle>(value: H::Value) -> *mut H {
    Box::into_raw(Box::new(Owned::new(value).into()))
}

/// Another handle to the same.
pub(crate) fn share<H: Handle>(value: &Arc<H::Value>) -> *mut H {
    Box::into_raw(Box::new(Owned::from_shared(Arc::clone(value)).into()))
}

/// What a handle stands for.
///
/// # Safety
/// The rule on handles.
pub(crate) unsafe fn value<'a, H: Handle + 'a>(
    handle: *const H,
    what: &str,
) -> Result<&'a Arc<H::Value>, Failure> {
    // SAFETY: by the rule, what is not null is a live handle.
    let handle = unsafe { handle.as_ref() }.ok_or_else(|| Failure::null(what))?;
    handle.owned().value()
}

/// Takes the handle back; nothing when it is null or belongs to another process, where what it holds must not be touched.
///
/// # Safety
/// The rule on handles, and nobody uses the handle from now on.
pub(crate) unsafe fn take<H: Handle>(handle: *mut H) -> Option<Arc<H::Value>> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: by the rule, what is not null is a live handle, and `new` or `share` made it.
    let handle = unsafe {
        if (*handle).owned().value().is_err() {
            return None;
        }
        Box::from_raw(handle)
    };
    Some((*handle).into().into_shared())
}

/// A place for a result.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// The rule on results.
    pub(crate) unsafe fn new(out: *mut T, what: &str) -> Result<Self, Failure> {
        if out.is_null() { Err(Failure::null(what)) } else { Ok(Self(out)) }
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: checked for null when it was made; the rule on results for the rest. What was there is not dropped: it is C's.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// As [`new`](Self::new), and the caller sees null when the call fails.
    ///
    /// # Safety
    /// The rule on results.
    pub(crate) unsafe fn handle(out: *mut *mut T, what: &str) -> Result<Self, Failure> {
        // SAFETY: the same rule.
        let out = unsafe { Self::new(out, what) }?;
        out.set(std::ptr::null_mut());
        Ok(out)
    }
}
