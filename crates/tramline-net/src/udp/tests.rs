use std::net::{Ipv4Addr, SocketAddr};

use tramline_transport::{Transmit, Transmits};

use super::*;

fn on_loopback() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port")
}

/// Reads until `count` datagrams have come.
async fn read(sockets: &mut UdpSockets, count: usize) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let mut batch = RecvBatch::new();
    let mut found = Vec::new();
    while found.len() < count {
        sockets.recv(&mut batch).await.expect("a readable socket");
        found.extend(batch.iter().map(|d| (d.local, d.remote, d.payload.to_vec())));
    }
    found
}

fn payload(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (index * 31 + at) as u8).collect()
}

#[tokio::test]
async fn runs_of_datagrams_arrive_whole_in_order_and_in_few_calls() {
    let receiver = on_loopback();
    let dst = receiver.local_addr();
    let mut receivers = UdpSockets::new(vec![receiver]);
    let mut senders = UdpSockets::new(vec![on_loopback()]);
    let src = senders.local_addrs().next().expect("one socket");

    let lengths: Vec<usize> = std::iter::repeat_n(1_200, 100).chain([300, 1_200, 1_200, 40, 1_300]).collect();
    let mut transmits = Transmits::new();
    for (index, &len) in lengths.iter().enumerate() {
        transmits.push(None, dst, &payload(index, len));
    }
    senders.send(&mut transmits);
    assert!(transmits.is_empty());

    let found = read(&mut receivers, lengths.len()).await;
    for (index, ((local, remote, bytes), &len)) in found.iter().zip(&lengths).enumerate() {
        assert_eq!((*local, *remote), (dst, src));
        assert_eq!(*bytes, payload(index, len), "datagram {index}");
    }
    let counters = senders.counters();
    assert_eq!((counters.sent, counters.dropped_full, counters.refused), (105, 0, 0));
    if cfg!(target_os = "linux") && senders.sockets[0].state.max_gso_segments() > 1 {
        assert!(counters.send_calls <= 5, "{} calls for 105 datagrams", counters.send_calls);
    }
}

#[cfg(target_os = "linux")] // Only there all of 127.0.0.0/8 is this host without further setting up.
#[tokio::test]
async fn an_answer_leaves_from_the_address_that_was_asked() {
    let mut server =
        UdpSockets::new(vec![UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a free port")]);
    let mut client = UdpSockets::new(vec![on_loopback()]);
    let asked =
        server.addr_of(Ipv4Addr::new(127, 0, 0, 9).into()).expect("a wildcard socket listens everywhere");

    let mut transmits = Transmits::new();
    transmits.push(None, asked, b"question");
    client.send(&mut transmits);
    let (local, remote, _) = read(&mut server, 1).await.remove(0);
    assert_eq!(local, asked);
    transmits.push(Some(local), remote, b"answer");
    server.send(&mut transmits);
    let (_, from, bytes) = read(&mut client, 1).await.remove(0);
    assert_eq!((from, bytes.as_slice()), (asked, b"answer".as_slice()));
}

#[tokio::test]
async fn both_families_are_read_and_each_datagram_takes_its_own_socket() {
    let mut any = UdpSockets::bind_any().expect("sockets");
    let Some(v6) = any.addr_of(Ipv6Addr::LOCALHOST.into()) else { return };
    let v4 = any.addr_of(Ipv4Addr::LOCALHOST.into()).expect("IPv4");
    let Ok(from6) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0).into()) else { return };
    let mut senders = UdpSockets::new(vec![on_loopback(), from6]);
    let mut transmits = Transmits::new();
    transmits.push(None, v6, b"six");
    transmits.push(None, v4, b"four");
    senders.send(&mut transmits);
    let mut found: Vec<_> =
        read(&mut any, 2).await.into_iter().map(|(local, _, bytes)| (local, bytes)).collect();
    found.sort();
    assert_eq!(found, vec![(v4, b"four".to_vec()), (v6, b"six".to_vec())]);
}

#[tokio::test]
async fn a_datagram_that_cannot_leave_is_counted_and_the_next_one_goes() {
    let receiver = on_loopback();
    let dst = receiver.local_addr();
    let mut receivers = UdpSockets::new(vec![receiver]);
    let mut senders = UdpSockets::new(vec![on_loopback()]);
    let mut transmits = Transmits::new();
    transmits.push(None, "[2001:db8::1]:9".parse().expect("an address"), b"no socket of that family");
    transmits.push(None, dst, &vec![7; 70_000]);
    transmits.push(None, dst, b"fine");
    senders.send(&mut transmits);
    assert_eq!(senders.counters().refused, 2);
    assert_eq!(read(&mut receivers, 1).await[0].2, b"fine");
}

#[tokio::test]
async fn what_was_held_back_goes_before_what_is_new_and_by_itself() {
    let receiver = on_loopback();
    let dst = receiver.local_addr();
    let mut receivers = UdpSockets::new(vec![receiver]);
    let mut sender = on_loopback();
    sender.backlog.push(None, dst, b"held back");
    assert!(sender.is_blocked());
    let mut senders = UdpSockets::new(vec![sender]);
    let mut transmits = Transmits::new();
    transmits.push(None, dst, b"new");
    senders.send(&mut transmits);
    let order: Vec<_> = read(&mut receivers, 2).await.into_iter().map(|(_, _, bytes)| bytes).collect();
    assert_eq!(order, [b"held back".to_vec(), b"new".to_vec()]);

    senders.sockets[0].backlog.push(None, dst, b"alone");
    let mut batch = RecvBatch::new();
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(
        senders.poll_recv(&mut context, &mut batch).is_pending(),
        "nothing to read, but what waits is sent"
    );
    assert_eq!(read(&mut receivers, 1).await[0].2, b"alone");
    assert!(!senders.sockets[0].is_blocked());
}

#[tokio::test]
async fn an_empty_datagram_disturbs_nothing() {
    let receiver = on_loopback();
    let dst = receiver.local_addr();
    let mut receivers = UdpSockets::new(vec![receiver]);
    let sender = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    sender.send_to(&[], dst).expect("sent");
    sender.send_to(b"after", dst).expect("sent");
    assert_eq!(read(&mut receivers, 1).await[0].2, b"after");
}

#[test]
fn a_run_ends_where_length_destination_or_source_change() {
    let dst: SocketAddr = "10.0.0.1:1".parse().expect("an address");
    let other: SocketAddr = "10.0.0.2:1".parse().expect("an address");
    let items = |list: &[(Option<SocketAddr>, SocketAddr, usize)]| {
        let mut at = 0;
        list.iter()
            .map(|&(src, dst, len)| {
                at += len;
                Transmit { src, dst, range: at - len..at }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run_length(&[], 64), 0);
    assert_eq!(
        run_length(&items(&[(None, dst, 100), (None, dst, 100), (None, dst, 60), (None, dst, 60)]), 64),
        3
    );
    assert_eq!(run_length(&items(&[(None, dst, 100), (None, dst, 120)]), 64), 1);
    assert_eq!(run_length(&items(&[(None, dst, 100), (None, other, 100)]), 64), 1);
    assert_eq!(run_length(&items(&[(None, dst, 100), (Some(other), dst, 100)]), 64), 1);
    assert_eq!(run_length(&items(&[(None, dst, 100), (None, dst, 0)]), 64), 1);
    assert_eq!(run_length(&items(&[(None, dst, 10); 100]), 64), 64);
    assert_eq!(run_length(&items(&[(None, dst, 10); 100]), 1), 1);
    assert_eq!(run_length(&items(&[(None, dst, 1_400); 64]), 64), 46, "a run must fit into one IP packet");
}
