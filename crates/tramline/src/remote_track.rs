//! A track that another participant publishes.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, oneshot};

use crate::{
    error::DataTrackSubscribeError,
    link::{Link, ToDriver, lock},
    options::{DataTrackSubscribeOptions, RemoteDataTrackPipelineOptions},
    participant::ParticipantIdentity,
    stats::RemoteTrackStats,
    stream::DataTrackStream,
    track_info::DataTrackInfo,
};

/// A data track of another participant. Cheap to clone, usable on any thread; holding it costs nothing until it is subscribed to.
#[derive(Clone)]
pub struct RemoteDataTrack {
    track: Arc<RemoteTrack>,
    link: Link,
}

impl RemoteDataTrack {
    pub(crate) fn new(track: Arc<RemoteTrack>, link: Link) -> Self {
        Self { track, link }
    }

    /// Subscribes: frames that are published from now on come out of the stream.
    ///
    /// Only the first stream of a track asks the server; others share what it gets, each with a queue of its own. Dropping the future
    /// gives the subscription up.
    ///
    /// # Errors
    /// The track is gone, the session is, or the server did not start the subscription within 10 s; it gives no reason then,
    /// but the usual one is a token without `canSubscribe`.
    pub async fn subscribe(&self) -> Result<DataTrackStream, DataTrackSubscribeError> {
        self.subscribe_with_options(DataTrackSubscribeOptions::default()).await
    }

    /// As [`subscribe`](Self::subscribe), with bounds for the stream's queue.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with_options(
        &self,
        options: DataTrackSubscribeOptions,
    ) -> Result<DataTrackStream, DataTrackSubscribeError> {
        if !self.is_published() {
            return Err(DataTrackSubscribeError::Unpublished);
        }
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::Subscribe { track: self.info().sid().clone(), options, reply });
        answer.await.unwrap_or(Err(DataTrackSubscribeError::Disconnected))
    }

    /// What the track is.
    #[must_use]
    pub fn info(&self) -> &DataTrackInfo {
        &self.track.info
    }

    /// Who publishes it.
    #[must_use]
    pub fn publisher_identity(&self) -> &ParticipantIdentity {
        &self.track.publisher
    }

    /// Whether it is still published, as far as this side knows.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.track.is_published.load(Ordering::Acquire)
    }

    /// Waits until the track is not published any more.
    pub async fn wait_for_unpublish(&self) {
        loop {
            let mut ended = std::pin::pin!(self.track.ended.notified());
            ended.as_mut().enable();
            if !self.is_published() {
                return;
            }
            ended.await;
        }
    }

    /// How the track's packets become frames; for present and later streams, from the next packet on.
    pub fn set_pipeline_options(&self, options: RemoteDataTrackPipelineOptions) {
        *lock(&self.track.pipeline) = options.clone();
        self.link.send(ToDriver::SetPipelineOptions { track: self.info().sid().clone(), options });
    }

    /// What happened to its frames since the first subscription.
    #[must_use]
    pub fn stats(&self) -> RemoteTrackStats {
        *lock(&self.track.stats)
    }

    pub(crate) fn state(&self) -> &RemoteTrack {
        &self.track
    }
}

impl fmt::Debug for RemoteDataTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteDataTrack")
            .field("info", self.info())
            .field("publisher", self.publisher_identity())
            .field("is_published", &self.is_published())
            .finish()
    }
}

impl PartialEq for RemoteDataTrack {
    /// Whether both are the same publication.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.track, &other.track)
    }
}

/// The state that the handles of a track share with the driver.
pub(crate) struct RemoteTrack {
    info: DataTrackInfo,
    publisher: ParticipantIdentity,
    is_published: AtomicBool,
    ended: Notify,
    pipeline: Mutex<RemoteDataTrackPipelineOptions>,
    stats: Mutex<RemoteTrackStats>,
}

impl RemoteTrack {
    pub(crate) fn new(info: DataTrackInfo, publisher: ParticipantIdentity) -> Self {
        Self {
            info,
            publisher,
            is_published: AtomicBool::new(true),
            ended: Notify::new(),
            pipeline: Mutex::default(),
            stats: Mutex::default(),
        }
    }

    pub(crate) fn pipeline_options(&self) -> RemoteDataTrackPipelineOptions {
        lock(&self.pipeline).clone()
    }

    pub(crate) fn set_stats(&self, stats: RemoteTrackStats) {
        *lock(&self.stats) = stats;
    }

    pub(crate) fn set_unpublished(&self) {
        self.is_published.store(false, Ordering::Release);
        self.ended.notify_waiters();
    }

    #[cfg(test)]
    pub(crate) fn for_tests(name: &str, publisher: &str) -> Self {
        let info = livekit_protocol::DataTrackInfo {
            pub_handle: 1,
            sid: format!("DTR_{name}"),
            name: name.to_owned(),
            ..Default::default()
        };
        let info = tramline_core::track::TrackInfo::try_from(info).expect("a valid track");
        Self::new(DataTrackInfo(Arc::new(info)), publisher.into())
    }
}
