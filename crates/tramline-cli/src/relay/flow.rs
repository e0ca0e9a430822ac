//! One client of a relay: its two links, and the socket by which it is known at the destination.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tramline_sim::{Link, LinkConfig};

pub(super) struct Flow {
    pub(super) client: SocketAddr,
    pub(super) upstream: UdpSocket,
    pub(super) up: Link<Box<[u8]>>,
    pub(super) down: Link<Box<[u8]>>,
    /// Datagrams that the operating system refused, up and down.
    pub(super) refused: (u64, u64),
    heard: Instant,
}

impl Flow {
    pub(super) fn new(
        client: SocketAddr,
        to: SocketAddr,
        config: &LinkConfig,
        seed: u64,
        now: Instant,
    ) -> io::Result<Self> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let upstream = socket(SocketAddr::new(any, 0))?;
        upstream.connect(to)?;
        Ok(Self {
            client,
            upstream,
            up: Link::new(config.clone(), seed, now),
            down: Link::new(config.clone(), seed.wrapping_add(1), now),
            refused: (0, 0),
            heard: now,
        })
    }

    /// A datagram of the client's.
    pub(super) fn take(&mut self, now: Instant, datagram: &[u8]) {
        self.heard = now;
        send(&mut self.up, now, datagram);
    }

    /// What the destination has sent.
    pub(super) fn read_answers(&mut self, now: Instant, buffer: &mut [u8]) {
        for _ in 0..super::READS_PER_TURN {
            let Ok(len) = self.upstream.recv(buffer) else { return };
            self.heard = now;
            send(&mut self.down, now, &buffer[..len]);
        }
    }

    /// Lets go what has arrived.
    pub(super) fn deliver(&mut self, now: Instant, downstream: &UdpSocket) {
        while let Some(datagram) = self.up.poll_delivery(now) {
            self.refused.0 += u64::from(self.upstream.send(&datagram).is_err());
        }
        while let Some(datagram) = self.down.poll_delivery(now) {
            self.refused.1 += u64::from(downstream.send_to(&datagram, self.client).is_err());
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.up.poll_timeout().into_iter().chain(self.down.poll_timeout()).min()
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > IDLE && self.poll_timeout().is_none()
    }
}

fn send(link: &mut Link<Box<[u8]>>, now: Instant, datagram: &[u8]) {
    if link.in_flight() < MAX_IN_FLIGHT {
        link.send(now, datagram.len() + IP_AND_UDP, datagram.into());
    }
}

/// A socket that does not block and takes bursts.
pub(super) fn socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // The system gives what it may; the bursts of a fast sender must fit while this thread waits for a core.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// The longest UDP payload there is.
pub(super) const READ_BUFFER: usize = 65_536;
const SOCKET_BUFFER: usize = 8 << 20;
/// What a datagram takes up on a link besides its payload.
const IP_AND_UDP: usize = 28;
/// Memory of one direction: some 80 MB of full datagrams.
const MAX_IN_FLIGHT: usize = 65_536;
/// A client that moved away leaves its socket behind for so long.
const IDLE: Duration = Duration::from_secs(120);
