//! The frames of one subscription, for any number of threads.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use sdk::{
    DataTrackFrame, DataTrackStream, DataTrackSubscribeError, DataTrackSubscribeOptions, RemoteDataTrack,
    StreamEnd, StreamEvent, StreamStats, TryReadError,
};

use crate::{
    error::{Failure, guard},
    frame::tramline_frame,
    handle::{self, Out, Owned, handle},
    stats::tramline_stream_stats,
    status::tramline_status::{self, *},
    structs,
    wait::{Bell, lock, wait_for},
};

/// The frames of one subscription, in the order in which they became whole. All its functions may be called on any thread, at the same time:
/// each frame goes to one of the readers, and a close wakes them all.
pub struct tramline_stream(Owned<Subscription>);
handle!(tramline_stream holds Subscription);

/// What the readers of a stream share.
pub(crate) struct Subscription {
    bell: Arc<Bell>,
    state: Mutex<State>,
}

/// ```text
/// Subscribing ──▶ Live ──▶ Over
///      └────────────────────▲
/// ```
enum State {
    Subscribing(Subscribing),
    Live(DataTrackStream),
    Over { why: Over, stats: StreamStats },
}

type Subscribing =
    Pin<Box<dyn Future<Output = Result<DataTrackStream, DataTrackSubscribeError>> + Send + 'static>>;

#[derive(Debug, Clone)]
enum Over {
    Refused(DataTrackSubscribeError),
    /// Closed by this side, after this end.
    Ended(StreamEnd),
    Closed,
}

impl Over {
    fn failure(&self) -> Failure {
        match self {
            Self::Refused(error) => error.clone().into(),
            Self::Ended(_) => Failure::outcome(TRAMLINE_ENDED),
            Self::Closed => Failure::outcome(TRAMLINE_CLOSED),
        }
    }
}

impl Subscription {
    pub(crate) fn start(track: RemoteDataTrack, options: DataTrackSubscribeOptions) -> Self {
        let subscribing: Subscribing = Box::pin(async move { track.subscribe_with_options(options).await });
        let this =
            Self { bell: Arc::new(Bell::default()), state: Mutex::new(State::Subscribing(subscribing)) };
        // The first look sends the request.
        this.look();
        this
    }

    /// Takes the server's answer when it is there.
    fn look(&self) {
        let waker = Arc::clone(&self.bell).into();
        let _ = self.poll_subscribed(&mut lock(&self.state), &mut Context::from_waker(&waker));
    }

    fn poll_subscribed<'a>(
        &self,
        state: &'a mut State,
        cx: &mut Context<'_>,
    ) -> Poll<Result<&'a mut DataTrackStream, Failure>> {
        if let State::Subscribing(subscribing) = state {
            *state = match subscribing.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(stream)) => State::Live(stream),
                Poll::Ready(Err(error)) => {
                    State::Over { why: Over::Refused(error), stats: StreamStats::default() }
                }
            };
        }
        match state {
            State::Live(stream) => Poll::Ready(Ok(stream)),
            State::Over { why, .. } => Poll::Ready(Err(why.failure())),
            // Its answer was taken above.
            State::Subscribing(_) => Poll::Pending,
        }
    }

    fn read(&self, timeout_ms: i64) -> Result<DataTrackFrame, Failure> {
        wait_for(&self.bell, timeout_ms, |cx| {
            let mut state = lock(&self.state);
            let stream = match self.poll_subscribed(&mut state, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Ready(Ok(stream)) => stream,
            };
            stream.poll_read_event(cx).map(|event| match event {
                Some(event) => frame_of(event),
                None => Err(Failure::outcome(TRAMLINE_ENDED)),
            })
        })?
    }

    fn try_read(&self) -> Result<DataTrackFrame, Failure> {
        let waker = Arc::clone(&self.bell).into();
        let mut state = lock(&self.state);
        match self.poll_subscribed(&mut state, &mut Context::from_waker(&waker)) {
            Poll::Pending => Err(Failure::outcome(TRAMLINE_EMPTY)),
            Poll::Ready(Err(failure)) => Err(failure),
            Poll::Ready(Ok(stream)) => match stream.try_read_event() {
                Ok(event) => frame_of(event),
                Err(TryReadError::Ended) => Err(Failure::outcome(TRAMLINE_ENDED)),
                Err(_) => Err(Failure::outcome(TRAMLINE_EMPTY)),
            },
        }
    }

    fn read_latest(&self, max_age: Duration) -> Result<DataTrackFrame, Failure> {
        let waker = Arc::clone(&self.bell).into();
        let mut state = lock(&self.state);
        match self.poll_subscribed(&mut state, &mut Context::from_waker(&waker)) {
            Poll::Pending => Err(Failure::outcome(TRAMLINE_EMPTY)),
            Poll::Ready(Err(failure)) => Err(failure),
            Poll::Ready(Ok(stream)) => match stream.read_latest(max_age) {
                Some(frame) => Ok(frame),
                None if stream.end().is_some() => Err(Failure::outcome(TRAMLINE_ENDED)),
                None => Err(Failure::outcome(TRAMLINE_EMPTY)),
            },
        }
    }

    /// The first end is the one that is told.
    pub(crate) fn close(&self) {
        let before = {
            let mut state = lock(&self.state);
            let (why, stats) = match &*state {
                State::Over { .. } => return,
                State::Subscribing(_) => (Over::Closed, StreamStats::default()),
                State::Live(stream) => (stream.end().map_or(Over::Closed, Over::Ended), stream.stats()),
            };
            std::mem::replace(&mut *state, State::Over { why, stats })
        };
        // Unsubscribes, outside of the lock.
        drop(before);
        self.bell.ring();
    }

    fn status(&self) -> Result<(), Failure> {
        self.look();
        let end = match &*lock(&self.state) {
            State::Subscribing(_) => return Ok(()),
            State::Live(stream) => match stream.end() {
                None => return Ok(()),
                Some(end) => end,
            },
            State::Over { why: Over::Ended(end), .. } => *end,
            State::Over { why, .. } => return Err(why.failure()),
        };
        Err(match end {
            StreamEnd::Disconnected(reason) => Failure::new(
                TRAMLINE_ERR_DISCONNECTED,
                format!("the stream ended with the session: {reason}; connect again and subscribe then"),
            ),
            _ => Failure::outcome(TRAMLINE_ENDED),
        })
    }

    fn stats(&self) -> StreamStats {
        match &*lock(&self.state) {
            State::Subscribing(_) => StreamStats::default(),
            State::Live(stream) => stream.stats(),
            State::Over { stats, .. } => *stats,
        }
    }
}

fn frame_of(event: StreamEvent) -> Result<DataTrackFrame, Failure> {
    match event {
        StreamEvent::Frame(frame) => Ok(frame),
        _ => Err(Failure::outcome(TRAMLINE_DEADLINE_MISSED)),
    }
}

/// Waits until the server has started the subscription, or says why not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_wait_subscribed(
    stream: *const tramline_stream,
    timeout_ms: i64,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let stream = Arc::clone(unsafe { handle::value(stream, "stream") }?);
        wait_for(&stream.bell, timeout_ms, |cx| {
            stream.poll_subscribed(&mut lock(&stream.state), cx).map_ok(|_| ())
        })?
    })
}

/// The next frame, into `frame`, to be released with `tramline_frame_release`. Waits for it at most `timeout_ms`: negative is without end.
///
/// `TRAMLINE_TIMED_OUT`, `TRAMLINE_DEADLINE_MISSED` if the stream has a deadline, `TRAMLINE_ENDED` once the stream has ended and everything before has been read, `TRAMLINE_CLOSED` after a close, or why
/// the subscription failed (`TRAMLINE_ERR_SUBSCRIBE_...`). `frame` is empty then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_read(
    stream: *const tramline_stream,
    timeout_ms: i64,
    frame: *mut tramline_frame,
) -> tramline_status {
    // SAFETY: the rules on handles and structs.
    guard(|| unsafe { read_one(stream, frame, |stream| stream.read(timeout_ms)) })
}

/// The next frame if one is there now; `TRAMLINE_EMPTY` if not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_try_read(
    stream: *const tramline_stream,
    frame: *mut tramline_frame,
) -> tramline_status {
    // SAFETY: the rules on handles and structs.
    guard(|| unsafe { read_one(stream, frame, Subscription::try_read) })
}

/// The newest frame, if it came within `max_age_ms`: what a control loop acts on, each time it comes round. Never waits; `TRAMLINE_EMPTY`, or
/// `TRAMLINE_ENDED` once the stream has ended, is the moment to stop the machine.
///
/// The same frame is given again until a newer one has come or it is too old; `number` tells them apart. Older frames that were not read are dropped and
/// counted as superseded, which is no gap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_read_latest(
    stream: *const tramline_stream,
    max_age_ms: u64,
    frame: *mut tramline_frame,
) -> tramline_status {
    // SAFETY: the rules on handles and structs.
    guard(|| unsafe {
        read_one(stream, frame, |stream| stream.read_latest(Duration::from_millis(max_age_ms)))
    })
}

/// # Safety
/// The rules on handles and structs.
unsafe fn read_one(
    stream: *const tramline_stream,
    frame: *mut tramline_frame,
    read: impl FnOnce(&Subscription) -> Result<DataTrackFrame, Failure>,
) -> Result<(), Failure> {
    // SAFETY: the rules above. What was in `frame` before is the caller's to release.
    unsafe {
        let stream = Arc::clone(handle::value(stream, "stream")?);
        structs::write(frame, &<tramline_frame as structs::Extensible>::defaults(), "frame")?;
        let read = read(&stream)?;
        structs::write(frame, &tramline_frame::of(read), "frame")
    }
}

/// As many frames as are there, at most `capacity`, into `frames`; how many into `count`. Waits for the first one only, at most `timeout_ms`.
/// `frames[0].struct_size` is read, and holds for all of them. Each one is to be released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_read_batch(
    stream: *const tramline_stream,
    timeout_ms: i64,
    frames: *mut tramline_frame,
    capacity: usize,
    count: *mut usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles and structs.
        let (count, stream, size) = unsafe {
            let count = Out::new(count, "count")?;
            count.set(0);
            let stream = Arc::clone(handle::value(stream, "stream")?);
            if frames.is_null() {
                return Err(Failure::null("frames"));
            }
            if capacity == 0 {
                return Err(Failure::invalid("capacity is 0; expected room for one frame at least"));
            }
            (count, stream, structs::size_of_struct(frames, "frames[0]")?)
        };
        let mut next = Some(stream.read(timeout_ms)?);
        let mut read = 0;
        while let Some(frame) = next {
            // SAFETY: below `capacity`, and each element has `size` bytes.
            unsafe {
                let place = frames.cast::<u8>().add(read * size);
                structs::write_sized(place, &tramline_frame::of(frame), size);
            }
            read += 1;
            next = if read < capacity { stream.try_read().ok() } else { None };
        }
        count.set(read);
        Ok(())
    })
}

/// How the stream stands: `TRAMLINE_OK` while it goes on or is being set up, `TRAMLINE_ENDED` when the track is not published any more,
/// `TRAMLINE_ERR_DISCONNECTED` when the session ended, `TRAMLINE_CLOSED`, or why the subscription failed. The first end stays. Frames from
/// before the end may still wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_status(stream: *const tramline_stream) -> tramline_status {
    // SAFETY: the rule on handles.
    guard(|| unsafe { handle::value(stream, "stream") }?.status())
}

/// Closes the stream; idempotent. Threads that wait in a read return `TRAMLINE_CLOSED`, frames that wait are gone, and the last stream of a
/// track unsubscribes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_close(stream: *const tramline_stream) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        unsafe { handle::value(stream, "stream") }?.close();
        Ok(())
    })
}

/// What happened to the frames on their way to the readers of this stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_read_stats(
    stream: *const tramline_stream,
    stats: *mut tramline_stream_stats,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and results.
        unsafe {
            let stream = handle::value(stream, "stream")?;
            structs::write(stats, &tramline_stream_stats::of(&stream.stats()), "stats")
        }
    })
}

/// Closes the stream and frees the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_stream_free(stream: *mut tramline_stream) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        if let Some(stream) = unsafe { handle::take(stream) } {
            // A thread that waits in a read shares it, and is sent away.
            stream.close();
        }
        Ok(())
    });
}
