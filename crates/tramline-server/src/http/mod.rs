//! HTTP: who may come in, and the WebSocket of those who do.

mod admission;
mod cors;
mod listener;
mod parameters;
mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode, header};
use tokio::sync::oneshot;

use crate::auth::TokenVerifier;
use crate::config::Limits;
use crate::shard::{Command, Handle, JoinRequest};

pub(crate) use listener::{LimitedListener, RemoteAddr};

use admission::{Admission, Refused};

/// Longest message of a client. LiveKit's server has the same limit.
const MAX_MESSAGE_LEN: usize = 2 << 20;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) verifier: TokenVerifier,
    pub(crate) shard: Handle,
    pub(crate) limits: Limits,
    pub(crate) counters: HttpCounters,
}

/// What happens before a message reaches the shard.
#[derive(Debug, Default)]
pub(crate) struct HttpCounters {
    pub(crate) refused: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) stalled: AtomicU64,
}

/// Everything goes through one handler: paths are few, and doubled slashes in them are forgiven.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().fallback(handle).with_state(app)
}

async fn handle(
    State(app): State<Arc<App>>,
    ConnectInfo(remote): ConnectInfo<RemoteAddr>,
    request: Request<Body>,
) -> Response {
    let (mut parts, _body) = request.into_parts();
    if let Some(preflight) = cors::preflight(&parts) {
        return preflight;
    }
    let path = normalized(parts.uri.path());
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let is_validation = matches!(path.as_str(), "/rtc/validate" | "/rtc/v1/validate");
    let mut response = match path.as_str() {
        "/" => "OK".into_response(),
        "/rtc/v1/validate" => validate(&app, admission::check_v1(&app.verifier, &parts)),
        "/rtc/validate" => validate(&app, admission::check_v0(&app.verifier, &parts)),
        "/rtc/v1" if is_upgrade(&parts) => {
            let admission = admission::check_v1(&app.verifier, &parts);
            join(&app, admission, &mut parts, remote).await
        }
        "/rtc" if is_upgrade(&parts) => {
            let admission = admission::check_v0(&app.verifier, &parts);
            join(&app, admission, &mut parts, remote).await
        }
        "/rtc" | "/rtc/v1" => StatusCode::NOT_FOUND.into_response(),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    };
    cors::apply(&mut response, origin, is_validation);
    response
}

/// Whether a join would be accepted, for clients that were refused and want to know why.
fn validate(app: &App, admission: Result<Admission, Refused>) -> Response {
    match admission {
        Ok(_) => "success".into_response(),
        Err(refused) => refuse(app, refused),
    }
}

/// The upgrade is answered only when the room has accepted the participant, so that every refusal is a status.
async fn join(
    app: &Arc<App>,
    admission: Result<Admission, Refused>,
    parts: &mut Parts,
    remote: RemoteAddr,
) -> Response {
    let admission = match admission {
        Ok(admission) => admission,
        Err(refused) => return refuse(app, refused),
    };
    let upgrade = match WebSocketUpgrade::from_request_parts(parts, app).await {
        Ok(upgrade) => upgrade
            .max_message_size(MAX_MESSAGE_LEN)
            .max_frame_size(MAX_MESSAGE_LEN)
            // The default of 128 KiB per connection is too much for messages of a few hundred bytes.
            .read_buffer_size(4096)
            // What is written beyond this waits for the connection, so that one message at most is held above it.
            .write_buffer_size(16 * 1024),
        Err(rejection) => return rejection.into_response(),
    };
    let Admission { room, join, claims, is_reconnect } = admission;
    if is_reconnect {
        return upgrade.on_upgrade(socket::refuse_resume);
    }
    let (reply, accepted) = oneshot::channel();
    let request = JoinRequest { room, join: Box::new(join), claims, remote: remote.0.ip(), reply };
    if app.shard.commands.send(Command::Join(request)).await.is_err() {
        return refuse(app, Refused::unavailable("the server is shutting down"));
    }
    match accepted.await {
        Ok(Ok(signal)) => {
            let app = app.clone();
            upgrade.on_upgrade(move |socket| socket::run(app, socket, signal))
        }
        Ok(Err(refused)) => refuse(app, refused),
        Err(_) => refuse(app, Refused::unavailable("the server is shutting down")),
    }
}

fn refuse(app: &App, refused: Refused) -> Response {
    app.counters.refused.fetch_add(1, Ordering::Relaxed);
    tracing::info!(status = refused.status.as_u16(), reason = %refused.message, "join refused");
    (refused.status, refused.message).into_response()
}

fn is_upgrade(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    parts.method == Method::GET && upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn normalized(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

pub(crate) use admission::Refused as JoinRefused;

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn doubled_and_trailing_slashes_are_forgiven() {
        for path in ["/rtc/v1/validate", "//rtc/v1//validate", "/rtc/v1/validate/"] {
            assert_eq!(normalized(path), "/rtc/v1/validate");
        }
        assert_eq!(normalized("//"), "/");
    }
}
