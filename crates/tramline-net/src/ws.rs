//! The WebSocket client for signalling.
//!
//! [`connect`], then call [`recv`](WebSocket::recv) in a loop: it writes what [`send`](WebSocket::send) has queued, answers pings and
//! gives one binary message at a time. Everything that it holds is bounded, and a peer that takes nothing for ten seconds while
//! something waits for it is given up with that as the reason.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream as _};
use http::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;

use crate::{
    connect::{ConnectError, ConnectOptions, Stage, Stream, Target, open, within},
    http::{exchange, read_body, request},
};

/// Opens a WebSocket, sending `headers` with the upgrade. Cancel-safe: dropping the future closes what was open.
///
/// # Errors
/// By stage. A refusal is [`ConnectError::Http`] with the body that came with it.
pub async fn connect(
    url: &Url,
    headers: &HeaderMap,
    options: &ConnectOptions,
) -> Result<WebSocket, ConnectError> {
    let target = Target::new(url)?;
    within(&target, options.timeout, async |tracker| {
        let mut stream = open(&target, &options.tls, tracker).await?;
        tracker.enter(Stage::Http);
        let peer = stream.peer_addr();
        let key = generate_key();
        let upgrade = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key.as_str()),
        ];
        let (head, mut rest) = exchange(&mut stream, &target, &request(&target, headers, &upgrade)).await?;
        if head.status != 101 {
            let body = read_body(&mut stream, &head, &mut rest).await;
            return Err(ConnectError::Http { status: head.status, body });
        }
        if head.header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
            let problem = "it accepted the upgrade with a wrong Sec-WebSocket-Accept header".to_owned();
            return Err(ConnectError::Protocol { host: target.host.to_string(), problem });
        }
        Ok(WebSocket::new(stream, rest, peer).await)
    })
    .await
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    inner: WebSocketStream<Metered<Stream>>,
    peer: SocketAddr,
    /// Something was queued since the last complete flush.
    is_dirty: bool,
    stall: Option<Stall>,
    closed_by_peer: Option<(u16, String)>,
    text_messages: u64,
}

/// Output waits for a peer that took `written` bytes in all when the clock was set.
#[derive(Debug)]
struct Stall {
    written: u64,
    deadline: Pin<Box<Sleep>>,
}

/// Why a WebSocket is at its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer closed it in order.
    #[error("closed by the peer (code {code}{}{reason})", if reason.is_empty() { "" } else { ", " })]
    ByPeer {
        /// Close code (RFC 6455 section 7.4); 1005 when the peer gave none.
        code: u16,
        /// The peer's words.
        reason: String,
    },
    /// The connection ended without a closing handshake.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The peer took nothing for as long as it may.
    #[error("given up: the peer took no data for {0:?} while messages waited for it")]
    Stalled(Duration),
    /// The peer broke the protocol, or sent a message of more than 16 MiB.
    #[error("the peer broke the WebSocket protocol: {0}")]
    Protocol(String),
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// 2 MiB wait already: the peer does not read.
    #[error("2 MiB of messages wait for the peer already")]
    Full,
    /// The WebSocket is at its end; `recv` gives the reason.
    #[error("the connection is closed")]
    Closed,
}

impl WebSocket {
    async fn new(stream: Stream, already_read: Vec<u8>, peer: SocketAddr) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let inner = WebSocketStream::from_partially_read(
            Metered { stream, written: 0 },
            already_read,
            Role::Client,
            Some(config),
        )
        .await;
        Self { inner, peer, is_dirty: false, stall: None, closed_by_peer: None, text_messages: 0 }
    }

    /// The address that took the connection.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Text messages that came and were ignored: the protocol above is binary.
    #[must_use]
    pub fn ignored_text_messages(&self) -> u64 {
        self.text_messages
    }

    /// Queues a binary message and writes as much as goes out now; the rest goes while [`recv`](Self::recv) waits. Never blocks.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        self.is_dirty = true;
        match Pin::new(&mut self.inner).start_send(Message::Binary(message)) {
            Ok(()) => Ok(()),
            Err(tungstenite::Error::WriteBufferFull(_)) => Err(SendError::Full),
            Err(_) => Err(SendError::Closed),
        }
    }

    /// The next binary message. Writes what is queued on the way. Cancel-safe.
    ///
    /// # Errors
    /// The end, with its reason; every later call gives an end as well.
    pub async fn recv(&mut self) -> Result<Bytes, Closed> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for a future written by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Closed>> {
        loop {
            if self.is_dirty && self.poll_flush(cx)?.is_ready() {
                self.is_dirty = false;
            }
            match Pin::new(&mut self.inner).poll_next(cx) {
                Poll::Pending if self.is_dirty => {
                    // Flushing may have become possible by what reading did; if not, its waker is set now.
                    return match self.poll_flush(cx)? {
                        Poll::Ready(()) => {
                            self.is_dirty = false;
                            Poll::Pending
                        }
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => return Poll::Ready(Ok(bytes)),
                Poll::Ready(Some(Ok(Message::Text(_)))) => self.text_messages += 1,
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.as_str().to_owned())
                    });
                    self.closed_by_peer = Some((code, reason));
                }
                // An answer to a ping is queued by now and must go out.
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                    self.is_dirty = true
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.reason_of(error))),
                Poll::Ready(None) => return Poll::Ready(Err(self.end())),
            }
        }
    }

    /// Writes what is queued and says goodbye, for at most `within`.
    pub async fn close(mut self, within: Duration) {
        let goodbye = Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
        if Pin::new(&mut self.inner).start_send(goodbye).is_err() {
            return;
        }
        // The peer's own goodbye is waited for, so that it has read everything before the connection goes.
        let farewell = poll_fn(|cx| {
            if Pin::new(&mut self.inner).poll_flush(cx).is_pending() {
                return Poll::Pending;
            }
            loop {
                match Pin::new(&mut self.inner).poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = tokio::time::timeout(within, farewell).await;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stall = None;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.reason_of(error))),
            Poll::Pending => {}
        }
        let written = self.inner.get_ref().written;
        let stall = match &mut self.stall {
            Some(stall) if stall.written == written => stall,
            stall => stall
                .insert(Stall { written, deadline: Box::pin(sleep_until(Instant::now() + STALLED_AFTER)) }),
        };
        match stall.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(Closed::Stalled(STALLED_AFTER))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn reason_of(&self, error: tungstenite::Error) -> Closed {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => self.end(),
            // The peer said goodbye and was gone before our answer.
            tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_) if self.closed_by_peer.is_some() => {
                self.end()
            }
            tungstenite::Error::Io(error) => Closed::Lost(error.to_string()),
            tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                self.end()
            }
            other => Closed::Protocol(other.to_string()),
        }
    }

    fn end(&self) -> Closed {
        match &self.closed_by_peer {
            Some((code, reason)) => Closed::ByPeer { code: *code, reason: reason.clone() },
            None => Closed::Lost("ended without a closing handshake".to_owned()),
        }
    }
}

/// Counts what the peer has taken.
#[derive(Debug)]
struct Metered<S> {
    stream: S,
    written: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = result {
            self.written += count as u64;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Signals are small; the default of 128 KiB would be most of a client's memory.
const READ_BUFFER: usize = 8 * 1024;
/// What may wait for a peer that does not read. The largest signal holds 512 KiB of metadata.
const MAX_WRITE_BUFFER: usize = 2 << 20;
/// A join answer of a room with thousands of participants; beyond that the peer is not to be believed.
const MAX_MESSAGE: usize = 16 << 20;
/// Longer than a Wi-Fi roam, shorter than the 15 s after which a peer counts as gone by the ping.
const STALLED_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
