//! From a URL to an open signalling connection, and why there is none.

use std::{
    io,
    time::{Duration, Instant},
};

use tramline_core::session::{Session, SessionConfig};
use tramline_net::{
    connect::{ConnectError as SignalError, ConnectOptions},
    http, interfaces, random,
    udp::UdpSockets,
    ws::{self, WebSocket},
};
use tramline_transport::{Certificate, Peer, PeerConfig};
use url::Url;

use crate::{error::ConnectError, join::JoinRequest, options::RoomOptions};

/// Everything that a driver runs on.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) peer: Peer,
    pub(super) sockets: UdpSockets,
    pub(super) signalling: WebSocket,
    pub(super) started: Instant,
}

/// Opens the signalling connection with the first offer in it.
pub(super) async fn open(url: &Url, token: &str, options: &RoomOptions) -> Result<Opened, ConnectError> {
    let started = Instant::now();
    let sockets = UdpSockets::bind_any()?;
    let certificate = Certificate::generate().map_err(io::Error::other)?;
    let mut peer = Peer::client(PeerConfig::new(certificate, random::bytes()?), started);
    let request = JoinRequest::new(url, token, peer.offer())?;

    let mut how = ConnectOptions::default();
    how.timeout = options.connect_timeout;
    how.tls = options.tls.clone();
    let signalling = match ws::connect(&request.url, &request.headers, &how).await {
        Ok(signalling) => signalling,
        Err(error) => return Err(explain(error, &request, &how, token).await),
    };
    // Only now it is known whether the server is on this very host, where loopback addresses help.
    for ip in interfaces::host_addresses(Some(signalling.peer_addr().ip()))? {
        if let Some(addr) = sockets.addr_of(ip) {
            peer.add_local_candidate(addr);
        }
    }
    Ok(Opened {
        session: Session::new(SessionConfig::default(), Instant::now()),
        peer,
        sockets,
        signalling,
        started,
    })
}

/// A refusal comes without its reason from some servers and through some proxies; then the server is asked once more, by plain HTTP.
async fn explain(
    error: SignalError,
    request: &JoinRequest,
    how: &ConnectOptions,
    token: &str,
) -> ConnectError {
    let (status, reason) = match error {
        SignalError::Http { status, body } if !body.is_empty() => (status, body),
        SignalError::Http { status, .. } => match validate(request, how).await {
            Some(answer) => answer,
            None => (status, "no reason given".to_owned()),
        },
        error @ (SignalError::Protocol { .. } | SignalError::Broken { .. }) => {
            match validate(request, how).await {
                Some(answer) => answer,
                None => return error.into(),
            }
        }
        error => return error.into(),
    };
    // LiveKit's server repeats the token in the reason, from where it would go into logs.
    let reason = if token.is_empty() { reason } else { reason.replace(token, "(the token)") };
    match status {
        401 | 403 => ConnectError::Unauthorized { status, reason },
        404 if reason.contains("requested room does not exist") => ConnectError::RoomNotFound { reason },
        404 => ConnectError::NotSupported { path: request.url.path().to_owned() },
        status => ConnectError::Refused { status, reason },
    }
}

/// Status and reason of a refusal; `None` when there is none to be had.
async fn validate(request: &JoinRequest, how: &ConnectOptions) -> Option<(u16, String)> {
    let mut how = how.clone();
    how.timeout = how.timeout.min(VALIDATE_TIMEOUT);
    match http::get(&request.validate_url, &request.headers, &how).await {
        Ok(answer) if answer.status != 200 => Some((answer.status, answer.body)),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the reason for the refusal is not to be had");
            None
        }
    }
}

/// As long as LiveKit's clients wait for the reason.
const VALIDATE_TIMEOUT: Duration = Duration::from_secs(3);
