//! Local tracks, from the request to the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use proto::request_response::{Reason, Request as Refused};
use proto::signal_request::Message as Request;
use thiserror::Error;
use tramline_wire::TrackHandle;

use super::event::{Event, Output, UnpublishCause};
use super::{SessionConfig, SessionCounters};
use crate::schema::SchemaError;
use crate::track::{MAX_TRACK_NAME_LEN, TrackInfo, TrackOptions};

/// Why a track was not published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The server did not like the handle that this client chose; a fault of this client or of the server.
    #[error("the server refused the track's handle: {0}")]
    InvalidHandle(String),
    /// Another track of this participant has the name.
    #[error(
        "this participant already publishes a track of that name; choose another one or unpublish the first"
    )]
    DuplicateName,
    /// The server did not answer, or the channel did not open.
    #[error("publishing took too long: {0}")]
    Timeout(PublishWait),
    /// The session has ended.
    #[error("the session has ended; connect again and publish then")]
    Disconnected,
    /// The token does not allow it, or the server has data tracks switched off.
    #[error("the server does not allow this participant to publish data: the token needs canPublishData")]
    NotAllowed,
    /// The name is empty or too long.
    #[error("a track name has 1 to 256 bytes, this one has {len}")]
    InvalidName {
        /// The length of the name in bytes.
        len: usize,
    },
    /// All 65 535 handles of this session were used, or the server's limit is reached.
    #[error("no more tracks can be published in this session")]
    LimitReached,
    /// The server's answer makes no sense.
    #[error("the server's answer breaks the protocol: {0}")]
    Protocol(String),
    /// The server refused for a reason that has no code of its own.
    #[error("the server refused to publish: {0}")]
    Internal(String),
    /// The frame encoding and the schema do not go together; the server was not asked.
    #[error(transparent)]
    IncompatibleSchema(#[from] SchemaError),
    /// The server does not accept the frame encoding or the schema.
    #[error("the server refused the frame encoding or the schema: {0}")]
    InvalidSchema(String),
}

/// What a publish request was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublishWait {
    /// The data-track channel.
    #[error("the data-track channel did not open within the time-out")]
    Channel,
    /// The server's response.
    #[error("the server did not answer within the time-out")]
    Response,
}

impl PublishError {
    /// LiveKit's number for it (`PublishDataTrackErrorCode`).
    pub fn code(&self) -> u32 {
        match self {
            Self::InvalidHandle(_) => 1,
            Self::DuplicateName => 2,
            Self::Timeout(_) => 3,
            Self::Disconnected => 4,
            Self::NotAllowed => 5,
            Self::InvalidName { .. } => 6,
            Self::LimitReached => 7,
            Self::Protocol(_) => 8,
            Self::Internal(_) => 9,
            Self::IncompatibleSchema(_) | Self::InvalidSchema(_) => 10,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Disconnected | Self::Internal(_))
    }

    fn from_refusal(reason: i32, message: String, name: &str) -> Self {
        match Reason::try_from(reason) {
            Ok(Reason::NotAllowed) => Self::NotAllowed,
            Ok(Reason::InvalidHandle | Reason::DuplicateHandle) => Self::InvalidHandle(message),
            Ok(Reason::InvalidName) => Self::InvalidName { len: name.len() },
            Ok(Reason::DuplicateName) => Self::DuplicateName,
            Ok(Reason::LimitExceeded) => Self::LimitReached,
            Ok(Reason::InvalidRequest) => Self::InvalidSchema(message),
            Ok(Reason::Ok | Reason::Queued) => Self::Protocol(format!("refusal with the reason {reason}")),
            Ok(Reason::NotFound | Reason::UnsupportedType | Reason::UnclassifiedError) => {
                Self::Internal(message)
            }
            Err(_) => Self::Internal(format!("reason {reason}: {message}")),
        }
    }
}

/// The tracks of the local participant.
///
/// ```text
/// WaitingForChannel ──open──▶ Requested ──response──▶ Published ──unpublish──▶ Unpublishing ──▶ gone
///         └──time-out──▶ gone      └──time-out, unpublish──▶ abandoned: a late response is unpublished
/// ```
#[derive(Debug, Default)]
pub(super) struct Publications {
    channel_open: bool,
    last_handle: Option<TrackHandle>,
    tracks: BTreeMap<TrackHandle, Publication>,
    abandoned: BTreeSet<TrackHandle>,
}

#[derive(Debug)]
enum Publication {
    WaitingForChannel { options: TrackOptions, deadline: Instant },
    Requested { deadline: Instant },
    Published,
    Unpublishing { deadline: Instant },
}

impl Publications {
    /// Whether nothing was published, or asked to be.
    pub(super) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    pub(super) fn publish(
        &mut self,
        now: Instant,
        options: TrackOptions,
        config: &SessionConfig,
        output: &mut VecDeque<Output>,
    ) -> Result<TrackHandle, PublishError> {
        let len = options.name.len();
        if len == 0 || len > MAX_TRACK_NAME_LEN {
            return Err(PublishError::InvalidName { len });
        }
        options.check_schema()?;
        let handle = match self.last_handle {
            None => TrackHandle::FIRST,
            Some(last) => last.checked_next().ok_or(PublishError::LimitReached)?,
        };
        self.last_handle = Some(handle);
        let publication = if self.channel_open {
            output.push_back(Output::request(Request::PublishDataTrackRequest(options.into_request(handle))));
            Publication::Requested { deadline: now + config.publish_timeout }
        } else {
            Publication::WaitingForChannel { options, deadline: now + config.channel_timeout }
        };
        self.tracks.insert(handle, publication);
        Ok(handle)
    }

    pub(super) fn unpublish(
        &mut self,
        now: Instant,
        handle: TrackHandle,
        config: &SessionConfig,
        output: &mut VecDeque<Output>,
    ) {
        let Some(publication) = self.tracks.get_mut(&handle) else { return };
        match publication {
            Publication::WaitingForChannel { .. } => {
                self.tracks.remove(&handle);
                unpublished(handle, UnpublishCause::Local, output);
            }
            Publication::Requested { .. } => {
                self.tracks.remove(&handle);
                self.abandoned.insert(handle);
                unpublished(handle, UnpublishCause::Local, output);
            }
            Publication::Published => {
                *publication = Publication::Unpublishing { deadline: now + config.unpublish_timeout };
                request_unpublish(handle, output);
            }
            Publication::Unpublishing { .. } => {}
        }
    }

    pub(super) fn handle_channel_open(
        &mut self,
        now: Instant,
        config: &SessionConfig,
        output: &mut VecDeque<Output>,
    ) {
        self.channel_open = true;
        for (handle, publication) in &mut self.tracks {
            if let Publication::WaitingForChannel { options, .. } = publication {
                let request = std::mem::take(options).into_request(*handle);
                output.push_back(Output::request(Request::PublishDataTrackRequest(request)));
                *publication = Publication::Requested { deadline: now + config.publish_timeout };
            }
        }
    }

    pub(super) fn handle_published(
        &mut self,
        info: Option<proto::DataTrackInfo>,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let Some((info, handle)) = with_handle(info) else {
            counters.malformed += 1;
            return;
        };
        if self.abandoned.remove(&handle) {
            counters.unexpected += 1;
            return request_unpublish(handle, output);
        }
        let Some(publication @ Publication::Requested { .. }) = self.tracks.get_mut(&handle) else {
            counters.unexpected += 1;
            return;
        };
        match TrackInfo::try_from(info) {
            Ok(track) => {
                *publication = Publication::Published;
                output.push_back(Output::Event(Event::Published { handle, track: Arc::new(track) }));
            }
            Err(error) => {
                counters.malformed += 1;
                self.tracks.remove(&handle);
                // The server believes it published; what cannot be named must not stay there.
                request_unpublish(handle, output);
                let error = PublishError::Protocol(error.to_string());
                output.push_back(Output::Event(Event::PublishFailed { handle, error }));
            }
        }
    }

    pub(super) fn handle_unpublished(
        &mut self,
        info: Option<proto::DataTrackInfo>,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let Some((_, handle)) = with_handle(info) else {
            counters.malformed += 1;
            return;
        };
        match self.tracks.get(&handle) {
            Some(Publication::Unpublishing { .. }) => {
                self.tracks.remove(&handle);
                unpublished(handle, UnpublishCause::Local, output);
            }
            Some(Publication::Published) => {
                self.tracks.remove(&handle);
                unpublished(handle, UnpublishCause::Server, output);
            }
            Some(Publication::WaitingForChannel { .. } | Publication::Requested { .. }) | None => {
                counters.unexpected += 1;
            }
        }
    }

    /// A `request_response` names the handle only in the request that it echoes.
    pub(super) fn handle_refused(
        &mut self,
        response: proto::RequestResponse,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        match response.request {
            Some(Refused::PublishDataTrack(request)) => {
                let Ok(handle) = TrackHandle::try_from(request.pub_handle) else {
                    counters.malformed += 1;
                    return;
                };
                if self.abandoned.remove(&handle) {
                    return;
                }
                let Some(Publication::Requested { .. }) = self.tracks.get(&handle) else {
                    counters.unexpected += 1;
                    return;
                };
                self.tracks.remove(&handle);
                let error = PublishError::from_refusal(response.reason, response.message, &request.name);
                output.push_back(Output::Event(Event::PublishFailed { handle, error }));
            }
            Some(Refused::UnpublishDataTrack(request)) => {
                // The only reason is NOT_FOUND: the server has no such track, which is what was asked for.
                let handle = TrackHandle::try_from(request.pub_handle).ok();
                match handle.and_then(|handle| Some((handle, self.tracks.get(&handle)?))) {
                    Some((handle, Publication::Unpublishing { .. })) => {
                        self.tracks.remove(&handle);
                        unpublished(handle, UnpublishCause::Local, output);
                    }
                    Some(_) | None => counters.unexpected += 1,
                }
            }
            Some(_) | None => counters.ignored += 1,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        let due = |publication: &Publication| publication.deadline().is_some_and(|deadline| deadline <= now);
        let expired: Vec<TrackHandle> =
            self.tracks.iter().filter(|(_, p)| due(p)).map(|(handle, _)| *handle).collect();
        for handle in expired {
            let error = match self.tracks.remove(&handle) {
                Some(Publication::WaitingForChannel { .. }) => PublishError::Timeout(PublishWait::Channel),
                Some(Publication::Requested { .. }) => {
                    self.abandoned.insert(handle);
                    PublishError::Timeout(PublishWait::Response)
                }
                Some(Publication::Unpublishing { .. }) => {
                    unpublished(handle, UnpublishCause::Local, output);
                    continue;
                }
                Some(Publication::Published) | None => continue,
            };
            output.push_back(Output::Event(Event::PublishFailed { handle, error }));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tracks.values().filter_map(Publication::deadline).min()
    }

    pub(super) fn handle_end(&mut self, output: &mut VecDeque<Output>) {
        for (handle, publication) in std::mem::take(&mut self.tracks) {
            match publication {
                Publication::WaitingForChannel { .. } | Publication::Requested { .. } => {
                    let error = PublishError::Disconnected;
                    output.push_back(Output::Event(Event::PublishFailed { handle, error }));
                }
                Publication::Unpublishing { .. } => unpublished(handle, UnpublishCause::Local, output),
                Publication::Published => unpublished(handle, UnpublishCause::Server, output),
            }
        }
        self.abandoned.clear();
    }
}

impl Publication {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::WaitingForChannel { deadline, .. }
            | Self::Requested { deadline }
            | Self::Unpublishing { deadline } => Some(*deadline),
            Self::Published => None,
        }
    }
}

fn with_handle(info: Option<proto::DataTrackInfo>) -> Option<(proto::DataTrackInfo, TrackHandle)> {
    let info = info?;
    let handle = TrackHandle::try_from(info.pub_handle).ok()?;
    Some((info, handle))
}

fn request_unpublish(handle: TrackHandle, output: &mut VecDeque<Output>) {
    let request = proto::UnpublishDataTrackRequest { pub_handle: handle.into() };
    output.push_back(Output::request(Request::UnpublishDataTrackRequest(request)));
}

fn unpublished(handle: TrackHandle, cause: UnpublishCause, output: &mut VecDeque<Output>) {
    output.push_back(Output::Event(Event::Unpublished { handle, cause }));
}
