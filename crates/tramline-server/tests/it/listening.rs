//! Where a server listens, and what it says when it cannot.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tramline_net::connect::ConnectOptions;
use tramline_net::http::get;
use tramline_server::auth::Keys;
use tramline_server::{DEFAULT_UDP_PORT, Server, ServerConfig, StartError};
use tramline_transport::Channel;

use crate::client::Client;

/// Trickled behind the answer, which has none.
fn candidates(client: &Client) -> Vec<String> {
    let trickled = |message: &proto::SignalResponse| match &message.message {
        Some(Response::Answer(answer)) => {
            assert!(!answer.sdp.contains("a=candidate:"), "{}", answer.sdp);
            None
        }
        Some(Response::Trickle(trickle)) => Some(trickle.candidate_init.clone()),
        _ => None,
    };
    client.messages.iter().filter_map(trickled).collect()
}

#[tokio::test]
async fn a_server_on_all_addresses_is_reached_on_loopback() {
    let mut config = ServerConfig::ephemeral();
    config.bind = vec![Ipv4Addr::UNSPECIFIED.into()];
    let server = Server::start(config).expect("it starts");
    assert!(server.url().starts_with("ws://localhost:"));
    let client = Client::active(&server, "me", "yard").await;
    assert!(candidates(&client).iter().all(|candidate| !candidate.contains("0.0.0.0")));
}

#[tokio::test]
async fn candidates_are_the_node_addresses_when_there_are_some() {
    let mut config = ServerConfig::ephemeral();
    // The first one is reachable only from outside of a NAT that is not here; the second one is.
    config.node_ips = vec![IpAddr::from([203, 0, 113, 9]), Ipv4Addr::LOCALHOST.into()];
    let server = Server::start(config).expect("it starts");
    let client = Client::active(&server, "me", "yard").await;
    let port = server.udp_addrs()[0].port();
    let candidates = candidates(&client);
    assert_eq!(candidates.len(), 2, "{candidates:?}");
    assert!(candidates[0].contains(&format!(" 203.0.113.9 {port} ")));
    assert!(candidates[1].contains(&format!(" 127.0.0.1 {port} ")));
    assert!(client.peer.is_open(Channel::DataTrack));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let holder = TcpListener::bind(taken).expect("still free");
    let mut config = ServerConfig::ephemeral();
    config.bind = vec![taken.ip()];
    config.port = taken.port();
    match Server::start(config) {
        Err(StartError::Tcp { addr, .. }) => assert_eq!(addr, taken),
        other => panic!("{other:?}"),
    }
    drop(holder);

    let holder = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address");
    let mut config = ServerConfig::ephemeral();
    config.bind = vec![taken.ip()];
    config.udp_port = Some(taken.port());
    match Server::start(config) {
        Err(StartError::Udp { addr, .. }) => assert_eq!(addr, taken),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_usual_udp_port_is_not_insisted_on() {
    // Taken by this test, or by somebody else.
    let _holder = UdpSocket::bind(("127.0.0.1", DEFAULT_UDP_PORT));
    let mut config = ServerConfig::ephemeral();
    config.bind = vec![Ipv4Addr::LOCALHOST.into()];
    config.udp_port = None;
    let server = Server::start(config).expect("at another port");
    assert_ne!(server.udp_addrs()[0].port(), DEFAULT_UDP_PORT);
}

#[test]
fn a_server_without_addresses_or_keys_is_refused() {
    let mut config = ServerConfig::ephemeral();
    config.bind.clear();
    assert!(matches!(Server::start(config), Err(StartError::NoAddress)));
    assert!(matches!(Server::start(ServerConfig::new(Keys::default())), Err(StartError::NoKeys)));
}

#[tokio::test]
async fn a_dropped_server_gives_its_ports_back() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let (http, udp) = (server.http_addrs().to_vec(), server.udp_addrs().to_vec());
    assert!(server.cpu_time().is_some() || !cfg!(target_os = "linux"));
    let url = server.url().replacen("ws", "http", 1).parse().expect("a URL");
    get(&url, &http::HeaderMap::new(), &ConnectOptions::default()).await.expect("an answer");
    drop(server);
    get(&url, &http::HeaderMap::new(), &ConnectOptions::default()).await.expect_err("nobody listens");
    let mut config = ServerConfig::ephemeral();
    config.bind = vec![http[0].ip()];
    config.port = http[0].port();
    config.udp_port = Some(udp[0].port());
    Server::start(config).expect("the same ports again");
}
