//! What must hold for any list of operations. Each check is called by the fuzz target of its name, by the replay of
//! that target's corpus (`fuzz/corpus`) and with random bytes.

mod live_queue;
mod memory;
mod reassembler;
mod room;
mod session;

use std::panic::RefUnwindSafe;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use tramline_sim::replay_corpus;

#[test]
fn the_corpus_of_the_live_queue_still_passes() {
    replay("live_queue", live_queue::check);
}

#[test]
fn the_corpus_of_the_reassembler_still_passes() {
    replay("reassembler", reassembler::check);
}

#[test]
fn the_corpus_of_the_room_still_passes() {
    replay("room", room::check);
}

#[test]
fn the_corpus_of_the_session_still_passes() {
    replay("session", session::check);
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn the_live_queue_does_what_its_model_does(data in vec(any::<u8>(), 0..600)) {
        live_queue::check(&data);
    }

    #[test]
    fn the_reassembler_delivers_whole_frames_or_nothing(data in vec(any::<u8>(), 0..600)) {
        reassembler::check(&data);
    }

    #[test]
    fn the_room_survives_any_clients(data in vec(any::<u8>(), 0..600)) {
        room::check(&data);
    }

    #[test]
    fn the_session_survives_any_server(data in vec(any::<u8>(), 0..600)) {
        session::check(&data);
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
