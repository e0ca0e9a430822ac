//! UDP in batches: one system call reads or writes up to 64 datagrams.
//!
//! Batching system calls is the largest lever there is on the cost of a datagram (sending one by one costs some thirty
//! times as much as one GSO run). The loop that uses a socket reads a batch ([`UdpSockets::recv`]), hands every datagram
//! of it to its peer, collects what the peers have to say in a [`Transmits`], and writes that ([`UdpSockets::send`]).
//!
//! Every datagram comes with the local address at which it arrived, and leaves from the one it names: on a host with several
//! addresses the answer must come from the one that was asked.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::AddAssign,
    task::{Context, Poll},
};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tramline_transport::{Transmit, Transmits};

mod buffers;
mod readiness;

use readiness::Readiness;

/// What a socket has done and failed to do, since it was bound.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpCounters {
    /// Datagrams handed to the operating system.
    pub sent: u64,
    /// System calls that took them.
    pub send_calls: u64,
    /// Datagrams that found the send buffer and our own backlog full.
    pub dropped_full: u64,
    /// Datagrams that the operating system refused (no route, too long, address gone).
    pub refused: u64,
    /// Datagrams read.
    pub received: u64,
    /// System calls that brought them.
    pub recv_calls: u64,
}

impl AddAssign for UdpCounters {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.send_calls += other.send_calls;
        self.dropped_full += other.dropped_full;
        self.refused += other.refused;
        self.received += other.received;
        self.recv_calls += other.recv_calls;
    }
}

/// One bound UDP socket, either IPv4 or IPv6 (never both: a mapped address would be a second name for one peer).
#[derive(Debug)]
pub struct UdpSocket {
    io: Readiness,
    state: UdpSocketState,
    local: SocketAddr,
    /// Datagrams that the send buffer did not take, in order, from `backlog_next` on.
    backlog: Transmits,
    backlog_next: usize,
    counters: UdpCounters,
}

impl UdpSocket {
    /// Binds to `addr` (port 0: any free one). Must be called inside a tokio runtime.
    ///
    /// Asks for socket buffers of 8 MiB and takes what the system gives: a burst of one 1 MiB frame must fit.
    ///
    /// # Errors
    /// The address is not one of this host's, the port is taken, or the system has no sockets left.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        buffers::enlarge(&socket);
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let io = Readiness::new(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(io.socket()))?;
        let local = io.socket().local_addr()?;
        Ok(Self {
            io,
            state,
            local,
            backlog: Transmits::new(),
            backlog_next: 0,
            counters: UdpCounters::default(),
        })
    }

    /// The address bound to; its IP is unspecified for a socket that listens on all addresses of its family.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the socket has done so far.
    #[must_use]
    pub fn counters(&self) -> UdpCounters {
        self.counters
    }

    /// Waits for datagrams and reads all that are there, up to what `batch` holds. Cancel-safe.
    ///
    /// # Errors
    /// The socket is unusable; errors that concern one datagram are not reported here.
    pub async fn recv(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// As [`recv`](Self::recv), for a future written by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        loop {
            match self.try_recv(batch) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => std::task::ready!(self.io.poll_readable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads what is there now; `false` when that is nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self, batch: &mut RecvBatch) -> io::Result<bool> {
        batch.filled = 0;
        loop {
            let read = self.io.try_read(|socket| {
                let mut slots = slots(&mut batch.buf);
                self.state.recv(UdpSockRef::from(socket), &mut slots, &mut batch.metas)
            });
            match read {
                Ok(count) => {
                    batch.filled = count;
                    batch.local = self.local;
                    self.counters.recv_calls += 1;
                    self.counters.received += batch.len() as u64;
                    if count < SLOTS {
                        // Nothing is left now; what comes later is reported anew. Saves the call that would find out.
                        self.io.clear_readable();
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // An earlier datagram of ours met a closed port (reported on some systems): says nothing of this socket.
                Err(error) if is_about_a_peer(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends `items`, whose ranges index into `bytes`. Never blocks.
    ///
    /// Runs of equally long datagrams to one destination leave with one system call. What the send buffer does not
    /// take is kept, up to 1 MiB, and goes with the next call or [`flush`](Self::flush); beyond that it is dropped and counted.
    pub fn send(&mut self, bytes: &[u8], items: &[Transmit]) {
        self.flush();
        let mut next = 0;
        if self.backlog.is_empty() {
            next = self.send_now(bytes, items);
        }
        for item in &items[next..] {
            if self.backlog.bytes().len() + item.range.len() > MAX_BACKLOG {
                self.counters.dropped_full += 1;
            } else {
                self.backlog.push(item.src, item.dst, &bytes[item.range.clone()]);
            }
        }
    }

    /// Whether datagrams wait for room in the send buffer.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Tries again to send what the send buffer did not take; `true` when nothing is left.
    pub fn flush(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        let backlog = std::mem::take(&mut self.backlog);
        self.backlog_next += self.send_now(backlog.bytes(), &backlog.items()[self.backlog_next..]);
        let done = self.backlog_next == backlog.len();
        self.backlog = backlog;
        if done {
            self.backlog.clear();
            self.backlog_next = 0;
            self.io.ignore_writable();
        }
        done
    }

    /// Ready once the send buffer has room again. Cancel-safe.
    ///
    /// # Errors
    /// The runtime is going away.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_writable(cx)
    }

    /// Sends until done or blocked; the number of items dealt with.
    fn send_now(&mut self, bytes: &[u8], items: &[Transmit]) -> usize {
        let mut next = 0;
        while next < items.len() {
            let run = run_length(&items[next..], self.state.max_gso_segments());
            let end = next + run;
            match self.send_run(bytes, &items[next..end]) {
                Ok(()) => {
                    self.counters.sent += run as u64;
                    next = end;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return next,
                // The offload was refused and is off from here on: the same datagrams go one by one.
                Err(_) if run > 1 && self.state.max_gso_segments() == 1 => {}
                Err(error) => {
                    let first = &items[next];
                    tracing::debug!(dst = %first.dst, src = ?first.src, len = first.range.len(), %error, "datagram refused");
                    self.counters.refused += run as u64;
                    next = end;
                }
            }
        }
        next
    }

    fn send_run(&mut self, bytes: &[u8], run: &[Transmit]) -> io::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        self.counters.send_calls += 1;
        let transmit = quinn_udp::Transmit {
            destination: first.dst,
            ecn: None,
            contents: &bytes[first.range.start..last.range.end],
            segment_size: (run.len() > 1).then_some(first.range.len()),
            // A socket bound to one address needs no telling.
            src_ip: if self.local.ip().is_unspecified() { first.src.map(|src| src.ip()) } else { None },
        };
        self.state.try_send(UdpSockRef::from(self.io.socket()), &transmit)
    }
}

/// How many of the first datagrams can leave as one: same addresses, back to back, all as long as the first, only the last shorter.
fn run_length(items: &[Transmit], max_segments: usize) -> usize {
    let Some(first) = items.first() else { return 0 };
    let segment = first.range.len();
    let mut count = 1;
    while count < items.len().min(max_segments) {
        let (previous, item) = (&items[count - 1], &items[count]);
        let fits = item.src == first.src
            && item.dst == first.dst
            && item.range.start == previous.range.end
            && previous.range.len() == segment
            && (1..=segment).contains(&item.range.len())
            && item.range.end - first.range.start <= MAX_RUN_BYTES;
        if !fits {
            break;
        }
        count += 1;
    }
    count
}

fn is_about_a_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// The sockets of one loop: usually one for IPv4 and one for IPv6, or one for each address that a server binds to.
#[derive(Debug)]
pub struct UdpSockets {
    sockets: Vec<UdpSocket>,
    /// The socket to be asked first next time, so that a busy one does not starve the others.
    turn: usize,
}

impl UdpSockets {
    /// Joins sockets that are bound already.
    #[must_use]
    pub fn new(sockets: Vec<UdpSocket>) -> Self {
        Self { sockets, turn: 0 }
    }

    /// Binds one socket on all IPv4 addresses and, where the host has IPv6, one on all IPv6 addresses, each with a port of its own.
    ///
    /// # Errors
    /// Neither family can be bound.
    pub fn bind_any() -> io::Result<Self> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into());
        let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0).into());
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self::new(v4.into_iter().chain(v6).collect())),
        }
    }

    /// The bound addresses.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(UdpSocket::local_addr)
    }

    /// The full address under which a peer reaches the host's address `ip` on these sockets; `None` when no socket listens there.
    #[must_use]
    pub fn addr_of(&self, ip: IpAddr) -> Option<SocketAddr> {
        self.sockets
            .iter()
            .map(UdpSocket::local_addr)
            .find(|local| listens_on(local.ip(), ip))
            .map(|local| SocketAddr::new(ip, local.port()))
    }

    /// What all sockets together have done.
    #[must_use]
    pub fn counters(&self) -> UdpCounters {
        self.sockets.iter().fold(UdpCounters::default(), |mut sum, socket| {
            sum += socket.counters;
            sum
        })
    }

    /// Waits for datagrams on any socket and reads one batch from it; sends what was held back as soon as there is room.
    /// Cancel-safe.
    ///
    /// # Errors
    /// A socket is unusable.
    pub async fn recv(&mut self, batch: &mut RecvBatch) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// As [`recv`](Self::recv), for a future written by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        for socket in &mut self.sockets {
            while !socket.flush() {
                if socket.poll_writable(cx)?.is_pending() {
                    break;
                }
            }
        }
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            if let Poll::Ready(result) = self.sockets[index].poll_recv(cx, batch) {
                self.turn = (index + 1) % count;
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }

    /// Reads what is there now on any socket; `false` when that is nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self, batch: &mut RecvBatch) -> io::Result<bool> {
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            if self.sockets[index].try_recv(batch)? {
                self.turn = (index + 1) % count;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends everything in `transmits` and clears it. Never blocks; see [`UdpSocket::send`].
    ///
    /// A datagram leaves by the socket that its source address belongs to, or the first one of its family.
    pub fn send(&mut self, transmits: &mut Transmits) {
        let mut start = 0;
        while start < transmits.len() {
            let items = transmits.items();
            let (src, dst) = (items[start].src, items[start].dst);
            let run = items[start..].iter().take_while(|item| item.src == src && item.dst == dst).count();
            let group = &items[start..start + run];
            match self.sockets.iter_mut().find(|socket| can_carry(socket.local, src, dst)) {
                Some(socket) => socket.send(transmits.bytes(), group),
                None => {
                    tracing::debug!(%dst, ?src, "no socket can reach this address");
                    if let Some(socket) = self.sockets.first_mut() {
                        socket.counters.refused += run as u64;
                    }
                }
            }
            start += run;
        }
        transmits.clear();
    }

    /// Tries once more to send what was held back; `true` when nothing is left.
    pub fn flush(&mut self) -> bool {
        let mut is_done = true;
        for socket in &mut self.sockets {
            is_done &= socket.flush();
        }
        is_done
    }
}

fn can_carry(local: SocketAddr, src: Option<SocketAddr>, dst: SocketAddr) -> bool {
    local.is_ipv4() == dst.is_ipv4()
        && src.is_none_or(|src| {
            listens_on(local.ip(), src.ip()) && (src.port() == local.port() || src.port() == 0)
        })
}

fn listens_on(bound: IpAddr, ip: IpAddr) -> bool {
    bound == ip || (bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4())
}

/// Room for what one system call reads; made once per loop and used again and again.
///
/// Holds 2 MiB of address space, of which only the pages that traffic has reached are backed by memory.
pub struct RecvBatch {
    buf: Vec<u8>,
    metas: [RecvMeta; SLOTS],
    filled: usize,
    local: SocketAddr,
}

impl RecvBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buf: vec![0; SLOTS * SLOT_LEN],
            metas: [RecvMeta::default(); SLOTS],
            filled: 0,
            local: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        }
    }

    /// Number of datagrams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.metas[..self.filled]
            .iter()
            .map(|meta| if meta.len == 0 { 0 } else { meta.len.div_ceil(meta.stride.max(1)) })
            .sum()
    }

    /// Whether the last read brought nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datagrams in the order of their arrival, each with the local address at which it arrived and where it came from.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.metas[..self.filled].iter().zip(self.buf.chunks_exact(SLOT_LEN)).flat_map(|(meta, slot)| {
            let local = SocketAddr::new(meta.dst_ip.unwrap_or(self.local.ip()), self.local.port());
            let remote = meta.addr;
            slot[..meta.len.min(SLOT_LEN)].chunks(meta.stride.max(1)).map(move |payload| Datagram {
                local,
                remote,
                payload,
            })
        })
    }
}

fn slots(buf: &mut [u8]) -> [IoSliceMut<'_>; SLOTS] {
    let mut chunks = buf.chunks_exact_mut(SLOT_LEN);
    std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()))
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch")
            .field("datagrams", &self.len())
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

/// One datagram that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The local address at which it arrived.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// What it holds.
    pub payload: &'a [u8],
}

/// Reads per system call.
const SLOTS: usize = quinn_udp::BATCH_SIZE;
/// What the kernel coalesces into one read at most: the longest UDP payload there is.
const SLOT_LEN: usize = 65_536;
/// The kernel builds a run as one datagram first, which must not be longer than IP can carry with its headers.
const MAX_RUN_BYTES: usize = 65_000;
/// Half of a burst that the socket's own buffer could not take; what waits longer is stale.
const MAX_BACKLOG: usize = 1 << 20;

#[cfg(test)]
mod tests;
