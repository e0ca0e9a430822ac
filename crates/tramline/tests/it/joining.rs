//! Coming in, and being kept out.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use tramline::{
    BlockError, ConnectError, DisconnectReason, Room, RoomEvent, RoomOptions, SignalError, block_on,
};
use tramline_server::auth::{AccessToken, VideoGrants};

use crate::{LIMIT, Member, server, token};

fn connect(url: &str, token: &str) -> Result<(), ConnectError> {
    block_on(Room::connect(url, token, RoomOptions::default())).expect("outside of a runtime").map(drop)
}

#[test]
fn participants_see_each_other_with_what_their_tokens_say() {
    let server = server();
    let mut first = Member::join(&server, "first");
    let attributes = BTreeMap::from([("arm".to_owned(), "left".to_owned())]);
    let second = token("second").with_name("Second").with_metadata("{}").with_attributes(attributes.clone());
    let second = Member::join_with(&server, &second);

    let seen = first.await_event(|event| match event {
        RoomEvent::ParticipantConnected(participant) => Some(participant),
        _ => None,
    });
    assert_eq!(seen.identity(), "second");
    assert_eq!(
        (seen.name().as_str(), seen.metadata().as_str(), seen.attributes()),
        ("Second", "{}", attributes)
    );
    assert_eq!(seen.sid(), second.room.local_participant().sid());
    assert_eq!(first.room.remote_participants()[&seen.identity()], seen);
    let others = second.room.remote_participants();
    assert_eq!(others.keys().map(|identity| identity.as_str()).collect::<Vec<_>>(), ["first"]);
    assert_eq!((second.room.name().as_str(), first.room.sid()), ("yard", second.room.sid()));
    assert!(second.room.local_participant().permissions().can_publish_data);
}

#[test]
fn a_token_that_does_not_open_the_door_says_why() {
    let server = server();
    let expired = token("x").with_validity(Duration::ZERO).to_jwt().expect("a token");
    let foreign = AccessToken::new("devkey", "another secret")
        .with_identity("x")
        .with_grants(VideoGrants::join("yard"));
    let unknown =
        AccessToken::new("nobody", "secret").with_identity("x").with_grants(VideoGrants::join("yard"));
    let no_grant = AccessToken::new("devkey", "secret").with_identity("x");
    let mut cases = vec![("garbage", "garbage".to_owned())];
    for (case, token) in [("foreign", foreign), ("unknown key", unknown), ("no grant", no_grant)] {
        cases.push((case, token.to_jwt().expect("a token")));
    }
    for (case, token) in &cases {
        match connect(&server.url(), token) {
            Err(error @ ConnectError::Unauthorized { status: 401, .. }) => {
                let text = error.to_string();
                assert!(!error.is_retryable(), "{case}");
                assert!(text.contains("expected a token signed with a key of this server"), "{case}: {text}");
                assert!(!text.contains(token.as_str()), "{case}: the token is in {text}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    // Within the leeway of one minute a token that has just expired still opens.
    connect(&server.url(), &expired).expect("within the leeway");
    assert!(matches!(connect(&server.url(), "a\r\nb"), Err(ConnectError::InvalidToken)));
}

#[test]
fn a_server_that_is_not_there_is_told_by_stage() {
    let token = token("x").to_jwt().expect("a token");
    for url in ["", "localhost:7880", "ftp://localhost", "ws://"] {
        let error = connect(url, &token).expect_err(url);
        assert!(matches!(error, ConnectError::Signal(SignalError::Url { .. })), "{url}: {error:?}");
        assert!(!error.is_retryable());
    }
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let error = connect(&format!("ws://{closed}"), &token).expect_err("nobody listens");
    assert!(matches!(error, ConnectError::Signal(SignalError::Tcp { .. })), "{error:?}");
    assert!(error.is_retryable());

    let server = server();
    let error = connect(&server.url().replace("ws://", "wss://"), &token).expect_err("no TLS there");
    assert!(matches!(error, ConnectError::Signal(SignalError::Tls { .. })), "{error:?}");
    let error = connect(&format!("{}/elsewhere", server.url()), &token).expect_err("not there");
    assert!(matches!(error, ConnectError::NotSupported { .. }), "{error:?}");
}

#[test]
fn a_server_that_stays_silent_costs_the_stated_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", silent.local_addr().expect("bound"));
    let mut options = RoomOptions::default();
    options.connect_timeout = Duration::from_millis(100);
    match block_on(Room::connect(&url, "a.b.c", options)).expect("outside of a runtime") {
        Err(ConnectError::Timeout { after, .. }) => assert_eq!(after, Duration::from_millis(100)),
        Err(ConnectError::Signal(SignalError::Timeout { after, .. })) => {
            assert_eq!(after, Duration::from_millis(100))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_one_of_the_same_identity_takes_the_place_of_the_first() {
    let server = server();
    let mut first = Member::join(&server, "twin");
    let second = Member::join(&server, "twin");
    assert_eq!(first.await_end(), DisconnectReason::DuplicateIdentity);
    assert_eq!(first.room.connection_state(), tramline::ConnectionState::Disconnected);
    assert_eq!(second.room.connection_state(), tramline::ConnectionState::Connected);
}

#[test]
fn an_abandoned_attempt_leaves_nobody_behind() {
    let server = server();
    let mut observer = Member::join(&server, "observer");
    let token = token("ghost").to_jwt().expect("a token");
    let url = server.url();
    {
        // Begun, and not looked at again: it is given up when it is seen from outside, wherever it stands then.
        let mut attempt = std::pin::pin!(Room::connect(&url, &token, RoomOptions::default()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(attempt.as_mut().poll(&mut context).is_pending());
        observer.await_event(|event| matches!(event, RoomEvent::ParticipantConnected(_)).then_some(()));
    }
    let gone = observer.await_event(|event| match event {
        RoomEvent::ParticipantDisconnected(participant) => Some(participant.identity()),
        _ => None,
    });
    assert_eq!(gone, "ghost");
}

#[test]
fn blocking_inside_a_runtime_is_an_error_and_async_calls_work_there() {
    let server = server();
    let token = token("guest").to_jwt().expect("a token");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        assert_eq!(block_on(std::future::ready(())), Err(BlockError::InsideRuntime));
        let (room, mut events) =
            Room::connect(&server.url(), &token, RoomOptions::default()).await.expect("joined");
        assert_eq!(events.recv_timeout(LIMIT), Err(tramline::ReadError::InsideRuntime));
        room.close().await;
        while !matches!(events.recv().await.expect("the end"), RoomEvent::Disconnected { .. }) {}
        assert_eq!(events.recv().await, None);
    });
    // Handles outlive the runtime and are dropped without one.
    let kept = runtime.block_on(async {
        let (room, events) =
            Room::connect(&server.url(), &token, RoomOptions::default()).await.expect("joined");
        let track = room.local_participant().publish_data_track("kept").await.expect("published");
        (room, events, track)
    });
    runtime.shutdown_background();
    kept.2.try_push("still here").expect("the room does not need the runtime");
    std::thread::spawn(move || drop(kept)).join().expect("no panic");
}
