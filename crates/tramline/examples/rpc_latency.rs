//! How long a call takes: `rpc_latency [ROUNDS [BYTES]]` calls a method that echoes so many bytes, through a server of its own on loopback, and prints
//! percentiles in milliseconds.
#![allow(clippy::print_stdout)] // This is a program.

use std::time::Instant;

use tramline::{PerformRpcData, Room, RoomEvent, RoomOptions, block_on};
use tramline_server::{
    Server, ServerConfig,
    auth::{AccessToken, VideoGrants},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(5_000), |text| text.parse())?;
    let bytes: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let server = Server::start(ServerConfig::ephemeral())?;
    let join = |identity: &str| -> Result<_, Box<dyn std::error::Error>> {
        let token = AccessToken::new("devkey", "secret")
            .with_identity(identity)
            .with_grants(VideoGrants::join("bench"))
            .to_jwt()?;
        Ok(block_on(Room::connect(&server.url(), &token, RoomOptions::default()))??)
    };
    let (caller, mut events) = join("caller")?;
    let (robot, _robot_events) = join("robot")?;
    robot.local_participant().register_rpc_method("echo", |call| async move { Ok(call.payload) });
    block_on(async {
        while let Some(event) = events.recv().await {
            if matches!(event, RoomEvent::ParticipantConnected(_)) {
                break;
            }
        }
    })?;

    let local = caller.local_participant();
    let payload: String = (0..bytes).map(|index| char::from(b'a' + (index % 26) as u8)).collect();
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds + WARM_UP {
        let data = PerformRpcData {
            destination_identity: "robot".into(),
            method: "echo".to_owned(),
            payload: payload.clone(),
            ..PerformRpcData::default()
        };
        let start = Instant::now();
        let answer = block_on(local.perform_rpc(data))??;
        if round >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        assert_eq!(answer.len(), bytes);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{rounds} calls of {bytes} B: p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Calls that are not counted: threads start, caches fill.
const WARM_UP: usize = 200;
