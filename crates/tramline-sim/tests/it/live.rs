//! Links that have not room for everything, or none at all for a while.

use tramline_sim::{LinkConfig, run_seeds};

use crate::line::{Line, MS, Source};

const CONTROL: Source = Source { size: 256, rate: 200 };
const BULK: Source = Source { size: 262_144, rate: 20 };

#[test]
fn control_passes_bulk_that_offers_twice_the_link() {
    run_seeds(2, |seed| {
        let link = LinkConfig::with_delay(5 * MS).with_rate(20_000_000, 256_000);
        let outcomes = Line::new(seed, &link, &link, &[CONTROL, BULK]).run(20_000 * MS);
        let [control, bulk] = &outcomes[..] else { panic!("two tracks") };
        let p99 = control.percentile(0.99);
        let rate = bulk.arrived.len() as f64 * BULK.size as f64 * 8.0 / 20.0;
        // The first second, in which the window is looked for, counts. Control takes 0.4 Mbit/s, headers included some 0.55.
        let figures = (control.delivered(), p99, rate / 1e6);
        assert!(control.delivered() >= 0.999 && p99 <= 35 * MS && rate >= 0.8 * 19_450_000.0, "{figures:?}");
    });
}

#[test]
fn after_an_outage_fresh_frames_come_at_once_and_no_old_ones() {
    run_seeds(3, |seed| {
        let link = LinkConfig::with_delay(25 * MS).with_outage(2_000 * MS, 3_000 * MS);
        let good = LinkConfig::default();
        let outcome = &Line::new(seed, &link, &good, &[Source { size: 1_024, rate: 200 }]).run(8_000 * MS)[0];
        let back = 5_000 * MS;
        let first =
            outcome.arrived.iter().find(|(.., arrived)| *arrived > back).expect("frames after the outage");
        assert!(first.2 <= back + 250 * MS, "{first:?}");
        let oldest = outcome.ages().max().expect("frames");
        assert!(oldest <= 300 * MS, "{oldest:?}");
    });
}
