//! Servers that say what no server should, at every step of the way. Each attempt ends with a typed error or goes on; none hangs, and
//! the room's thread never panics.

use std::{
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response as Accepted},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tramline::{ConnectError, ConnectStage, Room, RoomEvent, RoomOptions, SignalError};
use tramline_net::{connect::ConnectOptions, ws};
use tramline_server::Server;

use crate::{LIMIT, server, token};

/// Attempts that go on at the same time.
const AT_ONCE: usize = 32;

/// Messages of the server before which, and in whose place, harm is done: the join response, the answer, candidates, the token, and what
/// comes of publishing.
const STEPS: usize = 8;

/// What happens instead of, or before, a message of the server.
#[derive(Debug, Clone)]
enum Harm {
    /// A binary message of bytes that mean nothing.
    Noise {
        seed: u64,
        len: usize,
    },
    /// A message of the protocol, cut off in the middle.
    Torn,
    /// More than a client takes.
    Huge,
    Text(&'static str),
    /// The closing handshake of the WebSocket.
    Close(CloseCode),
    /// The connection is gone.
    Cut,
    /// A message of the protocol that makes no sense here.
    Nonsense(Box<Response>),
}

impl Harm {
    /// Whether there is still a connection.
    async fn apply(&self, client: &mut WebSocketStream<TcpStream>, message: &[u8]) -> bool {
        let harm = match self {
            Self::Noise { seed, len } => Message::binary(noise(*seed, *len)),
            Self::Torn => Message::binary(message[..message.len() / 2].to_vec()),
            Self::Huge => Message::binary(vec![0x0a; 17 << 20]),
            Self::Text(text) => Message::text(*text),
            Self::Close(code) => Message::Close(Some(CloseFrame { code: *code, reason: "".into() })),
            Self::Cut => return false,
            Self::Nonsense(message) => {
                let message = proto::SignalResponse { message: Some(Response::clone(message)) };
                Message::binary(message.encode_to_vec())
            }
        };
        // The client may have seen enough in the middle of it.
        client.send(harm).await.is_ok()
    }
}

fn harms() -> Vec<Harm> {
    let sdp = |sdp: &str| proto::SessionDescription { sdp: sdp.to_owned(), id: 7, ..Default::default() };
    let trickle = |candidate_init: &str, target| proto::TrickleRequest {
        candidate_init: candidate_init.to_owned(),
        target,
        r#final: false,
    };
    let handle = |handle, track_sid: &str| {
        let published = proto::data_track_subscriber_handles::PublishedDataTrack {
            track_sid: track_sid.to_owned(),
            publisher_identity: "nobody".to_owned(),
            publisher_sid: "nobody".to_owned(),
        };
        proto::DataTrackSubscriberHandles { sub_handles: [(handle, published)].into() }
    };
    let stranger = proto::ParticipantInfo {
        sid: "no prefix".to_owned(),
        identity: String::new(),
        state: 77,
        data_tracks: vec![proto::DataTrackInfo { pub_handle: 1 << 20, ..Default::default() }; 3],
        ..Default::default()
    };
    let nonsense = [
        Response::Join(proto::JoinResponse::default()),
        Response::Join(proto::JoinResponse {
            room: Some(proto::Room::default()),
            participant: Some(stranger.clone()),
            other_participants: vec![stranger.clone(); 100],
            ping_interval: -1,
            ping_timeout: i32::MIN,
            ..Default::default()
        }),
        Response::Answer(sdp("")),
        Response::Answer(sdp("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:9\r\n")),
        Response::Offer(sdp("rubbish")),
        Response::Trickle(trickle("", 0)),
        Response::Trickle(trickle("{\"candidate\":\"candidate:rubbish\"}", 0)),
        Response::Trickle(trickle("{\"candidate\":[]}", 9)),
        Response::Update(proto::ParticipantUpdate { participants: vec![stranger; 1000] }),
        Response::RoomUpdate(proto::RoomUpdate::default()),
        Response::PublishDataTrackResponse(proto::PublishDataTrackResponse::default()),
        Response::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse::default()),
        Response::DataTrackSubscriberHandles(handle(0, "DTR_x")),
        Response::DataTrackSubscriberHandles(handle(u32::MAX, "")),
        Response::RequestResponse(proto::RequestResponse {
            request_id: 99,
            reason: 99,
            ..Default::default()
        }),
        Response::PongResp(proto::Pong { last_ping_timestamp: i64::MIN, timestamp: i64::MAX }),
        Response::RefreshToken(String::new()),
        Response::Reconnect(proto::ReconnectResponse::default()),
        Response::RoomMoved(proto::RoomMovedResponse::default()),
        Response::Leave(proto::LeaveRequest { reason: 99, action: 99, ..Default::default() }),
    ];
    let mut harms: Vec<_> = nonsense.into_iter().map(|message| Harm::Nonsense(Box::new(message))).collect();
    harms.extend([
        Harm::Noise { seed: 1, len: 1 },
        Harm::Noise { seed: 2, len: 60 },
        Harm::Noise { seed: 3, len: 100_000 },
        Harm::Torn,
        Harm::Huge,
        Harm::Text(""),
        Harm::Text("{\"join\":{}}"),
        Harm::Close(CloseCode::Normal),
        Harm::Close(CloseCode::Error),
        Harm::Cut,
    ]);
    harms
}

/// Bytes that look like nothing in particular, the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// Where harm is done.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The number of the server's message.
    at: usize,
    /// Whether that message is lost as well.
    instead: bool,
}

/// Stands between one client and the server; returns the URL to reach it at.
async fn between(server: &str, harm: Harm, place: Place) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            carry(stream, &server, &harm, place).await;
        }
    });
    url
}

async fn carry(stream: TcpStream, server: &str, harm: &Harm, place: Place) {
    let mut asked = String::new();
    let mut headers = HeaderMap::new();
    #[allow(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let look = |request: &Request, accepted: Accepted| -> Result<Accepted, ErrorResponse> {
        asked = request.uri().to_string();
        let token = request.headers().get(AUTHORIZATION).cloned();
        headers.insert(AUTHORIZATION, token.unwrap_or(HeaderValue::from_static("")));
        Ok(accepted)
    };
    // Whoever asks for no WebSocket wants to know why it was refused one, and is told nothing.
    let Ok(mut client) = accept_hdr_async(stream, look).await else { return };
    let url = format!("{server}{asked}").parse().expect("a URL");
    let Ok(mut upstream) = ws::connect(&url, &headers, &ConnectOptions::default()).await else { return };
    let mut count = 0;
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if upstream.send(bytes).is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            message = upstream.recv() => {
                let Ok(message) = message else { return };
                let is_place = count == place.at;
                count += 1;
                if is_place && !harm.apply(&mut client, &message).await {
                    return;
                }
                if !(is_place && place.instead) && client.send(Message::Binary(message)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How many times the thread of a room has panicked.
fn panics() -> &'static AtomicUsize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_room = std::thread::current().name().is_some_and(|name| name.starts_with("tramline-room"));
            COUNT.fetch_add(usize::from(is_room), Ordering::Relaxed);
            before(info);
        }));
    });
    &COUNT
}

/// Joins, publishes and leaves, as far as it comes. Says how far that was.
async fn live(url: &str, identity: &str, patience: Duration) -> Result<(), ConnectError> {
    let jwt = token(identity).to_jwt().expect("a token");
    let mut options = RoomOptions::default();
    options.connect_timeout = patience;
    let joining = timeout(LIMIT, Room::connect(url, &jwt, options));
    let (room, mut events) = joining.await.expect("connecting hangs")?;
    // A refusal is fine, and so is a track that cannot be sent on.
    let local = room.local_participant();
    let publishing = timeout(LIMIT, local.publish_data_track("own"));
    if let Ok(track) = publishing.await.expect("publishing hangs") {
        let _ = track.try_push("hello");
    }
    timeout(LIMIT, room.close()).await.expect("closing hangs");
    let mut last = None;
    while let Some(event) = timeout(LIMIT, events.recv()).await.expect("the events never end") {
        last = Some(event);
    }
    assert!(matches!(last, Some(RoomEvent::Disconnected { .. })), "{last:?} is the last event");
    Ok(())
}

async fn all_places(server: &Server, instead: bool, patience: Duration) -> usize {
    // Nonsense on top of what is right says more than nonsense alone, which ends like any other message that is lost.
    let mut harms = harms();
    harms.retain(|harm| !(instead && matches!(harm, Harm::Nonsense(_))));
    let cases = harms.iter().enumerate().flat_map(|(kind, harm)| {
        (0..STEPS).map(move |at| (format!("{kind}-{at}"), harm.clone(), Place { at, instead }))
    });
    let url = server.url();
    let outcomes = stream::iter(cases)
        .map(|(identity, harm, place)| {
            let url = url.clone();
            async move {
                let shown = format!("{harm:?} at {place:?}");
                let outcome = live(&between(&url, harm, place).await, &identity, patience).await;
                if let Err(error) = &outcome {
                    assert!(!error.to_string().is_empty(), "{shown}");
                }
                usize::from(outcome.is_ok())
            }
        })
        .buffer_unordered(AT_ONCE);
    outcomes.fold(0, async |sum, joined| sum + joined).await
}

#[tokio::test]
async fn harm_before_any_message_of_the_server_is_survived() {
    let (server, panics) = (server(), panics());
    let joined = all_places(&server, false, LIMIT / 2).await;
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    assert!(joined > 100, "{joined}: most of it is no reason to end a session");
    assert!(live(&server.url(), "after", LIMIT / 2).await.is_ok(), "the server is as good as before");
}

#[tokio::test]
async fn harm_in_the_place_of_any_message_of_the_server_is_survived() {
    let (server, panics) = (server(), panics());
    // Without its join response or its answer a client waits for as long as it may.
    all_places(&server, true, Duration::from_secs(1)).await;
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    assert!(live(&server.url(), "after", LIMIT / 2).await.is_ok(), "the server is as good as before");
}

/// What answers instead of HTTP.
async fn answering(bytes: Vec<u8>, stays: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // The request has to be read, or the end of the connection would be a reset that overtakes the answer.
            let _ = stream.read(&mut [0; 16 * 1024]).await;
            let _ = stream.write_all(&bytes).await;
            if stays {
                open.push(stream);
            }
        }
    });
    url
}

#[tokio::test]
async fn what_is_no_signalling_server_is_told_apart() {
    let panics = panics();
    let jwt = token("me").to_jwt().expect("a token");
    let upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: wrong\r\n\r\n";
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(200_000)].concat();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("noise", noise(7, 10_000)),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        ("a head without end", endless),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("a wrong key", upgraded.to_vec()),
    ] {
        let url = answering(bytes, false).await;
        let outcome = timeout(LIMIT, Room::connect(&url, &jwt, RoomOptions::default())).await;
        let error = outcome.unwrap_or_else(|_| panic!("{what}: hangs")).expect_err(what);
        let is_typed =
            matches!(error, ConnectError::Signal(SignalError::Protocol { .. } | SignalError::Broken { .. }));
        assert!(is_typed, "{what}: {error:?}");
    }
    let url = answering(Vec::new(), true).await;
    let mut hurried = RoomOptions::default();
    hurried.connect_timeout = Duration::from_millis(300);
    let outcome = timeout(LIMIT, Room::connect(&url, &jwt, hurried)).await.expect("silence hangs");
    let error = outcome.expect_err("nobody answers");
    assert!(
        matches!(
            error,
            ConnectError::Timeout { stage: ConnectStage::Signalling, .. }
                | ConnectError::Signal(SignalError::Timeout { .. })
        ),
        "{error:?}"
    );
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}
