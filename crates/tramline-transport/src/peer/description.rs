//! A peer's side of signalling: descriptions and candidates.

use std::net::SocketAddr;
use std::time::Instant;

use tracing::debug;

use super::{MAX_LOCAL_CANDIDATES, Part, Peer};
use crate::candidate::{self, CandidateError, LocalCandidate, Remote};
use crate::dtls::{Role, Session};
use crate::ice::{self, Agent, Credentials};
use crate::sdp::SdpError;
use crate::sdp::description::{Description, Setup};
use crate::sdp::write::{self, Local, OFFER_MID};

impl Peer {
    /// Offerer: an offer with the local candidates known so far. An answerer has none to make and returns an empty string.
    pub fn offer(&mut self) -> String {
        let Part::Offerer { offers, .. } = &mut self.part else { return String::new() };
        *offers += 1;
        write::offer(&self.local("actpass"))
    }

    /// Offerer: the answer to the last offer.
    pub fn handle_answer(&mut self, now: Instant, sdp: &str) -> Result<(), SdpError> {
        let Part::Offerer { offers, fingerprint } = &mut self.part else {
            return Err(SdpError::WrongState(
                "this side answers offers, it makes none that could be answered",
            ));
        };
        if *offers == 0 {
            return Err(SdpError::WrongState("no offer was made yet"));
        }
        let answer = Description::parse(sdp)?;
        if answer.data_index != 0 || answer.sections[0].mid_or(0) != OFFER_MID {
            return Err(SdpError::Mismatch("expected one application section with mid 0"));
        }
        let role = match answer.setup {
            Setup::Active => Role::Server,
            Setup::Passive => Role::Client,
            Setup::ActPass => {
                return Err(SdpError::BadValue {
                    attribute: "setup",
                    expected: "active or passive in an answer",
                });
            }
        };
        let first = fingerprint.is_none();
        if fingerprint.is_some_and(|known| known != answer.fingerprint) {
            return Err(SdpError::Mismatch(
                "the certificate fingerprint changed in the middle of the session",
            ));
        }
        *fingerprint = Some(answer.fingerprint);
        match &mut self.agent {
            Agent::Full(agent) => agent.set_remote(&answer.credentials),
            Agent::Lite(agent) => agent.set_remote(answer.credentials.clone()),
        }
        self.take_candidates(&answer);
        if first {
            self.prepare(now, &answer, role);
        }
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Client: whether the server speaks protocol 18 or later, known from `join`. Call it before
    /// [`handle_answer`](Self::handle_answer).
    pub fn set_negotiated_channels(&mut self, negotiated: bool) {
        self.config.negotiated_channels = negotiated;
    }

    /// Offerer: starts an ICE restart and returns the offer for it. Data goes on over the old path meanwhile.
    pub fn restart_ice(&mut self) -> String {
        if let Part::Offerer { .. } = self.part {
            self.generation += 1;
            let credentials = Credentials::derive(&self.config.secret, self.generation);
            match &mut self.agent {
                Agent::Full(agent) => agent.restart(credentials),
                // Checks with the new credentials wait for the answer.
                Agent::Lite(agent) => agent.restart(credentials, None),
            }
        }
        self.offer()
    }

    /// Answerer: a later offer of the same peer, perhaps with new ICE credentials (an ICE restart). Fetch
    /// [`answer`](Self::answer) and [`local_ufrag`](Self::local_ufrag) again afterwards.
    pub fn handle_offer(&mut self, now: Instant, offer: &str) -> Result<(), SdpError> {
        let Part::Answerer { offer: current, offers } = &mut self.part else {
            return Err(SdpError::WrongState("this side makes offers, it takes none"));
        };
        let offer = Description::parse(offer)?;
        if offer.fingerprint != current.fingerprint {
            return Err(SdpError::Mismatch(
                "the certificate fingerprint changed in the middle of the session",
            ));
        }
        if offer.credentials != current.credentials {
            debug!(after = ?now.saturating_duration_since(self.created), "ICE restart");
            self.generation += 1;
            let credentials = Credentials::derive(&self.config.secret, self.generation);
            match &mut self.agent {
                Agent::Full(agent) => {
                    agent.restart(credentials);
                    agent.set_remote(&offer.credentials);
                }
                Agent::Lite(agent) => agent.restart(credentials, Some(offer.credentials.clone())),
            }
        }
        *offers += 1;
        **current = offer.clone();
        self.take_candidates(&offer);
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Answerer: the answer to the last offer, with the local candidates known so far. An offerer has none to give and
    /// returns an empty string.
    pub fn answer(&self) -> String {
        let Part::Answerer { offer, .. } = &self.part else { return String::new() };
        let setup = match self.dtls.as_ref().map(Session::role) {
            Some(Role::Client) => "active",
            Some(Role::Server) | None => "passive",
        };
        write::answer(&self.local(setup), offer)
    }

    /// The first half of the STUN user name in checks that are meant for this peer.
    pub fn local_ufrag(&self) -> &str {
        &self.agent.local().ufrag
    }

    /// Adds an address at which this peer can be reached. Addresses that cannot be a host candidate are ignored.
    ///
    /// A server may name addresses here that differ from those of its sockets (behind a NAT); datagrams are answered from
    /// where they arrived.
    pub fn add_local_candidate(&mut self, addr: SocketAddr) {
        if self.local_candidates.contains(&addr) || self.local_candidates.len() >= MAX_LOCAL_CANDIDATES {
            return;
        }
        if let Agent::Full(agent) = &mut self.agent
            && !agent.add_local(addr)
        {
            return;
        }
        self.candidate_lines.push(candidate::host_line(addr, self.local_candidates.len()));
        self.local_candidates.push(addr);
    }

    /// The local candidates for trickling.
    pub fn local_candidates(&self) -> Vec<LocalCandidate> {
        let (mid, mline_index) = match &self.part {
            Part::Offerer { .. } => (OFFER_MID.to_owned(), 0),
            Part::Answerer { offer, .. } => {
                // libwebrtc gives candidates for another section of the bundle to nobody.
                let index = offer.bundled().next().unwrap_or(offer.data_index);
                (offer.sections[index].mid_or(index), u16::try_from(index).unwrap_or(u16::MAX))
            }
        };
        let trickle = |candidate: &String| LocalCandidate {
            candidate: candidate.clone(),
            mid: mid.clone(),
            mline_index,
        };
        self.candidate_lines.iter().map(trickle).collect()
    }

    /// A candidate of the peer, with or without `a=`. Host names (`.local`) and TCP are ignored; so is everything on a
    /// server, which learns addresses from checks.
    pub fn handle_candidate(&mut self, candidate: &str) -> Result<(), CandidateError> {
        match (candidate::parse(candidate)?, &mut self.agent) {
            (Remote::Usable(candidate), Agent::Full(agent)) => {
                agent.add_remote(candidate).map_err(CandidateError::TooMany)?;
            }
            (Remote::Usable(_), Agent::Lite(_)) => {}
            (Remote::Ignored, _) => self.stats.ignored_candidates += 1,
        }
        Ok(())
    }

    /// Those in a description, of which some may be of no use.
    pub(super) fn take_candidates(&mut self, description: &Description) {
        for candidate in &description.candidates {
            if let Err(error) = self.handle_candidate(candidate) {
                debug!(%error, "candidate in the description ignored");
                self.stats.ignored_candidates += 1;
            }
        }
    }

    fn local(&self, setup: &'static str) -> Local<'_> {
        let version = match &self.part {
            Part::Offerer { offers, .. } | Part::Answerer { offers, .. } => *offers,
        };
        Local {
            is_lite: matches!(self.agent, Agent::Lite(_)),
            credentials: self.agent.local(),
            fingerprint: self.config.certificate.fingerprint(),
            session_id: ice::derive_number(&self.config.secret, b's'),
            version,
            max_message_size: self.config.max_message_size,
            setup,
            candidates: &self.candidate_lines,
        }
    }
}
