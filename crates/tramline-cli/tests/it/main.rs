//! The command as a user's shell sees it.

mod bench;
mod ping_pong;
mod serve;
mod token;

use std::process::{Command, Output};

use serde_json::Value;

/// The command with no credentials or URL of the surroundings.
fn tramline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tramline"));
    command.args(args);
    for name in
        ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "LIVEKIT_KEYS", "NODE_IP", "TRAMLINE_LOG"]
    {
        command.env_remove(name);
    }
    command
}

fn run(args: &[&str]) -> Output {
    tramline(args).output().expect("the binary runs")
}

/// Standard output, which must be exactly one JSON object on one line.
fn only_json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert!(value.is_object(), "{text}");
    value
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
