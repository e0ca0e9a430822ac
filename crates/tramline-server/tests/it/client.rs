//! A client of the tests' own: the session and the transport, wired to real sockets by hand. It shows what goes over
//! the wire, which the SDK hides.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use livekit_protocol as proto;
use prost::Message as _;
use tramline_core::leave::DisconnectReason;
use tramline_core::session::{Disconnected, Event, Output, Session, SessionConfig, TransportCommand};
use tramline_core::track::{TrackInfo, TrackOptions};
use tramline_net::connect::{ConnectError, ConnectOptions};
use tramline_net::udp::{RecvBatch, UdpSocket, UdpSockets};
use tramline_net::ws::{self, WebSocket};
use tramline_server::Server;
use tramline_server::auth::{AccessToken, VideoGrants};
use tramline_transport::{Certificate, Channel, Peer, PeerConfig, PeerEvent, Transmits};
use tramline_wire::{Extensions, Header, Marker, TrackHandle, TrackSid};

/// A hang is a failure; nothing here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn token(identity: &str, grants: VideoGrants) -> String {
    AccessToken::new("devkey", "secret")
        .with_identity(identity)
        .with_grants(grants)
        .to_jwt()
        .expect("a token")
}

pub(crate) fn join_request(offer: Option<String>, protocol: i32) -> proto::JoinRequest {
    let client_info = Some(proto::ClientInfo { protocol, client_protocol: 2, ..Default::default() });
    let publisher_offer = offer.map(|sdp| proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp,
        id: 7,
        ..Default::default()
    });
    proto::JoinRequest { client_info, publisher_offer, ..Default::default() }
}

pub(crate) fn encoded(request: &proto::JoinRequest) -> String {
    let join_request = request.encode_to_vec();
    URL_SAFE.encode(proto::WrappedJoinRequest { compression: 0, join_request }.encode_to_vec())
}

pub(crate) async fn open(
    server: &Server,
    token: &str,
    request: &proto::JoinRequest,
) -> Result<WebSocket, ConnectError> {
    let url = format!("{}/rtc/v1?join_request={}", server.url(), encoded(request)).parse().expect("a URL");
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    ws::connect(&url, &headers, &ConnectOptions::default()).await
}

pub(crate) struct Client {
    pub(crate) ws: Option<WebSocket>,
    pub(crate) session: Session,
    pub(crate) peer: Peer,
    sockets: UdpSockets,
    batch: RecvBatch,
    transmits: Transmits,
    pub(crate) events: VecDeque<Event>,
    pub(crate) packets: VecDeque<Bytes>,
    /// Everything that came over the WebSocket.
    pub(crate) messages: Vec<proto::SignalResponse>,
    /// Whether the transport reported its end.
    pub(crate) is_closed: bool,
}

impl Client {
    pub(crate) async fn join(server: &Server, identity: &str, room: &str) -> Self {
        Self::join_with(server, identity, VideoGrants::join(room), 18).await
    }

    pub(crate) async fn join_with(
        server: &Server,
        identity: &str,
        grants: VideoGrants,
        protocol: i32,
    ) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a socket");
        let local = socket.local_addr();
        let mut config = PeerConfig::new(
            Certificate::generate().expect("a certificate"),
            tramline_net::random::bytes().expect("randomness"),
        );
        config.negotiated_channels = protocol >= 18;
        let now = Instant::now();
        let mut peer = Peer::client(config, now);
        peer.add_local_candidate(local);
        let request = join_request(Some(peer.offer()), protocol);
        let ws = open(server, &token(identity, grants), &request).await.expect("accepted");
        Self {
            ws: Some(ws),
            session: Session::new(SessionConfig::default(), now),
            peer,
            sockets: UdpSockets::new(vec![socket]),
            batch: RecvBatch::new(),
            transmits: Transmits::new(),
            events: VecDeque::new(),
            packets: VecDeque::new(),
            messages: Vec::new(),
            is_closed: false,
        }
    }

    /// Joins and waits until its transport is up.
    pub(crate) async fn active(server: &Server, identity: &str, room: &str) -> Self {
        let mut client = Self::join(server, identity, room).await;
        client.until(|client| client.peer.is_open(Channel::DataTrack).then_some(())).await;
        client
    }

    /// Waits for one thing, handles it, and everything that follows from it. Cancel-safe.
    pub(crate) async fn step(&mut self) {
        let deadline = [self.session.poll_timeout(), self.peer.poll_timeout()].into_iter().flatten().min();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        tokio::select! {
            message = recv(&mut self.ws) => match message {
                Some(bytes) => {
                    let message = proto::SignalResponse::decode(bytes).expect("a message of the protocol");
                    self.messages.push(message.clone());
                    self.session.handle_signal(Instant::now(), message);
                }
                None => {
                    self.ws = None;
                    self.session.handle_signal_closed();
                }
            },
            read = self.sockets.recv(&mut self.batch) => {
                read.expect("the socket works");
                let now = Instant::now();
                for datagram in self.batch.iter() {
                    self.peer.handle_datagram(now, datagram.local, datagram.remote, datagram.payload);
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                self.session.handle_timeout(Instant::now());
                self.peer.handle_timeout(Instant::now());
            }
        }
        self.settle();
    }

    /// Does what the machines want.
    pub(crate) fn settle(&mut self) {
        let now = Instant::now();
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected => self.session.handle_transport_connected(),
                PeerEvent::ChannelOpen(Channel::DataTrack) => self.session.handle_channel_open(now),
                PeerEvent::Message(Channel::DataTrack, packet) => self.packets.push_back(packet),
                PeerEvent::Closed(_) => self.is_closed = true,
                _ => {}
            }
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Signal(message) => {
                    if let Some(ws) = &mut self.ws {
                        ws.send(message.encode_to_vec().into()).expect("room in the queue");
                    }
                }
                Output::Transport(TransportCommand::NegotiatedChannels(yes)) => {
                    // A client at protocol 17 never uses them, whatever the server speaks.
                    let _ = yes;
                }
                Output::Transport(TransportCommand::Answer { sdp, id }) => {
                    assert_eq!(id, 7, "the id of the offer");
                    self.peer.handle_answer(now, &sdp).expect("an answer");
                }
                Output::Transport(TransportCommand::Candidate { candidate_init, .. }) => {
                    let init: serde_json::Value = serde_json::from_str(&candidate_init).expect("JSON");
                    assert!(init["sdpMid"].is_string() && init["sdpMLineIndex"].is_u64(), "{init}");
                    let candidate = init["candidate"].as_str().expect("a candidate");
                    self.peer.handle_candidate(candidate).expect("a good candidate");
                }
                Output::Transport(_) => {}
                Output::Event(event) => self.events.push_back(event),
            }
        }
        self.peer.poll_transmit(now, &mut self.transmits);
        self.sockets.send(&mut self.transmits);
    }

    /// Steps until `f` finds what it looks for.
    pub(crate) async fn until<T>(&mut self, mut f: impl FnMut(&mut Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(found) = f(self) {
                    return found;
                }
                self.step().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it happens")
    }

    /// Steps until an event matches.
    pub(crate) async fn event<T>(&mut self, mut f: impl FnMut(Event) -> Option<T>) -> T {
        self.until(|client| {
            while let Some(event) = client.events.pop_front() {
                if let Some(found) = f(event) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    pub(crate) async fn publish(&mut self, name: &str) -> TrackHandle {
        let handle = self.session.publish(Instant::now(), TrackOptions::named(name)).expect("a good name");
        self.settle();
        self.event(|event| match event {
            Event::Published { handle: published, .. } => (published == handle).then_some(handle),
            Event::PublishFailed { error, .. } => panic!("{error}"),
            _ => None,
        })
        .await
    }

    /// Waits for a track of that name and subscribes to it.
    pub(crate) async fn subscribe(&mut self, name: &str) -> (TrackSid, TrackHandle) {
        let track = self.until(|client| client.find_track(name)).await;
        self.session.subscribe(Instant::now(), &track).expect("it is published");
        self.settle();
        let handle = self
            .event(|event| match event {
                Event::Subscribed { track: subscribed, handle } => (subscribed == track).then_some(handle),
                Event::SubscribeFailed { error, .. } => panic!("{error}"),
                _ => None,
            })
            .await;
        (track, handle)
    }

    pub(crate) fn find_track(&self, name: &str) -> Option<TrackSid> {
        let is_named = |track: &&std::sync::Arc<TrackInfo>| &*track.name == name;
        self.session
            .participants()
            .find_map(|(_, mut tracks)| tracks.find(is_named).map(|track| track.sid.clone()))
    }

    pub(crate) fn send_packet(&mut self, handle: TrackHandle, number: u16, payload: &[u8]) {
        let packet = packet(handle, number, payload);
        self.peer.send(Channel::DataTrack, &packet).expect("the channel is open");
        self.settle();
    }

    pub(crate) async fn packet(&mut self) -> Bytes {
        self.until(|client| client.packets.pop_front()).await
    }

    pub(crate) async fn disconnected(&mut self) -> Disconnected {
        self.event(|event| match event {
            Event::Disconnected(why) => Some(why),
            _ => None,
        })
        .await
    }

    /// Waits until it knows of another participant: who comes and goes within one update is never seen.
    pub(crate) async fn seen(&mut self, identity: &str) {
        self.until(|client| {
            client.session.participants().find(|(other, _)| &*other.identity == identity).map(|_| ())
        })
        .await;
    }

    /// Waits for the departure of another participant.
    pub(crate) async fn left(&mut self, identity: &str) -> DisconnectReason {
        self.event(|event| match event {
            Event::ParticipantLeft { participant, reason } => {
                (&*participant.identity == identity).then_some(reason)
            }
            _ => None,
        })
        .await
    }

    /// Closes the transport with a farewell, without a word over the WebSocket.
    pub(crate) fn close_transport(&mut self) {
        self.peer.close(Instant::now());
        self.settle();
    }
}

/// Drives two clients until the first one has what `f` looks for.
pub(crate) async fn with<T>(driven: &mut Client, what: impl Future<Output = T>) -> T {
    tokio::pin!(what);
    loop {
        tokio::select! {
            found = &mut what => return found,
            () = driven.step() => {}
        }
    }
}

pub(crate) fn packet(handle: TrackHandle, number: u16, payload: &[u8]) -> Bytes {
    let extensions = Extensions::default();
    let header = Header {
        marker: Marker::Single,
        handle,
        sequence: number,
        frame_number: number,
        timestamp: 0,
        extensions,
    };
    let mut bytes = vec![0; header.encoded_len()];
    header.encode(&mut bytes).expect("room for the header");
    bytes.extend_from_slice(payload);
    bytes.into()
}

async fn recv(ws: &mut Option<WebSocket>) -> Option<Bytes> {
    match ws {
        Some(ws) => ws.recv().await.ok(),
        None => std::future::pending().await,
    }
}
