//! Packets from one participant to others.

use std::time::Instant;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tramline_server::auth::VideoGrants;
use tramline_server::{Server, ServerConfig};
use tramline_transport::Channel;
use tramline_wire::{Packet, TrackHandle};

use crate::client::{Client, packet, with};

fn server() -> Server {
    Server::start(ServerConfig::ephemeral()).expect("it starts")
}

#[tokio::test]
async fn a_packet_reaches_its_subscriber_with_only_the_handle_changed() {
    for protocol in [17, 18] {
        let server = server();
        let mut publisher =
            Client::join_with(&server, "publisher", VideoGrants::join("yard"), protocol).await;
        let mut reader = Client::join_with(&server, "reader", VideoGrants::join("yard"), protocol).await;
        let pub_handle = publisher.publish("pose").await;
        let (_, sub_handle) = reader.subscribe("pose").await;
        // The handle is announced before packets carry it, but the subscriber's channel may open later.
        with(&mut publisher, reader.until(|reader| reader.peer.is_open(Channel::DataTrack).then_some(())))
            .await;
        for number in 0..20_u16 {
            let payload = vec![number as u8; usize::from(number) * 700];
            publisher.send_packet(pub_handle, number, &payload);
            let received = with(&mut publisher, reader.packet()).await;
            let sent = packet(pub_handle, number, &payload);
            assert_eq!(received[..2], sent[..2]);
            assert_eq!(received[4..], sent[4..]);
            assert_eq!(Packet::parse(&received).expect("a packet").header.handle, sub_handle);
        }
        let stats = server.stats().expect("it runs");
        assert_eq!((stats.packets_in, stats.packets_out), (20, 20), "protocol {protocol}");
        assert_eq!((stats.queues.sent, stats.packets_dropped.total()), (20, 0));
    }
}

#[tokio::test]
async fn every_subscriber_gets_the_packet_under_its_own_handle() {
    let server = server();
    let mut publisher = Client::active(&server, "publisher", "yard").await;
    let handle = publisher.publish("pose").await;
    let mut readers = Vec::new();
    for name in ["a", "b", "c"] {
        let mut reader = Client::active(&server, name, "yard").await;
        let (_, handle) = reader.subscribe("pose").await;
        readers.push((reader, handle));
    }
    publisher.send_packet(handle, 1, b"once");
    for (reader, handle) in &mut readers {
        let received = with(&mut publisher, reader.packet()).await;
        let received = Packet::parse(&received).expect("a packet");
        assert_eq!((received.header.handle, received.payload), (*handle, &b"once"[..]));
    }
    assert_eq!(server.stats().expect("it runs").packets_out, 3);
}

#[tokio::test]
async fn after_the_last_word_nothing_is_forwarded() {
    let server = server();
    let mut publisher = Client::active(&server, "publisher", "yard").await;
    let mut reader = Client::active(&server, "reader", "yard").await;
    let handle = publisher.publish("pose").await;
    let (track, _) = reader.subscribe("pose").await;
    reader.session.unsubscribe(Instant::now(), &track);
    reader.settle();
    reader.until(|reader| is_handle_map(reader.messages.last(), 0).then_some(())).await;
    publisher.send_packet(handle, 1, b"nobody reads this");
    let stats = with(&mut publisher, async {
        loop {
            let stats = server.stats().expect("it runs");
            if stats.packets_in == 1 {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((stats.packets_out, stats.packets_dropped.total()), (0, 1));
}

#[tokio::test]
async fn a_frame_that_waits_too_long_is_dropped_whole_and_counted() {
    let server = server();
    let mut publisher = Client::active(&server, "publisher", "yard").await;
    // A reader that never brings its transport up.
    let mut reader = Client::join(&server, "reader", "yard").await;
    let handle = publisher.publish("pose").await;
    // Only the WebSocket is read, so that the subscription is live and nothing can be sent.
    reader.peer.close(Instant::now());
    let (_, _) = reader.subscribe("pose").await;
    publisher.send_packet(handle, 1, b"stale soon");
    let stats = with(&mut publisher, async {
        loop {
            let stats = server.stats().expect("it runs");
            if stats.queues.dropped.total() > 0 {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((stats.queues.accepted, stats.queues.sent), (1, 0));
    assert_eq!(stats.queues.dropped.count(tramline_core::stats::DropReason::Stale), 1);
}

#[tokio::test]
async fn packets_of_tracks_that_are_not_published_are_counted() {
    let server = server();
    let mut publisher = Client::active(&server, "publisher", "yard").await;
    publisher.send_packet(TrackHandle::new(9).expect("not zero"), 1, b"whose?");
    publisher.peer.send(Channel::DataTrack, &vec![0xff; 40].into()).expect("open");
    publisher.peer.send(Channel::DataTrack, &vec![0; 3].into()).expect("open");
    publisher.peer.send(Channel::Lossy, &vec![1, 2, 3].into()).expect("open");
    publisher.settle();
    let stats = with(&mut publisher, async {
        loop {
            let stats = server.stats().expect("it runs");
            if stats.packets_in == 3
                && stats.data_packets_dropped.count(tramline_core::stats::DropReason::Malformed) == 1
            {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let dropped: Vec<_> =
        stats.packets_dropped.iter().map(|(reason, count)| (reason.as_str(), count)).collect();
    assert_eq!(dropped, [("unknown_handle", 1), ("malformed", 2)]);
}

fn is_handle_map(message: Option<&proto::SignalResponse>, len: usize) -> bool {
    let message = message.and_then(|message| message.message.as_ref());
    matches!(message, Some(Response::DataTrackSubscriberHandles(map)) if map.sub_handles.len() == len)
}
