use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tramline::{DisconnectReason, Room, RoomEvent, RoomOptions};

use super::{run, stderr, tramline};

/// A server process; killed when dropped.
struct Served {
    child: Child,
    ready: Value,
}

impl Served {
    fn start(args: &[&str]) -> Self {
        let args = [&["serve", "--port", "0", "--udp-port", "0", "--json"], args].concat();
        let mut child =
            tramline(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Self { child, ready }
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_dev_server_hands_out_tokens_that_work_and_leaves_politely() {
    let mut served = Served::start(&["--dev"]);
    let url = served.ready["url"].as_str().expect("url").to_owned();
    let token = served.ready["tokens"][0]["token"].as_str().expect("token").to_owned();
    let joined =
        tramline::block_on(Room::connect(&url, &token, RoomOptions::default())).expect("no runtime here");
    let (room, mut events) = joined.expect("the ready token opens the room");
    assert_eq!(room.name(), "dev");

    served.signal("-TERM");
    let reason = loop {
        match tramline::block_on(events.recv()).expect("no runtime here") {
            Some(RoomEvent::Disconnected { reason, .. }) => break reason,
            Some(_) => {}
            None => panic!("the room ended without a reason"),
        }
    };
    assert_eq!(reason, DisconnectReason::ServerShutdown);
    assert!(served.child.wait().expect("it ends").success());
}

#[test]
fn outside_dev_mode_no_secret_is_shown() {
    let served =
        Served::start(&["--bind", "127.0.0.1", "--keys", "key: a-secret-that-is-long-enough-for-hs256"]);
    assert_eq!(served.ready["api_key"], "key");
    assert!(
        served.ready.get("api_secret").is_none() && served.ready.get("tokens").is_none(),
        "{}",
        served.ready
    );
}

#[test]
fn an_interrupt_ends_an_idle_server() {
    let mut served = Served::start(&["--dev"]);
    served.signal("-INT");
    assert!(served.child.wait().expect("it ends").success());
}

#[test]
fn a_port_in_use_is_named() {
    let served = Served::start(&["--dev"]);
    let url = served.ready["url"].as_str().expect("url");
    let port = url.rsplit(':').next().expect("a port");
    let output = run(&["serve", "--dev", "--port", port, "--udp-port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(port), "{}", stderr(&output));
}

#[test]
fn a_server_without_keys_says_what_to_give() {
    let output = run(&["serve", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--keys") && stderr(&output).contains("--dev"), "{}", stderr(&output));
}
