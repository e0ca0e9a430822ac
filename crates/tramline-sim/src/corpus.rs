use std::panic::{RefUnwindSafe, catch_unwind};
use std::path::Path;

/// Calls `check` with every file of `dir`, a fuzzer's corpus.
///
/// # Panics
/// When `check` panics: names the file. When there is no file: an empty corpus tests nothing.
pub fn replay_corpus(dir: impl AsRef<Path>, check: impl Fn(&[u8]) + RefUnwindSafe) {
    let dir = dir.as_ref();
    let listing = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut replayed = 0;
    for entry in listing {
        let path = entry.expect("a directory can be listed to its end").path();
        let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if catch_unwind(|| check(&data)).is_err() {
            panic!("failed on {}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed > 0, "there is nothing in {}", dir.display());
}
