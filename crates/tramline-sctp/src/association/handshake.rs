//! Setting up, also when both sides begin or when one of them begins anew (RFC 9260 section 5).

use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use super::{Association, Handshake, Heartbeat, Peer, Pending, State};
use crate::config::Config;
use crate::cookie::{COOKIE_LEN, Cookie};
use crate::event::Event;
use crate::receive::Receiver;
use crate::reset::Resets;
use crate::send::Sender;
use crate::wire::{Cause, Chunk, Init, padded};

/// An INIT ACK that waits to be sent. A newer one takes its place.
#[derive(Debug)]
pub(super) struct InitAck {
    pub(super) peer_tag: u32,
    pub(super) local_tag: u32,
    pub(super) local_tsn: u32,
    pub(super) cookie: [u8; COOKIE_LEN],
    /// Parameters of the INIT that are to be reported, each padded.
    pub(super) unknown: Vec<u8>,
}

impl Association {
    /// Sends INIT, unless the peer was quicker.
    pub fn connect(&mut self) {
        if self.state == State::Idle {
            self.state = State::CookieWait;
            self.handshake = Handshake::default();
        }
    }

    pub(super) fn handle_init(&mut self, now: Instant, chunk: &Chunk<'_>) {
        let Some(init) = Init::parse(chunk.value) else {
            self.stats.chunks_rejected += 1;
            return;
        };
        let (local_tag, local_tsn, tie_tags) = match self.state {
            // Section 5.2.1: both began. With our own tag in it the two attempts come to the same association.
            State::Idle | State::CookieWait => (self.local_tag, self.local_tsn, (0, 0)),
            State::CookieEchoed => (self.local_tag, self.local_tsn, (self.local_tag, self.peer.tag)),
            // Section 9.2: the peer has to hear of the end first.
            State::ShutdownAckSent => {
                self.pending.shutdown_ack = true;
                return;
            }
            // Section 5.2.2: perhaps a restart, perhaps a stray; the cookie will tell.
            _ => (self.secret.draw_tag(), self.secret.draw(), (self.local_tag, self.peer.tag)),
        };
        let cookie = Cookie {
            created: self.since_epoch(now),
            local_tag,
            peer_tag: init.tag,
            local_tsn,
            peer_tsn: init.tsn,
            peer_window: init.window,
            outbound_streams: init.inbound_streams,
            inbound_streams: init.outbound_streams,
            forward_tsn: init.forward_tsn,
            reconfig: init.reconfig,
            zero_checksum: init.zero_checksum,
            tie_tags,
        };
        let mut unknown = Vec::new();
        for parameter in init.unknown.iter() {
            if unknown.len() + padded(parameter.len()) + 4 > MAX_UNKNOWN {
                break;
            }
            unknown.extend_from_slice(&crate::wire::extension::UNRECOGNIZED.to_be_bytes());
            unknown.extend_from_slice(&(4 + parameter.len() as u16).to_be_bytes());
            unknown.extend_from_slice(parameter);
            unknown.resize(padded(unknown.len()), 0);
        }
        let cookie = cookie.encode(&self.secret);
        self.pending.init_ack = Some(InitAck { peer_tag: init.tag, local_tag, local_tsn, cookie, unknown });
    }

    pub(super) fn handle_init_ack(&mut self, now: Instant, chunk: &Chunk<'_>) {
        if self.state != State::CookieWait {
            return; // Section 5.2.3.
        }
        let Some(init) = Init::parse(chunk.value) else {
            self.stats.chunks_rejected += 1;
            return;
        };
        let fits = |cookie: &&[u8]| crate::wire::HEADER_LEN + 4 + cookie.len() <= self.config.packet_budget;
        let Some(cookie) = init.cookie.filter(fits) else {
            self.stats.chunks_rejected += 1;
            return;
        };
        let cookie = Bytes::copy_from_slice(cookie);
        self.peer = Peer {
            tag: init.tag,
            window: init.window,
            outbound_streams: init.outbound_streams,
            inbound_streams: init.inbound_streams,
            forward_tsn: init.forward_tsn,
            reconfig: init.reconfig,
            zero_checksum: init.zero_checksum,
        };
        if self.handshake.tries == 1
            && let Some(sent) = self.handshake.sent
        {
            self.sender.handle_round_trip(now, now.saturating_duration_since(sent));
        }
        self.receiver = Receiver::new(&self.config, init.tsn);
        self.resets = Resets::new(self.local_tsn, init.tsn);
        self.state = State::CookieEchoed;
        self.handshake = Handshake { at: Some(now), cookie, ..Handshake::default() };
    }

    /// Returns whether the chunks behind it are to be taken in: it was in order and its packet had the right tag.
    pub(super) fn handle_cookie_echo(&mut self, now: Instant, tag: u32, value: &[u8]) -> bool {
        let Some(cookie) = Cookie::decode(value, &self.secret).filter(|cookie| cookie.local_tag == tag)
        else {
            self.stats.chunks_rejected += 1;
            return false;
        };
        let is_ours = cookie.local_tag == self.local_tag;
        let is_theirs = cookie.peer_tag == self.peer.tag;
        let age = self.since_epoch(now).saturating_sub(cookie.created);
        if age > COOKIE_LIFETIME && !(is_ours && is_theirs) {
            let staleness = u32::try_from((age - COOKIE_LIFETIME).as_micros()).unwrap_or(u32::MAX);
            self.pending.error = Some((Cause::StaleCookie, Bytes::copy_from_slice(&staleness.to_be_bytes())));
            return false;
        }
        // Section 5.2.4, table 12.
        match self.state {
            State::Idle | State::CookieWait | State::CookieEchoed if is_ours => {
                // The peer answered our INIT ACK, whoever began. A receiver that knows its first TSN already may go on.
                if self.state != State::CookieEchoed || !is_theirs {
                    self.take_peer(&cookie);
                    self.receiver = Receiver::new(&self.config, cookie.peer_tsn);
                    self.resets = Resets::new(self.local_tsn, cookie.peer_tsn);
                }
                self.establish(now);
            }
            _ if is_ours && is_theirs => {} // Our COOKIE ACK was lost.
            _ if !is_ours
                && !is_theirs
                && self.state > State::CookieWait
                && cookie.tie_tags == (self.local_tag, self.peer.tag) =>
            {
                debug!("the SCTP peer began anew");
                self.restart(&cookie);
                self.establish(now);
            }
            _ => {
                self.stats.chunks_rejected += 1;
                return false;
            }
        }
        self.pending.cookie_ack = true;
        true
    }

    pub(super) fn handle_cookie_ack(&mut self, now: Instant) {
        if self.state == State::CookieEchoed {
            if self.handshake.tries == 1
                && let Some(sent) = self.handshake.sent
            {
                self.sender.handle_round_trip(now, now.saturating_duration_since(sent));
            }
            self.establish(now);
        }
    }

    fn take_peer(&mut self, cookie: &Cookie) {
        self.peer = Peer {
            tag: cookie.peer_tag,
            window: cookie.peer_window,
            outbound_streams: cookie.inbound_streams,
            inbound_streams: cookie.outbound_streams,
            forward_tsn: cookie.forward_tsn,
            reconfig: cookie.reconfig,
            zero_checksum: cookie.zero_checksum,
        };
    }

    fn restart(&mut self, cookie: &Cookie) {
        let config: &Config = &self.config;
        self.local_tag = cookie.local_tag;
        self.local_tsn = cookie.local_tsn;
        self.sender = Sender::new(config, cookie.local_tsn);
        self.receiver = Receiver::new(config, cookie.peer_tsn);
        self.resets = Resets::new(cookie.local_tsn, cookie.peer_tsn);
        self.readable.clear();
        self.events.retain(|event| !matches!(event, Event::Readable(_)));
        self.pending = Pending::default();
        self.heartbeat = Heartbeat::default();
        self.take_peer(cookie);
        self.events.push_back(Event::Restarted);
    }

    fn establish(&mut self, now: Instant) {
        self.state = State::Established;
        self.handshake = Handshake::default();
        self.heartbeat.quiet_since = Some(now);
        self.sender.start(self.peer.window, self.peer.forward_tsn);
        debug!(
            forward_tsn = self.peer.forward_tsn,
            reconfig = self.peer.reconfig,
            zero_checksum = self.peer.zero_checksum,
            "SCTP association established"
        );
        self.events.push_back(Event::Connected);
    }

    fn since_epoch(&self, now: Instant) -> Duration {
        self.epoch.map_or(Duration::ZERO, |epoch| now.saturating_duration_since(epoch))
    }
}

/// RFC 9260 section 16: Valid.Cookie.Life.
const COOKIE_LIFETIME: Duration = Duration::from_secs(60);

/// Bytes of unknown parameters that are sent back.
const MAX_UNKNOWN: usize = 64;
