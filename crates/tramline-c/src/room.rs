//! The room: joining, who is there, leaving.

use std::{
    ffi::{c_char, c_void},
    mem::size_of,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sdk::{
    ConnectionState, KeyProvider, LocalParticipant, Participant, Room, RoomOptions, TlsOptions, block_on,
};

use crate::{
    error::{Failure, guard, guard_or},
    event::tramline_event,
    event_thread::{EventSource, tramline_event_callback},
    handle::{self, Out, Owned, handle},
    keys::tramline_keys,
    list::tramline_participant_list,
    participant::{not_found, tramline_participant},
    stats::tramline_room_stats,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_str, tramline_string},
};

/// One participant's stay in a room. It has one thread of its own, `tramline-room`, which does all its work.
pub struct tramline_room(Owned<Stay>);
handle!(tramline_room holds Stay);

/// What a room's handle stands for.
pub(crate) struct Stay {
    /// Until the handle is freed.
    room: std::sync::Mutex<Option<Arc<Room>>>,
    events: Arc<EventSource>,
    /// Left by `tramline_room_disconnect`.
    has_left: AtomicBool,
}

impl Stay {
    fn room(&self) -> Result<Arc<Room>, Failure> {
        crate::wait::lock(&self.room)
            .clone()
            .ok_or_else(|| Failure::new(TRAMLINE_ERR_DISCONNECTED, "the room is being freed"))
    }

    pub(crate) fn local_participant(&self) -> Result<LocalParticipant, Failure> {
        Ok(self.room()?.local_participant())
    }
}

/// How to join a room. Take `tramline_room_options_defaults` and set what differs.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_room_options {
    /// `sizeof(tramline_room_options)`.
    pub struct_size: usize,
    /// Time for connecting as a whole, in milliseconds. Default 15,000.
    pub connect_timeout_ms: u64,
    /// How long leaving may take to send what was accepted before, in milliseconds. Default 2,000.
    pub close_timeout_ms: u64,
    /// Events that wait for a slow reader before events about the same thing are merged. Default 512.
    pub event_capacity: usize,
    /// More roots to trust over TLS, as PEM; empty for none.
    pub extra_roots_pem: tramline_str,
    /// Trust the roots of the operating system: 0 or 1. Default 1.
    pub system_roots: u8,
    /// Whether one connection carries the data of both directions, as current servers know it: 0 or 1. Default 1; a server that does not know
    /// it gets two all the same.
    pub single_peer_connection: u8,
    /// Bytes of packets that wait in the events for a slow reader; beyond that the oldest are dropped, which `TRAMLINE_EVENT_EVENTS_LOST` tells.
    /// Default 32 MiB.
    pub packet_capacity: usize,
    /// Bytes that wait in all texts and bytes of the room that come in; beyond that the one with the most fails. Default 64 MiB.
    pub content_capacity: usize,
    /// Most bytes of one text, or of bytes, that come in. Default 5 GB.
    pub max_content_len: u64,
    /// Keys for end-to-end encryption: with them, tracks are published encrypted, and encrypted ones can be read. Null for none.
    pub keys: *const tramline_keys,
}

// SAFETY: integers and a pointer, `struct_size` first.
unsafe impl Extensible for tramline_room_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        let defaults = RoomOptions::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            struct_size: size_of::<Self>(),
            connect_timeout_ms: millis(defaults.connect_timeout),
            close_timeout_ms: millis(defaults.close_timeout),
            event_capacity: defaults.event_capacity,
            extra_roots_pem: tramline_str::EMPTY,
            system_roots: defaults.tls.system_roots.into(),
            single_peer_connection: defaults.single_peer_connection.into(),
            packet_capacity: defaults.packet_capacity,
            content_capacity: defaults.stream_capacity,
            max_content_len: defaults.max_stream_len,
            keys: std::ptr::null(),
        }
    }
}

impl tramline_room_options {
    /// # Safety
    /// The rules on bytes, for the texts, and on handles.
    unsafe fn to_sdk(self) -> Result<RoomOptions, Failure> {
        let mut options = RoomOptions::default();
        options.connect_timeout = Duration::from_millis(self.connect_timeout_ms);
        options.close_timeout = Duration::from_millis(self.close_timeout_ms);
        options.event_capacity = self.event_capacity;
        options.packet_capacity = self.packet_capacity;
        options.stream_capacity = self.content_capacity;
        options.max_stream_len = self.max_content_len;
        let mut tls = TlsOptions::default();
        tls.system_roots = self.system_roots != 0;
        // SAFETY: the same rule.
        let pem = unsafe { self.extra_roots_pem.read("options.extra_roots_pem") }?;
        if !pem.is_empty() {
            tls.add_roots_pem(pem.as_bytes())
                .map_err(|error| Failure::invalid(format!("options.extra_roots_pem: {error}")))?;
        }
        options.tls = tls;
        options.single_peer_connection = self.single_peer_connection != 0;
        if !self.keys.is_null() {
            // SAFETY: the rule on handles.
            let keys = unsafe { handle::value(self.keys, "options.keys") }?;
            options.encryption = Some(KeyProvider::clone(keys));
        }
        Ok(options)
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_room_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_options_defaults(
    options: *mut tramline_room_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// Joins the room that `token` names, on the server at `url` (ws://, wss://, http:// or https://). Blocks until data can be sent and received,
/// or the time in `options` has passed. Null `options` are the defaults. `*room` is null when it fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_connect(
    url: *const c_char,
    url_len: usize,
    token: *const c_char,
    token_len: usize,
    options: *const tramline_room_options,
    room: *mut *mut tramline_room,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, bytes and structs.
        let (out, url, token, options) = unsafe {
            (
                Out::handle(room, "room")?,
                text::text(url, url_len, "url")?,
                text::text(token, token_len, "token")?,
                structs::read(options, "options")?.to_sdk()?,
            )
        };
        let (room, events) = block_on(Room::connect(url, token, options))??;
        out.set(handle::new(Stay {
            room: std::sync::Mutex::new(Some(Arc::new(room))),
            events: Arc::new(EventSource::new(events)),
            has_left: AtomicBool::new(false),
        }));
        Ok(())
    })
}

/// Leaves: sends what was accepted before, for at most the time in the options, tells the server, and ends. Blocks until all that is done; idempotent.
/// Tracks and streams end, and their handles stay valid and say so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_disconnect(room: *const tramline_room) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let stay = Arc::clone(unsafe { handle::value(room, "room") }?);
        block_on(stay.room()?.close())?;
        stay.has_left.store(true, Ordering::Release);
        Ok(())
    })
}

/// Whether the room is usable. Once it is not, only a new `tramline_room_connect` helps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_is_connected(room: *const tramline_room) -> bool {
    guard_or(false, || {
        // SAFETY: the rule on handles.
        let room = unsafe { handle::value(room, "room") }?.room()?;
        Ok(room.connection_state() == ConnectionState::Connected)
    })
}

/// # Safety
/// The rules on handles and results.
unsafe fn text_of(
    room: *const tramline_room,
    out: *mut tramline_string,
    text: impl FnOnce(&Room) -> String,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules above.
        unsafe {
            let out = Out::new(out, "the place for the text")?;
            out.set(tramline_string::EMPTY);
            out.set(tramline_string::new(&text(&*handle::value(room, "room")?.room()?)));
        }
        Ok(())
    })
}

/// The server's id of the room; empty until the server has sent it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_sid(
    room: *const tramline_room,
    sid: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(room, sid, |room| room.sid().map(|sid| sid.to_string()).unwrap_or_default()) }
}

/// The room's name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_name(
    room: *const tramline_room,
    name: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(room, name, Room::name) }
}

/// What the application stored with the room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_metadata(
    room: *const tramline_room,
    metadata: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(room, metadata, Room::metadata) }
}

/// What the server says about a room; some seconds old.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_room_info {
    /// `sizeof(tramline_room_info)`.
    pub struct_size: usize,
    /// When it was created, in milliseconds since 1970 by the server's clock.
    pub created_at_ms: i64,
    /// How many participants there are.
    pub num_participants: u32,
    /// How many of them publish something.
    pub num_publishers: u32,
    /// How many there may be; 0 when there is no limit.
    pub max_participants: u32,
    /// Seconds that it stays when nobody has come yet.
    pub empty_timeout_s: u32,
    /// Seconds that it stays after the last participant has gone.
    pub departure_timeout_s: u32,
    /// Whether the server records it: 0 or 1.
    pub is_recorded: u8,
}

// SAFETY: integers, `struct_size` first.
unsafe impl Extensible for tramline_room_info {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            created_at_ms: 0,
            num_participants: 0,
            num_publishers: 0,
            max_participants: 0,
            empty_timeout_s: 0,
            departure_timeout_s: 0,
            is_recorded: 0,
        }
    }
}

/// What the server says about the room besides its name, sid and metadata.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_read_info(
    room: *const tramline_room,
    info: *mut tramline_room_info,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let known = unsafe { handle::value(room, "room") }?.room()?.info();
        let read = tramline_room_info {
            created_at_ms: known.created_at_ms,
            num_participants: known.num_participants,
            num_publishers: known.num_publishers,
            max_participants: known.max_participants,
            empty_timeout_s: known.empty_timeout_secs,
            departure_timeout_s: known.departure_timeout_secs,
            is_recorded: known.is_recorded.into(),
            ..tramline_room_info::defaults()
        };
        // SAFETY: the rules on structs and results.
        unsafe { structs::write(info, &read, "info") }
    })
}

/// How many participants the server counts; some seconds old. 0 when `room` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_num_participants(room: *const tramline_room) -> u32 {
    // SAFETY: the rule on handles.
    guard_or(0, || Ok(unsafe { handle::value(room, "room") }?.room()?.num_participants()))
}

/// Whether tracks to come are published encrypted, when the room was given keys; true at first. Published ones stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_set_encrypting(
    room: *const tramline_room,
    encrypting: bool,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        unsafe { handle::value(room, "room") }?.room()?.set_encrypting(encrypting);
        Ok(())
    })
}

/// The participant that this session is; to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_local_participant(
    room: *const tramline_room,
    participant: *mut *mut tramline_participant,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, stay) = unsafe { (Out::handle(participant, "participant")?, handle::value(room, "room")?) };
        out.set(handle::new(Participant::Local(stay.local_participant()?)));
        Ok(())
    })
}

/// The other participant of that identity, to be freed; `TRAMLINE_ERR_NOT_FOUND` when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_remote_participant(
    room: *const tramline_room,
    identity: *const c_char,
    identity_len: usize,
    participant: *mut *mut tramline_participant,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles and bytes.
        let (out, room, identity) = unsafe {
            (
                Out::handle(participant, "participant")?,
                handle::value(room, "room")?.room()?,
                text::text(identity, identity_len, "identity")?,
            )
        };
        let found = room.remote_participants().remove(identity);
        out.set(handle::new(Participant::Remote(found.ok_or_else(|| not_found("participant", identity))?)));
        Ok(())
    })
}

/// The other participants, as they are now; to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_remote_participants(
    room: *const tramline_room,
    list: *mut *mut tramline_participant_list,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, room) = unsafe { (Out::handle(list, "list")?, handle::value(room, "room")?.room()?) };
        let others = room.remote_participants().into_values().map(Participant::Remote).collect();
        out.set(Box::into_raw(Box::new(tramline_participant_list::new(others))));
        Ok(())
    })
}

/// Hands the room's events to `callback` from now on, those that wait included, on the thread `tramline-event`. A null callback takes it away.
///
/// When this returns, a callback that was set before does not run any more and will not again, except that a callback which calls this itself
/// runs to its end. `user_data` is handed to the callback as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_set_event_callback(
    room: *const tramline_room,
    callback: tramline_event_callback,
    user_data: *mut c_void,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let events = Arc::clone(&unsafe { handle::value(room, "room") }?.events);
        events.set_callback(callback, user_data)
    })
}

/// The next event, to be freed with `tramline_event_free`. Waits for it at most `timeout_ms`: negative is without end.
///
/// `TRAMLINE_TIMED_OUT`; `TRAMLINE_ENDED` behind the last event; `TRAMLINE_CLOSED` when the room is freed meanwhile; `TRAMLINE_ERR_BUSY` while
/// there is a callback. `*event` is null then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_poll_event(
    room: *const tramline_room,
    timeout_ms: i64,
    event: *mut *mut tramline_event,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, events) =
            unsafe { (Out::handle(event, "event")?, Arc::clone(&handle::value(room, "room")?.events)) };
        out.set(events.poll(timeout_ms)?.into_raw());
        Ok(())
    })
}

/// What the connection has counted. `TRAMLINE_ERR_DISCONNECTED` after its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_read_stats(
    room: *const tramline_room,
    stats: *mut tramline_room_stats,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let room = unsafe { handle::value(room, "room") }?.room()?;
        let counted = block_on(room.stats())?.ok_or_else(|| {
            Failure::new(TRAMLINE_ERR_DISCONNECTED, "the session has ended, and its counters with it")
        })?;
        let cpu = room.driver_thread_cpu_time();
        // SAFETY: the rules on structs and results.
        unsafe { structs::write(stats, &tramline_room_stats::of(&counted, cpu), "stats") }
    })
}

/// Frees the handle, and leaves the room in the background if it was not left before. Its callback does not run any more when this returns;
/// after `tramline_room_disconnect` it has had every event, and no thread of the room is left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_free(room: *mut tramline_room) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        let Some(stay) = (unsafe { handle::take(room) }) else { return Ok(()) };
        let has_left = stay.has_left.load(Ordering::Acquire);
        if has_left {
            stay.events.finish_callback();
        }
        stay.events.close();
        let room = crate::wait::lock(&stay.room).take();
        // A call that is under way on another thread shares the room; it ends by itself then.
        if let Some(room) = room.and_then(Arc::into_inner)
            && has_left
        {
            room.end()?;
        }
        Ok(())
    });
}
