//! Packets: messages beside the tracks, sent once.

use std::{ffi::c_char, mem::size_of, slice};

use sdk::{DataPacket, ParticipantIdentity, PublishDataError, SipDtmf, block_on};

use crate::{
    error::{Failure, guard},
    handle,
    room::tramline_room,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_str},
};

/// A packet to others in the room. Take `tramline_data_packet_defaults` and set what differs.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_data_packet {
    /// `sizeof(tramline_data_packet)`.
    pub struct_size: usize,
    /// The message.
    pub data: *const u8,
    /// Its length: with everything around it at most 64,000 bytes; about 1,100 fit into one datagram.
    pub len: usize,
    /// What it is about, for the receivers; empty for none.
    pub topic: tramline_str,
    /// Identities of those whom it is for.
    pub destinations: *const tramline_str,
    /// How many; 0 for everybody else in the room.
    pub destination_count: usize,
    /// A mark, usually 16 random bytes, of which the server lets only one packet through: for a program that may send one twice. Not with
    /// end-to-end encryption, which hides it from the server.
    pub nonce: *const u8,
    /// Its length; 0 for none.
    pub nonce_len: usize,
    /// Whether it is repeated until it arrives, in order with the others; otherwise it is sent once: 0 or 1. Default 1.
    pub reliable: u8,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_data_packet {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            data: std::ptr::null(),
            len: 0,
            topic: tramline_str::EMPTY,
            destinations: std::ptr::null(),
            destination_count: 0,
            nonce: std::ptr::null(),
            nonce_len: 0,
            reliable: 1,
        }
    }
}

impl tramline_data_packet {
    /// # Safety
    /// The rule on bytes, for everything that it points to.
    unsafe fn to_sdk(self) -> Result<DataPacket, Failure> {
        // SAFETY: the same rule.
        unsafe {
            let payload = text::bytes(self.data, self.len, "packet.data")?.to_vec();
            let nonce = text::bytes(self.nonce, self.nonce_len, "packet.nonce")?;
            let topic = self.topic.read("packet.topic")?;
            Ok(DataPacket {
                payload: payload.into(),
                topic: (!topic.is_empty()).then(|| topic.to_owned()),
                reliable: self.reliable != 0,
                destination_identities: identities(
                    self.destinations,
                    self.destination_count,
                    "packet.destinations",
                )?,
                nonce: (!nonce.is_empty()).then(|| nonce.to_vec()),
            })
        }
    }
}

/// # Safety
/// The rule on bytes: there are `count` texts.
pub(crate) unsafe fn texts<'a>(
    data: *const tramline_str,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if data.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: not null, and by the rule there are that many, each with its bytes.
    unsafe { slice::from_raw_parts(data, count) }.iter().map(|text| unsafe { text.read(what) }).collect()
}

/// # Safety
/// As for [`texts`].
pub(crate) unsafe fn identities(
    data: *const tramline_str,
    count: usize,
    what: &str,
) -> Result<Vec<ParticipantIdentity>, Failure> {
    // SAFETY: the same rule.
    Ok(unsafe { texts(data, count, what) }?.into_iter().map(ParticipantIdentity::from).collect())
}

/// Fills `packet` with the defaults. `struct_size` is `sizeof(tramline_data_packet)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_data_packet_defaults(
    packet: *mut tramline_data_packet,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(packet, struct_size, "packet") })
}

/// Sends a packet, and waits: a reliable one, until it has arrived at the server, which keeps it for its receivers; a lossy one, until it is on
/// its way. Receivers see `TRAMLINE_EVENT_DATA_RECEIVED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_publish_data(
    room: *const tramline_room,
    packet: *const tramline_data_packet,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and bytes.
        let (local, packet) = unsafe {
            (handle::value(room, "room")?.local_participant()?, structs::read(packet, "packet")?.to_sdk()?)
        };
        Ok(block_on(local.publish_data(packet))??)
    })
}

/// As `tramline_room_publish_data`, without waiting: the packet is queued, in order with all others. `TRAMLINE_ERR_DATA_QUEUE_FULL` when 8 MiB wait
/// already; what goes wrong later is not told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_try_publish_data(
    room: *const tramline_room,
    packet: *const tramline_data_packet,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, structs and bytes.
        let (local, packet) = unsafe {
            (handle::value(room, "room")?.local_participant()?, structs::read(packet, "packet")?.to_sdk()?)
        };
        Ok(local.publish_data_no_wait(packet)?)
    })
}

/// Sends a tone of a telephone's keypad to the participants of these identities, or to everybody else when there are none, and waits until it has
/// arrived at the server. `digit` is `0` to `9`, `*`, `#`, `A` to `D`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_publish_dtmf(
    room: *const tramline_room,
    code: u32,
    digit: *const c_char,
    digit_len: usize,
    destinations: *const tramline_str,
    destination_count: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (local, digit, destination_identities) = unsafe {
            (
                handle::value(room, "room")?.local_participant()?,
                text::text(digit, digit_len, "digit")?.to_owned(),
                identities(destinations, destination_count, "destinations")?,
            )
        };
        Ok(block_on(local.publish_dtmf(SipDtmf { code, digit, destination_identities }))??)
    })
}

impl From<PublishDataError> for Failure {
    fn from(error: PublishDataError) -> Self {
        let status = match &error {
            PublishDataError::TooLarge { .. } => TRAMLINE_ERR_DATA_TOO_LARGE,
            PublishDataError::NotPermitted => TRAMLINE_ERR_DATA_NOT_ALLOWED,
            PublishDataError::QueueFull { .. } => TRAMLINE_ERR_DATA_QUEUE_FULL,
            PublishDataError::NoKey(_) => TRAMLINE_ERR_DATA_NO_KEY,
            PublishDataError::Disconnected => TRAMLINE_ERR_DATA_DISCONNECTED,
            PublishDataError::MayHaveArrived => TRAMLINE_ERR_DATA_MAY_HAVE_ARRIVED,
            _ => TRAMLINE_ERR_DATA_INTERNAL,
        };
        Self::new(status, error.to_string())
    }
}
