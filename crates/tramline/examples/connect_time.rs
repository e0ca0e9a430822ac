//! How long it takes to connect: `connect_time URL TOKEN [ROUNDS]` prints each round and the median, in milliseconds.
#![allow(clippy::print_stdout)] // This is a program.

use std::time::Instant;

use tramline::{Room, RoomOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("expected a URL")?;
    let token = args.next().ok_or("expected a token")?;
    let rounds: usize = args.next().map_or(Ok(9), |text| text.parse())?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let (room, _events) = Room::connect(&url, &token, RoomOptions::default()).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        room.close().await;
    }
    println!("{times:.1?}");
    times.sort_by(f64::total_cmp);
    println!("median {:.1} ms", times[times.len() / 2]);
    Ok(())
}
