//! A track that another participant publishes.

use std::{mem::size_of, ptr, time::Duration};

use sdk::{DataTrackSubscribeOptions, LateFrames, RemoteDataTrack, RemoteDataTrackPipelineOptions};

use crate::{
    error::{Failure, guard, guard_or},
    handle::{self, Out, Owned, handle},
    local_track::{max_age, tramline_track_info},
    stats::tramline_remote_track_stats,
    status::tramline_status,
    stream::{Subscription, tramline_stream},
    structs::{self, Extensible},
    text::tramline_str,
};

/// A data track of another participant. Holding it costs nothing until it is subscribed to.
pub struct tramline_remote_track(Owned<RemoteDataTrack>);
handle!(tramline_remote_track holds RemoteDataTrack);

/// What a stream does with frames that come after newer ones, because they were lost on the way and sent again.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_late_frames {
    /// Hands them out like the others; their `number` tells where they belong.
    TRAMLINE_LATE_FRAMES_DELIVER = 0,
    /// Drops and counts them: the numbers of what is read only ever rise.
    TRAMLINE_LATE_FRAMES_DROP = 1,
}

/// What a stream holds for its reader. Age is the bound that matters: what was not read within it is not live any more.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_subscribe_options {
    /// `sizeof(tramline_subscribe_options)`.
    pub struct_size: usize,
    /// Frames that may wait, the oldest go first; 0 is the default, 16,384. (LiveKit's clients have 16.)
    pub buffer_size: usize,
    /// Payload bytes that may wait; 0 is the default, 16 MiB.
    pub max_bytes: usize,
    /// How long a frame may wait for the reader, in milliseconds. Default 100; negative keeps frames until there are too many.
    pub max_age_ms: i64,
    /// How long the track may be silent, in milliseconds: when no frame came for that long, a read returns `TRAMLINE_DEADLINE_MISSED`, once for
    /// each silence. Default 0, never.
    pub deadline_ms: u64,
    /// One of `tramline_late_frames`; by default they are handed out.
    pub late_frames: i32,
}

// SAFETY: integers, `struct_size` first.
unsafe impl Extensible for tramline_subscribe_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            buffer_size: 0,
            max_bytes: 0,
            max_age_ms: 100,
            deadline_ms: 0,
            late_frames: tramline_late_frames::TRAMLINE_LATE_FRAMES_DELIVER as i32,
        }
    }
}

impl tramline_subscribe_options {
    fn to_sdk(self) -> Result<DataTrackSubscribeOptions, Failure> {
        let mut options = DataTrackSubscribeOptions::new().with_max_age(max_age(self.max_age_ms));
        if self.buffer_size > 0 {
            options = options.with_buffer_size(self.buffer_size);
        }
        if self.max_bytes > 0 {
            options = options.with_max_bytes(self.max_bytes);
        }
        if self.deadline_ms > 0 {
            options = options.with_deadline(Duration::from_millis(self.deadline_ms));
        }
        const DELIVER: i32 = tramline_late_frames::TRAMLINE_LATE_FRAMES_DELIVER as i32;
        const DROP: i32 = tramline_late_frames::TRAMLINE_LATE_FRAMES_DROP as i32;
        let late_frames = match self.late_frames {
            DELIVER => LateFrames::Deliver,
            DROP => LateFrames::Drop,
            other => {
                return Err(Failure::invalid(format!(
                    "options.late_frames is {other}; expected one of tramline_late_frames"
                )));
            }
        };
        Ok(options.with_late_frames(late_frames))
    }
}

/// How the packets of a track become frames again, for all its streams.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_pipeline_options {
    /// `sizeof(tramline_pipeline_options)`.
    pub struct_size: usize,
    /// Frames of several packets that may be under way at once; 0 is the default, 8. With 1 it behaves exactly as LiveKit's clients do: the
    /// start of a frame gives up the one before.
    pub max_partial_frames: u32,
}

// SAFETY: integers, `struct_size` first.
unsafe impl Extensible for tramline_pipeline_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self { struct_size: size_of::<Self>(), max_partial_frames: 0 }
    }
}

impl tramline_pipeline_options {
    fn to_sdk(self) -> RemoteDataTrackPipelineOptions {
        let options = RemoteDataTrackPipelineOptions::new();
        match self.max_partial_frames {
            0 => options,
            frames => options.with_max_partial_frames(usize::try_from(frames).unwrap_or(usize::MAX)),
        }
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_subscribe_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_subscribe_options_defaults(
    options: *mut tramline_subscribe_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_pipeline_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_pipeline_options_defaults(
    options: *mut tramline_pipeline_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// What the track is. The texts live as long as `track`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_info(
    track: *const tramline_remote_track,
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

/// Who publishes it; empty when `track` is null. The text lives as long as `track`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_publisher(
    track: *const tramline_remote_track,
) -> tramline_str {
    guard_or(tramline_str::EMPTY, || {
        // SAFETY: the rule on handles.
        Ok(tramline_str::of(unsafe { handle::value(track, "track") }?.publisher_identity().as_str()))
    })
}

/// Whether it is still published, as far as this side knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_is_published(track: *const tramline_remote_track) -> bool {
    // SAFETY: the rule on handles.
    guard_or(false, || Ok(unsafe { handle::value(track, "track") }?.is_published()))
}

/// Sets how its packets become frames, for present and later streams, from the next packet on. Null is the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_set_pipeline_options(
    track: *const tramline_remote_track,
    options: *const tramline_pipeline_options,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and structs.
        let (track, options) =
            unsafe { (handle::value(track, "track")?, structs::read(options, "options")?) };
        track.set_pipeline_options(options.to_sdk());
        Ok(())
    })
}

/// What happened to its frames since the first subscription.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_read_stats(
    track: *const tramline_remote_track,
    stats: *mut tramline_remote_track_stats,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and results.
        unsafe {
            let track = handle::value(track, "track")?;
            structs::write(stats, &tramline_remote_track_stats::of(&track.stats()), "stats")
        }
    })
}

/// Subscribes, without waiting: the stream is there at once, and its first read waits for the server as well. What becomes of it is told by
/// the reads, by `tramline_stream_wait_subscribed` and by `tramline_stream_status`. Null `options` are the defaults.
///
/// Only the first stream of a track asks the server; others share what it gets, each with a queue of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_subscribe(
    track: *const tramline_remote_track,
    options: *const tramline_subscribe_options,
    stream: *mut *mut tramline_stream,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles and structs.
        let (out, track, options) = unsafe {
            (
                Out::handle(stream, "stream")?,
                handle::value(track, "track")?,
                structs::read(options, "options")?,
            )
        };
        out.set(handle::new(Subscription::start(RemoteDataTrack::clone(track), options.to_sdk()?)));
        Ok(())
    })
}

/// Another handle to the same track; null when `track` is, or belongs to another process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_clone(
    track: *const tramline_remote_track,
) -> *mut tramline_remote_track {
    // SAFETY: the rule on handles.
    guard_or(ptr::null_mut(), || Ok(handle::share(unsafe { handle::value(track, "track") }?)))
}

/// Frees the handle. Streams of the track go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_free(track: *mut tramline_remote_track) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(track) });
        Ok(())
    });
}
