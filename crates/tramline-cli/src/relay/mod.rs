//! `tramline relay`: a bad link between real processes, for users and tests without root.
//!
//! Datagrams that reach the relay go on to one address, and the answers go back. Every client (source address) has a link of its
//! own through the relay, of the type that the simulator uses, driven by real time.

mod flow;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tramline_sim::LinkStats;

use crate::link_args::LinkArgs;
use crate::output::{Error, print_json};
use flow::{Flow, READ_BUFFER};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to receive clients' datagrams at; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where they go on to.
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    #[command(flatten)]
    link: LinkArgs,
    /// Print one JSON object at the end: the address, and what each direction did.
    #[arg(long)]
    json: bool,
}

/// Runs until it is interrupted.
pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let report = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let bound = Bound::bind(args.listen)?;
        eprintln!("relay from {} to {}", bound.addr, args.to);
        let relay = bound.start(args.to, args.link)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok::<_, Error>(relay.stop())
    })?;
    if args.json {
        print_json(&report)?;
    } else {
        println!("up   {}\ndown {}", report.up, report.down);
    }
    Ok(ExitCode::SUCCESS)
}

/// A relay that has its address and no destination yet.
pub(crate) struct Bound {
    addr: SocketAddr,
    socket: UdpSocket,
}

impl Bound {
    pub(crate) fn bind(addr: SocketAddr) -> Result<Self, Error> {
        let socket =
            flow::socket(addr).map_err(|error| format!("the relay cannot listen at {addr}: {error}"))?;
        Ok(Self { addr: socket.local_addr()?, socket })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts to relay, on a thread of its own.
    pub(crate) fn start(self, to: SocketAddr, link: LinkArgs) -> io::Result<Relay> {
        let shared = Arc::new(Shared { link: Mutex::new(link), stop: AtomicBool::new(false) });
        let worker = Worker {
            socket: self.socket,
            to,
            shared: Arc::clone(&shared),
            flows: Vec::new(),
            ended: Report::new(self.addr),
            buffer: vec![0; READ_BUFFER],
        };
        let thread = thread::Builder::new().name("tramline-relay".to_owned()).spawn(move || worker.run())?;
        Ok(Relay { shared, thread: Some(thread) })
    }
}

/// A relay at work. Ends when it is dropped.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Report>>,
}

struct Shared {
    /// Of clients that appear from now on.
    link: Mutex<LinkArgs>,
    stop: AtomicBool,
}

impl Relay {
    /// Clients that appear from now on have such a link.
    pub(crate) fn set_link(&self, link: LinkArgs) {
        *self.shared.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// Ends; what all links did.
    pub(crate) fn stop(mut self) -> Report {
        self.end().unwrap_or_else(|| Report::new(SocketAddr::from(([0, 0, 0, 0], 0))))
    }

    fn end(&mut self) -> Option<Report> {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the links of all clients did together.
#[derive(Serialize, Clone, Copy)]
pub(crate) struct Report {
    address: SocketAddr,
    clients: u64,
    /// Towards the destination.
    up: Direction,
    /// Towards the clients.
    down: Direction,
}

/// One direction, in datagrams.
#[derive(Serialize, Clone, Copy, Default)]
struct Direction {
    received: u64,
    lost: u64,
    overflowed: u64,
    duplicated: u64,
    /// Not taken by this machine's own network.
    refused: u64,
}

impl Report {
    fn new(address: SocketAddr) -> Self {
        Self { address, clients: 0, up: Direction::default(), down: Direction::default() }
    }

    fn add(&mut self, flow: &Flow) {
        self.clients += 1;
        self.up.add(flow.up.stats(), flow.refused.0);
        self.down.add(flow.down.stats(), flow.refused.1);
    }
}

impl Direction {
    fn add(&mut self, stats: LinkStats, refused: u64) {
        self.received += stats.sent;
        self.lost += stats.lost;
        self.overflowed += stats.overflowed;
        self.duplicated += stats.duplicated;
        self.refused += refused;
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { received, lost, overflowed, duplicated, refused } = self;
        write!(
            f,
            "received {received}, lost {lost}, overflowed {overflowed}, duplicated {duplicated}, refused {refused}"
        )
    }
}

struct Worker {
    socket: UdpSocket,
    to: SocketAddr,
    shared: Arc<Shared>,
    flows: Vec<Flow>,
    /// What the flows did that are gone.
    ended: Report,
    buffer: Vec<u8>,
}

impl Worker {
    fn run(mut self) -> Report {
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = Instant::now();
            let mut next = now + LONGEST_SLEEP;
            for flow in &mut self.flows {
                flow.deliver(now, &self.socket);
                next = flow.poll_timeout().map_or(next, |at| next.min(at));
            }
            let readable = match self.wait(next.saturating_duration_since(Instant::now())) {
                Ok(readable) => readable,
                Err(error) => {
                    tracing::error!(%error, "the relay cannot wait for its sockets");
                    break;
                }
            };
            let now = Instant::now();
            if readable & 1 == 1 {
                self.read_clients(now);
            }
            for (index, flow) in self.flows.iter_mut().enumerate() {
                if readable >> (index + 1) & 1 == 1 {
                    flow.read_answers(now, &mut self.buffer);
                }
            }
            let ended = &mut self.ended;
            self.flows.retain(|flow| {
                let stays = !flow.is_idle(now);
                if !stays {
                    ended.add(flow);
                }
                stays
            });
        }
        self.flows.iter().for_each(|flow| self.ended.add(flow));
        self.ended
    }

    /// Waits for datagrams; a bit for each socket that has some, the clients' first. Timers of the runtime are too coarse for
    /// this: they would add up to a millisecond to every delay.
    fn wait(&self, timeout: Duration) -> io::Result<u128> {
        let mut fds: Vec<_> = std::iter::once(&self.socket)
            .chain(self.flows.iter().map(|flow| &flow.upstream))
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        let is_readable = |fd: &PollFd<'_>| u128::from(!fd.revents().is_empty());
        Ok(fds.iter().enumerate().fold(0, |bits, (index, fd)| bits | is_readable(fd) << index))
    }

    fn read_clients(&mut self, now: Instant) {
        for _ in 0..READS_PER_TURN {
            // An earlier datagram of ours that met a closed port is reported here and says nothing of this socket.
            let Ok((len, client)) = self.socket.recv_from(&mut self.buffer) else { return };
            let index = match self.flows.iter().position(|flow| flow.client == client) {
                Some(index) => index,
                None if self.flows.len() == MAX_CLIENTS => continue,
                None => {
                    let link = self.shared.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let seed = link.seed.wrapping_add(2 * self.flows.len() as u64);
                    match Flow::new(client, self.to, &link.config(), seed, now) {
                        Ok(flow) => self.flows.push(flow),
                        Err(error) => {
                            tracing::warn!(%client, %error, "no socket for a client");
                            continue;
                        }
                    }
                    self.flows.len() - 1
                }
            };
            self.flows[index].take(now, &self.buffer[..len]);
        }
    }
}

/// As many as bits in what [`Worker::wait`] returns, less the clients' own socket.
const MAX_CLIENTS: usize = 127;
/// Datagrams that are read from a socket before those that are due leave.
const READS_PER_TURN: usize = 256;
/// The flag that ends the relay is looked at so often at least.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_comes_back_late_and_only_to_it() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let echo = UdpSocket::bind(local).expect("a port");
        let bound = Bound::bind(local).expect("a port");
        let addr = bound.addr();
        let link: LinkArgs = "delay=20".parse().expect("a link");
        let relay = bound.start(echo.local_addr().expect("bound"), link).expect("a thread");
        let clients = [0, 1].map(|_| UdpSocket::bind(local).expect("a port"));
        let sent = Instant::now();
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8; 100], addr).expect("room");
        }
        let mut buffer = [0; 200];
        for _ in 0..2 {
            let (len, from) = echo.recv_from(&mut buffer).expect("a datagram");
            assert_ne!(from, addr);
            echo.send_to(&buffer[..len], from).expect("room");
        }
        for (number, client) in clients.iter().enumerate() {
            let (len, from) = client.recv_from(&mut buffer).expect("an answer");
            assert_eq!((&buffer[..len], from), (&[number as u8; 100][..], addr));
        }
        assert!(sent.elapsed() >= Duration::from_millis(40));
        let report = relay.stop();
        assert_eq!((report.clients, report.up.received, report.down.received), (2, 2, 2));
    }
}
