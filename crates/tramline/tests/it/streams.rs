//! Texts and bytes of any length.

use std::collections::BTreeMap;

use tramline::{
    ByteStreamReader, RoomEvent, RoomOptions, SaveStreamError, SendStreamError, StreamByteOptions,
    StreamError, StreamTextOptions, TextOperation, TextStreamReader, block_on, block_on_for,
};
use tramline_server::Server;

use crate::{LIMIT, Member, server, token};

impl Member {
    fn await_text(&mut self) -> (TextStreamReader, String, String) {
        self.await_event(|event| match event {
            RoomEvent::TextStreamOpened { reader, topic, participant_identity } => {
                Some((reader.take().expect("the first"), topic, participant_identity.to_string()))
            }
            _ => None,
        })
    }

    fn await_bytes(&mut self) -> ByteStreamReader {
        self.await_event(|event| match event {
            RoomEvent::ByteStreamOpened { reader, .. } => reader.take(),
            _ => None,
        })
    }
}

fn pair(server: &Server) -> (Member, Member) {
    pair_with(server, RoomOptions::default())
}

fn pair_with(server: &Server, options: RoomOptions) -> (Member, Member) {
    let mut alice = Member::join(server, "alice");
    let bob = Member::join_with_options(server, &token("bob"), options);
    alice.await_event(|event| matches!(event, RoomEvent::ParticipantConnected(_)).then_some(()));
    (alice, bob)
}

fn wait<F: Future>(future: F) -> F::Output {
    block_on_for(future, LIMIT).expect("in time, outside of a runtime")
}

/// Text that compresses badly.
fn noise(len: usize) -> String {
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from_u32(0x4e00 + (state % 20_000) as u32).expect("a character")
    };
    (0..len / 3).map(|_| next()).collect()
}

#[test]
fn a_text_of_any_length_arrives_whole() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    for (len, compress) in [(0, true), (3, true), (300_000, true), (300_000, false), (3_000_000, true)] {
        let text = noise(len);
        let options = StreamTextOptions { compress: Some(compress), ..StreamTextOptions::from("t") };
        let local = alice.room.local_participant();
        let sent = wait(local.send_text(text.clone(), options)).expect("sent");
        let (reader, topic, from) = bob.await_text();
        assert_eq!((topic.as_str(), from.as_str()), ("t", "alice"));
        assert_eq!((reader.info().id(), reader.info().total_length()), (sent.id(), Some(text.len() as u64)));
        assert!(wait(reader.read_all()) == Ok(text), "{len}");
    }
}

#[test]
fn what_a_stream_says_of_itself_arrives() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let options = StreamTextOptions {
        attributes: attributes.clone(),
        id: Some("mine".into()),
        operation: TextOperation::Update,
        version: 3,
        reply_to_stream_id: Some("other".into()),
        attached_stream_ids: vec!["file".into()],
        generated: true,
        destination_identities: vec!["bob".into()],
        ..StreamTextOptions::from("t")
    };
    let sent = wait(alice.room.local_participant().send_text("hi", options)).expect("sent");
    let (reader, ..) = bob.await_text();
    let info = reader.info().clone();
    assert_eq!(info, sent);
    assert_eq!((info.id(), info.mime_type(), info.attributes()), ("mine", "text/plain", attributes));
    assert_eq!((info.operation(), info.version(), info.generated()), (TextOperation::Update, 3, true));
    assert_eq!(info.reply_to_stream_id().as_deref(), Some("other"));
    assert_eq!(info.attached_stream_ids(), ["file"]);
    assert_eq!(wait(reader.read_all()), Ok("hi".to_owned()));

    let options = StreamByteOptions {
        mime_type: Some("image/png".into()),
        name: Some("p.png".into()),
        ..StreamByteOptions::from("b")
    };
    wait(alice.room.local_participant().send_bytes(vec![0, 255], options)).expect("sent");
    let reader = bob.await_bytes();
    assert_eq!((reader.info().name(), reader.info().mime_type()), ("p.png", "image/png"));
    assert_eq!(wait(reader.read_all()).expect("whole"), [0, 255][..]);
}

#[test]
fn a_text_is_read_while_it_is_written() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let writer = wait(alice.room.local_participant().stream_text("t")).expect("open");
    let (mut reader, ..) = bob.await_text();
    for part in ["one", "zwei €", &noise(40_000)] {
        wait(writer.write(part)).expect("written");
        let mut read = String::new();
        while read.len() < part.len() {
            read.push_str(&wait(reader.next()).expect("it goes on").expect("fine"));
        }
        assert_eq!(read, part);
    }
    let last = BTreeMap::from([("sum".to_owned(), "3".to_owned())]);
    wait(writer.close_with("", last.clone())).expect("closed");
    assert_eq!(wait(reader.next()), None);
    assert_eq!(reader.info().attributes(), last);
    assert!(reader.progress().bytes_processed > 40_000);
    assert!(matches!(wait(writer.write("late")), Err(SendStreamError::Closed)));
    assert!(matches!(wait(writer.close()), Err(SendStreamError::Closed)));
}

#[test]
fn streams_that_do_not_come_to_their_end_say_why() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let local = alice.room.local_participant();
    let given_up = wait(local.stream_bytes("t")).expect("open");
    wait(given_up.write(b"half")).expect("written");
    wait(given_up.close_with("out of paper", BTreeMap::new())).expect("closed");
    let error = wait(bob.await_bytes().read_all()).expect_err("not whole");
    assert_eq!(error, StreamError::Aborted { reason: "out of paper".into() });

    drop(wait(local.stream_bytes("t")).expect("open"));
    let error = wait(bob.await_bytes().read_all()).expect_err("not whole");
    assert!(matches!(error, StreamError::Aborted { .. }), "{error:?}");

    let announced = StreamByteOptions { total_length: Some(10), ..StreamByteOptions::from("t") };
    let short = wait(local.stream_bytes(announced)).expect("open");
    wait(short.write(b"1234")).expect("written");
    wait(short.close()).expect("closed");
    let error = wait(bob.await_bytes().read_all()).expect_err("not whole");
    assert_eq!(error, StreamError::Truncated { received: 4, announced: 10 });

    let orphan = wait(local.stream_bytes("t")).expect("open");
    wait(orphan.write(b"x")).expect("written");
    let reader = bob.await_bytes();
    alice.close();
    let error = wait(reader.read_all()).expect_err("not whole");
    assert!(matches!(error, StreamError::SenderGone | StreamError::Aborted { .. }), "{error:?}");
    drop(orphan);
}

#[test]
fn files_are_sent_and_saved() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let local = alice.room.local_participant();
    let directory = std::env::temp_dir().join(format!("tramline-streams-{}", std::process::id()));
    let inbox = directory.join("inbox");
    std::fs::create_dir_all(&inbox).expect("a directory");
    for (name, len, compress) in [
        ("empty", 0, true),
        ("small.txt", 900, true),
        ("large.txt", 1 << 20, true),
        ("plain.bin", 1 << 20, false),
    ] {
        let (path, content) = (directory.join(name), noise(len));
        std::fs::write(&path, &content).expect("written");
        let options = StreamByteOptions { compress: Some(compress), ..StreamByteOptions::from("files") };
        let sent = wait(local.send_file(&path, options)).expect("sent");
        assert_eq!((sent.name(), sent.total_length()), (name, Some(content.len() as u64)));
        let saved = wait(bob.await_bytes().write_to_file(&inbox, None)).expect("saved");
        assert_eq!(saved, inbox.join(name));
        assert!(std::fs::read(saved).expect("there") == content.as_bytes(), "{name}");
    }
    let evil = StreamByteOptions { name: Some("../evil".into()), ..StreamByteOptions::from("files") };
    wait(local.send_bytes("x", evil)).expect("sent");
    let error = wait(bob.await_bytes().write_to_file(&inbox, None)).expect_err("not there");
    assert!(matches!(error, SaveStreamError::Name { .. }), "{error}");
    let error = wait(local.send_file(directory.join("missing"), "files")).expect_err("no such file");
    assert!(matches!(error, SendStreamError::File { .. }), "{error}");
    std::fs::remove_dir_all(directory).expect("gone");
}

#[test]
fn a_stream_that_nobody_reads_costs_no_more_than_the_limit_and_no_other_stream() {
    let mut options = RoomOptions::default();
    options.stream_capacity = 1 << 20;
    let server = server();
    let (alice, mut bob) = pair_with(&server, options);
    let local = alice.room.local_participant();
    let plain = || StreamByteOptions { compress: Some(false), ..StreamByteOptions::from("t") };
    wait(local.send_bytes(vec![1; 3 << 20], plain())).expect("sent");
    let unread = bob.await_bytes();
    wait(local.send_bytes(vec![2; 500_000], plain())).expect("sent");
    let read = bob.await_bytes();
    assert_eq!(wait(read.read_all()).expect("whole").len(), 500_000);
    assert_eq!(wait(unread.read_all()), Err(StreamError::Unread { limit: 1 << 20 }));
}

#[test]
fn many_streams_of_one_sender_do_not_mix() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let local = alice.room.local_participant();
    let writers: Vec<_> = (0..20)
        .map(|index| {
            let local = local.clone();
            std::thread::spawn(move || {
                let options =
                    StreamByteOptions { name: Some(index.to_string()), ..StreamByteOptions::from("t") };
                let writer = wait(local.stream_bytes(options)).expect("open");
                for _ in 0..10 {
                    wait(writer.write(&[index; 20_000])).expect("written");
                }
                wait(writer.close()).expect("closed");
            })
        })
        .collect();
    for _ in 0..20 {
        let reader = bob.await_bytes();
        let index: u8 = reader.info().name().parse().expect("a number");
        let content = wait(reader.read_all()).expect("whole");
        assert!(content.len() == 200_000 && content.iter().all(|byte| *byte == index), "{index}");
    }
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
}

#[test]
fn bindings_see_the_packets_of_streams() {
    let mut options = RoomOptions::default();
    options.raw_stream_events = true;
    let server = server();
    let (alice, mut bob) = pair_with(&server, options);
    let writer = wait(alice.room.local_participant().stream_text("t")).expect("open");
    wait(writer.write("hello")).expect("written");
    wait(writer.close()).expect("closed");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(bob.await_event(|event| match event {
            RoomEvent::StreamHeaderReceived { header, .. } => Some(header.stream_id),
            RoomEvent::StreamChunkReceived { chunk, .. } => {
                Some(String::from_utf8(chunk.content).expect("text"))
            }
            RoomEvent::StreamTrailerReceived { trailer, .. } => Some(trailer.reason),
            _ => None,
        }));
    }
    assert_eq!(seen, [writer.info().id(), "hello", ""]);
}

#[test]
fn a_header_that_fits_nowhere_is_refused() {
    let server = server();
    let (alice, _bob) = pair(&server);
    let options = StreamTextOptions {
        attributes: BTreeMap::from([("k".to_owned(), "v".repeat(20_000))]),
        ..StreamTextOptions::from("t")
    };
    let sent = block_on(alice.room.local_participant().send_text("x", options)).expect("outside");
    assert!(matches!(sent, Err(SendStreamError::Header(_))), "{sent:?}");
}
