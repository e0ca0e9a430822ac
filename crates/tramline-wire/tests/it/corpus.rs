//! Replays the fuzz target's corpus. New finds go to `fuzz/corpus/packet`, named after what they show.

use std::path::Path;

use crate::fuzzed;

#[test]
fn every_input_that_the_fuzzer_kept_still_passes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/packet");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&dir).expect("the corpus is part of the repository") {
        let path = entry.expect("the corpus can be listed").path();
        let data = std::fs::read(&path).expect("the corpus can be read");
        if std::panic::catch_unwind(|| fuzzed::check(&data)).is_err() {
            panic!("failed on {}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed >= 32, "only {replayed} inputs in {}", dir.display());
}
