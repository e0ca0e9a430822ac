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

#[test]
fn a_bad_link_shows_in_the_figures() {
    let report = only_json(&run(&[
        "bench", "--frames", "20", "--size", "100", "--rate", "100", "--via", "delay=15", "--json",
    ]));
    // Two hops; nothing arrives before both delays are over.
    assert!(report["latency_us"]["p50"].as_f64() >= Some(30_000.0), "{report}");
    let report = only_json(&run(&[
        "bench",
        "--frames",
        "20",
        "--size",
        "100",
        "--rate",
        "100",
        "--via-subscriber",
        "delay=15",
        "--json",
    ]));
    assert!(report["latency_us"]["p50"].as_f64() >= Some(15_000.0), "{report}");
}

#[test]
fn the_floor_has_the_fields_of_a_run() {
    let run_fields = only_json(&run(&["bench", "--frames", "10", "--rate", "1000", "--json"]));
    for rate in ["1000", "0"] {
        let report = only_json(&run(&["bench", "floor", "--frames", "500", "--rate", rate, "--json"]));
        assert!(report["received"].as_u64().is_some_and(|received| received > 0), "{report}");
        let names = |report: &Value| report.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names(&report), names(&run_fields));
    }
    let large =
        only_json(&run(&["bench", "floor", "--frames", "20", "--size", "100000", "--rate", "0", "--json"]));
    assert!(large["received"].as_u64().is_some_and(|received| received > 0), "{large}");
}

#[test]
fn a_mix_tells_of_both_streams() {
    let report = only_json(&run(&[
        "bench",
        "mix",
        "--seconds",
        "1",
        "--bulk-size",
        "20000",
        "--bulk-rate",
        "10",
        "--json",
    ]));
    for (flow, pushed) in [("control_alone", 200), ("control", 200), ("bulk", 10)] {
        let flow = &report[flow];
        assert_eq!(flow["pushed"], pushed, "{report}");
        assert!(flow["delivery_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0), "{report}");
        assert!(flow["latency_us"]["p99"].as_f64().is_some_and(|p99| p99 > 0.0), "{report}");
    }
}

#[test]
fn a_link_that_cannot_be_read_is_refused_with_what_was_expected() {
    let output = run(&["bench", "--via", "loss=lots"]);
    assert!(!output.status.success());
    assert!(super::stderr(&output).contains("`lots` is not what was expected: a percentage"), "{output:?}");
}
