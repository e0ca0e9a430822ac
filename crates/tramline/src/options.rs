//! How to join, publish and subscribe.

use std::time::Duration;

use tramline_core::{
    e2ee::KeyProvider,
    queue::QueueConfig,
    reassemble,
    schema::{FrameEncoding, SchemaId},
};
pub use tramline_core::{fanout::LateFrames, outbox::Priority, repair::Repair};
pub use tramline_net::connect::TlsOptions;

/// How to join a room. Start from the default and set what differs.
///
/// ```
/// let mut options = tramline::RoomOptions::default();
/// options.connect_timeout = std::time::Duration::from_secs(5);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoomOptions {
    /// Time for [`Room::connect`](crate::Room::connect) as a whole, from the name look-up to the open data channels. Default 15 s.
    pub connect_timeout: Duration,
    /// Whether one connection carries the data of both directions, as current servers know it (v1 signalling). Default true; a server that does not know it
    /// gets two all the same. `false` asks for two at once (v0), which costs one attempt less with such a server.
    pub single_peer_connection: bool,
    /// Whom to trust as a server. Default: whom the operating system trusts.
    pub tls: TlsOptions,
    /// Keys for end-to-end encryption. With them, tracks are published encrypted, and encrypted ones can be read; keep a clone to change keys
    /// later. Default: none.
    pub encryption: Option<KeyProvider>,
    /// How long [`Room::close`](crate::Room::close) may take to send what was accepted before. Default 2 s.
    pub close_timeout: Duration,
    /// Bytes of data packets that wait in the events for a slow reader; beyond that the oldest are dropped, which
    /// [`RoomEvent::EventsLost`](crate::RoomEvent::EventsLost) tells. Default 32 MiB.
    pub packet_capacity: usize,
    /// Bytes that wait in all streams of the room that come in, as they came: perhaps compressed. Beyond that the one with the most fails. Default 64 MiB.
    pub stream_capacity: usize,
    /// Most bytes of contents of one stream that comes in. Default 5 GB, as in LiveKit's clients.
    pub max_stream_len: u64,
    /// Whether the packets of streams come as events too ([`RoomEvent::StreamHeaderReceived`](crate::RoomEvent::StreamHeaderReceived) and its kin), for
    /// bindings that make streams of them themselves. Default false.
    pub raw_stream_events: bool,
    /// Events that wait for a slow reader before they are merged, see [`RoomEvents`](crate::RoomEvents). Default 512.
    pub event_capacity: usize,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            single_peer_connection: true,
            tls: TlsOptions::default(),
            encryption: None,
            close_timeout: Duration::from_secs(2),
            packet_capacity: 32 << 20,
            stream_capacity: 64 << 20,
            max_stream_len: 5_000_000_000,
            raw_stream_events: false,
            event_capacity: 512,
        }
    }
}

/// What [`try_push`](crate::LocalDataTrack::try_push) does when the track's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// Drop the oldest frames that have not started to leave, count them, and take the new one: the newest data wins.
    #[default]
    EvictOldest,
    /// Refuse the new frame with [`QueueFull`](crate::PushFrameErrorReason::QueueFull).
    Refuse,
}

/// What to publish. A name alone converts into it.
///
/// ```
/// use std::time::Duration;
/// use tramline::{DataTrackOptions, OnFull};
///
/// let lidar = DataTrackOptions::new("lidar").with_max_age(Duration::from_millis(50)).with_on_full(OnFull::Refuse);
/// # let _ = lidar;
/// ```
#[derive(Debug, Clone)]
pub struct DataTrackOptions {
    pub(crate) name: String,
    pub(crate) frame_encoding: Option<FrameEncoding>,
    pub(crate) schema: Option<SchemaId>,
    pub(crate) queue: QueueConfig,
    pub(crate) on_full: OnFull,
    pub(crate) priority: Priority,
    pub(crate) repair: Repair,
}

impl DataTrackOptions {
    /// A track called `name`: 1 to 256 bytes, unique among the tracks of this participant.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            frame_encoding: None,
            schema: None,
            queue: QueueConfig::default(),
            on_full: OnFull::default(),
            priority: Priority::default(),
            repair: Repair::default(),
        }
    }

    /// What is done about losses on the way to the server. Default: [`Repair::Auto`], which is also what the server does on the way to each subscriber.
    #[must_use]
    pub fn with_repair(mut self, repair: Repair) -> Self {
        self.repair = repair;
        self
    }

    /// Which of this participant's tracks go first when the link has not room for all of them. Default: [`Priority::Normal`].
    ///
    /// It orders what this participant sends. The server is not told; towards a subscriber it lets tracks that send less than
    /// their share go before those that have a backlog.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How the frames are serialised; readers are told. It must go together with the schema.
    #[must_use]
    pub fn with_frame_encoding(mut self, encoding: FrameEncoding) -> Self {
        self.frame_encoding = Some(encoding);
        self
    }

    /// The schema of the frames; readers are told. See [`define_schema`](crate::LocalParticipant::define_schema).
    #[must_use]
    pub fn with_schema(mut self, schema: SchemaId) -> Self {
        self.schema = Some(schema);
        self
    }

    /// What to do when the queue is full. Default: drop the oldest.
    #[must_use]
    pub fn with_on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// How long a frame may wait for the network before it starts to leave; older ones are dropped whole and counted.
    /// Default 100 ms. `None` keeps them until the queue is full.
    #[must_use]
    pub fn with_max_age(mut self, max_age: impl Into<Option<Duration>>) -> Self {
        self.queue = self.queue.with_max_age(max_age);
        self
    }

    /// Bytes that may wait, packet headers included. Default 4 MiB, two frames of the largest size.
    #[must_use]
    pub fn with_max_queued_bytes(mut self, bytes: usize) -> Self {
        self.queue = self.queue.with_max_bytes(bytes);
        self
    }

    /// Frames that may wait, at least 1. Default 16,384: age and bytes are the bounds that count.
    #[must_use]
    pub fn with_max_queued_frames(mut self, frames: usize) -> Self {
        self.queue = self.queue.with_max_frames(frames.max(1));
        self
    }
}

impl From<&str> for DataTrackOptions {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for DataTrackOptions {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&String> for DataTrackOptions {
    fn from(name: &String) -> Self {
        Self::new(name.as_str())
    }
}

/// What a stream holds for its reader.
///
/// Age is the bound that matters: what was not read within it is not live any more. LiveKit's clients bound by 16 frames
/// instead; [`with_buffer_size`](Self::with_buffer_size) does that here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTrackSubscribeOptions {
    pub(crate) queue: QueueConfig,
    pub(crate) deadline: Option<Duration>,
    pub(crate) late_frames: LateFrames,
}

impl Default for DataTrackSubscribeOptions {
    fn default() -> Self {
        Self {
            queue: QueueConfig::default().with_max_bytes(DEFAULT_STREAM_BYTES),
            deadline: None,
            late_frames: LateFrames::default(),
        }
    }
}

impl DataTrackSubscribeOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Frames that may wait, at least 1; the oldest go first. Default 16,384.
    #[must_use]
    pub fn with_buffer_size(mut self, frames: usize) -> Self {
        self.queue = self.queue.with_max_frames(frames.max(1));
        self
    }

    /// Payload bytes that may wait. Default 16 MiB.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.queue = self.queue.with_max_bytes(bytes);
        self
    }

    /// How long a frame may wait for the reader. Default 100 ms. `None` keeps frames until there are too many.
    #[must_use]
    pub fn with_max_age(mut self, max_age: impl Into<Option<Duration>>) -> Self {
        self.queue = self.queue.with_max_age(max_age);
        self
    }

    /// What to do with frames that come after newer ones, because they were lost on the way and sent again. Default: hand them out; their
    /// [`number`](crate::DataTrackFrame::number) tells where they belong.
    #[must_use]
    pub fn with_late_frames(mut self, late_frames: LateFrames) -> Self {
        self.late_frames = late_frames;
        self
    }

    /// How long the track may be silent: when no frame came for that long, from the subscription or from the last frame on,
    /// [`StreamEvent::DeadlineMissed`](crate::StreamEvent::DeadlineMissed) comes out of the stream, once for each silence. At least 1 ms. Default `None`.
    #[must_use]
    pub fn with_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into().map(|deadline| deadline.max(SHORTEST_DEADLINE));
        self
    }
}

/// How the packets of a remote track become frames again; for all streams of the track.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteDataTrackPipelineOptions {
    pub(crate) reassembly: reassemble::Config,
}

impl RemoteDataTrackPipelineOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Frames of several packets that may be under way at once, at least 1. Default 8. With 1 it behaves exactly as LiveKit's
    /// clients do: the start of a frame gives up the one before.
    #[must_use]
    pub fn with_max_partial_frames(mut self, frames: usize) -> Self {
        self.reassembly = self.reassembly.with_max_partial_frames(frames.max(1));
        self
    }

    /// Frames of several packets that may be under way at once.
    #[must_use]
    pub fn max_partial_frames(&self) -> usize {
        self.reassembly.max_partial_frames
    }
}

/// What timers can tell apart.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
/// Eight frames of the largest size.
const DEFAULT_STREAM_BYTES: usize = 16 << 20;
