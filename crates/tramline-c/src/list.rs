//! Lists: what there is at one moment. Elements belong to the list.

use std::{collections::BTreeMap, ptr};

use sdk::{Participant, RemoteDataTrack};

use crate::{
    error::{Failure, guard, guard_or},
    fork::Generation,
    handle::{Out, Owned},
    participant::tramline_participant,
    remote_track::tramline_remote_track,
    status::tramline_status::{self, *},
    text::tramline_str,
};

/// Keys and values of a participant, sorted by key.
pub struct tramline_attributes(Vec<(String, String)>);

/// Participants of a room at one moment.
pub struct tramline_participant_list(Elements<tramline_participant>);

/// Tracks of a participant at one moment.
pub struct tramline_remote_track_list(Elements<tramline_remote_track>);

impl tramline_attributes {
    pub(crate) fn new(attributes: BTreeMap<String, String>) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl tramline_participant_list {
    pub(crate) fn new(participants: Vec<Participant>) -> Self {
        Self(Elements::new(participants.into_iter().map(|participant| Owned::new(participant).into())))
    }
}

impl tramline_remote_track_list {
    pub(crate) fn new(tracks: Vec<RemoteDataTrack>) -> Self {
        Self(Elements::new(tracks.into_iter().map(|track| Owned::new(track).into())))
    }
}

struct Elements<H> {
    generation: Generation,
    elements: Vec<H>,
}

impl<H> Elements<H> {
    fn new(elements: impl Iterator<Item = H>) -> Self {
        Self { generation: Generation::of_this_process(), elements: elements.collect() }
    }
}

/// How many; 0 for null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_attributes_len(attributes: *const tramline_attributes) -> usize {
    // SAFETY: the rule on handles.
    guard_or(0, || Ok(unsafe { borrow(attributes, "attributes") }?.0.len()))
}

/// The key and the value at `index`. The texts live as long as `attributes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_attributes_at(
    attributes: *const tramline_attributes,
    index: usize,
    key: *mut tramline_str,
    value: *mut tramline_str,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (key, value, attributes) = unsafe {
            (Out::new(key, "key")?, Out::new(value, "value")?, &borrow(attributes, "attributes")?.0)
        };
        key.set(tramline_str::EMPTY);
        value.set(tramline_str::EMPTY);
        let found = attributes.get(index).ok_or_else(|| beyond(index, attributes.len()))?;
        key.set(tramline_str::of(&found.0));
        value.set(tramline_str::of(&found.1));
        Ok(())
    })
}

/// Frees the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_attributes_free(attributes: *mut tramline_attributes) {
    if !attributes.is_null() {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { Box::from_raw(attributes) });
    }
}

/// How many; 0 for null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_list_len(list: *const tramline_participant_list) -> usize {
    // SAFETY: the rule on handles.
    guard_or(0, || Ok(unsafe { borrow(list, "list") }?.0.elements.len()))
}

/// The participant at `index`, or null. It belongs to the list: not to be freed, and gone with it; `tramline_participant_clone` makes one to keep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_list_at(
    list: *const tramline_participant_list,
    index: usize,
) -> *const tramline_participant {
    // SAFETY: the rule on handles.
    guard_or(ptr::null(), || unsafe { element(&borrow(list, "list")?.0, index) })
}

/// Frees the list and its participants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_participant_list_free(list: *mut tramline_participant_list) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        unsafe { free(list, |list| list.0.generation) };
        Ok(())
    });
}

/// How many; 0 for null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_list_len(list: *const tramline_remote_track_list) -> usize {
    // SAFETY: the rule on handles.
    guard_or(0, || Ok(unsafe { borrow(list, "list") }?.0.elements.len()))
}

/// The track at `index`, or null. It belongs to the list: not to be freed, and gone with it; `tramline_remote_track_clone` makes one to keep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_list_at(
    list: *const tramline_remote_track_list,
    index: usize,
) -> *const tramline_remote_track {
    // SAFETY: the rule on handles.
    guard_or(ptr::null(), || unsafe { element(&borrow(list, "list")?.0, index) })
}

/// Frees the list and its tracks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_remote_track_list_free(list: *mut tramline_remote_track_list) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        unsafe { free(list, |list| list.0.generation) };
        Ok(())
    });
}

/// # Safety
/// The rule on handles.
unsafe fn borrow<'a, T>(list: *const T, what: &str) -> Result<&'a T, Failure> {
    // SAFETY: by the rule, what is not null is live.
    unsafe { list.as_ref() }.ok_or_else(|| Failure::null(what))
}

fn element<H>(list: &Elements<H>, index: usize) -> Result<*const H, Failure> {
    let found = list.elements.get(index).ok_or_else(|| beyond(index, list.elements.len()))?;
    Ok(ptr::from_ref(found))
}

fn beyond(index: usize, len: usize) -> Failure {
    Failure::new(TRAMLINE_ERR_NOT_FOUND, format!("there is no element {index}: the list has {len}"))
}

/// # Safety
/// The rule on handles, and this is the last use.
unsafe fn free<T>(list: *mut T, generation: impl FnOnce(&T) -> Generation) {
    // SAFETY: by the rule, what is not null is live. The elements of another process's list are left alone.
    unsafe {
        if list.as_ref().is_some_and(|list| generation(list).is_current()) {
            drop(Box::from_raw(list));
        }
    }
}
