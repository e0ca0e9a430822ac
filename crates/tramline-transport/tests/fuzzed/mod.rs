//! What must hold for anything that signalling and the network bring. Each check is called by the fuzz target of its
//! name, by the replay of that target's corpus (`fuzz/corpus`) and with random bytes.

mod datagrams;
mod description;

use std::panic::RefUnwindSafe;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use tramline_sim::replay_corpus;

#[test]
fn the_corpus_of_session_descriptions_still_passes() {
    replay("description", description::check);
}

#[test]
fn the_corpus_of_datagrams_still_passes() {
    replay("datagrams", datagrams::check);
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn any_session_description_is_answered_or_refused(data in vec(any::<u8>(), 0..300)) {
        description::check(&data);
    }

    #[test]
    fn a_session_survives_any_datagrams_of_strangers(data in vec(any::<u8>(), 0..200)) {
        datagrams::check(&data);
    }
}

/// What is found is kept as an input of the corpus, not as a seed.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn replay(target: &str, check: impl Fn(&[u8]) + RefUnwindSafe) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    replay_corpus(corpora.join(target), check);
}
