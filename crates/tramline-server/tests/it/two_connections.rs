//! The older signalling, by hand: what the server says and what it makes of wrong answers.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, header};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use tramline_core::leave::DisconnectReason;
use tramline_net::connect::ConnectOptions;
use tramline_net::ws::{self, WebSocket};
use tramline_server::auth::VideoGrants;
use tramline_server::{Server, ServerConfig};
use tramline_transport::{Certificate, Peer, PeerConfig};

use crate::client::{encoded, join_request, token};

async fn open(server: &Server, query: &str, grants: VideoGrants) -> WebSocket {
    let url = format!("{}/rtc?{query}", server.url()).parse().expect("a URL");
    let bearer = HeaderValue::try_from(format!("Bearer {}", token("me", grants))).expect("a header");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    ws::connect(&url, &headers, &ConnectOptions::default()).await.expect("let in")
}

/// The next message that `pick` takes.
async fn next<T>(ws: &mut WebSocket, mut pick: impl FnMut(Response) -> Option<T>) -> T {
    loop {
        let message = proto::SignalResponse::decode(ws.recv().await.expect("a message")).expect("readable");
        if let Some(found) = message.message.and_then(&mut pick) {
            return found;
        }
    }
}

fn send(ws: &mut WebSocket, message: Request) {
    let message = proto::SignalRequest { message: Some(message) };
    ws.send(message.encode_to_vec().into()).expect("room in the queue");
}

async fn joined(ws: &mut WebSocket) -> proto::JoinResponse {
    next(ws, |message| match message {
        Response::Join(join) => Some(join),
        other => panic!("{other:?} before the join response"),
    })
    .await
}

async fn left(ws: &mut WebSocket) -> DisconnectReason {
    next(ws, |message| match message {
        Response::Leave(leave) => Some(DisconnectReason::from_wire(leave.reason)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn the_server_offers_a_connection_behind_its_join_response() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut ws = open(&server, "protocol=17", VideoGrants::join("yard")).await;
    assert!(joined(&mut ws).await.subscriber_primary);
    let offer =
        next(&mut ws, |message| if let Response::Offer(offer) = message { Some(offer) } else { None });
    let offer = offer.await;
    assert_eq!((offer.r#type.as_str(), offer.id), ("offer", 1));
    let sections: Vec<&str> = offer.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(sections, ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel"]);
    for line in ["a=ice-lite", "a=setup:actpass", "a=mid:0"] {
        assert!(offer.sdp.lines().any(|found| found == line), "{line} in {}", offer.sdp);
    }
    let trickle = next(&mut ws, |message| match message {
        Response::Trickle(trickle) => Some(trickle),
        _ => None,
    });
    assert_eq!(trickle.await.target(), proto::SignalTarget::Subscriber);
}

#[tokio::test]
async fn a_join_request_on_the_older_path_asks_for_one_connection() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let query = format!("join_request={}", encoded(&join_request(None, 17)));
    let mut ws = open(&server, &query, VideoGrants::join("yard")).await;
    assert!(!joined(&mut ws).await.subscriber_primary);
}

/// LiveKit's Go client, which sets its offer only when the join response has come.
#[tokio::test]
async fn the_answer_to_a_late_client_waits_for_its_first_candidate_but_not_for_ever() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let certificate = Certificate::generate().expect("a certificate");
    for has_candidate in [true, false] {
        let secret = tramline_net::random::bytes().expect("randomness");
        let mut peer = Peer::client(PeerConfig::new(certificate.clone(), secret), Instant::now());
        let mut request = join_request(Some(peer.offer()), 17);
        request.client_info.as_mut().expect("it is there").sdk = proto::client_info::Sdk::Go.into();
        let query = format!("join_request={}", encoded(&request));
        let mut ws = open(&server, &query, VideoGrants::join("yard")).await;
        joined(&mut ws).await;
        if has_candidate {
            let candidate_init = r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0}"#.to_owned();
            send(&mut ws, Request::Trickle(proto::TrickleRequest { candidate_init, ..Default::default() }));
        }
        let answer = next(&mut ws, |message| match message {
            Response::Answer(answer) => Some(answer),
            Response::Trickle(_) => panic!("a candidate before the answer"),
            _ => None,
        });
        assert_eq!(answer.await.id, 7);
    }
}

#[tokio::test]
async fn who_cannot_receive_on_a_second_connection_is_offered_none() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut publisher = VideoGrants::join("yard");
    publisher.can_subscribe = Some(false);
    for (query, grants) in [("protocol=17", publisher), ("protocol=2", VideoGrants::join("yard"))] {
        let mut ws = open(&server, query, grants).await;
        let join = joined(&mut ws).await;
        assert!(!join.subscriber_primary && join.fast_publish, "{query}");
        // The answer to the ping comes after everything that belongs to joining.
        send(&mut ws, Request::Ping(1));
        next(&mut ws, |message| match message {
            Response::Offer(_) => panic!("{query}: an offer"),
            Response::Pong(_) => Some(()),
            _ => None,
        })
        .await;
    }
}

#[tokio::test]
async fn a_bad_answer_ends_the_session_with_its_reason() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let answer = |sdp: &str, id| {
        let (r#type, sdp) = ("answer".to_owned(), sdp.to_owned());
        Request::Answer(proto::SessionDescription { r#type, sdp, id, ..Default::default() })
    };
    for bad in [answer("", 1), answer("v=0\r\n", 0), answer("v=0\r\n", 7)] {
        let mut ws = open(&server, "protocol=17", VideoGrants::join("yard")).await;
        joined(&mut ws).await;
        send(&mut ws, bad);
        assert_eq!(left(&mut ws).await, DisconnectReason::JoinFailure);
    }
    assert_eq!(server.stats().expect("it runs").signal_transport_errors, 3);
}

#[tokio::test]
async fn a_candidate_for_no_connection_changes_nothing() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut ws = open(&server, "protocol=17", VideoGrants::join("yard")).await;
    joined(&mut ws).await;
    for target in [0, 1, 2, -1] {
        let candidate_init = "{\"candidate\":\"\"}".to_owned();
        send(&mut ws, Request::Trickle(proto::TrickleRequest { candidate_init, target, r#final: false }));
    }
    send(&mut ws, Request::Ping(1));
    next(&mut ws, |message| matches!(message, Response::Pong(_)).then_some(())).await;
    let stats = server.stats().expect("it runs");
    assert_eq!((stats.participants, stats.room.malformed), (1, 2));
}
