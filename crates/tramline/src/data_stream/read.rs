//! Reading streams.

use std::{
    fmt,
    future::poll_fn,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tramline_core::data_stream::StreamError;
use tramline_net::runtime::{BlockError, block_on};

use super::{ByteStreamInfo, Feed, TextStreamInfo, file};
use crate::error::SaveStreamError;

/// How far a stream has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamProgress {
    /// Chunks that were read.
    pub chunks: u64,
    /// Bytes of contents that were read.
    pub bytes_processed: u64,
    /// Bytes of contents in all, when they were known from the start.
    pub bytes_total: Option<u64>,
}

macro_rules! reader {
    ($(#[$doc:meta])* $name:ident, $info:ident, $part:ty) => {
        $(#[$doc])*
        ///
        /// Dropping it ends the interest; what still comes is thrown away. Memory for what was not read is bounded by
        /// [`RoomOptions::stream_capacity`](crate::RoomOptions::stream_capacity) for all streams of the room together: beyond that the stream with the
        /// most fails with [`StreamError::Unread`].
        pub struct $name {
            info: $info,
            feed: Arc<Feed>,
        }

        impl $name {
            pub(crate) fn new(info: $info, feed: Arc<Feed>) -> Self {
                Self { info, feed }
            }

            /// What the stream says of itself.
            #[must_use]
            pub fn info(&self) -> &$info {
                &self.info
            }

            /// How far it has been read.
            #[must_use]
            pub fn progress(&self) -> StreamProgress {
                let (chunks, bytes_processed) = self.feed.read();
                StreamProgress { chunks, bytes_processed, bytes_total: self.info.total_length() }
            }

            /// The next part, not empty; `None` at the end, and after an error. Cancel-safe, on any executor.
            pub async fn next(&mut self) -> Option<Result<$part, StreamError>> {
                poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
            }

            /// As [`next`](Self::next), blocking the calling thread for at most `timeout`.
            ///
            /// # Errors
            /// The time has passed, or the thread drives an async runtime.
            pub fn next_timeout(
                &mut self,
                timeout: Duration,
            ) -> Result<Option<Result<$part, StreamError>>, BlockError> {
                block_on(self.next(), Some(timeout))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.feed.stop();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("info", &self.info).finish_non_exhaustive()
            }
        }
    };
}

reader!(
    /// Reads a text that somebody sends. Parts are whole characters.
    TextStreamReader,
    TextStreamInfo,
    String
);

reader!(
    /// Reads bytes that somebody sends.
    ByteStreamReader,
    ByteStreamInfo,
    Bytes
);

impl TextStreamReader {
    /// All of it.
    ///
    /// # Errors
    /// It did not come whole.
    pub async fn read_all(mut self) -> Result<String, StreamError> {
        let mut text = String::new();
        while let Some(part) = self.next().await {
            text.push_str(&part?);
        }
        Ok(text)
    }
}

impl Stream for TextStreamReader {
    type Item = Result<String, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = ready!(self.feed.poll_next(cx));
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).map_err(|_| StreamError::Utf8);
        Poll::Ready(part.map(|part| part.and_then(text)))
    }
}

impl ByteStreamReader {
    /// All of it.
    ///
    /// # Errors
    /// It did not come whole.
    pub async fn read_all(mut self) -> Result<Bytes, StreamError> {
        let mut bytes = BytesMut::new();
        while let Some(part) = self.next().await {
            bytes.extend_from_slice(&part?);
        }
        Ok(bytes.freeze())
    }

    /// Saves it as a file in `directory`, under the sender's name for it or under `name`, and returns the path. A file that is there is replaced.
    ///
    /// # Errors
    /// It did not come whole, or cannot be written; the sender's name is no plain file name.
    pub async fn write_to_file(
        mut self,
        directory: impl AsRef<Path>,
        name: Option<&str>,
    ) -> Result<PathBuf, SaveStreamError> {
        let name = name.map_or_else(|| self.info.name().to_owned(), str::to_owned);
        let path = file::path_in(directory.as_ref(), &name)?;
        let mut file = file::Writer::create(path.clone())?;
        while let Some(part) = self.next().await {
            file.write(part?).await?;
        }
        file.finish().await?;
        Ok(path)
    }
}

impl Stream for ByteStreamReader {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.feed.poll_next(cx)
    }
}
