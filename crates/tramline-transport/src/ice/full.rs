//! The client's half: checks pairs of addresses until one works, then keeps checking it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol, Sha1HmacProvider};
use tracing::debug;

use super::{Credentials, Path, Verdict, sha1_hmac};
use crate::candidate;

/// A full ICE agent, with host candidates only.
#[derive(Debug)]
pub(crate) struct Full {
    agent: IceAgent,
    local: Credentials,
    path: Option<Path>,
    addresses: Vec<SocketAddr>,
    candidates: usize,
}

impl Full {
    pub(crate) fn new(local: Credentials, tie_breaker: u64, controlling: bool) -> Self {
        let mut agent = IceAgent::with_hmac(creds(&local), &AwsLcSha1);
        agent.set_controlling(controlling);
        agent.set_control_tie_breaker(tie_breaker);
        agent.set_timing_advance(PACE);
        agent.set_initial_stun_rto(FIRST_RETRY);
        agent.set_max_stun_rto(CHECK_INTERVAL);
        agent.set_max_stun_retransmits(RETRIES);
        Self { agent, local, path: None, addresses: Vec::new(), candidates: 0 }
    }

    pub(crate) fn local(&self) -> &Credentials {
        &self.local
    }

    pub(crate) fn set_remote(&mut self, remote: &Credentials) {
        self.agent.set_remote_credentials(creds(remote));
    }

    /// New credentials (RFC 8445 section 9). Data goes on over the old path until a new one works.
    pub(crate) fn restart(&mut self, local: Credentials) {
        self.agent.ice_restart(creds(&local), true);
        self.local = local;
        self.candidates = 0;
    }

    /// Returns whether the address can be a candidate.
    pub(crate) fn add_local(&mut self, addr: SocketAddr) -> bool {
        match candidate::host(addr) {
            Some(host) => self.agent.add_local_candidate(host).is_some(),
            None => false,
        }
    }

    /// `Err` holds how many candidates are accepted.
    pub(crate) fn add_remote(&mut self, candidate: Candidate) -> Result<(), usize> {
        self.candidates += 1;
        if self.candidates > MAX_REMOTE_CANDIDATES {
            return Err(MAX_REMOTE_CANDIDATES);
        }
        self.agent.add_remote_candidate(candidate);
        Ok(())
    }

    pub(crate) fn path(&self) -> Option<Path> {
        self.path
    }

    pub(crate) fn is_checked(&self, remote: SocketAddr) -> bool {
        self.path.is_some_and(|path| path.remote == remote) || self.agent.has_viable_remote_candidate(remote)
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }

    pub(crate) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Verdict {
        let Ok(message) = StunMessage::parse(datagram) else { return Verdict::Rejected };
        // A request makes the agent remember where it came from, so their number is bounded here.
        let known = self.addresses.contains(&path.remote);
        if message.is_binding_request() && !known && self.addresses.len() >= MAX_REMOTE_ADDRESSES {
            return Verdict::Rejected;
        }
        let packet =
            StunPacket { proto: Protocol::Udp, source: path.remote, destination: path.local, message };
        if !self.agent.handle_packet(now, packet) {
            return Verdict::Rejected;
        }
        // A nomination that this message made possible should not wait for the next timer.
        self.handle_timeout(now);
        if known || self.addresses.len() >= MAX_REMOTE_ADDRESSES {
            return Verdict::Accepted;
        }
        self.addresses.push(path.remote);
        Verdict::NewAddress(path.remote)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.drain();
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, mut send: impl FnMut(Path, &[u8])) {
        while let Some(transmit) = self.agent.poll_transmit() {
            send(Path { local: transmit.source, remote: transmit.destination }, &transmit.contents);
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::NominatedSend { source, destination, .. } => {
                    debug!(local = %source, remote = %destination, "path nominated");
                    self.path = Some(Path { local: source, remote: destination });
                }
                IceAgentEvent::IceConnectionStateChange(state) => debug!(?state, "ICE state"),
                _ => {}
            }
        }
    }
}

fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}

#[derive(Debug)]
struct AwsLcSha1;

impl Sha1HmacProvider for AwsLcSha1 {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        sha1_hmac(key, payloads)
    }
}

/// Between two checks; RFC 8445 section 14.2 allows 5 ms and suggests 50, which would cost a join that much.
const PACE: Duration = Duration::from_millis(5);

/// A check is first repeated after this, then after twice as long, up to [`CHECK_INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// How often a working pair is checked. A server behind which a NAT moved us learns of it from such a check.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Unanswered checks before a pair is dropped: longer than a peer may be silent before it is given up.
const RETRIES: usize = 30;

const MAX_REMOTE_CANDIDATES: usize = 64;
const MAX_REMOTE_ADDRESSES: usize = 64;
