//! The DTLS 1.2 session around the crate `dimpl`.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, Dtls, Output};

use crate::certificate::{Certificate, Fingerprint};
use crate::transmit::Transmits;

/// Which side of the handshake a peer takes (`a=setup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends the ClientHello: `active`.
    Client,
    /// Waits for it: `passive`.
    Server,
}

/// What a session tells the peer around it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The handshake is done and the certificate is the announced one.
    Connected,
    /// One decrypted record.
    Data(Bytes),
    /// The other side said goodbye.
    CloseNotify,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Protocol(String),
    WrongFingerprint { expected: Fingerprint, actual: Fingerprint },
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// It cannot belong to this session and was not looked at.
    Rejected,
}

/// One DTLS session, from handshake to close_notify.
///
/// `dimpl` wants its output drained after each input, so every call here takes a sink for [`Event`]s; records that it
/// wants to send meanwhile wait until [`poll_transmit`](Self::poll_transmit). Application records never wait:
/// [`seal`](Self::seal) writes them where they are sent from.
pub(crate) struct Session {
    dtls: Dtls,
    role: Role,
    expected: Fingerprint,
    phase: Phase,
    /// Handshake records and alerts, each a datagram.
    waiting: Vec<Vec<u8>>,
    opened: BytesMut,
    wake: Option<Instant>,
}

/// Handshaking → Established → Confirmed → Closed, and to Closed from any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshaking {
        certificate_seen: bool,
    },
    /// Our side is done; as a server, the peer may still have missed our last flight and repeat its own.
    Established,
    /// The peer is done as well: nothing without encryption can be meant seriously any more.
    Confirmed,
    Closed,
}

impl Session {
    pub(crate) fn new(certificate: &Certificate, role: Role, expected: Fingerprint, now: Instant) -> Self {
        let mut dtls = Dtls::new_12(CONFIG.clone(), certificate.dtls().clone(), now);
        dtls.set_active(role == Role::Client);
        Self {
            dtls,
            role,
            expected,
            phase: Phase::Handshaking { certificate_seen: false },
            waiting: Vec::new(),
            opened: BytesMut::new(),
            wake: None,
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established | Phase::Confirmed)
    }

    /// Opens one datagram.
    ///
    /// Every error of `dimpl` ends the session, and it acts on some records that anyone can forge. Once the session is
    /// up those are kept from it, so that a stray ClientHello or alert cannot end or disturb it.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &[u8],
        sink: &mut impl FnMut(Event),
    ) -> Result<Fate, Failure> {
        let Some(header) = RecordHeader::parse(datagram) else { return Ok(Fate::Rejected) };
        // A handshake message of the other role would sit in dimpl's queue in the place of the right one for ever.
        if header.handshake_type.is_some_and(|kind| !expected_handshake(self.role, kind)) {
            return Ok(Fate::Rejected);
        }
        match self.phase {
            // dimpl measures how often it may repeat its last flight.
            Phase::Handshaking { .. } | Phase::Established => {
                self.dtls.handle_timeout(now).map_err(protocol)?
            }
            Phase::Confirmed if header.epoch == 0 => return Ok(Fate::Rejected),
            Phase::Confirmed => {}
            Phase::Closed => return Ok(Fate::Rejected),
        }
        self.dtls.handle_packet(datagram).map_err(protocol)?;
        self.drain(sink)?;
        Ok(Fate::Taken)
    }

    /// Starts the handshake as a client and repeats lost flights. Not needed once the session is up.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        sink: &mut impl FnMut(Event),
    ) -> Result<(), Failure> {
        if self.phase == Phase::Closed {
            return Ok(());
        }
        self.dtls.handle_timeout(now).map_err(protocol)?;
        self.drain(sink)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.phase, Phase::Handshaking { .. }).then_some(self.wake).flatten()
    }

    /// Hands over the records that wait: handshake flights and alerts.
    pub(crate) fn poll_transmit(&mut self, mut send: impl FnMut(&[u8])) {
        self.waiting.drain(..).for_each(|datagram| send(&datagram));
    }

    /// Encrypts one packet into one datagram at the end of `out`; `commit` is told its length.
    pub(crate) fn seal(
        &mut self,
        packet: &[u8],
        out: &mut Transmits,
        mut commit: impl FnMut(&mut Transmits, usize),
    ) -> Result<(), Failure> {
        if !self.is_established() {
            return Ok(());
        }
        self.dtls.send_application_data(packet).map_err(protocol)?;
        let mut room = packet.len() + RECORD_OVERHEAD;
        loop {
            let len = match self.dtls.poll_output(out.room(room)) {
                Output::Packet(datagram) => datagram.len(),
                Output::BufferTooSmall { needed } => {
                    room = needed;
                    continue;
                }
                // Everything that came in was drained when it came in: only the record just made is left.
                _ => return Ok(()),
            };
            commit(out, len);
        }
    }

    /// Queues close_notify, if there is a session to close.
    pub(crate) fn close(&mut self) {
        if self.is_established() && self.dtls.close().is_ok() {
            // Nobody is interested in what arrives from now on.
            let _ = self.drain(&mut |_| {});
        }
        self.phase = Phase::Closed;
    }

    fn drain(&mut self, sink: &mut impl FnMut(Event)) -> Result<(), Failure> {
        loop {
            if self.opened.len() < RECORD_LIMIT {
                self.opened = BytesMut::zeroed(OPEN_BLOCK);
            }
            let len = match self.dtls.poll_output(&mut self.opened) {
                Output::ApplicationData(data) => data.len(),
                Output::Packet(datagram) => {
                    self.waiting.push(datagram.to_vec());
                    continue;
                }
                Output::BufferTooSmall { needed } => {
                    self.opened = BytesMut::zeroed(needed.max(OPEN_BLOCK));
                    continue;
                }
                Output::PeerCert(der) => {
                    let actual = Fingerprint::of(der);
                    if actual != self.expected {
                        self.phase = Phase::Closed;
                        return Err(Failure::WrongFingerprint { expected: self.expected, actual });
                    }
                    if let Phase::Handshaking { certificate_seen } = &mut self.phase {
                        *certificate_seen = true;
                    }
                    continue;
                }
                Output::Connected => {
                    if self.phase != (Phase::Handshaking { certificate_seen: true }) {
                        self.phase = Phase::Closed;
                        return Err(Failure::Protocol("the peer showed no certificate".into()));
                    }
                    // A server has proof of the client's end only when application data arrives.
                    self.phase =
                        if self.role == Role::Client { Phase::Confirmed } else { Phase::Established };
                    sink(Event::Connected);
                    continue;
                }
                Output::CloseNotify => {
                    self.phase = Phase::Closed;
                    sink(Event::CloseNotify);
                    continue;
                }
                Output::Timeout(at) => {
                    self.wake = Some(at);
                    return Ok(());
                }
                _ => continue,
            };
            let data = self.opened.split_to(len).freeze();
            if self.phase == Phase::Established {
                self.phase = Phase::Confirmed;
            }
            // dimpl releases no data before the handshake is done, nor after close_notify; being told so twice is cheap.
            if self.phase == Phase::Confirmed {
                sink(Event::Data(data));
            }
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// The first record header of a datagram (RFC 6347 section 4.1).
struct RecordHeader {
    epoch: u16,
    /// Of a handshake message in plain text.
    handshake_type: Option<u8>,
}

impl RecordHeader {
    /// `None` for content types and versions that DTLS 1.2 does not have.
    fn parse(datagram: &[u8]) -> Option<Self> {
        let &[content_type, major, _, e0, e1, ..] = datagram else { return None };
        if datagram.len() < RECORD_HEADER_LEN || !(20..=23).contains(&content_type) || major != 0xfe {
            return None;
        }
        let epoch = u16::from_be_bytes([e0, e1]);
        let is_plain_handshake = content_type == CONTENT_HANDSHAKE && epoch == 0;
        let handshake_type = is_plain_handshake.then(|| datagram.get(RECORD_HEADER_LEN).copied()).flatten();
        Some(Self { epoch, handshake_type })
    }
}

/// Handshake messages that a session in this role can be sent in plain text (RFC 5246 section 7.4, RFC 6347 section 4.3.2).
fn expected_handshake(role: Role, kind: u8) -> bool {
    match role {
        // hello_request, server_hello, hello_verify_request, new_session_ticket, certificate, server_key_exchange,
        // certificate_request, server_hello_done
        Role::Client => matches!(kind, 0 | 2 | 3 | 4 | 11 | 12 | 13 | 14),
        // client_hello, certificate, certificate_verify, client_key_exchange
        Role::Server => matches!(kind, 1 | 11 | 15 | 16),
    }
}

fn protocol(error: dimpl::Error) -> Failure {
    Failure::Protocol(error.to_string())
}

/// One configuration for all sessions: building one makes dimpl test its whole crypto provider.
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let config = Config::builder()
        .mtu(1200)
        .dtls12_cipher_suites(&[
            Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256,
            Dtls12CipherSuite::ECDHE_ECDSA_AES256_GCM_SHA384,
            Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
        ])
        // The cookie proves that the client's address is real. An ICE check has proved that already, with a password.
        .use_server_cookie(false)
        .flight_start_rto(Duration::from_millis(250))
        // The peer around the session watches the clock.
        .flight_retries(12)
        .handshake_timeout(Duration::from_secs(600))
        .build()
        .expect("these constants are a valid configuration");
    Arc::new(config)
});

const RECORD_HEADER_LEN: usize = 13;
const CONTENT_HANDSHAKE: u8 = 22;

/// Header, explicit nonce and tag of a protected record with AES-GCM.
const RECORD_OVERHEAD: usize = RECORD_HEADER_LEN + 8 + 16;

/// Datagrams are not longer than this in practice; longer ones get a block of their own.
const RECORD_LIMIT: usize = 1_500;

/// Decrypted records share blocks of this many bytes, so that they do not cost an allocation each.
const OPEN_BLOCK: usize = 16 * 1024;
