//! The WebSocket itself.

use futures_util::{SinkExt as _, StreamExt as _};
use http::header;
use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tramline_core::leave::DisconnectReason;
use tramline_server::auth::VideoGrants;
use tramline_server::{Server, ServerConfig};

use crate::client::{Client, encoded, join_request, open, token, with};

#[tokio::test]
async fn a_client_that_speaks_json_is_answered_in_json() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut ws = upgraded(&server).await;
    let first = ws.next().await.expect("a message").expect("no error");
    assert!(first.is_binary(), "binary until the client says otherwise");
    ws.send(Message::text(r#"{"pingReq":{"timestamp":"77","rtt":"0"}}"#)).await.expect("sent");
    loop {
        let Message::Text(text) = ws.next().await.expect("a message").expect("no error") else { continue };
        let answer: proto::SignalResponse = serde_json::from_str(&text).expect("JSON of the protocol");
        if let Some(Response::PongResp(pong)) = answer.message {
            assert_eq!(pong.last_ping_timestamp, 77);
            break;
        }
    }
    ws.send(Message::text("{\"nonsense\":")).await.expect("sent");
    ws.close(None).await.expect("sent");
    while ws.next().await.is_some_and(|message| message.is_ok()) {}
    assert_eq!(server.stats().expect("it runs").signal_malformed, 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_websocket_is_given_up() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut grants = VideoGrants::join("yard");
    grants.can_update_own_metadata = Some(true);
    let mut robot = Client::join_with(&server, "robot", grants, 18).await;
    let request = join_request(None, 18);
    let _deaf = open(&server, &token("deaf", VideoGrants::join("yard")), &request).await.expect("let in");
    robot.seen("deaf").await;
    // Each change goes to the deaf one as a message of 400 kB, which the kernel's buffers do not take for long. The robot
    // itself gets three such messages (its new entry, the answer, a fresh token), reads them and is not given up.
    let mut changes = 0;
    while server.stats().expect("it runs").signal_stalled == 0 {
        changes += 1;
        assert!(changes < 1_000, "400 MB wait for a client that does not read");
        let metadata = format!("{changes}{}", "x".repeat(400_000));
        let update = proto::UpdateParticipantMetadata { metadata: metadata.clone(), ..Default::default() };
        let message = Some(proto::signal_request::Message::UpdateMetadata(update));
        let message = prost::Message::encode_to_vec(&proto::SignalRequest { message });
        robot.ws.as_mut().expect("open").send(message.into()).expect("room in the queue");
        robot.until(|robot| (robot.session.local()?.metadata == metadata).then_some(())).await;
    }
    assert!(!robot.session.is_ended());
    // The deaf one had no transport, so its WebSocket was all that held it.
    assert_eq!(robot.left("deaf").await, DisconnectReason::SignalClose);
    let only_one_left = async {
        while server.stats().expect("it runs").participants > 1 {
            tokio::task::yield_now().await;
        }
    };
    with(&mut robot, only_one_left).await;
}

#[tokio::test]
async fn a_message_above_two_mebibytes_ends_the_websocket() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut ws = upgraded(&server).await;
    // Makes no sense, but is not too long: the next one is still answered.
    ws.send(Message::binary(vec![0; (2 << 20) - 1])).await.expect("sent");
    ws.send(Message::text(r#"{"pingReq":{"timestamp":"5"}}"#)).await.expect("sent");
    while !ws.next().await.expect("a message").expect("no error").is_text() {}
    // The server may close before all of it has been written.
    let _ = ws.send(Message::binary(vec![0; (2 << 20) + 1])).await;
    while ws.next().await.is_some_and(|message| message.is_ok()) {}
    assert_eq!(server.stats().expect("it runs").signal_malformed, 1);
}

async fn upgraded(server: &Server) -> WebSocketStream<TcpStream> {
    let url = format!("{}/rtc/v1?join_request={}", server.url(), encoded(&join_request(None, 18)));
    let mut request = url.into_client_request().expect("a request");
    let bearer = format!("Bearer {}", token("me", VideoGrants::join("yard")));
    request.headers_mut().insert(header::AUTHORIZATION, bearer.parse().expect("a header"));
    let stream = TcpStream::connect(server.http_addrs()[0]).await.expect("it listens");
    tokio_tungstenite::client_async(request, stream).await.expect("an upgrade").0
}
