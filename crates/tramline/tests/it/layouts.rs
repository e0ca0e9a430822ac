//! One connection or two: which of them is asked for, and that all goes both ways with either.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc,
};

use tramline::{ConnectError, Room, RoomEvent, RoomOptions, block_on};
use tramline_server::{Server, auth::VideoGrants};

use crate::{Member, assert_ended, read, server, subscribe, token};

/// A server that refuses everything like this. Where it listens, and the paths that it is asked for.
fn refusing(body: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let (asked, paths) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = head.next().unwrap_or_default();
            head.take_while(|line| !line.is_empty()).for_each(drop);
            let path = request.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            if asked.send(path).is_err() {
                return;
            }
            let length = body.len();
            // Whoever has hung up meanwhile needs no answer.
            let _ = write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    (url, paths)
}

fn refusal(url: &str, single: bool) -> ConnectError {
    let mut options = RoomOptions::default();
    options.single_peer_connection = single;
    block_on(Room::connect(url, "a.b.c", options)).expect("outside of a runtime").expect_err("refused")
}

#[test]
fn a_server_that_does_not_know_the_newer_path_is_asked_at_the_older_one() {
    let (url, paths) = refusing("404 page not found");
    match refusal(&url, true) {
        ConnectError::NotSupported { path } => assert_eq!(path, "/rtc"),
        other => panic!("{other:?}"),
    }
    assert_eq!(paths.try_iter().collect::<Vec<_>>(), ["/rtc/v1", "/rtc"]);
    assert!(matches!(refusal(&url, false), ConnectError::NotSupported { .. }));
    assert_eq!(paths.try_iter().collect::<Vec<_>>(), ["/rtc"], "as the option says");
}

#[test]
fn a_room_that_does_not_exist_is_not_asked_for_twice() {
    let (url, paths) = refusing("requested room does not exist");
    assert!(matches!(refusal(&url, true), ConnectError::RoomNotFound { .. }));
    assert_eq!(paths.try_iter().collect::<Vec<_>>(), ["/rtc/v1"]);
}

fn join(server: &Server, identity: &str, single: bool) -> Member {
    let mut options = RoomOptions::default();
    options.single_peer_connection = single;
    Member::join_with_options(server, &token(identity), options)
}

/// Bytes that tell frames and positions in them apart.
fn payload(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + number * 7 + (at >> 8)) as u8).collect()
}

#[test]
fn frames_travel_between_all_layouts() {
    for (publishing, subscribing) in [(false, false), (false, true), (true, false)] {
        let server = server();
        let first = join(&server, "first", publishing);
        let mut second = join(&server, "second", subscribing);
        let track = first.publish("there");
        let remote = second.await_track("there");
        let mut stream = subscribe(&remote);
        for (number, len) in [0, 1, 15_988, 15_989, 300_000, 1 << 20, 2].into_iter().enumerate() {
            track.try_push(payload(number, len)).expect("room");
            assert!(read(&mut stream).payload()[..] == payload(number, len), "frame {number} of {len} bytes");
        }
        track.unpublish();
        assert_ended(&mut stream);
    }
}

#[test]
fn two_connections_carry_both_ways_at_once() {
    let server = server();
    let mut members = [join(&server, "a", false), join(&server, "b", false)];
    let tracks = [members[0].publish("a"), members[1].publish("b")];
    let remotes = [members[0].await_track("b"), members[1].await_track("a")];
    let mut streams = [subscribe(&remotes[0]), subscribe(&remotes[1])];
    for number in 0..200 {
        for track in &tracks {
            track.try_push(payload(number, 1_000 + number)).expect("room");
        }
    }
    for stream in &mut streams {
        for number in 0..200 {
            assert!(read(stream).payload()[..] == payload(number, 1_000 + number), "frame {number}");
        }
    }
    members[0].close();
    members[1].await_event(|event| match event {
        RoomEvent::ParticipantDisconnected(participant) => (participant.identity() == "a").then_some(()),
        _ => None,
    });
}

#[test]
fn who_may_only_publish_needs_no_second_connection() {
    let server = server();
    let mut reader = join(&server, "reader", true);
    let mut grants = VideoGrants::join("yard");
    grants.can_subscribe = Some(false);
    let mut options = RoomOptions::default();
    options.single_peer_connection = false;
    let writer = Member::join_with_options(&server, &token("writer").with_grants(grants), options);
    let track = writer.publish("out");
    let mut stream = subscribe(&reader.await_track("out"));
    track.try_push("hello").expect("room");
    assert_eq!(&read(&mut stream).payload()[..], b"hello");
}
