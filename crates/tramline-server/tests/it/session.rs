//! Coming, staying and going.

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;
use tramline_core::leave::{DisconnectReason, LeaveAction};
use tramline_core::session::Event;
use tramline_server::auth::{Keys, TokenVerifier, VideoGrants};
use tramline_server::{Server, ServerConfig};

use crate::client::{Client, join_request, open, token, with};

fn server() -> Server {
    Server::start(ServerConfig::ephemeral()).expect("it starts")
}

#[tokio::test]
async fn the_join_response_is_what_clients_need() {
    let server = server();
    let mut client = Client::active(&server, "me", "yard").await;
    client.until(|client| refreshed(&client.messages)).await;
    let kinds: Vec<_> = client.messages.iter().filter_map(|message| message.message.as_ref()).collect();
    let Response::Join(join) = kinds[0] else { panic!("{:?}", kinds[0]) };
    assert!(matches!(kinds[1], Response::Answer(answer) if answer.id == 7 && answer.r#type == "answer"));
    let info = join.server_info.as_ref().expect("server info");
    assert_eq!((info.protocol, join.ping_interval, join.ping_timeout), (18, 5, 15));
    assert!(join.fast_publish && !join.subscriber_primary && join.ice_servers.is_empty());
    assert!(!join.sif_trailer.is_empty());
    let room = join.room.as_ref().expect("a room");
    let me = join.participant.as_ref().expect("a participant");
    assert!(room.sid.starts_with("RM_") && me.sid.starts_with("PA_"));
    assert_eq!((room.name.as_str(), me.identity.as_str()), ("yard", "me"));
    assert_eq!((me.client_protocol, me.state), (2, proto::participant_info::State::Joining as i32));
    let mut parts = join.server_version.split('.').map(|part| part.parse::<u32>().expect("a number"));
    assert!((parts.next(), parts.next()) >= (Some(1), Some(8)), "clients refuse RPC below 1.8.0");
}

#[tokio::test]
async fn a_refreshed_token_lets_the_same_participant_in_again() {
    let server = server();
    let mut grants = VideoGrants::join("yard");
    grants.can_publish = Some(false);
    let mut client = Client::join_with(&server, "me", grants, 18).await;
    let token = client.until(|client| refreshed(&client.messages)).await;
    let now = tramline_net::clock::unix_millis() / 1000;
    let claims = TokenVerifier::new(Keys::dev().into()).verify(&token, now).expect("a good token");
    let video = claims.video.as_ref().expect("grants");
    assert_eq!((claims.identity(), video.room.as_str(), video.room_join), ("me", "yard", true));
    assert_eq!((video.can_publish, video.can_publish_data), (Some(false), Some(false)));
    assert!(claims.exp.expect("it ends") >= now + 600 - 5);
    open(&server, &token, &join_request(None, 18)).await.expect("it is let in");
}

#[tokio::test]
async fn others_see_who_comes_publishes_and_goes() {
    let server = server();
    let mut watcher = Client::active(&server, "watcher", "yard").await;
    let mut robot = Client::active(&server, "robot", "yard").await;
    let mut stranger = Client::active(&server, "stranger", "garden").await;
    robot.publish("pose").await;
    let publisher = watcher
        .event(|event| match event {
            Event::TrackPublished { publisher, track } => (&*track.name == "pose").then_some(publisher),
            _ => None,
        })
        .await;
    assert_eq!(&*publisher.identity, "robot");
    robot.session.leave();
    robot.settle();
    assert_eq!(watcher.left("robot").await, DisconnectReason::ClientInitiated);
    assert!(watcher.find_track("pose").is_none());
    stranger.settle();
    assert!(stranger.session.participants().next().is_none());
}

#[tokio::test]
async fn a_late_joiner_finds_the_tracks_in_its_join_response() {
    let server = server();
    let mut robot = Client::active(&server, "robot", "yard").await;
    for index in 0..50 {
        robot.publish(&format!("track-{index}")).await;
    }
    let mut late = Client::join(&server, "late", "yard").await;
    let joined = late
        .event(|event| match event {
            Event::Joined(joined) => Some(joined),
            _ => None,
        })
        .await;
    assert_eq!(joined.others.len(), 1);
    assert_eq!(joined.others[0].1.len(), 50);
}

#[tokio::test]
async fn the_same_identity_again_ends_the_first_session_and_nobody_sees_it_leave() {
    let server = server();
    let mut watcher = Client::active(&server, "watcher", "yard").await;
    let mut first = Client::active(&server, "robot", "yard").await;
    let second = Client::active(&server, "robot", "yard").await;
    let why = first.disconnected().await;
    assert_eq!((why.reason, why.action), (DisconnectReason::DuplicateIdentity, LeaveAction::Disconnect));
    let sid = second.session.local().expect("it joined").sid.clone();
    watcher
        .until(|watcher| watcher.session.participants().any(|(robot, _)| robot.sid == sid).then_some(()))
        .await;
    let departed = |message: &proto::SignalResponse| match &message.message {
        Some(Response::Update(update)) => update.participants.iter().any(|info| info.state == 3),
        _ => false,
    };
    assert!(!watcher.messages.iter().any(departed));
}

#[tokio::test]
async fn a_transport_that_says_goodbye_is_a_leave() {
    let server = server();
    let mut watcher = Client::active(&server, "watcher", "yard").await;
    let mut robot = Client::active(&server, "robot", "yard").await;
    watcher.seen("robot").await;
    robot.close_transport();
    assert_eq!(watcher.left("robot").await, DisconnectReason::ClientInitiated);
}

#[tokio::test]
async fn a_lost_websocket_stops_no_data_but_an_unconnected_participant_goes_with_it() {
    let server = server();
    let mut watcher = Client::active(&server, "watcher", "yard").await;
    let mut robot = Client::active(&server, "robot", "yard").await;
    let handle = robot.publish("pose").await;
    watcher.subscribe("pose").await;
    robot.ws = None;
    let unconnected = Client::join(&server, "passer-by", "yard").await;
    watcher.seen("passer-by").await;
    drop(unconnected);
    assert_eq!(watcher.left("passer-by").await, DisconnectReason::SignalClose);
    robot.send_packet(handle, 1, b"still here");
    with(&mut robot, watcher.packet()).await;
}

#[tokio::test]
async fn who_wants_an_old_session_back_is_told_to_join_anew() {
    let server = server();
    let mut request = join_request(None, 18);
    request.reconnect = true;
    request.participant_sid = "PA_gone".to_owned();
    let mut ws = open(&server, &token("me", VideoGrants::join("yard")), &request).await.expect("an upgrade");
    let message =
        proto::SignalResponse::decode(ws.recv().await.expect("a message")).expect("of the protocol");
    let Some(Response::Leave(leave)) = message.message else { panic!("{message:?}") };
    assert_eq!(leave.reason, proto::DisconnectReason::StateMismatch as i32);
    assert_eq!(leave.action, proto::leave_request::Action::Reconnect as i32);
    ws.recv().await.expect_err("closed");
}

#[tokio::test]
async fn a_server_that_stops_tells_everybody_to_come_back() {
    let server = server();
    let mut client = Client::active(&server, "me", "yard").await;
    let stopping = tokio::task::spawn_blocking(move || server.shutdown());
    let why = client.disconnected().await;
    assert_eq!((why.reason, why.action), (DisconnectReason::ServerShutdown, LeaveAction::Reconnect));
    stopping.await.expect("it stops");
}

#[tokio::test]
async fn a_leave_is_answered() {
    let server = server();
    let mut ws =
        open(&server, &token("me", VideoGrants::join("yard")), &join_request(None, 18)).await.expect("in");
    let leave =
        proto::LeaveRequest { reason: proto::DisconnectReason::UserUnavailable as i32, ..Default::default() };
    let request = proto::SignalRequest { message: Some(proto::signal_request::Message::Leave(leave)) };
    ws.send(request.encode_to_vec().into()).expect("room");
    loop {
        let message =
            proto::SignalResponse::decode(ws.recv().await.expect("an answer")).expect("of the protocol");
        if let Some(Response::Leave(leave)) = message.message {
            assert_eq!(leave.reason, proto::DisconnectReason::ClientInitiated as i32);
            break;
        }
    }
    ws.recv().await.expect_err("closed");
}

fn refreshed(messages: &[proto::SignalResponse]) -> Option<String> {
    messages.iter().find_map(|message| match &message.message {
        Some(Response::RefreshToken(token)) => Some(token.clone()),
        _ => None,
    })
}
