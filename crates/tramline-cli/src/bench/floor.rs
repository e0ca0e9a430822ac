//! `tramline bench floor`: what this machine can do at most with the same work.
//!
//! Three threads as in `bench`, with nothing between them but what no implementation can leave out: the publisher seals each
//! datagram with AES-128-GCM, the relay in the middle opens it and seals it again, the subscriber opens it. UDP with GSO and
//! GRO. No ICE, DTLS, SCTP, queues or frames; the only flow control is a counter in memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::runtime::Runtime;
use tramline_net::udp::{RecvBatch, UdpSocket, UdpSockets};
use tramline_transport::Transmits;

use super::pace::Pace;
use super::publisher::Pushed;
use super::report::{CpuTime, Report};
use super::{Load, nanos_since, read_stamp, thread_cpu_time, write_stamp};
use crate::output::Error;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[command(flatten)]
    load: Load,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    measure(&args.load)?.print(args.json)
}

fn measure(load: &Load) -> Result<Report, Error> {
    let progress = Arc::new(Progress::default());
    let epoch = Instant::now();
    let (subscriber, to_subscriber) = start("bench-subscriber", {
        let (progress, load) = (Arc::clone(&progress), *load);
        move |runtime, sockets| receive(runtime, sockets, &load, epoch, &progress)
    })?;
    let (relay, to_relay) = start("bench-relay", {
        let progress = Arc::clone(&progress);
        move |runtime, sockets| relay(runtime, sockets, to_subscriber, &progress)
    })?;
    let (publisher, _) = start("bench-publisher", {
        let (progress, load) = (Arc::clone(&progress), *load);
        move |_, sockets| publish(sockets, to_relay, &load, epoch, &progress)
    })?;
    let pushed = join(publisher)?;
    progress.all_sent.store(true, Ordering::Release);
    let Received { latencies, elapsed, cpu } = join(subscriber)?;
    progress.all_received.store(true, Ordering::Release);
    let cpu = CpuTime { publisher: pushed.cpu, server: join(relay)?, subscriber: cpu };
    Ok(Report::of(&pushed, latencies, elapsed, cpu, BTreeMap::new()))
}

/// What the threads know of each other.
#[derive(Default)]
struct Progress {
    /// Datagrams that the subscriber has opened.
    opened: AtomicU64,
    /// The publisher waits for that number to grow.
    is_waiting: AtomicBool,
    publisher: OnceLock<Thread>,
    all_sent: AtomicBool,
    all_received: AtomicBool,
}

struct Received {
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu: Option<Duration>,
}

fn publish(
    mut sockets: UdpSockets,
    to: SocketAddr,
    load: &Load,
    epoch: Instant,
    progress: &Progress,
) -> Result<Pushed, Error> {
    progress.publisher.get_or_init(thread::current);
    let cpu_before = thread_cpu_time();
    let mut pace = Pace::new(Instant::now(), load.rate);
    let (mut seal, mut out) = (Seal::new()?, Transmits::new());
    let mut payload = vec![0; load.size];
    let window = (WINDOW / load.size.min(DATAGRAM)).max(1) as u64;
    let mut sent = 0;
    for number in 0..load.frames {
        if let Some(pace) = &mut pace {
            pace.wait();
        } else {
            progress.wait_until_in_flight(|in_flight| in_flight < window, sent);
        }
        write_stamp(&mut payload, u64::from(number), epoch);
        for part in payload.chunks(DATAGRAM) {
            seal.append(part, to, &mut out);
            sent += 1;
        }
        if pace.is_some() || out.len() >= BATCH || number + 1 == load.frames {
            sockets.send(&mut out);
        }
    }
    while !sockets.flush() {
        thread::yield_now();
    }
    let cpu = thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before);
    Ok(Pushed { pushed: load.frames.into(), accepted: load.frames.into(), cpu })
}

impl Progress {
    /// Flat out, what is on the way has to fit into the sockets' buffers.
    fn wait_until_in_flight(&self, is_fine: impl Fn(u64) -> bool, sent: u64) {
        while !is_fine(sent - self.opened.load(Ordering::Acquire).min(sent)) {
            self.is_waiting.store(true, Ordering::SeqCst);
            if is_fine(sent - self.opened.load(Ordering::SeqCst).min(sent)) {
                break;
            }
            let before = self.opened.load(Ordering::Acquire);
            thread::park_timeout(LOST);
            if self.opened.load(Ordering::Acquire) == before {
                // Datagrams were lost in a full buffer; they will never be counted.
                break;
            }
        }
    }

    fn count(&self, datagrams: u64) {
        self.opened.fetch_add(datagrams, Ordering::SeqCst);
        if self.is_waiting.swap(false, Ordering::SeqCst)
            && let Some(publisher) = self.publisher.get()
        {
            publisher.unpark();
        }
    }
}

fn relay(
    runtime: &Runtime,
    mut sockets: UdpSockets,
    to: SocketAddr,
    progress: &Progress,
) -> Result<Option<Duration>, Error> {
    runtime.block_on(async {
        let cpu_before = thread_cpu_time();
        let (mut open, mut seal) = (Open::new()?, Seal::new()?);
        let (mut batch, mut out) = (RecvBatch::new(), Transmits::new());
        while !progress.all_received.load(Ordering::Acquire) {
            let Ok(read) = tokio::time::timeout(LOST, sockets.recv(&mut batch)).await else { continue };
            read?;
            for datagram in batch.iter() {
                if let Some(payload) = open.open(datagram.payload) {
                    seal.append(payload, to, &mut out);
                }
            }
            sockets.send(&mut out);
        }
        Ok(thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before))
    })
}

fn receive(
    runtime: &Runtime,
    mut sockets: UdpSockets,
    load: &Load,
    epoch: Instant,
    progress: &Progress,
) -> Result<Received, Error> {
    runtime.block_on(async {
        let cpu_before = thread_cpu_time();
        let mut open = Open::new()?;
        let mut batch = RecvBatch::new();
        let parts = load.size.div_ceil(DATAGRAM);
        let mut latencies = Vec::with_capacity(load.frames as usize);
        let mut elapsed = Duration::ZERO;
        let (mut stamp, mut rest) = (None, 0);
        while latencies.len() < load.frames as usize {
            match tokio::time::timeout(LOST, sockets.recv(&mut batch)).await {
                Ok(read) => read?,
                Err(_) if progress.all_sent.load(Ordering::Acquire) => break,
                Err(_) => continue,
            }
            let mut opened = 0;
            for datagram in batch.iter() {
                let Some(payload) = open.open(datagram.payload) else { continue };
                opened += 1;
                // Loopback keeps the order, so the parts of a frame follow its first one.
                if rest == 0 {
                    stamp = read_stamp(payload);
                    rest = parts;
                }
                rest -= 1;
                if rest == 0
                    && let Some((_, pushed_at)) = stamp
                {
                    let now = nanos_since(epoch);
                    elapsed = Duration::from_nanos(now);
                    latencies.push(Duration::from_nanos(now.saturating_sub(pushed_at)));
                }
            }
            progress.count(opened);
        }
        let cpu = thread_cpu_time().zip(cpu_before).map(|(after, before)| after - before);
        Ok(Received { latencies, elapsed, cpu })
    })
}

/// Makes datagrams as long as a DTLS 1.2 record makes them.
struct Seal {
    key: LessSafeKey,
    number: u64,
    scratch: Vec<u8>,
}

impl Seal {
    fn new() -> Result<Self, Error> {
        Ok(Self { key: key()?, number: 0, scratch: Vec::new() })
    }

    fn append(&mut self, payload: &[u8], to: SocketAddr, out: &mut Transmits) {
        self.number += 1;
        let mut header = [0; HEADER];
        header[HEADER - 8..].copy_from_slice(&self.number.to_be_bytes());
        self.scratch.clear();
        self.scratch.extend_from_slice(&header);
        self.scratch.extend_from_slice(payload);
        let tag = self.key.seal_in_place_separate_tag(
            nonce(&header),
            Aad::from(&header),
            &mut self.scratch[HEADER..],
        );
        if let Ok(tag) = tag {
            self.scratch.extend_from_slice(tag.as_ref());
            out.push(None, to, &self.scratch);
        }
    }
}

struct Open {
    key: LessSafeKey,
    scratch: Vec<u8>,
}

impl Open {
    fn new() -> Result<Self, Error> {
        Ok(Self { key: key()?, scratch: Vec::new() })
    }

    fn open(&mut self, datagram: &[u8]) -> Option<&[u8]> {
        let (header, sealed) = datagram.split_at_checked(HEADER)?;
        self.scratch.clear();
        self.scratch.extend_from_slice(sealed);
        self.key
            .open_in_place(nonce(header), Aad::from(header), &mut self.scratch)
            .ok()
            .map(|opened| &*opened)
    }
}

fn key() -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| "AES-128-GCM is not to be had")?;
    Ok(LessSafeKey::new(key))
}

fn nonce(header: &[u8]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&header[HEADER - 8..]);
    Nonce::assume_unique_for_key(nonce)
}

/// Runs `work` on a thread of its own with a socket and a runtime; where that socket can be reached.
fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&Runtime, UdpSockets) -> Result<T, Error> + Send + 'static,
) -> Result<(Part<T>, SocketAddr), Error> {
    let (told, addr) = mpsc::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let socket = {
            let _inside = runtime.enter();
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into())?
        };
        let _ = told.send(socket.local_addr());
        work(&runtime, UdpSockets::new(vec![socket]))
    })?;
    match addr.recv() {
        Ok(addr) => Ok((thread, addr)),
        // It has ended already, with the reason.
        Err(_) => Err(join(thread).err().unwrap_or_else(|| "a thread of the benchmark ended early".into())),
    }
}

type Part<T> = JoinHandle<Result<T, Error>>;

fn join<T>(thread: Part<T>) -> Result<T, Error> {
    thread.join().map_err(|_| "a thread of the benchmark panicked")?
}

/// What comes before the sealed bytes: the header of a record and its part of the nonce.
const HEADER: usize = 21;
/// Payload of a datagram, as much as SCTP has in one besides its own headers.
const DATAGRAM: usize = 1_132;
/// Bytes on the way flat out: half of what the sockets' buffers take.
const WINDOW: usize = 2 << 20;
/// Datagrams that leave with one call.
const BATCH: usize = 32;
/// Nothing is on the way for longer than this.
const LOST: Duration = Duration::from_millis(200);
