//! Paths that lose.

use tramline_sim::{LinkConfig, run_seeds};

use crate::line::{Line, MS, Source};

fn one_percent() -> LinkConfig {
    LinkConfig::with_delay(25 * MS).with_loss(0.01, 1.0)
}

#[test]
fn small_commands_arrive_in_order_and_in_time_over_two_hops_that_lose_one_percent() {
    run_seeds(3, |seed| {
        let link = one_percent();
        let outcome = &Line::new(seed, &link, &link, &[Source { size: 38, rate: 200 }]).run(60_000 * MS)[0];
        let in_time = outcome.within(62 * MS);
        assert!(in_time >= 0.9998, "{in_time}, {:?}", outcome.percentile(0.9999));
        assert!(outcome.is_in_order());
    });
}

#[test]
fn state_of_one_packet_a_frame_is_mended_before_the_next_but_one() {
    run_seeds(3, |seed| {
        let link = one_percent();
        for rate in [200, 1_000] {
            let outcome = &Line::new(seed, &link, &link, &[Source { size: 1_024, rate }]).run(20_000 * MS)[0];
            let (p50, p99) = (outcome.percentile(0.5), outcome.percentile(0.99));
            let figures = (rate, outcome.delivered(), p50, p99);
            assert!(outcome.delivered() >= 0.999 && p50 <= 52 * MS + MS / 2 && p99 <= 70 * MS, "{figures:?}");
        }
    });
}

#[test]
fn frames_of_many_packets_are_made_whole_in_time() {
    run_seeds(3, |seed| {
        let link = one_percent();
        let outcome =
            &Line::new(seed, &link, &link, &[Source { size: 16_384, rate: 20 }]).run(60_000 * MS)[0];
        assert!(outcome.delivered() >= 0.995, "{}", outcome.delivered());
    });
}

#[test]
fn bursts_of_losses_are_survived() {
    run_seeds(3, |seed| {
        let bad = LinkConfig::with_delay(32 * MS).with_jitter(16 * MS).with_loss(0.05, 4.0);
        let good = LinkConfig::default();
        let outcome = &Line::new(seed, &good, &bad, &[Source { size: 38, rate: 200 }]).run(60_000 * MS)[0];
        let in_time = outcome.within(250 * MS);
        assert!(in_time >= 0.993, "{in_time}");
    });
}
