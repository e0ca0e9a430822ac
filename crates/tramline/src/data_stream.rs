//! Text and byte streams: contents of any length, whole or little by little.

mod feed;
mod file;
mod read;
mod write;

use std::{collections::BTreeMap, fmt, sync::Arc, sync::Mutex};

pub use tramline_core::data_stream::Operation as TextOperation;
use tramline_core::data_stream::{Content, Info, Text};

use crate::{link::lock, participant::ParticipantIdentity};

pub(crate) use feed::{Capacity, Feed};
pub use read::{ByteStreamReader, StreamProgress, TextStreamReader};
pub(crate) use write::StreamSender;
pub use write::{ByteStreamWriter, TextStreamWriter};

/// How to send a text. A topic alone converts into it.
///
/// ```
/// use tramline::StreamTextOptions;
///
/// let mut options = StreamTextOptions::from("lk.chat");
/// options.reply_to_stream_id = Some("an earlier one".to_owned());
/// # let _ = options;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamTextOptions {
    /// What it is about: receivers choose by it.
    pub topic: String,
    /// Keys and values for the receivers. With everything else in the header at most 15,000 bytes.
    pub attributes: BTreeMap<String, String>,
    /// Whom it is for; empty for everybody else in the room.
    pub destination_identities: Vec<ParticipantIdentity>,
    /// Its id; a random one unless this says otherwise.
    pub id: Option<String>,
    /// What the text does.
    pub operation: TextOperation,
    /// Counts the edits of a text.
    pub version: i32,
    /// The stream that it answers.
    pub reply_to_stream_id: Option<String>,
    /// Byte streams that belong to it.
    pub attached_stream_ids: Vec<String>,
    /// An agent made it of what somebody said.
    pub generated: bool,
    /// Of a text that is written little by little: its length in bytes, if that is known.
    pub total_length: Option<u64>,
    /// Whether a whole text is compressed when all receivers take that and it becomes shorter; it is unless this says otherwise.
    pub compress: Option<bool>,
    /// For agents: in whose name it is sent.
    pub sender_identity: Option<ParticipantIdentity>,
}

impl From<&str> for StreamTextOptions {
    fn from(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }
}

/// How to send bytes. A topic alone converts into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamByteOptions {
    /// What it is about: receivers choose by it.
    pub topic: String,
    /// Keys and values for the receivers. With everything else in the header at most 15,000 bytes.
    pub attributes: BTreeMap<String, String>,
    /// Whom it is for; empty for everybody else in the room.
    pub destination_identities: Vec<ParticipantIdentity>,
    /// Its id; a random one unless this says otherwise.
    pub id: Option<String>,
    /// What is in it. Default `application/octet-stream`.
    pub mime_type: Option<String>,
    /// The name of the file; that of the file that is sent unless this says otherwise.
    pub name: Option<String>,
    /// Of bytes that are written little by little: their number, if that is known.
    pub total_length: Option<u64>,
    /// Whether whole contents are compressed when all receivers take that; they are unless this says otherwise.
    pub compress: Option<bool>,
    /// For agents: in whose name it is sent.
    pub sender_identity: Option<ParticipantIdentity>,
}

impl From<&str> for StreamByteOptions {
    fn from(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }
}

/// What a text stream says of itself. Cheap to clone.
#[derive(Clone)]
pub struct TextStreamInfo(Shared);

/// What a byte stream says of itself. Cheap to clone.
#[derive(Clone)]
pub struct ByteStreamInfo(Shared);

#[derive(Clone)]
struct Shared {
    info: Arc<Info>,
    /// The header's, and at the end the trailer's on top.
    attributes: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Shared {
    fn new(info: Info) -> Self {
        Self { attributes: Arc::new(Mutex::new(info.attributes.clone())), info: Arc::new(info) }
    }
}

macro_rules! same_for_both {
    ($($name:ident),*) => {
        $(
            impl $name {
                pub(crate) fn new(info: Info) -> Self {
                    Self(Shared::new(info))
                }

                /// Its id, unique among the streams of its sender.
                #[must_use]
                pub fn id(&self) -> &str {
                    &self.0.info.id
                }

                /// What it is about.
                #[must_use]
                pub fn topic(&self) -> &str {
                    &self.0.info.topic
                }

                /// When it began, in milliseconds since 1970 by the sender's clock.
                #[must_use]
                pub fn timestamp_ms(&self) -> i64 {
                    self.0.info.timestamp_ms
                }

                /// What is in it.
                #[must_use]
                pub fn mime_type(&self) -> &str {
                    &self.0.info.mime_type
                }

                /// Bytes of its contents, when they were known from the start.
                #[must_use]
                pub fn total_length(&self) -> Option<u64> {
                    self.0.info.total_length
                }

                /// Keys and values of the sender's; at the end of the stream there may be more than at its beginning.
                #[must_use]
                pub fn attributes(&self) -> BTreeMap<String, String> {
                    lock(&self.0.attributes).clone()
                }

                /// Whether it travels encrypted.
                #[must_use]
                pub fn is_encrypted(&self) -> bool {
                    self.0.info.is_encrypted
                }

                pub(crate) fn attribute_cell(&self) -> Arc<Mutex<BTreeMap<String, String>>> {
                    Arc::clone(&self.0.attributes)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Debug::fmt(&self.0.info, f)
                }
            }

            impl PartialEq for $name {
                fn eq(&self, other: &Self) -> bool {
                    self.0.info == other.0.info
                }
            }
        )*
    };
}

same_for_both!(TextStreamInfo, ByteStreamInfo);

impl TextStreamInfo {
    fn text(&self) -> Text {
        match &self.0.info.content {
            Content::Text(text) => text.clone(),
            Content::Bytes { .. } => Text::default(),
        }
    }

    /// What the text does.
    #[must_use]
    pub fn operation(&self) -> TextOperation {
        self.text().operation
    }

    /// Counts the edits of a text.
    #[must_use]
    pub fn version(&self) -> i32 {
        self.text().version
    }

    /// The stream that it answers.
    #[must_use]
    pub fn reply_to_stream_id(&self) -> Option<String> {
        self.text().reply_to_stream_id
    }

    /// Byte streams that belong to it.
    #[must_use]
    pub fn attached_stream_ids(&self) -> Vec<String> {
        self.text().attached_stream_ids
    }

    /// Whether an agent made it of what somebody said.
    #[must_use]
    pub fn generated(&self) -> bool {
        self.text().generated
    }
}

impl ByteStreamInfo {
    /// The name of the file; empty for none.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0.info.content {
            Content::Bytes { name } => name,
            Content::Text(_) => "",
        }
    }
}

/// Something in an event that one of its readers can take.
pub struct TakeCell<T>(Arc<Mutex<Option<T>>>);

impl<T> TakeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// The thing, for the first who asks.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }

    /// Whether somebody has taken it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        lock(&self.0).is_none()
    }
}

impl<T> Clone for TakeCell<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> PartialEq for TakeCell<T> {
    /// Whether both hold the same thing.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> fmt::Debug for TakeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeCell").field("is_taken", &self.is_taken()).finish()
    }
}
