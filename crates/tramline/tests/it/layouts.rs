//! One connection or two: which of them is asked for.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc,
};

use tramline::{ConnectError, Room, RoomOptions, block_on};

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
