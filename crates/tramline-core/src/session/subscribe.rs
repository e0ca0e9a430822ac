//! Subscriptions to remote tracks, from the request to the end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use thiserror::Error;
use tramline_wire::{TrackHandle, TrackSid};

use super::event::{Event, Output};
use super::{SessionConfig, SessionCounters};

/// How long a server may go on trying after we have stopped waiting: LiveKit's forgets after one minute.
const SERVER_RETRIES: Duration = Duration::from_secs(70);

/// Why a subscription did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The track is not, or no longer, published.
    #[error("the track is not published in this room any more; take its SID from a newer track event")]
    Unpublished,
    /// The server gave it no handle in time: it reports no other failure, a missing permission included.
    #[error(
        "the server did not start the subscription within the time-out; the token needs canSubscribe, and the publisher \
         may have restricted the track"
    )]
    Timeout,
    /// The session has ended.
    #[error("the session has ended; connect again and subscribe then")]
    Disconnected,
}

impl SubscribeError {
    /// LiveKit's number for it (`SubscribeDataTrackErrorCode`).
    pub fn code(&self) -> u32 {
        match self {
            Self::Unpublished => 2,
            Self::Timeout => 3,
            Self::Disconnected => 4,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout | Self::Disconnected)
    }
}

/// The subscriptions of the local participant.
///
/// ```text
/// Requested ──handle──▶ Live ──unsubscribe──▶ gone
///     └──time-out, unsubscribe──▶ Unwanted ──handle──▶ gone (`subscribe = false` is sent only now)
/// ```
///
/// `subscribe = false` is never sent for a track without a handle: LiveKit's server 1.13.5 can lock itself up then.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    tracks: BTreeMap<TrackSid, Subscription>,
    by_handle: HashMap<TrackHandle, TrackSid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscription {
    Requested { deadline: Instant },
    Live { handle: TrackHandle },
    Unwanted { forget: Instant },
}

impl Subscriptions {
    /// The track whose packets carry `handle`.
    pub(super) fn track(&self, handle: TrackHandle) -> Option<&TrackSid> {
        self.by_handle.get(&handle)
    }

    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        track: &TrackSid,
        config: &SessionConfig,
        output: &mut VecDeque<Output>,
    ) {
        match self.tracks.get(track) {
            Some(Subscription::Requested { .. }) => return,
            Some(Subscription::Live { handle }) => {
                let event = Event::Subscribed { track: track.clone(), handle: *handle };
                return output.push_back(Output::Event(event));
            }
            Some(Subscription::Unwanted { .. }) | None => {}
        }
        let deadline = now + config.subscribe_timeout;
        self.tracks.insert(track.clone(), Subscription::Requested { deadline });
        output.push_back(update(track, true));
    }

    pub(super) fn unsubscribe(&mut self, now: Instant, track: &TrackSid, output: &mut VecDeque<Output>) {
        match self.tracks.get_mut(track) {
            Some(Subscription::Live { handle }) => {
                let handle = *handle;
                self.tracks.remove(track);
                self.free(handle, track);
                output.push_back(update(track, false));
            }
            Some(subscription @ Subscription::Requested { .. }) => {
                *subscription = Subscription::Unwanted { forget: now + SERVER_RETRIES };
            }
            Some(Subscription::Unwanted { .. }) | None => {}
        }
    }

    /// The map is complete, but only what it has counts: absence says nothing about a subscription.
    pub(super) fn handle_handles(
        &mut self,
        handles: proto::DataTrackSubscriberHandles,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        // In the order of the handles, so that a run can be replayed.
        let handles: BTreeMap<u32, _> = handles.sub_handles.into_iter().collect();
        for (handle, published) in handles {
            let (Ok(handle), Ok(track)) =
                (TrackHandle::try_from(handle), TrackSid::try_from(published.track_sid))
            else {
                counters.malformed += 1;
                continue;
            };
            match self.tracks.get_mut(&track) {
                Some(Subscription::Live { handle: known }) if *known == handle => {}
                Some(subscription @ (Subscription::Live { .. } | Subscription::Requested { .. })) => {
                    let before = std::mem::replace(subscription, Subscription::Live { handle });
                    if let Subscription::Live { handle: before } = before {
                        self.free(before, &track);
                    }
                    self.by_handle.insert(handle, track.clone());
                    output.push_back(Output::Event(Event::Subscribed { track, handle }));
                }
                Some(Subscription::Unwanted { .. }) => {
                    self.tracks.remove(&track);
                    output.push_back(update(&track, false));
                }
                // On its way when the subscription ended.
                None => {}
            }
        }
    }

    /// The track is gone, and the server ended what belonged to it.
    pub(super) fn handle_unpublished(&mut self, track: &TrackSid, output: &mut VecDeque<Output>) {
        match self.tracks.remove(track) {
            Some(Subscription::Requested { .. }) => {
                let event =
                    Event::SubscribeFailed { track: track.clone(), error: SubscribeError::Unpublished };
                output.push_back(Output::Event(event));
            }
            Some(Subscription::Live { handle }) => self.free(handle, track),
            Some(Subscription::Unwanted { .. }) | None => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        self.tracks.retain(|track, subscription| match subscription {
            Subscription::Requested { deadline } if *deadline <= now => {
                *subscription = Subscription::Unwanted { forget: now + SERVER_RETRIES };
                let event = Event::SubscribeFailed { track: track.clone(), error: SubscribeError::Timeout };
                output.push_back(Output::Event(event));
                true
            }
            Subscription::Unwanted { forget } => *forget > now,
            Subscription::Requested { .. } | Subscription::Live { .. } => true,
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = |subscription: &Subscription| match subscription {
            Subscription::Requested { deadline: at } | Subscription::Unwanted { forget: at } => Some(*at),
            Subscription::Live { .. } => None,
        };
        self.tracks.values().filter_map(deadline).min()
    }

    pub(super) fn handle_end(&mut self, output: &mut VecDeque<Output>) {
        for (track, subscription) in std::mem::take(&mut self.tracks) {
            if let Subscription::Requested { .. } = subscription {
                let event = Event::SubscribeFailed { track, error: SubscribeError::Disconnected };
                output.push_back(Output::Event(event));
            }
        }
        self.by_handle.clear();
    }

    fn free(&mut self, handle: TrackHandle, track: &TrackSid) {
        // The server may have given the handle to another track meanwhile.
        if self.by_handle.get(&handle) == Some(track) {
            self.by_handle.remove(&handle);
        }
    }
}

fn update(track: &TrackSid, subscribe: bool) -> Output {
    let update = proto::update_data_subscription::Update {
        track_sid: track.as_str().to_owned(),
        subscribe,
        options: None,
    };
    Output::request(Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] }))
}
