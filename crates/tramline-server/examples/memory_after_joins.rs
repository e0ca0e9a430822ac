//! Resident memory of a server before and after many participants joined one room.
//!
//! `cargo run --release -p tramline-server --example memory_after_joins -- 50`
//!
//! The participants live in a child process, so that only the server's memory is measured. Linux only.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use tramline::{Room, RoomOptions};
use tramline_server::auth::{AccessToken, VideoGrants};
use tramline_server::{Server, ServerConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let first = args.next().unwrap_or_else(|| "50".to_owned());
    match args.next() {
        Some(count) => participants(&first, count.parse()?),
        None => server(first.parse()?),
    }
}

fn server(count: u32) -> Result<(), Box<dyn Error>> {
    let server = Server::start(ServerConfig::ephemeral())?;
    let before = resident_kib()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([server.url(), count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    BufReader::new(child.stdout.take().ok_or("the child has no output")?).read_line(&mut ready)?;
    let after = resident_kib()?;
    println!(
        "idle {:.1} MiB, with {count} participants {:.1} MiB, {:.0} KiB each",
        f64::from(before) / 1024.0,
        f64::from(after) / 1024.0,
        f64::from(after - before) / f64::from(count)
    );
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

/// The child: joins, says so, and stays until its input ends.
fn participants(url: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let mut rooms = Vec::new();
    for number in 0..count {
        let token = AccessToken::new("devkey", "secret")
            .with_identity(format!("robot-{number}"))
            .with_grants(VideoGrants::join("yard"))
            .to_jwt()?;
        let (room, events) = tramline::block_on(Room::connect(url, &token, RoomOptions::default()))??;
        let track = tramline::block_on(room.local_participant().publish_data_track("state"))??;
        rooms.push((room, events, track));
    }
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn resident_kib() -> Result<u32, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number after VmRSS")?.parse()?)
}
