//! Which library this is.

/// The version of the ABI that this header describes. Additions keep it; what breaks a linked program raises it, and the SONAME.
pub const TRAMLINE_ABI_VERSION: u32 = 1;

/// The version of the ABI that the library has: equal to `TRAMLINE_ABI_VERSION` of the header that the program was compiled with, or the two
/// do not belong together.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_abi_version() -> u32 {
    TRAMLINE_ABI_VERSION
}

/// The version of the library as text, such as "0.1.0". Static, NUL-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_version() -> *const std::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
