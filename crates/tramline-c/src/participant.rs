//! Who is in the room.

use std::{collections::BTreeMap, ffi::c_char, mem::size_of, ptr};

use sdk::{Participant, ParticipantKind, Permissions, block_on};

use crate::{
    error::{Failure, guard, guard_or},
    handle::{self, Out, Owned, handle},
    list::{tramline_attributes, tramline_remote_track_list},
    room::tramline_room,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_str, tramline_string},
};

/// A participant: the one that this session is, or another one. What it says is the newest that is known, also after it has left.
pub struct tramline_participant(Owned<Participant>);
handle!(tramline_participant holds Participant);

/// What a participant is.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_participant_kind {
    /// An ordinary client.
    TRAMLINE_PARTICIPANT_STANDARD = 0,
    /// Brings streams in.
    TRAMLINE_PARTICIPANT_INGRESS = 1,
    /// Records or streams out.
    TRAMLINE_PARTICIPANT_EGRESS = 2,
    /// A telephone.
    TRAMLINE_PARTICIPANT_SIP = 3,
    /// An agent.
    TRAMLINE_PARTICIPANT_AGENT = 4,
    /// Anything else.
    TRAMLINE_PARTICIPANT_OTHER = 100,
}

/// What a participant may do: each 0 or 1.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_permissions {
    /// `sizeof(tramline_permissions)`.
    pub struct_size: usize,
    /// Receive the tracks of others.
    pub can_subscribe: u8,
    /// Publish media.
    pub can_publish: u8,
    /// Publish data tracks.
    pub can_publish_data: u8,
    /// Change its own name, metadata and attributes.
    pub can_update_own_metadata: u8,
    /// Others do not see it.
    pub hidden: u8,
}

// SAFETY: integers, `struct_size` first.
unsafe impl Extensible for tramline_permissions {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            can_subscribe: 0,
            can_publish: 0,
            can_publish_data: 0,
            can_update_own_metadata: 0,
            hidden: 0,
        }
    }
}

impl tramline_permissions {
    fn of(permissions: Permissions) -> Self {
        Self {
            can_subscribe: permissions.can_subscribe.into(),
            can_publish: permissions.can_publish.into(),
            can_publish_data: permissions.can_publish_data.into(),
            can_update_own_metadata: permissions.can_update_own_metadata.into(),
            hidden: permissions.hidden.into(),
            ..Self::defaults()
        }
    }
}

/// # Safety
/// The rules on handles and results.
unsafe fn text_of(
    participant: *const tramline_participant,
    out: *mut tramline_string,
    text: impl FnOnce(&Participant) -> String,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules above.
        unsafe {
            let out = Out::new(out, "the place for the text")?;
            out.set(tramline_string::EMPTY);
            out.set(tramline_string::new(&text(handle::value(participant, "participant")?)));
        }
        Ok(())
    })
}

/// Who it is: unique in its room, chosen by whoever made the token. The text lives as long as `participant`; empty when that is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_identity(
    participant: *const tramline_participant,
) -> tramline_str {
    guard_or(tramline_str::EMPTY, || {
        // SAFETY: the rule on handles.
        let participant = unsafe { handle::value(participant, "participant") }?;
        // The participant holds the identity that this clone shares.
        Ok(tramline_str::of(participant.identity().as_str()))
    })
}

/// Whether it is the one that this session is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_is_local(participant: *const tramline_participant) -> bool {
    guard_or(false, || {
        // SAFETY: the rule on handles.
        Ok(matches!(&**unsafe { handle::value(participant, "participant") }?, Participant::Local(_)))
    })
}

/// The server's id of this stay in the room; a new one after each join.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_sid(
    participant: *const tramline_participant,
    sid: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(participant, sid, |participant| participant.sid().to_string()) }
}

/// Its name for display.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_name(
    participant: *const tramline_participant,
    name: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(participant, name, Participant::name) }
}

/// What the application stored with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_metadata(
    participant: *const tramline_participant,
    metadata: *mut tramline_string,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { text_of(participant, metadata, Participant::metadata) }
}

/// Keys and values that the application stored with it, as they are now; to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_attributes(
    participant: *const tramline_participant,
    attributes: *mut *mut tramline_attributes,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, participant) =
            unsafe { (Out::handle(attributes, "attributes")?, handle::value(participant, "participant")?) };
        out.set(Box::into_raw(Box::new(tramline_attributes::new(participant.attributes()))));
        Ok(())
    })
}

/// What it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_kind_of(
    participant: *const tramline_participant,
) -> tramline_participant_kind {
    use tramline_participant_kind::*;
    guard_or(TRAMLINE_PARTICIPANT_OTHER, || {
        // SAFETY: the rule on handles.
        Ok(match unsafe { handle::value(participant, "participant") }?.kind() {
            ParticipantKind::Standard => TRAMLINE_PARTICIPANT_STANDARD,
            ParticipantKind::Ingress => TRAMLINE_PARTICIPANT_INGRESS,
            ParticipantKind::Egress => TRAMLINE_PARTICIPANT_EGRESS,
            ParticipantKind::Sip => TRAMLINE_PARTICIPANT_SIP,
            ParticipantKind::Agent => TRAMLINE_PARTICIPANT_AGENT,
            _ => TRAMLINE_PARTICIPANT_OTHER,
        })
    })
}

/// What it may do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_permissions(
    participant: *const tramline_participant,
    permissions: *mut tramline_permissions,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and results.
        unsafe {
            let participant = handle::value(participant, "participant")?;
            structs::write(permissions, &tramline_permissions::of(participant.permissions()), "permissions")
        }
    })
}

/// Why it left, as far as the server says: LiveKit's `DisconnectReason`; -1 while it is there, and for the one that this session is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_disconnect_reason(
    participant: *const tramline_participant,
) -> i32 {
    guard_or(-1, || {
        // SAFETY: the rule on handles.
        Ok(match &**unsafe { handle::value(participant, "participant") }? {
            Participant::Remote(remote) => remote.disconnect_reason().map_or(-1, |reason| reason.to_wire()),
            _ => -1,
        })
    })
}

/// A key and a value, to be set with `tramline_room_set_attributes`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_attribute {
    /// The key.
    pub key: tramline_str,
    /// The value; empty deletes the attribute.
    pub value: tramline_str,
}

/// Changes the name of the participant that this session is, 1 to 256 bytes, and waits for the server's answer. What `tramline_participant_name` says
/// changes when the server tells everybody.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_set_name(
    room: *const tramline_room,
    name: *const c_char,
    name_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (local, name) = unsafe {
            (handle::value(room, "room")?.local_participant()?, text::text(name, name_len, "name")?)
        };
        Ok(block_on(local.set_name(name))??)
    })
}

/// As `tramline_room_set_name`, for the metadata: 1 byte to 512 KiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_set_metadata(
    room: *const tramline_room,
    metadata: *const c_char,
    metadata_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (local, metadata) = unsafe {
            (
                handle::value(room, "room")?.local_participant()?,
                text::text(metadata, metadata_len, "metadata")?,
            )
        };
        Ok(block_on(local.set_metadata(metadata))??)
    })
}

/// As `tramline_room_set_name`, for attributes: those that are not named stay, an empty value deletes one. 64 KiB in all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_set_attributes(
    room: *const tramline_room,
    attributes: *const tramline_attribute,
    count: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let local = unsafe { handle::value(room, "room") }?.local_participant()?;
        // SAFETY: the rule on bytes.
        let changes = unsafe { self::attributes(attributes, count) }?;
        Ok(block_on(local.set_attributes(changes))??)
    })
}

/// # Safety
/// The rule on bytes: there are `count` of them, each with two texts.
pub(crate) unsafe fn attributes(
    attributes: *const tramline_attribute,
    count: usize,
) -> Result<BTreeMap<String, String>, Failure> {
    if attributes.is_null() && count > 0 {
        return Err(Failure::null("attributes"));
    }
    let mut read = BTreeMap::new();
    for index in 0..count {
        // SAFETY: the same rule.
        let (key, value) = unsafe {
            let attribute = *attributes.add(index);
            (attribute.key.read("attributes.key")?, attribute.value.read("attributes.value")?)
        };
        read.insert(key.to_owned(), value.to_owned());
    }
    Ok(read)
}

/// The data tracks that another participant publishes, as they are now; to be freed. Empty for the one that this session is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_data_tracks(
    participant: *const tramline_participant,
    tracks: *mut *mut tramline_remote_track_list,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, participant) =
            unsafe { (Out::handle(tracks, "tracks")?, handle::value(participant, "participant")?) };
        let tracks = match &**participant {
            Participant::Remote(remote) => remote.data_tracks().into_values().collect(),
            _ => Vec::new(),
        };
        out.set(Box::into_raw(Box::new(tramline_remote_track_list::new(tracks))));
        Ok(())
    })
}

/// Whether two handles mean the same stay of the same participant in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_same(
    one: *const tramline_participant,
    two: *const tramline_participant,
) -> bool {
    // SAFETY: the rule on handles.
    guard_or(false, || unsafe { Ok(*handle::value(one, "one")? == *handle::value(two, "two")?) })
}

/// Another handle to the same participant; null when `participant` is, or belongs to another process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_clone(
    participant: *const tramline_participant,
) -> *mut tramline_participant {
    guard_or(ptr::null_mut(), || {
        // SAFETY: the rule on handles.
        Ok(handle::share(unsafe { handle::value(participant, "participant") }?))
    })
}

/// Frees the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_free(participant: *mut tramline_participant) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(participant) });
        Ok(())
    });
}

pub(crate) fn not_found(what: &str, name: &str) -> Failure {
    Failure::new(TRAMLINE_ERR_NOT_FOUND, format!("there is no {what} `{name}` in the room now"))
}
