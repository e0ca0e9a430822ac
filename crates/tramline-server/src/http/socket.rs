//! The WebSocket of one participant.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt as _;
use livekit_protocol as proto;
use prost::Message as _;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::App;
use crate::shard::{Command, SignalReceiver};

/// How often the other side is pinged, so that proxies keep the connection and a dead one is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Carries messages both ways until either side ends.
pub(super) async fn run(app: Arc<App>, mut socket: WebSocket, mut signal: SignalReceiver) {
    let end = carry(&app, &mut socket, &mut signal).await;
    match end {
        End::Session => close(&mut socket, close_code::NORMAL, "").await,
        End::Stalled => {
            app.counters.stalled.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(peer = ?signal.peer(), "signalling stalled: the client does not read its WebSocket");
        }
        End::Garbage => close(&mut socket, close_code::UNSUPPORTED, "expected protobuf messages").await,
        End::Client => {}
    }
    signal.closed(&app.shard).await;
}

/// Tells a client that its old session cannot be had: it joins anew.
pub(super) async fn refuse_resume(mut socket: WebSocket) {
    let message = Bytes::from(tramline_core::room::resume_refusal().encode_to_vec());
    if timeout(CLOSE_TIMEOUT, socket.send(Message::Binary(message))).await.is_ok_and(|sent| sent.is_ok()) {
        close(&mut socket, close_code::NORMAL, "").await;
    }
}

enum End {
    /// The session is over; everything has been sent.
    Session,
    /// The client closed, or the connection broke.
    Client,
    /// The client does not read.
    Stalled,
    /// The client sends what makes no sense, again and again.
    Garbage,
}

/// So many malformed messages in a row are no accident.
const MAX_GARBAGE: u32 = 100;

async fn carry(app: &App, socket: &mut WebSocket, signal: &mut SignalReceiver) -> End {
    let write_timeout = app.limits.signal_write_timeout;
    let mut ping = interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    // Answers go out in the form in which the client speaks, which is binary until it says otherwise.
    let mut is_text = false;
    let mut garbage = 0;
    loop {
        tokio::select! {
            message = signal.recv() => {
                let Some(message) = message else { return End::Session };
                let writing = async {
                    socket.feed(outgoing(message, is_text)).await?;
                    while let Some(message) = signal.try_recv() {
                        socket.feed(outgoing(message, is_text)).await?;
                    }
                    socket.flush().await
                };
                match timeout(write_timeout, writing).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Client,
                    Err(_) => return End::Stalled,
                }
            }
            message = socket.recv() => {
                let request = match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        is_text = false;
                        proto::SignalRequest::decode(bytes).ok()
                    }
                    Some(Ok(Message::Text(text))) => {
                        is_text = true;
                        serde_json::from_str(text.as_str()).ok()
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Client,
                };
                app.counters.messages.fetch_add(1, Ordering::Relaxed);
                let Some(message) = request else {
                    app.counters.malformed.fetch_add(1, Ordering::Relaxed);
                    garbage += 1;
                    if garbage >= MAX_GARBAGE {
                        return End::Garbage;
                    }
                    continue;
                };
                garbage = 0;
                let command = Command::Signal { peer: signal.peer(), message: Box::new(message) };
                if app.shard.commands.send(command).await.is_err() {
                    return End::Session;
                }
            }
            _ = ping.tick() => {
                match timeout(write_timeout, socket.send(Message::Ping(Bytes::new()))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Client,
                    Err(_) => return End::Stalled,
                }
            }
        }
    }
}

fn outgoing(message: Bytes, is_text: bool) -> Message {
    if is_text {
        let json = proto::SignalResponse::decode(message.clone()).ok().map(|m| serde_json::to_string(&m));
        if let Some(Ok(json)) = json {
            return Message::Text(json.into());
        }
    }
    Message::Binary(message)
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let farewell = async {
        socket.send(Message::Close(Some(frame))).await?;
        // Reading to the end lets the client see the frame before the connection goes.
        while let Some(message) = socket.recv().await {
            message?;
        }
        Ok::<(), axum::Error>(())
    };
    if timeout(CLOSE_TIMEOUT, farewell).await.is_err() {
        tracing::debug!("the client did not answer the WebSocket's close");
    }
}
