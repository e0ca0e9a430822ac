//! Requests that carry an id: schemas, and the local participant's own name, metadata and attributes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_request::Message as Request;
use thiserror::Error;

use super::event::{Event, Output};
use super::{Session, SessionConfig, SessionCounters, State};
use crate::room::{MAX_ATTRIBUTES_LEN, MAX_BLOBS_LEN, MAX_METADATA_LEN, MAX_NAME_LEN};
use crate::schema::{SchemaError, SchemaId};

/// Stands for one request in the event that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u32);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a participant wants changed about itself (LiveKit `UpdateParticipantMetadata`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelfUpdate {
    /// The new name, 1 to 256 bytes.
    pub name: Option<String>,
    /// The new metadata, 1 byte to 512 KiB.
    pub metadata: Option<String>,
    /// Attributes to set; an empty value deletes one, those that are not named stay. 64 KiB in all.
    pub attributes: BTreeMap<String, String>,
}

/// Why a schema was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DefineSchemaError {
    /// The name of the schema is not one.
    #[error(transparent)]
    Id(#[from] SchemaError),
    /// The definition is empty.
    #[error("a schema's definition must not be empty")]
    Empty,
    /// All definitions of this participant are longer than the server takes.
    #[error(
        "the schemas of a participant have at most {MAX_BLOBS_LEN} bytes together, keys included, and a schema that is \
         defined again counts twice"
    )]
    LimitExceeded,
    /// The server does not store schemas; tracks that name one work all the same.
    #[error(
        "schemas are not available on this server: LiveKit's stores them only with enable_participant_data_blob; tracks \
         can be published with a schema that is not stored"
    )]
    NotAvailable,
    /// The server refused for another reason.
    #[error("the server refused to store the schema: {0}")]
    Refused(String),
    /// The server did not answer.
    #[error("the server did not answer the request to store a schema within the time-out")]
    Timeout,
    /// The session has ended, or has not begun.
    #[error(
        "there is no session to store a schema in; connect, and define schemas again after each new join"
    )]
    Disconnected,
}

/// Why a schema was not received.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchSchemaError {
    /// The participant is not there, or has not stored it.
    #[error("the participant is not in the room or has not stored this schema: {0}")]
    NotFound(String),
    /// The server does not store schemas.
    #[error("schemas are not available on this server")]
    NotAvailable,
    /// What is stored is no text, or nothing.
    #[error("the server's answer has no definition, or one that is not UTF-8")]
    Malformed,
    /// The server refused for another reason.
    #[error("the server refused to hand out the schema: {0}")]
    Refused(String),
    /// The server did not answer.
    #[error("the server did not answer the request for a schema within the time-out")]
    Timeout,
    /// The session has ended, or has not begun.
    #[error("there is no session to ask for a schema; connect first")]
    Disconnected,
}

/// Why a participant's own name, metadata or attributes did not change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The protocol has no way to clear it: servers take an empty value for no change.
    #[error("the {what} of a participant cannot be cleared, servers take an empty one for no change")]
    CannotClear {
        /// "name" or "metadata".
        what: &'static str,
    },
    /// It is longer than any server takes.
    #[error("the {what} of a participant has at most {limit} bytes, this one has {len}")]
    TooLong {
        /// "name", "metadata" or "attributes".
        what: &'static str,
        /// Its length in bytes; of attributes, all keys and values.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The token does not allow it.
    #[error("the server does not allow it: the token needs canUpdateOwnMetadata")]
    NotAllowed,
    /// Together with what was there it is longer than the server takes.
    #[error("the server refused the update as too long: {0}")]
    LimitExceeded(String),
    /// The server refused for another reason.
    #[error("the server refused the update: {0}")]
    Refused(String),
    /// The server did not answer.
    #[error("the server did not answer the update within the time-out")]
    Timeout,
    /// The session has ended, or has not begun.
    #[error("there is no session to update a participant in; connect first")]
    Disconnected,
}

impl Session {
    /// Stores a schema's definition with the server, for those who read a track that names it. Define it before the
    /// track is published, and again after each new join: the server forgets it with the participant.
    ///
    /// The answer comes as [`Event::SchemaDefined`], at the latest after [`SessionConfig::request_timeout`].
    ///
    /// # Errors
    /// When it cannot even be asked for.
    pub fn define_schema(
        &mut self,
        now: Instant,
        schema: &SchemaId,
        definition: &str,
    ) -> Result<RequestId, DefineSchemaError> {
        schema.check()?;
        if definition.is_empty() {
            return Err(DefineSchemaError::Empty);
        }
        if definition.len() > MAX_BLOBS_LEN {
            return Err(DefineSchemaError::LimitExceeded);
        }
        if !matches!(self.state, State::Joined(_)) {
            return Err(DefineSchemaError::Disconnected);
        }
        let blob = proto::DataBlob { key: Some(key(schema)), contents: definition.as_bytes().to_vec() };
        let id = self.requests.begin(now, Kind::Define, &self.config);
        let request = proto::StoreDataBlobRequest { request_id: id.0, blob: Some(blob) };
        self.request(Request::StoreDataBlobRequest(request));
        Ok(id)
    }

    /// Asks for the definition of a schema that a participant has stored; the local one can be asked too.
    ///
    /// The answer comes as [`Event::SchemaFetched`], at the latest after [`SessionConfig::request_timeout`].
    ///
    /// # Errors
    /// When there is no session.
    pub fn fetch_schema(
        &mut self,
        now: Instant,
        publisher: &str,
        schema: &SchemaId,
    ) -> Result<RequestId, FetchSchemaError> {
        if !matches!(self.state, State::Joined(_)) {
            return Err(FetchSchemaError::Disconnected);
        }
        let id = self.requests.begin(now, Kind::Fetch, &self.config);
        self.request(Request::GetDataBlobRequest(proto::GetDataBlobRequest {
            request_id: id.0,
            participant_identity: publisher.to_owned(),
            key: Some(key(schema)),
        }));
        Ok(id)
    }

    /// Changes the local participant's name, metadata and attributes.
    ///
    /// The answer comes as [`Event::SelfUpdated`], at the latest after [`SessionConfig::request_timeout`]; the change
    /// itself as [`Event::ParticipantChanged`], before or after it.
    ///
    /// # Errors
    /// When it cannot even be asked for.
    pub fn update_self(&mut self, now: Instant, update: SelfUpdate) -> Result<RequestId, UpdateError> {
        check_text("name", update.name.as_deref(), MAX_NAME_LEN)?;
        check_text("metadata", update.metadata.as_deref(), MAX_METADATA_LEN)?;
        let len = update.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        if len > MAX_ATTRIBUTES_LEN {
            return Err(UpdateError::TooLong { what: "attributes", len, limit: MAX_ATTRIBUTES_LEN });
        }
        if !matches!(self.state, State::Joined(_)) {
            return Err(UpdateError::Disconnected);
        }
        let id = self.requests.begin(now, Kind::Update, &self.config);
        self.request(Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: update.metadata.unwrap_or_default(),
            name: update.name.unwrap_or_default(),
            attributes: update.attributes.into_iter().collect(),
            request_id: id.0,
        }));
        Ok(id)
    }
}

/// The requests that wait for their answer, by id.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u32,
    pending: BTreeMap<u32, Pending>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    kind: Kind,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Define,
    Fetch,
    Update,
}

/// Why a request was not done, before it is put in the words of its operation.
enum Failure {
    Refused { reason: i32, message: String },
    Timeout,
    Disconnected,
}

impl Requests {
    fn begin(&mut self, now: Instant, kind: Kind, config: &SessionConfig) -> RequestId {
        // 0 means "no id" on the wire.
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.pending.insert(self.last, Pending { kind, deadline: now + config.request_timeout });
        RequestId(self.last)
    }

    pub(super) fn handle_stored(
        &mut self,
        response: &proto::StoreDataBlobResponse,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        if self.take(response.request_id, Kind::Define, counters) {
            let request = RequestId(response.request_id);
            output.push_back(Output::Event(Event::SchemaDefined { request, result: Ok(()) }));
        }
    }

    pub(super) fn handle_fetched(
        &mut self,
        response: proto::GetDataBlobResponse,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        if self.take(response.request_id, Kind::Fetch, counters) {
            let request = RequestId(response.request_id);
            let text = response.blob.and_then(|blob| String::from_utf8(blob.contents).ok());
            let result = text.filter(|text| !text.is_empty()).map(Arc::from);
            if result.is_none() {
                counters.malformed += 1;
            }
            let result = result.ok_or(FetchSchemaError::Malformed);
            output.push_back(Output::Event(Event::SchemaFetched { request, result }));
        }
    }

    pub(super) fn handle_response(
        &mut self,
        response: proto::RequestResponse,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let proto::RequestResponse { request_id, reason, message, .. } = response;
        let Some(Pending { kind, .. }) = self.pending.get(&request_id).copied() else {
            counters.unexpected += 1;
            return;
        };
        let request = RequestId(request_id);
        match (Reason::try_from(reason), kind) {
            // The answer itself is yet to come.
            (Ok(Reason::Queued), _) | (Ok(Reason::Ok), Kind::Define | Kind::Fetch) => return,
            (Ok(Reason::Ok), Kind::Update) => {
                output.push_back(Output::Event(Event::SelfUpdated { request, result: Ok(()) }));
            }
            (_, kind) => output.push_back(failed(request, kind, Failure::Refused { reason, message })),
        }
        self.pending.remove(&request_id);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        self.pending.retain(|id, pending| {
            let is_due = pending.deadline <= now;
            if is_due {
                output.push_back(failed(RequestId(*id), pending.kind, Failure::Timeout));
            }
            !is_due
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    pub(super) fn handle_end(&mut self, output: &mut VecDeque<Output>) {
        for (id, pending) in std::mem::take(&mut self.pending) {
            output.push_back(failed(RequestId(id), pending.kind, Failure::Disconnected));
        }
    }

    fn take(&mut self, id: u32, kind: Kind, counters: &mut SessionCounters) -> bool {
        let is_awaited = self.pending.get(&id).is_some_and(|pending| pending.kind == kind);
        if is_awaited {
            self.pending.remove(&id);
        } else {
            counters.unexpected += 1;
        }
        is_awaited
    }
}

fn failed(request: RequestId, kind: Kind, failure: Failure) -> Output {
    Output::Event(match kind {
        Kind::Define => Event::SchemaDefined { request, result: Err(failure.into()) },
        Kind::Fetch => Event::SchemaFetched { request, result: Err(failure.into()) },
        Kind::Update => Event::SelfUpdated { request, result: Err(failure.into()) },
    })
}

impl From<Failure> for DefineSchemaError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { reason, message } => match Reason::try_from(reason) {
                Ok(Reason::NotAllowed) => Self::NotAvailable,
                Ok(Reason::LimitExceeded) => Self::LimitExceeded,
                reason => Self::Refused(in_words(reason, message)),
            },
            Failure::Timeout => Self::Timeout,
            Failure::Disconnected => Self::Disconnected,
        }
    }
}

impl From<Failure> for FetchSchemaError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { reason, message } => match Reason::try_from(reason) {
                Ok(Reason::NotAllowed) => Self::NotAvailable,
                Ok(Reason::NotFound) => Self::NotFound(message),
                reason => Self::Refused(in_words(reason, message)),
            },
            Failure::Timeout => Self::Timeout,
            Failure::Disconnected => Self::Disconnected,
        }
    }
}

impl From<Failure> for UpdateError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { reason, message } => match Reason::try_from(reason) {
                Ok(Reason::NotAllowed) => Self::NotAllowed,
                Ok(Reason::LimitExceeded) => Self::LimitExceeded(message),
                reason => Self::Refused(in_words(reason, message)),
            },
            Failure::Timeout => Self::Timeout,
            Failure::Disconnected => Self::Disconnected,
        }
    }
}

fn in_words(reason: Result<Reason, prost::UnknownEnumValue>, message: String) -> String {
    match (reason, message.is_empty()) {
        (_, false) => message,
        (Ok(reason), true) => reason.as_str_name().to_lowercase(),
        (Err(unknown), true) => format!("reason {}", unknown.0),
    }
}

fn check_text(what: &'static str, text: Option<&str>, limit: usize) -> Result<(), UpdateError> {
    match text.map(str::len) {
        Some(0) => Err(UpdateError::CannotClear { what }),
        Some(len) if len > limit => Err(UpdateError::TooLong { what, len, limit }),
        Some(_) | None => Ok(()),
    }
}

fn key(schema: &SchemaId) -> proto::DataBlobKey {
    proto::DataBlobKey { key: Some(proto::data_blob_key::Key::SchemaId(schema.clone().into())) }
}
