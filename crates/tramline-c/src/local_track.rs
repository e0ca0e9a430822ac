//! A track that this participant publishes.

use std::{mem::size_of, ptr, time::Duration};

use sdk::{DataTrackOptions, LocalDataTrack, OnFull, Priority, Repair, block_on};

use crate::{
    error::{Failure, guard, guard_or},
    frame::tramline_frame,
    handle::{self, Out, Owned, handle},
    room::tramline_room,
    schema::{tramline_encoding, tramline_schema_id},
    stats::tramline_local_track_stats,
    status::tramline_status,
    structs::{self, Extensible},
    text::{self, tramline_str},
    wait,
};

/// A data track that this participant publishes. All its functions may be called on any thread, at the same time.
pub struct tramline_local_track(Owned<LocalDataTrack>);
handle!(tramline_local_track holds LocalDataTrack);

/// What a push does when the track's queue is full.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_on_full {
    /// Drop the oldest frames that have not started to leave, count them, and take the new one.
    TRAMLINE_ON_FULL_EVICT_OLDEST = 0,
    /// Refuse the new one with `TRAMLINE_ERR_PUSH_QUEUE_FULL`.
    TRAMLINE_ON_FULL_REFUSE = 1,
}

/// Which of a participant's tracks go first when the link has not room for all of them. It orders what the participant sends; the server is
/// not told, and lets tracks that send less than their share go before those that have a backlog.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_priority {
    /// Only what the others leave: logs, maps, thumbnails.
    TRAMLINE_PRIORITY_BACKGROUND = -1,
    /// Shares with the others of its kind.
    TRAMLINE_PRIORITY_NORMAL = 0,
    /// Before the normal ones: state that others act on.
    TRAMLINE_PRIORITY_HIGH = 1,
    /// Before everything: commands, emergency stops. Keep it small, since nothing else is sent while it has anything to send.
    TRAMLINE_PRIORITY_CRITICAL = 2,
}

/// What is done about losses on the way to the server.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_repair {
    /// Spares of small frames ride ahead of the next ones; lost packets of larger frames are sent again in time.
    TRAMLINE_REPAIR_AUTO = 0,
    /// Nothing: a packet that is lost is gone.
    TRAMLINE_REPAIR_OFF = 1,
    /// Small frames are sent again as well; they may arrive after newer ones, see `tramline_late_frames`.
    TRAMLINE_REPAIR_ALWAYS = 2,
}

/// What to publish, and how. Take `tramline_publish_options_defaults` and set at least `name`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_publish_options {
    /// `sizeof(tramline_publish_options)`.
    pub struct_size: usize,
    /// The track's name: 1 to 256 bytes, unique among the tracks of this participant.
    pub name: tramline_str,
    /// How long a frame may wait for the network before it starts to leave, in milliseconds; older ones are dropped whole and counted. Default
    /// 100; negative keeps them until the queue is full.
    pub max_age_ms: i64,
    /// Bytes that may wait, packet headers included; 0 is the default, 4 MiB.
    pub max_queued_bytes: usize,
    /// Frames that may wait; 0 is the default, 16,384.
    pub max_queued_frames: usize,
    /// One of `tramline_on_full`; by default the oldest go.
    pub on_full: i32,
    /// How the frames are serialised; readers are told. By default nothing is said. It must go together with the schema.
    pub frame_encoding: tramline_encoding,
    /// The schema of the frames; readers are told. By default none. See `tramline_room_define_schema`.
    pub schema: tramline_schema_id,
    /// One of `tramline_priority`; by default normal.
    pub priority: i32,
    /// One of `tramline_repair`; by default automatic.
    pub repair: i32,
}

// SAFETY: integers and a pointer, `struct_size` first.
unsafe impl Extensible for tramline_publish_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            name: tramline_str::EMPTY,
            max_age_ms: 100,
            max_queued_bytes: 0,
            max_queued_frames: 0,
            on_full: tramline_on_full::TRAMLINE_ON_FULL_EVICT_OLDEST as i32,
            frame_encoding: tramline_encoding::NONE,
            schema: tramline_schema_id::NONE,
            priority: tramline_priority::TRAMLINE_PRIORITY_NORMAL as i32,
            repair: tramline_repair::TRAMLINE_REPAIR_AUTO as i32,
        }
    }
}

impl tramline_publish_options {
    /// # Safety
    /// The rule on bytes, for the texts.
    unsafe fn to_sdk(self) -> Result<DataTrackOptions, Failure> {
        // SAFETY: the same rule.
        let name = unsafe { self.name.read("options.name") }?;
        let mut options = DataTrackOptions::new(name).with_max_age(max_age(self.max_age_ms));
        if self.max_queued_bytes > 0 {
            options = options.with_max_queued_bytes(self.max_queued_bytes);
        }
        if self.max_queued_frames > 0 {
            options = options.with_max_queued_frames(self.max_queued_frames);
        }
        const EVICT_OLDEST: i32 = tramline_on_full::TRAMLINE_ON_FULL_EVICT_OLDEST as i32;
        const REFUSE: i32 = tramline_on_full::TRAMLINE_ON_FULL_REFUSE as i32;
        let on_full = match self.on_full {
            EVICT_OLDEST => OnFull::EvictOldest,
            REFUSE => OnFull::Refuse,
            other => {
                return Err(Failure::invalid(format!(
                    "options.on_full is {other}; expected one of tramline_on_full"
                )));
            }
        };
        options = options
            .with_on_full(on_full)
            .with_priority(priority(self.priority)?)
            .with_repair(repair(self.repair)?);
        // SAFETY: the same rule.
        let (frame_encoding, schema) = unsafe { (self.frame_encoding.to_frames()?, self.schema.to_sdk()?) };
        if let Some(frame_encoding) = frame_encoding {
            options = options.with_frame_encoding(frame_encoding);
        }
        if let Some(schema) = schema {
            options = options.with_schema(schema);
        }
        Ok(options)
    }
}

fn priority(number: i32) -> Result<Priority, Failure> {
    use tramline_priority::*;
    const BACKGROUND: i32 = TRAMLINE_PRIORITY_BACKGROUND as i32;
    const NORMAL: i32 = TRAMLINE_PRIORITY_NORMAL as i32;
    const HIGH: i32 = TRAMLINE_PRIORITY_HIGH as i32;
    const CRITICAL: i32 = TRAMLINE_PRIORITY_CRITICAL as i32;
    match number {
        BACKGROUND => Ok(Priority::Background),
        NORMAL => Ok(Priority::Normal),
        HIGH => Ok(Priority::High),
        CRITICAL => Ok(Priority::Critical),
        other => {
            Err(Failure::invalid(format!("options.priority is {other}; expected one of tramline_priority")))
        }
    }
}

fn repair(number: i32) -> Result<Repair, Failure> {
    use tramline_repair::*;
    const AUTO: i32 = TRAMLINE_REPAIR_AUTO as i32;
    const OFF: i32 = TRAMLINE_REPAIR_OFF as i32;
    const ALWAYS: i32 = TRAMLINE_REPAIR_ALWAYS as i32;
    match number {
        AUTO => Ok(Repair::Auto),
        OFF => Ok(Repair::Off),
        ALWAYS => Ok(Repair::Always),
        other => Err(Failure::invalid(format!("options.repair is {other}; expected one of tramline_repair"))),
    }
}

/// Bounds of age as they cross the boundary.
pub(crate) fn max_age(millis: i64) -> Option<Duration> {
    wait::timeout(millis)
}

/// What is known about a track. The texts live as long as the handle that they were asked of.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_track_info {
    /// `sizeof(tramline_track_info)`.
    pub struct_size: usize,
    /// The publisher's name for it.
    pub name: tramline_str,
    /// The server's id of it; a new one after each publishing.
    pub sid: tramline_str,
    /// Whether its frames are encrypted end to end: 0 or 1.
    pub uses_e2ee: u8,
    /// How its frames are serialised, as the publisher says: `tramline_frame_encoding`.
    pub frame_encoding: tramline_encoding,
    /// The schema of its frames, as the publisher says; without a name when it says nothing.
    pub schema: tramline_schema_id,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_track_info {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            name: tramline_str::EMPTY,
            sid: tramline_str::EMPTY,
            uses_e2ee: 0,
            frame_encoding: tramline_encoding::NONE,
            schema: tramline_schema_id::NONE,
        }
    }
}

impl tramline_track_info {
    /// The caller says how long `info` lives.
    pub(crate) fn of(info: &sdk::DataTrackInfo) -> Self {
        Self {
            name: tramline_str::of(info.name()),
            sid: tramline_str::of(info.sid().as_str()),
            uses_e2ee: u8::from(info.uses_e2ee()),
            frame_encoding: tramline_encoding::of_frames(info.frame_encoding()),
            schema: tramline_schema_id::of(info.schema()),
            ..Self::defaults()
        }
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_publish_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_publish_options_defaults(
    options: *mut tramline_publish_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// Publishes a data track, and waits until the server has agreed, which takes at most some 15 s. `*track` is null when it fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_publish(
    room: *const tramline_room,
    options: *const tramline_publish_options,
    track: *mut *mut tramline_local_track,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        let (out, room, options) = unsafe {
            let out = Out::handle(track, "track")?;
            if options.is_null() {
                return Err(Failure::null("options"));
            }
            (
                out,
                handle::value(room, "room")?.local_participant()?,
                structs::read(options, "options")?.to_sdk()?,
            )
        };
        out.set(handle::new(block_on(room.publish_data_track(options))??));
        Ok(())
    })
}

/// Queues one frame: `len` bytes at `data`, which are copied, once, into the packets that leave. Never blocks.
///
/// When the queue is full, the track's oldest frames that have not started to leave are dropped and counted, unless the track refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_try_push(
    track: *const tramline_local_track,
    data: *const u8,
    len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (track, payload) = unsafe { (handle::value(track, "track")?, text::bytes(data, len, "data")?) };
        Ok(track.try_push_bytes(payload, None)?)
    })
}

/// As `tramline_local_track_try_push`, with a time stamp of the application's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_try_push_stamped(
    track: *const tramline_local_track,
    data: *const u8,
    len: usize,
    user_timestamp: u64,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (track, payload) = unsafe { (handle::value(track, "track")?, text::bytes(data, len, "data")?) };
        Ok(track.try_push_bytes(payload, Some(user_timestamp))?)
    })
}

/// As `tramline_local_track_try_push`, for a frame, which may be one that was received. It stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_try_push_frame(
    track: *const tramline_local_track,
    frame: *const tramline_frame,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and bytes.
        let (track, frame, payload) = unsafe { push_arguments(track, frame) }?;
        Ok(track.try_push_bytes(payload, frame.timestamp())?)
    })
}

/// Queues one frame as soon as it costs no other frame its place, for data that is made faster than it can be sent. Waits until what is queued
/// before it is about to leave, at most `timeout_ms` (negative: without end); then `TRAMLINE_TIMED_OUT`, and the frame is not queued.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_push(
    track: *const tramline_local_track,
    frame: *const tramline_frame,
    timeout_ms: i64,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and bytes.
        let (track, frame, payload) = unsafe { push_arguments(track, frame) }?;
        // The track may be freed by another thread while this one waits.
        let track = std::sync::Arc::clone(track);
        block_for(timeout_ms, track.push_bytes(payload, frame.timestamp()))??;
        Ok(())
    })
}

/// # Safety
/// The rules on handles, structs and bytes.
unsafe fn push_arguments<'a>(
    track: *const tramline_local_track,
    frame: *const tramline_frame,
) -> Result<(&'a std::sync::Arc<LocalDataTrack>, tramline_frame, &'a [u8]), Failure> {
    if frame.is_null() {
        return Err(Failure::null("frame"));
    }
    // SAFETY: the rules above.
    unsafe {
        let track = handle::value(track, "track")?;
        let frame = structs::read(frame, "frame")?;
        Ok((track, frame, frame.payload()?))
    }
}

/// Runs a future on this thread, for as long as the caller allows.
pub(crate) fn block_for<F: Future>(timeout_ms: i64, future: F) -> Result<F::Output, Failure> {
    match wait::timeout(timeout_ms) {
        None => Ok(block_on(future)?),
        Some(timeout) => Ok(sdk::block_on_for(future, timeout)?),
    }
}

/// Whether frames are still taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_is_published(track: *const tramline_local_track) -> bool {
    // SAFETY: the rule on handles.
    guard_or(false, || Ok(unsafe { handle::value(track, "track") }?.is_published()))
}

/// Ends the track for everybody; idempotent. Frames are refused from now on, those accepted before are sent first. Does not wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_unpublish(
    track: *const tramline_local_track,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        unsafe { handle::value(track, "track") }?.unpublish();
        Ok(())
    })
}

/// What the track is. The texts live as long as `track`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_info(
    track: *const tramline_local_track,
    info: *mut tramline_track_info,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and results.
        unsafe {
            let track = handle::value(track, "track")?;
            structs::write(info, &tramline_track_info::of(track.info()), "info")
        }
    })
}

/// What happened to its frames so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_read_stats(
    track: *const tramline_local_track,
    stats: *mut tramline_local_track_stats,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and results.
        unsafe {
            let track = handle::value(track, "track")?;
            structs::write(stats, &tramline_local_track_stats::of(&track.stats()), "stats")
        }
    })
}

/// Another handle to the same track; null when `track` is, or belongs to another process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_clone(
    track: *const tramline_local_track,
) -> *mut tramline_local_track {
    // SAFETY: the rule on handles.
    guard_or(ptr::null_mut(), || Ok(handle::share(unsafe { handle::value(track, "track") }?)))
}

/// Frees the handle. The last one of a track unpublishes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_local_track_free(track: *mut tramline_local_track) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(track) });
        Ok(())
    });
}
