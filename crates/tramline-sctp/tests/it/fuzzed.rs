//! The corpora of the fuzz targets, replayed.

use std::panic::RefUnwindSafe;
use std::path::Path;

use tramline_sim::replay_corpus;

use crate::forger::{survives, survives_packets};

#[test]
fn the_corpus_of_hostile_peers_still_passes() {
    replay("association", survives);
}

#[test]
fn the_corpus_of_sctp_packets_still_passes() {
    replay("sctp_packet", |data| survives_packets(data.chunks(90)));
}

fn replay(target: &str, check: impl Fn(&[u8]) + RefUnwindSafe) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    replay_corpus(corpora.join(target), check);
}
