//! Ending streams so that their ids can be used anew (RFC 6525).

use std::time::{Duration, Instant};

use crate::event::Event;
use crate::receive::Receiver;
use crate::send::Sender;
use crate::serial::before;
use crate::wire::{CHUNK_HEADER_LEN, Outcome, Parameter, Reconfig, Writer, kind, padded};

/// Both directions of the handshake of RE-CONFIG chunks: one request at a time in each.
#[derive(Debug)]
pub(crate) struct Resets {
    next_request: u32,
    ours: Option<Ours>,
    /// The peer asked for our next request with this number; otherwise one below its first.
    answers: u32,
    expected: u32,
    theirs: Option<Theirs>,
    last_result: u32,
    response: Option<(u32, u32)>,
    /// Something of ours waits for its turn.
    wanted: bool,
    reset: Vec<u16>,
}

/// Our request, until it is answered.
#[derive(Debug)]
struct Ours {
    request: u32,
    last_tsn: u32,
    streams: Vec<u16>,
    /// When to send it (again).
    at: Option<Instant>,
    tries: u32,
}

/// A request of the peer that has to wait for data.
#[derive(Debug)]
struct Theirs {
    request: u32,
    last_tsn: u32,
    /// Empty for all.
    streams: Vec<u16>,
}

impl Resets {
    pub(crate) fn new(local_tsn: u32, peer_tsn: u32) -> Self {
        Self {
            next_request: local_tsn,
            ours: None,
            answers: peer_tsn.wrapping_sub(1),
            expected: peer_tsn,
            theirs: None,
            last_result: Outcome::NothingToDo.code(),
            response: None,
            wanted: false,
            reset: Vec::new(),
        }
    }

    /// A stream of ours wants to be reset.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Makes a request out of what is wanted and possible.
    pub(crate) fn prepare(&mut self, now: Instant, sender: &mut Sender) {
        if !self.wanted || self.ours.is_some() {
            return;
        }
        let mut streams = Vec::new();
        sender.request_resets(MAX_STREAMS, &mut streams);
        if streams.is_empty() {
            return;
        }
        self.ours = Some(Ours {
            request: self.next_request,
            last_tsn: sender.next_tsn().wrapping_sub(1),
            streams,
            at: Some(now),
            tries: 0,
        });
        self.next_request = self.next_request.wrapping_add(1);
    }

    pub(crate) fn handle_reconfig(
        &mut self,
        chunk: &Reconfig<'_>,
        sender: &mut Sender,
        receiver: &mut Receiver,
        events: &mut impl FnMut(Event),
    ) {
        for parameter in chunk.parameters() {
            match parameter {
                Parameter::Response { request, result } => {
                    self.handle_response(request, result, sender, events)
                }
                Parameter::Outgoing { request, response, last_tsn, streams } => {
                    self.handle_response(response, Outcome::Performed.code(), sender, events);
                    if self.is_new(request) {
                        let streams = streams.iter().collect();
                        self.theirs = Some(Theirs { request, last_tsn, streams });
                        self.last_result = Outcome::InProgress.code();
                        self.perform(receiver, events);
                        self.response = Some((request, self.last_result));
                    }
                }
                Parameter::Incoming { request, streams } => {
                    if self.is_new(request) {
                        let ids: Vec<u16> = if streams.is_all() {
                            sender.used_streams().collect()
                        } else {
                            streams.iter().collect()
                        };
                        let any = ids.into_iter().filter(|id| sender.want_reset(*id)).count() > 0;
                        self.last_result =
                            if any { Outcome::InProgress.code() } else { Outcome::NothingToDo.code() };
                        self.response = Some((request, self.last_result));
                        self.wanted |= any;
                        self.answers = request;
                    }
                }
                Parameter::Other { request } => {
                    if self.is_new(request) {
                        self.last_result = Outcome::Denied.code();
                        self.response = Some((request, self.last_result));
                    }
                }
            }
        }
    }

    /// More data has arrived: perhaps what the peer's request waits for.
    pub(crate) fn perform(&mut self, receiver: &mut Receiver, events: &mut impl FnMut(Event)) {
        let Some(theirs) = self.theirs.take_if(|theirs| !before(receiver.cumulative(), theirs.last_tsn))
        else {
            return;
        };
        self.reset.clear();
        if theirs.streams.is_empty() {
            receiver.reset(None, &mut self.reset);
        }
        for id in theirs.streams {
            receiver.reset(Some(id), &mut self.reset);
        }
        self.reset.drain(..).for_each(|id| events(Event::IncomingReset(id)));
        self.last_result = Outcome::Performed.code();
        self.response = Some((theirs.request, self.last_result));
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.ours.as_ref().and_then(|ours| ours.at)
    }

    /// Whether there is something to say.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.response.is_some() || self.poll_timeout().is_some_and(|at| at <= now)
    }

    pub(crate) fn write(&mut self, now: Instant, rto: Duration, out: &mut Writer<'_>) {
        if let Some((request, result)) = self.response
            && out.room() >= CHUNK_HEADER_LEN + 12
        {
            self.response = None;
            out.chunk(kind::RECONFIG, 0, 12, |body| {
                let mut parameter = [0; 8];
                parameter[..4].copy_from_slice(&request.to_be_bytes());
                parameter[4..].copy_from_slice(&result.to_be_bytes());
                body.parameter(16, &parameter);
            });
        }
        let answers = self.answers;
        let Some(ours) = self.ours.as_mut().filter(|ours| ours.at.is_some_and(|at| at <= now)) else {
            return;
        };
        let len = 16 + 2 * ours.streams.len();
        if padded(CHUNK_HEADER_LEN + len) > out.room() {
            return;
        }
        out.chunk(kind::RECONFIG, 0, len, |body| {
            body.u16(13);
            body.u16(len as u16);
            body.u32(ours.request);
            body.u32(answers);
            body.u32(ours.last_tsn);
            ours.streams.iter().for_each(|id| body.u16(*id));
        });
        ours.at = Some(now + rto * (1 << ours.tries.min(4)));
        ours.tries += 1;
    }

    fn handle_response(
        &mut self,
        request: u32,
        result: u32,
        sender: &mut Sender,
        events: &mut impl FnMut(Event),
    ) {
        let in_progress = result == Outcome::InProgress.code();
        let Some(ours) = self.ours.take_if(|ours| ours.request == request && ours.tries > 0 && !in_progress)
        else {
            return; // Not ours, or asked again in time.
        };
        let performed = result <= Outcome::Performed.code();
        for id in ours.streams {
            sender.finish_reset(id, performed);
            if performed {
                events(Event::OutgoingReset(id));
            }
        }
    }

    /// Whether a request is the next one. Old ones are answered as they were, others with an error.
    fn is_new(&mut self, request: u32) -> bool {
        if request == self.expected && self.theirs.is_none() {
            self.expected = self.expected.wrapping_add(1);
            return true;
        }
        let again = request == self.expected.wrapping_sub(1);
        let result = if again { self.last_result } else { Outcome::BadSequence.code() };
        self.response = Some((request, result));
        false
    }
}

/// Streams in one request: they fit into a packet together with a SACK.
const MAX_STREAMS: usize = 256;
