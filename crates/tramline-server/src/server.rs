//! Starting and stopping.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use livekit_protocol as proto;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tramline_core::room::SERVER_PROTOCOL;
use tramline_net::runtime::DriverThread;
use tramline_net::udp::{UdpSocket, UdpSockets};
use tramline_transport::Certificate;

use crate::auth::TokenVerifier;
use crate::config::{DEFAULT_UDP_PORT, ServerConfig};
use crate::http::{App, HttpCounters, LimitedListener, RemoteAddr, router};
use crate::shard::{Control, Handle, Inbox, Shard};
use crate::stats::ServerStats;

/// What clients are told. They read it as the version of LiveKit's server, whose behaviour this server follows, and
/// switch features off below certain numbers (RPC below 1.8.0); this program's own version stands in `debug_info`.
const LIVEKIT_VERSION: &str = "1.13.11";

/// Commands that wait before the WebSockets are slowed down.
const COMMANDS: usize = 1024;

/// How often a free TCP port is looked for that is free on all addresses.
const PORT_ATTEMPTS: usize = 16;

/// How long counters may take to come; the thread is busy with something else only for moments.
const STATS_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server. It has one thread of its own, `tramline-shard`, and stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    thread: Option<DriverThread>,
    shutdown: Option<oneshot::Sender<()>>,
    control: mpsc::UnboundedSender<Control>,
    app: Arc<App>,
    http: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to listen on.
    #[error("no address to listen on; give at least one, for instance 127.0.0.1")]
    NoAddress,
    /// Nobody could come in.
    #[error("no API keys; give at least one pair of key and secret")]
    NoKeys,
    /// A TCP port cannot be had.
    #[error("cannot listen on TCP {addr}: {error}; is another server running there?")]
    Tcp {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A UDP port cannot be had.
    #[error("cannot listen on UDP {addr}: {error}; is another server running there?")]
    Udp {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate for DTLS could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The system gave no thread or no randomness.
    #[error("cannot start the server's thread: {0}")]
    Thread(#[from] io::Error),
}

impl Server {
    /// Starts a server and returns when it listens.
    ///
    /// # Errors
    /// Why it does not.
    pub fn start(config: ServerConfig) -> Result<Self, StartError> {
        if config.bind.is_empty() {
            return Err(StartError::NoAddress);
        }
        if config.keys.is_empty() {
            return Err(StartError::NoKeys);
        }
        let certificate =
            Certificate::generate().map_err(|error| StartError::Certificate(error.to_string()))?;
        let info = server_info()?;
        let keys = Arc::new(config.keys.clone());
        let (commands, commands_rx) = mpsc::channel(COMMANDS);
        let (control, control_rx) = mpsc::unbounded_channel();
        let (shutdown, shutdown_rx) = oneshot::channel();
        let app = Arc::new(App {
            verifier: TokenVerifier::new(keys.clone()),
            shard: Handle { commands, control: control.clone() },
            limits: config.limits,
            counters: HttpCounters::default(),
        });

        let inbox = Inbox { commands: commands_rx, control: control_rx, shutdown: shutdown_rx };
        let (started, listening) = std::sync::mpsc::sync_channel(1);
        let shared = app.clone();
        let thread = DriverThread::spawn("tramline-shard", move || async move {
            // Sockets belong to the runtime of the thread that drives them.
            let bound = bind(&config).await;
            let (listeners, sockets) = match bound {
                Ok(bound) => bound,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let http: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
            let udp: Vec<SocketAddr> = sockets.local_addrs().collect();
            let permits = Arc::new(Semaphore::new(config.limits.connections));
            for listener in listeners {
                let service = router(shared.clone()).into_make_service_with_connect_info::<RemoteAddr>();
                let listener = LimitedListener::new(listener, permits.clone());
                tokio::spawn(async move {
                    if let Err(error) = axum::serve(listener, service).await {
                        tracing::error!(%error, "HTTP ended");
                    }
                });
            }
            let control = shared.shard.control.clone();
            drop(shared);
            let shard = Shard::new(&config, keys, info, certificate, sockets, control);
            if started.send(Ok((http, udp))).is_ok() {
                shard.run(inbox).await;
            }
        })?;
        match listening.recv() {
            Ok(Ok((http, udp))) => {
                tracing::info!(?http, ?udp, "listening");
                Ok(Self { thread: Some(thread), shutdown: Some(shutdown), control, app, http, udp })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Thread(io::Error::other("the server's thread ended at once"))),
        }
    }

    /// The URL for clients on this host.
    pub fn url(&self) -> String {
        let addr = self.http.iter().find(|addr| addr.is_ipv4()).or(self.http.first());
        match addr {
            Some(addr) if addr.ip().is_unspecified() => format!("ws://localhost:{}", addr.port()),
            Some(addr) => format!("ws://{addr}"),
            None => String::new(),
        }
    }

    /// Where it listens for HTTP and WebSockets.
    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where it listens for UDP.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// The counters. Waits for the server's thread, for moments; `None` when that has ended.
    pub fn stats(&self) -> Option<ServerStats> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.control.send(Control::Stats { reply }).ok()?;
        let stats = answer.recv_timeout(STATS_TIMEOUT).ok()?;
        let counters = &self.app.counters;
        Some(ServerStats {
            refused_joins: counters.refused.load(Ordering::Relaxed),
            signal_malformed: counters.malformed.load(Ordering::Relaxed),
            signal_messages: counters.messages.load(Ordering::Relaxed),
            signal_stalled: stats.signal_stalled + counters.stalled.load(Ordering::Relaxed),
            ..stats
        })
    }

    pub(crate) fn control(&self, control: Control) {
        // A server that has ended drops the reply with it.
        let _ = self.control.send(control);
    }

    /// CPU time that the server's thread has used; `None` where the platform does not tell.
    pub fn cpu_time(&self) -> Option<Duration> {
        self.thread.as_ref().and_then(DriverThread::cpu_time)
    }

    /// Whether the server has ended by itself, which it does only by a fault.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(DriverThread::is_finished)
    }

    /// Stops: every participant is sent `leave` (SERVER_SHUTDOWN, action RECONNECT) and has a second to take it.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            // Fails when the thread has ended already.
            let _ = shutdown.send(());
        }
        if let Some(thread) = self.thread.take()
            && !thread.is_current()
            && !thread.join()
        {
            tracing::error!("the server's thread panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn server_info() -> io::Result<proto::ServerInfo> {
    let id: [u8; 16] = tramline_net::random::bytes()?;
    let node = tramline_wire::RoomSid::from_random(u128::from_le_bytes(id));
    Ok(proto::ServerInfo {
        edition: proto::server_info::Edition::Standard as i32,
        version: LIVEKIT_VERSION.to_owned(),
        protocol: SERVER_PROTOCOL,
        region: String::new(),
        node_id: node.as_str().replacen("RM_", "ND_", 1),
        debug_info: concat!("tramline ", env!("CARGO_PKG_VERSION")).to_owned(),
        agent_protocol: 0,
    })
}

async fn bind(config: &ServerConfig) -> Result<(Vec<TcpListener>, UdpSockets), StartError> {
    let listeners = bind_tcp(&config.bind, config.port).await?;
    let sockets = match config.udp_port {
        Some(port) => bind_udp(&config.bind, port)?,
        None => bind_udp(&config.bind, DEFAULT_UDP_PORT).or_else(|error| {
            tracing::info!(%error, "taking a free UDP port instead");
            bind_udp(&config.bind, 0)
        })?,
    };
    Ok((listeners, UdpSockets::new(sockets)))
}

/// One port on all addresses; a free one, when it is 0, may be taken on some of them and is looked for again then.
async fn bind_tcp(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, StartError> {
    let mut attempt = 1;
    loop {
        match try_bind_tcp(addresses, port).await {
            Err(StartError::Tcp { error, .. })
                if port == 0 && attempt < PORT_ATTEMPTS && error.kind() == io::ErrorKind::AddrInUse =>
            {
                attempt += 1;
            }
            result => return result,
        }
    }
}

async fn try_bind_tcp(addresses: &[IpAddr], mut port: u16) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for ip in addresses {
        let addr = SocketAddr::new(*ip, port);
        let failed = |error| StartError::Tcp { addr, error };
        let socket =
            if ip.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
        let listener = match socket.and_then(|socket| listen(socket, addr)) {
            Ok(listener) => listener,
            // A host without IPv6 is served by its IPv4 addresses alone.
            Err(error) if addr.is_ipv6() && addresses.len() > 1 && is_missing(&error) => {
                tracing::info!(%addr, %error, "skipped");
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        port = listener.local_addr().map_err(failed)?.port();
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(StartError::NoAddress) } else { Ok(listeners) }
}

fn listen(socket: tokio::net::TcpSocket, addr: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(1024)
}

fn bind_udp(addresses: &[IpAddr], mut port: u16) -> Result<Vec<UdpSocket>, StartError> {
    let mut sockets = Vec::new();
    for ip in addresses {
        let addr = SocketAddr::new(*ip, port);
        match UdpSocket::bind(addr) {
            Ok(socket) => {
                // One number for all of them is easier to let through a firewall; any will do when it is taken.
                port = if port == 0 { 0 } else { socket.local_addr().port() };
                sockets.push(socket);
            }
            Err(error) if addr.is_ipv6() && addresses.len() > 1 && is_missing(&error) => {}
            Err(error) => return Err(StartError::Udp { addr, error }),
        }
    }
    if sockets.is_empty() { Err(StartError::NoAddress) } else { Ok(sockets) }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(97) // EAFNOSUPPORT
}
