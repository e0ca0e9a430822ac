//! The library as a wrapper sees it: through its four functions, against the embedded server.

mod talk;

use std::{
    cell::Cell,
    ffi::CStr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use tramline_server::{
    Server, ServerConfig,
    auth::{AccessToken, VideoGrants},
};

use crate::{
    guard, livekit_ffi_dispose, livekit_ffi_drop_handle, livekit_ffi_initialize, livekit_ffi_request,
    proto::{
        self, FfiEvent, FfiRequest, FfiResponse, connect_callback, data_track_stream_event::Detail,
        ffi_event::Message as Event, ffi_request::Message as Request, ffi_response::Message as Response,
        publish_data_track_callback::Result as Published, room_event::Message as InRoom,
    },
};

/// Longer than anything takes that works.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn room_events_wait_for_the_wrapper_and_begin_with_the_state() {
    let library = Library::start();
    let server = server();
    let (room, _) = library.connect(&server, "early");
    // A completed request later, still nothing has been said of the room.
    library.request_later(Request::GetSessionStats(proto::GetSessionStatsRequest {
        room_handle: room,
        request_async_id: Some(77),
    }));
    library.wait(|event| matches!(event, Event::GetSessionStats(told) if told.async_id == 77).then_some(()));
    assert!(library.seen(|event| matches!(event, Event::RoomEvent(_))) == 0);

    library.ready(room);
    let first = library.wait(|event| match event {
        Event::RoomEvent(event) => event.message.clone(),
        _ => None,
    });
    assert!(matches!(first, InRoom::ConnectionStateChanged(changed) if changed.state == 1));
}

#[test]
fn a_callback_that_blocks_in_a_room_holds_up_no_completion_and_no_other_room() {
    let library = Library::start();
    let server = server();
    let (blocked, blocked_participant) = library.connect(&server, "blocked");
    let (free, _) = library.connect(&server, "free");
    BLOCKED_ROOM.store(blocked, Ordering::Release);
    library.ready(blocked);
    library.wait_until(|| IS_BLOCKING.load(Ordering::Acquire));

    library.ready(free);
    library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == free => Some(()),
        _ => None,
    });
    let track = library.publish(blocked_participant, "scan");
    assert!(track.info.sid.starts_with("DTR_"));

    BLOCKED_ROOM.store(0, Ordering::Release);
    library.wake();
    library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == blocked => Some(()),
        _ => None,
    });
}

#[test]
fn each_read_is_one_event_and_the_end_waits_for_the_first() {
    let library = Library::start();
    let server = server();
    let (publishing, participant) = library.connect(&server, "publisher");
    let (subscribing, _) = library.connect(&server, "subscriber");
    library.ready(publishing);
    library.ready(subscribing);
    let local = library.publish(participant, "scan").handle.id;
    let remote = library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == subscribing => match &event.message {
            Some(InRoom::DataTrackPublished(published)) => Some(published.track.handle.id),
            _ => None,
        },
        _ => None,
    });
    let stream = library.subscribe(remote);
    let unread = library.subscribe(remote);

    // Until the subscription is up, frames go nowhere.
    assert!(library.read(stream).is_none());
    while library.frames(stream).is_empty() {
        library.push(local, b"first");
        library.wait_a_turn();
    }
    // More come than are asked for: nothing is told of them.
    for _ in 0..20 {
        library.push(local, b"more");
    }
    assert!(library.read(stream).is_none());
    library.wait_until(|| library.frames(stream).len() == 2);

    library.request(Request::LocalDataTrackUnpublish(proto::LocalDataTrackUnpublishRequest {
        track_handle: local,
    }));
    library.wait(|event| match event {
        Event::RoomEvent(event) => match &event.message {
            Some(InRoom::DataTrackUnpublished(_)) => Some(()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(library.frames(stream).len(), 2, "two reads, two frames");
    assert_eq!(library.ends(unread), 0, "nobody has asked");
    // What has come before the end is still there, for whoever asks.
    let mut asked = 0;
    while library.ends(unread) == 0 {
        library.read(unread);
        asked += 1;
        library.wait_until(|| library.frames(unread).len() + library.ends(unread) >= asked);
    }
    assert_eq!(library.ends(unread), 1);
    let end = library.read(unread).expect("it has ended");
    assert!(end.error.is_none());
    assert_eq!(library.ends(unread), 1, "told once");
}

#[test]
fn a_track_that_is_gone_gives_a_stream_that_ends_with_livekits_error() {
    let library = Library::start();
    let server = server();
    let (publishing, participant) = library.connect(&server, "publisher");
    let (subscribing, _) = library.connect(&server, "subscriber");
    library.ready(publishing);
    library.ready(subscribing);
    let local = library.publish(participant, "gone").handle.id;
    let remote = library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == subscribing => match &event.message {
            Some(InRoom::DataTrackPublished(published)) => Some(published.track.handle.id),
            _ => None,
        },
        _ => None,
    });
    // Dropping the handle unpublishes.
    assert!(livekit_ffi_drop_handle(local));
    library.wait_until(|| {
        let asked = proto::RemoteDataTrackIsPublishedRequest { track_handle: remote };
        matches!(
            library.request(Request::RemoteDataTrackIsPublished(asked)),
            Response::RemoteDataTrackIsPublished(answer) if !answer.is_published
        )
    });
    let stream = library.subscribe(remote);
    library.read(stream);
    let error = library.wait(|event| match event {
        Event::DataTrackStreamEvent(told) if told.stream_handle == stream => match &told.detail {
            Some(Detail::Eos(end)) => Some(end.error.clone()),
            _ => None,
        },
        _ => None,
    });
    let internal = proto::SubscribeDataTrackErrorCode::Internal as i32;
    assert!(error.is_some_and(|error| error.code == internal && !error.message.is_empty()));
}

#[test]
fn after_dispose_nothing_is_told_and_everything_can_begin_again() {
    let server = server();
    let mut earlier = Vec::new();
    for round in 0..3 {
        let library = Library::start();
        let (room, participant) = library.connect(&server, "again");
        let track = library.publish(participant, "scan").handle.id;
        // The first round disconnects, the others leave that to the dispose, with the room ready or not.
        if round > 0 {
            library.ready(room);
        }
        if round == 0 {
            let gone =
                proto::DisconnectRequest { room_handle: room, request_async_id: Some(5), reason: None };
            library.request_later(Request::Disconnect(gone));
            library
                .wait(|event| matches!(event, Event::Disconnect(told) if told.async_id == 5).then_some(()));
            library.wait(|event| match event {
                Event::RoomEvent(event) if event.room_handle == room => {
                    matches!(event.message, Some(InRoom::Eos(_))).then_some(())
                }
                _ => None,
            });
        }
        livekit_ffi_dispose();
        let told = library.seen(|_| true);
        assert!(library.try_request(Request::E2ee(proto::E2eeRequest::default())).is_none());
        for handle in [room, participant, track] {
            assert!(!livekit_ffi_drop_handle(handle), "a handle of before");
        }
        for handle in &earlier {
            assert!(!livekit_ffi_drop_handle(*handle));
        }
        earlier.extend([room, participant, track]);
        assert_eq!(library.seen(|_| true), told, "nothing is told after the dispose");
        assert_eq!(our_threads(), [""; 0], "no thread is left");
    }
}

#[test]
fn a_room_that_is_dropped_is_left() {
    let library = Library::start();
    let server = server();
    let (staying, _) = library.connect(&server, "staying");
    library.ready(staying);
    let (dropped, _) = library.connect(&server, "dropped");
    let comes = library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == staying => match &event.message {
            Some(InRoom::ParticipantConnected(connected)) => Some(connected.info.info.identity.clone()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(comes, "dropped");
    assert!(livekit_ffi_drop_handle(dropped));
    let goes = library.wait(|event| match event {
        Event::RoomEvent(event) if event.room_handle == staying => match &event.message {
            Some(InRoom::ParticipantDisconnected(gone)) => {
                Some((gone.participant_identity.clone(), gone.disconnect_reason))
            }
            _ => None,
        },
        _ => None,
    });
    assert_eq!(goes, ("dropped".to_owned(), proto::DisconnectReason::ClientInitiated as i32));
}

#[test]
fn a_dispose_request_is_answered_and_disposes() {
    let library = Library::start();
    let Response::Dispose(answer) =
        library.request(Request::Dispose(proto::DisposeRequest { r#async: true }))
    else {
        panic!("another response");
    };
    let id = answer.async_id.expect("it is asynchronous");
    library.wait(|event| matches!(event, Event::Dispose(told) if told.async_id == id).then_some(()));
    library.wait_until(|| library.try_request(Request::E2ee(proto::E2eeRequest::default())).is_none());

    // The response to a synchronous one is still there to be read, and is dropped as any other.
    let library = library.restart();
    let response = library.request(Request::Dispose(proto::DisposeRequest { r#async: false }));
    assert!(matches!(response, Response::Dispose(answer) if answer.async_id.is_none()));
}

#[test]
fn a_room_that_cannot_be_joined_is_told_with_words() {
    let library = Library::start();
    let request = proto::ConnectRequest {
        url: "ws://127.0.0.1:1".to_owned(),
        token: "no token".to_owned(),
        ..Default::default()
    };
    let Response::Connect(answer) = library.request(Request::Connect(request)) else {
        panic!("another response");
    };
    assert_ne!(answer.async_id, 0);
    let error = library.wait(|event| match event {
        Event::Connect(told) if told.async_id == answer.async_id => match &told.message {
            Some(connect_callback::Message::Error(error)) => Some(error.clone()),
            _ => None,
        },
        _ => None,
    });
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_panic_ends_where_the_library_ends() {
    assert!(guard("test", || -> u64 { panic!("on purpose") }).is_none());
}

/// The library, initialised; disposed of at the end. There is one in a process, so the tests take turns.
struct Library {
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());
static TOLD: Mutex<Vec<Event>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();
/// The callback blocks in events of this room, as an application does that takes its time.
static BLOCKED_ROOM: AtomicU64 = AtomicU64::new(0);
static IS_BLOCKING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This thread is inside a request.
    static IN_REQUEST: Cell<bool> = const { Cell::new(false) };
}

fn told() -> MutexGuard<'static, Vec<Event>> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn callback(data: *const u8, len: usize) {
    assert!(!IN_REQUEST.get(), "a callback from inside a request");
    // SAFETY: the library gives as many readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(data, len) };
    let event = FfiEvent::decode(bytes).expect("an event").message.expect("a message");
    let mut told = told();
    if let Event::RoomEvent(event) = &event {
        while event.room_handle == BLOCKED_ROOM.load(Ordering::Acquire) {
            IS_BLOCKING.store(true, Ordering::Release);
            CHANGED.notify_all();
            told = CHANGED.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }
    told.push(event);
    CHANGED.notify_all();
}

impl Library {
    fn start() -> Self {
        Self::start_as(c"test")
    }

    fn start_as(sdk: &CStr) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let library = Self { _turn: turn };
        library.initialize(sdk);
        library
    }

    /// As a wrapper does that initialises without having disposed.
    fn restart(self) -> Self {
        self.initialize(c"test");
        self
    }

    fn initialize(&self, sdk: &CStr) {
        told().clear();
        IS_BLOCKING.store(false, Ordering::Release);
        // SAFETY: the callback can be called from everywhere at any time, and the strings are literals.
        unsafe { livekit_ffi_initialize(Some(callback), false, sdk.as_ptr(), c"1".as_ptr()) };
    }

    fn try_request(&self, message: Request) -> Option<Response> {
        let request = FfiRequest { message: Some(message) }.encode_to_vec();
        let (mut data, mut len) = (std::ptr::null(), 0);
        IN_REQUEST.set(true);
        // SAFETY: the pointers are those of live locals.
        let handle = unsafe { livekit_ffi_request(request.as_ptr(), request.len(), &mut data, &mut len) };
        IN_REQUEST.set(false);
        if handle == 0 {
            return None;
        }
        // SAFETY: the response is readable until its handle is dropped.
        let bytes = unsafe { std::slice::from_raw_parts(data, len) };
        let response = FfiResponse::decode(bytes).expect("a response").message.expect("a message");
        assert!(livekit_ffi_drop_handle(handle));
        Some(response)
    }

    fn request(&self, message: Request) -> Response {
        self.try_request(message).expect("a response")
    }

    /// For requests whose id is the test's own.
    fn request_later(&self, message: Request) {
        let _ = self.request(message);
    }

    fn connect(&self, server: &Server, identity: &str) -> (u64, u64) {
        let token = AccessToken::new("devkey", "secret")
            .with_identity(identity)
            .with_grants(VideoGrants::join("yard"))
            .to_jwt()
            .expect("a token");
        let request = proto::ConnectRequest { url: server.url(), token, ..Default::default() };
        let Response::Connect(answer) = self.request(Request::Connect(request)) else {
            panic!("another response");
        };
        let result = self.wait(|event| match event {
            Event::Connect(told) if told.async_id == answer.async_id => told.message.clone(),
            _ => None,
        });
        match result {
            connect_callback::Message::Result(result) => {
                assert_eq!(result.local_participant.info.identity, identity);
                assert_eq!(result.room.info.name, "yard");
                (result.room.handle.id, result.local_participant.handle.id)
            }
            connect_callback::Message::Error(error) => panic!("not connected: {error}"),
        }
    }

    fn ready(&self, room_handle: u64) {
        self.request(Request::ReadyForRoomEvent(proto::ReadyForRoomEventRequest { room_handle }));
    }

    fn publish(&self, participant: u64, name: &str) -> proto::OwnedLocalDataTrack {
        let request = proto::PublishDataTrackRequest {
            local_participant_handle: participant,
            options: proto::DataTrackOptions { name: name.to_owned(), ..Default::default() },
            request_async_id: None,
        };
        let Response::PublishDataTrack(answer) = self.request(Request::PublishDataTrack(request)) else {
            panic!("another response");
        };
        let result = self.wait(|event| match event {
            Event::PublishDataTrack(told) if told.async_id == answer.async_id => told.result.clone(),
            _ => None,
        });
        match result {
            Published::Track(track) => track,
            Published::Error(error) => panic!("not published: {}", error.message),
        }
    }

    fn push(&self, track_handle: u64, payload: &'static [u8]) {
        let frame = proto::DataTrackFrame { payload: payload.into(), user_timestamp: None };
        let request = proto::LocalDataTrackTryPushRequest { track_handle, frame };
        let response = self.request(Request::LocalDataTrackTryPush(request));
        assert!(matches!(response, Response::LocalDataTrackTryPush(answer) if answer.error.is_none()));
    }

    fn subscribe(&self, track_handle: u64) -> u64 {
        let request = proto::SubscribeDataTrackRequest { track_handle, ..Default::default() };
        match self.request(Request::SubscribeDataTrack(request)) {
            Response::SubscribeDataTrack(answer) => answer.stream.handle.id,
            _ => panic!("another response"),
        }
    }

    fn read(&self, stream_handle: u64) -> Option<proto::DataTrackStreamEos> {
        let request = proto::DataTrackStreamReadRequest { stream_handle };
        match self.request(Request::DataTrackStreamRead(request)) {
            Response::DataTrackStreamRead(answer) => answer.eos_event,
            _ => panic!("another response"),
        }
    }

    fn frames(&self, stream: u64) -> Vec<Vec<u8>> {
        let told = told();
        let frames = told.iter().filter_map(|event| match event {
            Event::DataTrackStreamEvent(told) if told.stream_handle == stream => match &told.detail {
                Some(Detail::FrameReceived(received)) => Some(received.frame.payload.to_vec()),
                _ => None,
            },
            _ => None,
        });
        frames.collect()
    }

    fn ends(&self, stream: u64) -> usize {
        self.seen(|event| match event {
            Event::DataTrackStreamEvent(told) if told.stream_handle == stream => {
                matches!(told.detail, Some(Detail::Eos(_)))
            }
            _ => false,
        })
    }

    fn seen(&self, pick: impl Fn(&Event) -> bool) -> usize {
        told().iter().filter(|event| pick(event)).count()
    }

    /// Waits for an event, looking at those that have come already too.
    fn wait<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut told = told();
        loop {
            if let Some(found) = told.iter().find_map(&pick) {
                return found;
            }
            let (next, outcome) = CHANGED.wait_timeout(told, LIMIT).unwrap_or_else(PoisonError::into_inner);
            assert!(!outcome.timed_out(), "the event never came");
            told = next;
        }
    }

    /// Waits until something holds that changes with events, or by itself.
    fn wait_until(&self, holds: impl Fn() -> bool) {
        let start = std::time::Instant::now();
        while !holds() {
            assert!(start.elapsed() < LIMIT, "it never came to that");
            self.wait_a_turn();
        }
    }

    /// Until the next event, or a moment.
    fn wait_a_turn(&self) {
        let _ = CHANGED.wait_timeout(told(), Duration::from_millis(10));
    }

    fn wake(&self) {
        CHANGED.notify_all();
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        BLOCKED_ROOM.store(0, Ordering::Release);
        CHANGED.notify_all();
        livekit_ffi_dispose();
    }
}

fn server() -> Server {
    Server::start(ServerConfig::ephemeral()).expect("free ports")
}

/// The names of the library's threads; the server in this process has others.
fn our_threads() -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let names = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned());
    names
        .filter(|name| matches!(name.as_str(), "tramline-ffi" | "tramline-event" | "tramline-room"))
        .collect()
}

/// Threads of the library take no signals: the mask of each, as Linux tells it.
#[cfg(target_os = "linux")]
#[test]
fn our_threads_take_no_signals() {
    let library = Library::start();
    let server = server();
    library.connect(&server, "signals");
    let mut looked_at = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("the threads").flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if !matches!(name.trim(), "tramline-ffi" | "tramline-event" | "tramline-room") {
            continue;
        }
        let status = std::fs::read_to_string(task.path().join("status")).expect("its status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
        for signal in [2, 13, 15, 17] {
            assert_ne!(mask & (1 << (signal - 1)), 0, "{name} takes signal {signal}");
        }
        looked_at += 1;
    }
    assert!(looked_at >= 3, "{looked_at} threads");
}
