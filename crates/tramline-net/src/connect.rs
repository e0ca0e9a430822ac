//! From a URL to a byte stream, and what can go wrong on the way, by stage.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

use crate::{happy_eyeballs, tls};

/// How to connect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Time for everything together: name, TCP, TLS, the answer to the HTTP request. Default 10 s.
    pub timeout: Duration,
    /// Whom to trust.
    pub tls: TlsOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), tls: TlsOptions::default() }
    }
}

/// Whom to trust as a server over TLS.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsOptions {
    /// Trust the roots of the operating system. Default true.
    pub system_roots: bool,
    extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { system_roots: true, extra_roots: Vec::new() }
    }
}

impl TlsOptions {
    /// Trusts one more root, given as DER.
    pub fn add_root_der(&mut self, der: impl Into<Vec<u8>>) {
        self.extra_roots.push(CertificateDer::from(der.into()));
    }

    /// Trusts the certificates of a PEM file; how many were found.
    ///
    /// # Errors
    /// The text is no PEM, or holds no certificate.
    pub fn add_roots_pem(&mut self, pem: &[u8]) -> io::Result<usize> {
        let before = self.extra_roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("not PEM: {error}")))?;
            self.extra_roots.push(certificate);
        }
        match self.extra_roots.len() - before {
            0 => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no certificate in the PEM text; expected -----BEGIN CERTIFICATE-----",
            )),
            count => Ok(count),
        }
    }
}

/// Where a connection attempt stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Looking the host's name up.
    Dns,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Waiting for the answer to the HTTP request.
    Http,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "looking up the name",
            Self::Tcp => "opening the TCP connection",
            Self::Tls => "in the TLS handshake",
            Self::Http => "waiting for the server's answer",
        })
    }
}

/// Why there is no connection, by the stage that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be used: the caller's mistake.
    #[error(
        "cannot connect to `{url}`: {problem}; expected ws://, wss://, http:// or https:// and a host, as in ws://localhost:7880"
    )]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host's name has no address.
    #[error("no address for the host `{host}`: {source}; check its spelling and this machine's name service")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the host took a TCP connection.
    #[error(
        "no TCP connection to {host}:{port}: {}; check that the server is running there and that no firewall is in the way",
        describe(attempts)
    )]
    Tcp {
        /// The host as given.
        host: String,
        /// The port.
        port: u16,
        /// Every address that was tried, with what happened.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
    /// The TLS handshake failed, or the TLS options cannot be used.
    #[error("no TLS with {host}: {source}; {hint}")]
    Tls {
        /// The host as given.
        host: String,
        /// What TLS said.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// The server answered, and refused.
    #[error("the server refused: HTTP {status}{}{body}", if body.is_empty() { "" } else { ", " })]
    Http {
        /// Status code.
        status: u16,
        /// Body of the answer as text, trimmed; at most 4 KiB.
        body: String,
    },
    /// What answered does not speak the protocol.
    #[error(
        "{host} did not answer as expected: {problem}; check that the URL names the signalling port and whether it needs wss:// or ws://"
    )]
    Protocol {
        /// The host as given.
        host: String,
        /// What was odd.
        problem: String,
    },
    /// The connection broke while connecting.
    #[error("the connection to {host} broke {stage}: {source}")]
    Broken {
        /// The host as given.
        host: String,
        /// Where the attempt stood.
        stage: Stage,
        /// What happened.
        source: io::Error,
    },
    /// The time allowed went by.
    #[error("no connection to {host} within {after:?}: still {stage}; check the network, or allow more time")]
    Timeout {
        /// The host as given.
        host: String,
        /// Where the attempt stood.
        stage: Stage,
        /// The time that was allowed.
        after: Duration,
    },
}

impl ConnectError {
    /// Whether the same attempt may succeed later: the network or the server failed, not the request.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Tcp { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Http { status, .. } => *status >= 500 || *status == 429,
            Self::Url { .. } | Self::Tls { .. } | Self::Protocol { .. } => false,
        }
    }
}

fn describe(attempts: &[(SocketAddr, io::Error)]) -> String {
    attempts.iter().map(|(addr, error)| format!("{addr}: {error}")).collect::<Vec<_>>().join(", ")
}

/// Host, port and kind of a URL that can be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    /// Path and query, as they go into the request line.
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn new(url: &Url) -> Result<Self, ConnectError> {
        let refuse =
            |problem: &str| ConnectError::Url { url: without_secrets(url), problem: problem.to_owned() };
        let (is_tls, default_port) = match url.scheme() {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            other => return Err(refuse(&format!("`{other}://` is not a scheme for signalling"))),
        };
        let host = url.host().ok_or_else(|| refuse("it has no host"))?.to_owned();
        let host = match host {
            Host::Domain(name) if name.is_empty() => return Err(refuse("its host is empty")),
            host => host,
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self { host, port: url.port().unwrap_or(default_port), is_tls, path })
    }

    /// The value of the Host header.
    pub(crate) fn authority(&self) -> String {
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// A query may hold a token, and user info a password: neither belongs into an error message.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Runs `attempt` for at most the time allowed; the time-out names the stage that the attempt last put into its tracker.
pub(crate) async fn within<T>(
    target: &Target,
    allowed: Duration,
    attempt: impl AsyncFnOnce(&StageTracker) -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    let tracker = StageTracker(std::sync::Mutex::new(Stage::Dns));
    let result = tokio::time::timeout(allowed, attempt(&tracker)).await;
    result.unwrap_or_else(|_| {
        Err(ConnectError::Timeout { host: target.host.to_string(), stage: tracker.stage(), after: allowed })
    })
}

/// Where the attempt stands.
pub(crate) struct StageTracker(std::sync::Mutex<Stage>);

impl StageTracker {
    pub(crate) fn enter(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Opens the stream to `target`.
pub(crate) async fn open(
    target: &Target,
    options: &TlsOptions,
    tracker: &StageTracker,
) -> Result<Stream, ConnectError> {
    let host = target.host.to_string();
    // Before anything goes out: the caller's own mistakes come first.
    let tls = if target.is_tls {
        let config = tls::client_config(options.system_roots, &options.extra_roots).map_err(|source| {
            ConnectError::Tls {
                host: host.clone(),
                source,
                hint: "the extra root certificates given must be valid certificates in DER or PEM",
            }
        })?;
        Some((TlsConnector::from(config), server_name(&target.host)?))
    } else {
        None
    };

    tracker.enter(Stage::Dns);
    let addrs = match &target.host {
        Host::Ipv4(ip) => vec![SocketAddr::new((*ip).into(), target.port)],
        Host::Ipv6(ip) => vec![SocketAddr::new((*ip).into(), target.port)],
        Host::Domain(name) => look_up(name, target.port).await?,
    };
    tracker.enter(Stage::Tcp);
    let (tcp, peer) = happy_eyeballs::race(&addrs, TcpStream::connect)
        .await
        .map_err(|attempts| ConnectError::Tcp { host: host.clone(), port: target.port, attempts })?;
    // A signal is a small message that somebody waits for.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let Some((connector, name)) = tls else { return Ok(Stream { peer, kind: Kind::Plain(tcp) }) };

    tracker.enter(Stage::Tls);
    match connector.connect(name, tcp).await {
        Ok(tls) => Ok(Stream { peer, kind: Kind::Tls(Box::new(tls)) }),
        Err(source) => Err(ConnectError::Tls { host, hint: tls_hint(&source), source }),
    }
}

async fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let refuse = |source| ConnectError::Dns { host: name.to_owned(), source };
    let addrs: Vec<_> = tokio::net::lookup_host((name, port)).await.map_err(refuse)?.collect();
    if addrs.is_empty() {
        return Err(refuse(io::Error::new(io::ErrorKind::NotFound, "the name exists and has no address")));
    }
    Ok(addrs)
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, ConnectError> {
    match host {
        Host::Ipv4(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Ipv6(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| ConnectError::Url {
            url: name.clone(),
            problem: format!("TLS cannot name this host: {error}"),
        }),
    }
}

fn tls_hint(error: &io::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate comes from nobody this machine trusts: add its root certificate to the options"
        }
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its certificate has expired, or this machine's clock is wrong",
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for another name: use the name that the certificate holds",
        Some(Error::InvalidMessage(_)) => {
            "what answers does not speak TLS: check the port, or use ws:// instead of wss://"
        }
        _ => "check that this port speaks TLS",
    }
}

/// A connected byte stream, with or without TLS.
#[derive(Debug)]
pub(crate) struct Stream {
    peer: SocketAddr,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The address that took the connection.
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Kind::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Kind::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Kind::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Kind::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, ConnectError> {
        Target::new(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn urls_give_host_port_and_path() {
        let plain = target("ws://robot.local:7880/rtc/v1?a=b").expect("usable");
        assert_eq!((plain.port, plain.is_tls, plain.path.as_str()), (7880, false, "/rtc/v1?a=b"));
        assert_eq!(plain.authority(), "robot.local:7880");
        assert_eq!(target("wss://h/").expect("usable").port, 443);
        assert_eq!(target("wss://h:443/").expect("usable").authority(), "h");
        assert_eq!(target("http://[::1]:80/x").expect("usable").authority(), "[::1]");
        assert!(target("https://h:1/").expect("usable").is_tls);
    }

    #[test]
    fn an_unusable_url_is_refused_without_its_secrets() {
        let error = target("ftp://user:pass@h/rtc?access_token=secret").expect_err("no such scheme");
        let text = error.to_string();
        assert!(text.contains("ftp") && text.contains("expected ws://"), "{text}");
        assert!(!text.contains("secret") && !text.contains("pass"), "{text}");
        assert!(!error.is_retryable());
    }

    #[test]
    fn roots_are_read_from_pem_and_garbage_is_refused() {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let mut options = TlsOptions::default();
        assert_eq!(options.add_roots_pem(key.cert.pem().as_bytes()).expect("PEM"), 1);
        assert!(options.add_roots_pem(b"no certificate").is_err());
        assert!(tls::client_config(false, &options.extra_roots).is_ok());
        options.add_root_der(vec![1, 2, 3]);
        assert!(tls::client_config(false, &options.extra_roots).is_err());
    }
}
