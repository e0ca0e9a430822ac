//! Randomness from the operating system, for seeds, credentials and masks.

use std::io;

/// `N` bytes that nobody can guess.
///
/// # Errors
/// The operating system has no randomness to give (it is very early in the boot, or a sandbox forbids it).
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut out = [0; N];
    getrandom::fill(&mut out)
        .map_err(|error| io::Error::other(format!("no randomness from the operating system: {error}")))?;
    Ok(out)
}

/// A seed for one machine.
///
/// # Errors
/// As [`bytes()`].
pub fn seed() -> io::Result<u64> {
    bytes().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_seeds_differ() {
        assert_ne!(super::bytes::<32>().expect("randomness"), super::bytes::<32>().expect("randomness"));
    }
}
