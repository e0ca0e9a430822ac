//! What strangers send is counted, and the server lives.

use std::net::UdpSocket;

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use tramline_core::leave::DisconnectReason;
use tramline_server::auth::VideoGrants;
use tramline_server::{Server, ServerConfig};

use crate::client::{Client, join_request, open, token};

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

#[tokio::test]
async fn noise_on_the_udp_port_is_counted() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut client = Client::active(&server, "me", "yard").await;
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let target = server.udp_addrs()[0];
    for seed in 0..200 {
        stranger.send_to(&noise(seed, seed as usize * 7), target).expect("sent");
    }
    // STUN, DTLS and SRTP by their first bytes.
    for first in [0, 1, 22, 23, 128] {
        let mut datagram = noise(first, 100);
        datagram[0] = first as u8;
        stranger.send_to(&datagram, target).expect("sent");
    }
    let counted = client
        .until(|_| {
            let stats = server.stats().expect("it runs");
            let counted = stats.demux.unknown_addr + stats.demux.unknown_ufrag;
            (counted >= 204).then_some(counted)
        })
        .await;
    assert!(counted <= 205, "{counted}: an empty datagram may or may not count");
    client.publish("still working").await;
}

#[tokio::test]
async fn noise_on_the_websocket_is_counted_and_too_much_ends_it() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut client = Client::active(&server, "me", "yard").await;
    let ws = client.ws.as_mut().expect("open");
    // A field with a wire type that does not exist.
    for _ in 0..50 {
        ws.send(vec![0x0f, 1, 2].into()).expect("room");
    }
    client.publish("still working").await;
    assert_eq!(server.stats().expect("it runs").signal_malformed, 50);
    let ws = client.ws.as_mut().expect("open");
    for _ in 0..100 {
        ws.send(vec![0x0f, 1, 2].into()).expect("room");
    }
    client.until(|client| client.ws.is_none().then_some(())).await;
    assert_eq!(server.stats().expect("it runs").participants, 1, "its transport keeps it");
}

#[tokio::test]
async fn a_bad_offer_is_answered_with_a_leave() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    for sdp in ["", "v=0", "hello\r\n"] {
        let request = join_request(Some(sdp.to_owned()), 18);
        let mut ws = open(&server, &token("me", VideoGrants::join("yard")), &request).await.expect("let in");
        let leave = loop {
            let message =
                proto::SignalResponse::decode(ws.recv().await.expect("an answer")).expect("a message");
            if let Some(proto::signal_response::Message::Leave(leave)) = message.message {
                break leave;
            }
        };
        assert_eq!(DisconnectReason::from_wire(leave.reason), DisconnectReason::JoinFailure);
    }
    assert_eq!(server.stats().expect("it runs").signal_transport_errors, 3);
}

#[tokio::test]
async fn requests_that_make_no_sense_change_nothing() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let mut client = Client::active(&server, "me", "yard").await;
    let trickle = |text: &str| {
        let candidate_init = text.to_owned();
        Request::Trickle(proto::TrickleRequest { candidate_init, ..Default::default() })
    };
    let update = |track_sid: &str, subscribe| {
        let update = proto::update_data_subscription::Update {
            track_sid: track_sid.to_owned(),
            subscribe,
            options: None,
        };
        Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] })
    };
    let requests = [
        trickle(""),
        trickle("{}"),
        trickle("{\"candidate\":5}"),
        trickle("{\"candidate\":\"candidate:rubbish\"}"),
        update("", true),
        update("PA_wrong", true),
        update("DTR_never", false),
        update("DTR_never", true),
        update("DTR_never", false),
        Request::SyncState(proto::SyncState::default()),
        Request::Simulate(proto::SimulateScenario::default()),
        Request::Answer(proto::SessionDescription::default()),
        Request::SubscriptionPermission(proto::SubscriptionPermission::default()),
        Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 70_000 }),
    ];
    let ws = client.ws.as_mut().expect("open");
    for message in requests {
        ws.send(proto::SignalRequest { message: Some(message) }.encode_to_vec().into()).expect("room");
    }
    ws.send(Vec::new().into()).expect("room");
    client.publish("still working").await;
    assert!(!client.session.is_ended());
}
