//! The server's half: answers checks, and follows its client from address to address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::StunMessage;

use super::{Credentials, Path, Verdict, sha1_hmac};

/// An ICE lite agent in the controlled role (RFC 8445 sections 2.5 and 7.3).
///
/// It never sends a check of its own. A client is believed to be at an address when a request with the right password
/// came from there; it is sent to at the address that it nominated, or from which its data comes.
#[derive(Debug)]
pub(crate) struct Lite {
    local: Credentials,
    /// Unknown before the answer to our offer. Checks that come earlier are left unanswered: the client repeats them, whereas a
    /// handshake that began before the answer would lose its first flight.
    remote: Option<Credentials>,
    tie_breaker: u64,
    /// Paths over which authentic requests came, the most recent one last; never more than [`MAX_PATHS`].
    checked: Vec<Checked>,
    path: Option<Path>,
    /// When something authentic last came over `path`.
    path_heard: Option<Instant>,
    responses: Vec<(Path, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Checked {
    path: Path,
    /// Whether the client nominated it with its current credentials.
    nominated: bool,
}

impl Lite {
    pub(crate) fn new(local: Credentials, remote: Option<Credentials>, tie_breaker: u64) -> Self {
        Self {
            local,
            remote,
            tie_breaker,
            checked: Vec::new(),
            path: None,
            path_heard: None,
            responses: Vec::new(),
        }
    }

    pub(crate) fn local(&self) -> &Credentials {
        &self.local
    }

    pub(crate) fn set_remote(&mut self, remote: Credentials) {
        self.remote = Some(remote);
    }

    /// New credentials on both sides (RFC 8445 section 9). Data goes on over the old path until a new one is nominated.
    pub(crate) fn restart(&mut self, local: Credentials, remote: Option<Credentials>) {
        self.local = local;
        self.remote = remote;
        self.checked.iter_mut().for_each(|checked| checked.nominated = false);
    }

    pub(crate) fn path(&self) -> Option<Path> {
        // Before the client nominates, the address it last checked from is good enough to answer its ClientHello.
        self.path.or_else(|| self.checked.last().map(|checked| checked.path))
    }

    pub(crate) fn is_checked(&self, remote: SocketAddr) -> bool {
        self.checked.iter().any(|checked| checked.path.remote == remote)
    }

    pub(crate) fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Verdict {
        let Ok(message) = StunMessage::parse(datagram) else { return Verdict::Rejected };
        if !message.is_binding_request() {
            return Verdict::Rejected;
        }
        let Some(remote) = &self.remote else { return Verdict::Rejected };
        let ours =
            message.split_username().is_some_and(|(to, from)| to == self.local.ufrag && from == remote.ufrag);
        if !ours || !message.verify(self.local.pwd.as_bytes(), sha1_hmac) {
            return Verdict::Rejected;
        }
        // RFC 8445 section 7.3.1.1: both sides in the controlled role. Lite never gives way, having no checks to send.
        if message.ice_controlled().is_some_and(|theirs| self.tie_breaker >= theirs) {
            self.respond(path, StunMessage::binding_role_conflict_reply(message.trans_id()));
            return Verdict::Accepted;
        }
        let is_new = self.remember(path);
        if message.use_candidate() {
            self.nominate(now, path);
        }
        if self.path == Some(path) {
            self.path_heard = Some(now);
        }
        self.respond(path, StunMessage::binding_reply(message.trans_id(), path.remote));
        if is_new { Verdict::NewAddress(path.remote) } else { Verdict::Accepted }
    }

    pub(crate) fn handle_data(&mut self, now: Instant, path: Path) {
        if self.path != Some(path) && self.checked.iter().any(|checked| checked.path == path) {
            self.path = Some(path);
        }
        if self.path == Some(path) {
            self.path_heard = Some(now);
        }
    }

    pub(crate) fn poll_transmit(&mut self, mut send: impl FnMut(Path, &[u8])) {
        self.responses.drain(..).for_each(|(path, datagram)| send(path, &datagram));
    }

    /// Clients with several good pairs may go on nominating all of them; hopping between those would only reorder packets.
    /// So a path takes over when it is nominated for the first time, as after a NAT moved the client, and later only from
    /// one that fell silent.
    fn nominate(&mut self, now: Instant, path: Path) {
        let Some(checked) = self.checked.iter_mut().find(|checked| checked.path == path) else { return };
        let is_first = !std::mem::replace(&mut checked.nominated, true);
        let is_silent = self.path_heard.is_none_or(|heard| now.saturating_duration_since(heard) >= SILENCE);
        if self.path.is_none() || is_first || is_silent {
            self.path = Some(path);
        }
    }

    /// Returns whether the path is a new one.
    fn remember(&mut self, path: Path) -> bool {
        if let Some(at) = self.checked.iter().position(|checked| checked.path == path) {
            self.checked[at..].rotate_left(1);
            return false;
        }
        if self.checked.len() == MAX_PATHS {
            // The path in use was checked recently, or the client is about to be given up anyway.
            self.checked.remove(0);
        }
        self.checked.push(Checked { path, nominated: false });
        true
    }

    fn respond(&mut self, path: Path, message: StunMessage<'_>) {
        // Whoever knows the password could otherwise make us hoard responses between two polls.
        if self.responses.len() >= MAX_RESPONSES {
            return;
        }
        let mut datagram = vec![0; RESPONSE_LEN];
        if let Ok(len) = message.to_bytes(Some(self.local.pwd.as_bytes()), &mut datagram, sha1_hmac) {
            datagram.truncate(len);
            self.responses.push((path, datagram));
        }
    }
}

/// Addresses of one client that are remembered at a time: its interfaces, and where its NAT put it lately.
const MAX_PATHS: usize = 32;

/// Responses that wait for a poll.
const MAX_RESPONSES: usize = 256;

/// Longer than any response written here.
const RESPONSE_LEN: usize = 128;

/// Clients check the pair that they use every 2.5 s or more often, and data comes in between.
const SILENCE: Duration = Duration::from_secs(4);
