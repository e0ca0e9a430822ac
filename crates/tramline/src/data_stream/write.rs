//! Writing streams.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use bytes::Bytes;
use tramline_core::{
    data_stream::{
        CHUNK_LEN, Content, Info, Text,
        send::{self, Reach, chunk_len},
    },
    packet::{DataPacketKind, reliable::Lane},
};
use tramline_net::{clock, random};

use super::{ByteStreamInfo, StreamByteOptions, StreamTextOptions, TextStreamInfo, file};
use crate::{
    data_packet::wire::Value,
    error::{PublishDataError, SendStreamError},
    participant::ParticipantIdentity,
    sender::{Outgoing, PacketSender},
};

/// Sends the packets of one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamSender {
    pub(crate) sender: Arc<PacketSender>,
    /// The local participant.
    pub(crate) identity: ParticipantIdentity,
    pub(crate) destinations: Vec<String>,
    /// In whose name an agent sends.
    pub(crate) sender_identity: Option<ParticipantIdentity>,
}

impl StreamSender {
    fn outgoing(&self, value: Value) -> Outgoing<'_> {
        Outgoing {
            value,
            kind: DataPacketKind::Reliable,
            destinations: &self.destinations,
            sender_identity: self.sender_identity.as_ref().map(ParticipantIdentity::as_str),
        }
    }

    async fn part(&self, value: Value) -> Result<(), PublishDataError> {
        self.sender.send_part(self.identity.as_str(), self.outgoing(value)).await
    }

    /// Returns when it has arrived at the server, and with it all parts before.
    async fn last(&self, value: Value, lane: Lane) -> Result<(), PublishDataError> {
        self.sender.send(self.identity.as_str(), self.outgoing(value), lane).await
    }

    async fn whole(
        &self,
        info: Info,
        content: Bytes,
        reach: Reach,
        compress: bool,
    ) -> Result<Info, SendStreamError> {
        let (info, mut packets) = send::whole(info, content, reach, compress, &self.destinations)?;
        let lane = if packets.is_inline() { Lane::Prompt } else { Lane::Bulk };
        let mut next = packets.next();
        while let Some(value) = next {
            next = packets.next();
            if next.is_some() {
                self.part(value).await?;
            } else {
                self.last(value, lane).await?;
            }
        }
        Ok(info)
    }

    pub(crate) async fn send_text(
        &self,
        text: String,
        options: &StreamTextOptions,
        reach: Reach,
    ) -> Result<TextStreamInfo, SendStreamError> {
        let compress = options.compress.unwrap_or(true);
        let info = self.whole(text_info(options)?, text.into(), reach, compress).await?;
        Ok(TextStreamInfo::new(info))
    }

    pub(crate) async fn send_bytes(
        &self,
        bytes: Bytes,
        options: &StreamByteOptions,
        reach: Reach,
    ) -> Result<ByteStreamInfo, SendStreamError> {
        let compress = options.compress.unwrap_or(true);
        let info = self.whole(byte_info(options)?, bytes, reach, compress).await?;
        Ok(ByteStreamInfo::new(info))
    }

    pub(crate) async fn send_file(
        &self,
        path: &Path,
        options: &StreamByteOptions,
        reach: Reach,
    ) -> Result<ByteStreamInfo, SendStreamError> {
        let mut file = file::Reader::open(path)?;
        let mut info = byte_info(options)?;
        if let (Content::Bytes { name }, None) = (&mut info.content, &options.name) {
            *name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        info.total_length = Some(file.len);
        let compress = options.compress.unwrap_or(true) && reach.deflate;
        if file.len <= SHORT_FILE {
            file.start(false)?;
            let mut content = Vec::new();
            while let Some(piece) = file.next().await? {
                content.extend_from_slice(&piece);
            }
            return Ok(ByteStreamInfo::new(self.whole(info, content.into(), reach, compress).await?));
        }
        let (chunks, header) = send::Writer::open_with(&info, compress, &self.destinations)?;
        file.start(compress)?;
        let mut stream = Open { chunks, sender: self.clone(), is_broken: false, is_closed: false };
        stream.sender.part(header).await?;
        while let Some(piece) = file.next().await? {
            stream.write(&piece, false).await?;
        }
        stream.close("", BTreeMap::new()).await?;
        Ok(ByteStreamInfo::new(info))
    }

    pub(crate) async fn stream_text(
        self,
        options: &StreamTextOptions,
    ) -> Result<TextStreamWriter, SendStreamError> {
        let info = text_info(options)?;
        let stream = self.open(&info).await?;
        Ok(TextStreamWriter { info: TextStreamInfo::new(info), stream })
    }

    pub(crate) async fn stream_bytes(
        self,
        options: &StreamByteOptions,
    ) -> Result<ByteStreamWriter, SendStreamError> {
        let info = byte_info(options)?;
        let stream = self.open(&info).await?;
        Ok(ByteStreamWriter { info: ByteStreamInfo::new(info), stream })
    }

    async fn open(self, info: &Info) -> Result<Arc<Mutexed>, SendStreamError> {
        let (chunks, header) = send::Writer::open(info, &self.destinations)?;
        self.part(header).await?;
        Ok(Arc::new(tokio::sync::Mutex::new(Open {
            chunks,
            sender: self,
            is_broken: false,
            is_closed: false,
        })))
    }
}

type Mutexed = tokio::sync::Mutex<Open>;

/// A stream whose header is sent.
struct Open {
    chunks: send::Writer,
    sender: StreamSender,
    /// Something was not written whole: nothing after it is of any use.
    is_broken: bool,
    /// The trailer is sent.
    is_closed: bool,
}

impl Open {
    async fn write(&mut self, mut content: &[u8], is_text: bool) -> Result<(), SendStreamError> {
        if self.is_closed || std::mem::replace(&mut self.is_broken, true) {
            return Err(SendStreamError::Closed);
        }
        while !content.is_empty() {
            let len = chunk_len(content, is_text);
            let chunk = self.chunks.chunk(&content[..len]);
            self.sender.part(chunk).await?;
            content = &content[len..];
        }
        self.is_broken = false;
        Ok(())
    }

    async fn close(
        &mut self,
        reason: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), SendStreamError> {
        if self.is_broken || std::mem::replace(&mut self.is_closed, true) {
            return Err(SendStreamError::Closed);
        }
        let trailer = self.chunks.trailer(reason, attributes);
        Ok(self.sender.last(trailer, Lane::Bulk).await?)
    }
}

impl Drop for Open {
    /// The receivers need not wait for what will not come.
    fn drop(&mut self) {
        if !self.is_closed {
            let trailer = self.chunks.trailer("the writer was dropped before the end", BTreeMap::new());
            let outgoing = self.sender.outgoing(trailer);
            let _ = self.sender.sender.send_last_word(self.sender.identity.as_str(), outgoing);
        }
    }
}

macro_rules! writer {
    ($(#[$doc:meta])* $name:ident, $info:ident, $what:ty, $is_text:literal) => {
        $(#[$doc])*
        ///
        /// Cheap to clone: all clones write to the one stream. When the last one is dropped without [`close`](Self::close), the receivers are told that
        /// the stream was given up.
        #[derive(Clone)]
        pub struct $name {
            info: $info,
            stream: Arc<Mutexed>,
        }

        impl $name {
            /// What the stream says of itself.
            #[must_use]
            pub fn info(&self) -> &$info {
                &self.info
            }

            /// Writes a part. Returns when there is room for the next one: it waits while the network is slower than the writer. When the future
            /// is dropped, the stream is over.
            ///
            /// # Errors
            /// The stream is closed, or the session is over.
            pub async fn write(&self, part: $what) -> Result<(), SendStreamError> {
                self.stream.lock().await.write(part.as_ref(), $is_text).await
            }

            /// Ends the stream, and returns when all of it has arrived at the server.
            ///
            /// # Errors
            /// The stream is closed already, or the session is over.
            pub async fn close(&self) -> Result<(), SendStreamError> {
                self.close_with("", BTreeMap::new()).await
            }

            /// As [`close`](Self::close), with attributes on top of the first ones. A reason that is not empty makes it a failure for the receivers.
            ///
            /// # Errors
            /// As for [`close`](Self::close).
            pub async fn close_with(
                &self,
                reason: &str,
                attributes: BTreeMap<String, String>,
            ) -> Result<(), SendStreamError> {
                self.stream.lock().await.close(reason, attributes).await
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("info", &self.info).finish_non_exhaustive()
            }
        }
    };
}

writer!(
    /// Writes a text little by little.
    TextStreamWriter,
    TextStreamInfo,
    &str,
    true
);

writer!(
    /// Writes bytes little by little.
    ByteStreamWriter,
    ByteStreamInfo,
    &[u8],
    false
);

fn text_info(options: &StreamTextOptions) -> Result<Info, SendStreamError> {
    Ok(Info {
        id: id(options.id.as_deref())?,
        topic: options.topic.clone(),
        timestamp_ms: clock::unix_millis(),
        mime_type: "text/plain".to_owned(),
        total_length: options.total_length,
        attributes: options.attributes.clone(),
        is_encrypted: false,
        content: Content::Text(Text {
            operation: options.operation,
            version: options.version,
            reply_to_stream_id: options.reply_to_stream_id.clone(),
            attached_stream_ids: options.attached_stream_ids.clone(),
            generated: options.generated,
        }),
    })
}

fn byte_info(options: &StreamByteOptions) -> Result<Info, SendStreamError> {
    Ok(Info {
        id: id(options.id.as_deref())?,
        topic: options.topic.clone(),
        timestamp_ms: clock::unix_millis(),
        mime_type: options.mime_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned()),
        total_length: options.total_length,
        attributes: options.attributes.clone(),
        is_encrypted: false,
        content: Content::Bytes { name: options.name.clone().unwrap_or_default() },
    })
}

fn id(given: Option<&str>) -> Result<String, PublishDataError> {
    match given {
        Some(id) => Ok(id.to_owned()),
        None => {
            let bits = random::bytes().map_err(|error| PublishDataError::Internal(error.to_string()))?;
            Ok(tramline_core::rpc::uuid(u128::from_ne_bytes(bits)))
        }
    }
}

/// Files up to this are read before they are sent: they may fit into one packet.
const SHORT_FILE: u64 = 4 * CHUNK_LEN as u64;
