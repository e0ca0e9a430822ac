//! From a URL to an open signalling connection, and why there is none.

use std::{
    io,
    time::{Duration, Instant},
};

use tramline_core::session::{Layout, Session, SessionConfig};
use tramline_net::{
    connect::{ConnectError as SignalError, ConnectOptions},
    http, interfaces,
    ws::{self, WebSocket},
};
use url::Url;

use super::connections::{Connections, SetupError};
use crate::{error::ConnectError, join::JoinRequest, options::RoomOptions};

/// Everything that a driver runs on.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) connections: Connections,
    pub(super) signalling: WebSocket,
    pub(super) started: Instant,
}

/// Opens the signalling connection: with the first offer in it where the server knows how to take that, otherwise in the older way.
pub(super) async fn open(url: &Url, token: &str, options: &RoomOptions) -> Result<Opened, ConnectError> {
    let started = Instant::now();
    let mut how = ConnectOptions::default();
    how.timeout = options.connect_timeout;
    how.tls = options.tls.clone();

    let mut connections = Connections::new()?;
    let mut config = SessionConfig::default();
    let single = match options.single_peer_connection {
        true => {
            let offer = connections.offer(started).map_err(|error| match error {
                SetupError::Local(error) => error,
                error => io::Error::other(error),
            })?;
            dial(&JoinRequest::single(url, token, offer)?, &how, token).await?
        }
        false => None,
    };
    let signalling = match single {
        Some(signalling) => signalling,
        None => {
            let request = JoinRequest::dual(url, token)?;
            connections = Connections::new()?;
            config.layout = Layout::Dual;
            let unknown = || ConnectError::NotSupported { path: request.url.path().to_owned() };
            dial(&request, &how, token).await?.ok_or_else(unknown)?
        }
    };
    // Only now it is known whether the server is on this very host, where loopback addresses help.
    connections.set_hosts(interfaces::host_addresses(Some(signalling.peer_addr().ip()))?);
    let session = Session::new(config, Instant::now());
    Ok(Opened { session, connections, signalling, started })
}

/// Opens the WebSocket; `None` when the server does not know the path.
async fn dial(
    request: &JoinRequest,
    how: &ConnectOptions,
    token: &str,
) -> Result<Option<WebSocket>, ConnectError> {
    match ws::connect(&request.url, &request.headers, how).await {
        Ok(signalling) => Ok(Some(signalling)),
        Err(error) => match explain(error, request, how, token).await {
            ConnectError::NotSupported { .. } => Ok(None),
            error => Err(error),
        },
    }
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
        Ok(answer) if answer.status >= 400 => Some((answer.status, answer.body)),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "the reason for the refusal is not to be had");
            None
        }
    }
}

/// As long as LiveKit's clients wait for the reason.
const VALIDATE_TIMEOUT: Duration = Duration::from_secs(3);
