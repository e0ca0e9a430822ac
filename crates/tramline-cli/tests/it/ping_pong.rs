use std::net::TcpListener;

use super::{only_json, run, stderr};

#[test]
fn every_ping_is_answered_through_the_embedded_server() {
    let output = run(&["ping-pong", "--count", "5", "--interval", "0.01", "--json"]);
    let report = only_json(&output);
    assert_eq!((&report["sent"], &report["answered"], &report["lost"]), (&5.into(), &5.into(), &0.into()));
    for percentile in ["p50", "p99", "max"] {
        assert!(report["rtt_ms"][percentile].as_f64().is_some_and(|ms| ms > 0.0), "{report}");
    }
    assert_eq!(stderr(&output).lines().filter(|line| line.starts_with("pong id=")).count(), 5);
}

#[test]
fn people_get_a_line_per_answer_and_a_summary() {
    let output = run(&["ping-pong", "--count", "2", "--interval", "0.01", "--size", "40000"]);
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(text.lines().filter(|line| line.contains("rtt_ms=")).count(), 2, "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("sent 2, answered 2, lost 0")), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let url = format!("ws://{free}");
    let output = run(&["ping-pong", "--url", &url, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains(&url), "{}", stderr(&output));
}
