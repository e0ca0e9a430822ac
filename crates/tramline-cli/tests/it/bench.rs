use serde_json::Value;

use super::{only_json, run};

#[test]
fn a_paced_run_tells_what_arrived_and_what_it_cost() {
    let report = only_json(&run(&["bench", "--frames", "50", "--size", "2000", "--rate", "200", "--json"]));
    assert_eq!((&report["pushed"], &report["accepted"]), (&50.into(), &50.into()), "{report}");
    // On a machine that stands still for 100 ms a frame may be dropped; then it is counted.
    assert!(arrived_or_dropped(&report) >= 50, "{report}");
    assert_eq!(
        report["delivery_ratio"].as_f64(),
        report["received"].as_f64().map(|received| received / 50.0)
    );
    assert!(report["frames_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{report}");
    assert!(report["latency_us"]["p50"].as_f64() <= report["latency_us"]["max"].as_f64(), "{report}");
    for part in ["publisher", "server", "subscriber"] {
        assert!(report["cpu_us_per_frame"][part].as_f64().is_some_and(|us| us > 0.0), "{report}");
    }
}

#[test]
fn flat_out_every_frame_arrives_or_is_counted_as_dropped() {
    let report = only_json(&run(&["bench", "--frames", "20000", "--size", "1024", "--rate", "0", "--json"]));
    assert_eq!(report["accepted"], 20_000);
    assert!(arrived_or_dropped(&report) >= 20_000, "{report}");
}

fn arrived_or_dropped(report: &Value) -> u64 {
    let number = |value: &Value| value.as_u64().expect("a count");
    let dropped = report["dropped"].as_object().expect("by reason");
    number(&report["received"]) + dropped.values().map(number).sum::<u64>()
}
