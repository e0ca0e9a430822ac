//! What the local participant sends to the others: packets, calls, streams.

use std::{future::Future, path::Path};

use bytes::Bytes;
use livekit_protocol as proto;
use tokio::sync::oneshot;
use tramline_core::{
    data_stream::send::Reach,
    packet::{DataPacketKind, reliable::Lane},
    session::TrackPermission,
};
use tramline_net::{clock, random};
use tramline_wire::TrackSid;

use super::{LocalParticipant, ParticipantIdentity};
use crate::{
    data_packet::{ChatMessage, DataPacket, SipDtmf, wire::Value},
    data_stream::{
        ByteStreamInfo, ByteStreamWriter, StreamByteOptions, StreamSender, StreamTextOptions, TextStreamInfo,
        TextStreamWriter,
    },
    error::{PublishDataError, SendStreamError},
    link::{ToDriver, lock},
    rpc::{Handler, PerformRpcData, RpcError, RpcInvocationData},
    sender::{MAX_QUEUED, Outgoing},
};

/// What one participant may subscribe to: [`LocalParticipant::set_track_subscription_permissions`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParticipantTrackPermission {
    /// Who.
    pub participant_identity: ParticipantIdentity,
    /// All tracks, also those to come.
    pub allow_all: bool,
    /// These tracks.
    pub allowed_track_sids: Vec<TrackSid>,
    /// The tracks of these names, also when they are published later.
    pub allowed_track_names: Vec<String>,
}

impl LocalParticipant {
    // ---- Packets.

    /// Sends a packet to the others in the room, or to some of them.
    ///
    /// Returns when a reliable packet has arrived at the server, which keeps it for its receivers; a lossy one, when it is on its way. Dropping the
    /// future does not call it back.
    ///
    /// # Errors
    /// It is too long, the token does not allow it, there is no key in an encrypted room, or the session ended: before it was sent, or before
    /// it was known to have arrived.
    pub async fn publish_data(&self, packet: DataPacket) -> Result<(), PublishDataError> {
        let (value, kind, destinations) = self.user_packet(packet)?;
        let outgoing = Outgoing { kind, ..Outgoing::reliable(value, &destinations) };
        self.sender.send(self.identity_str(), outgoing, Lane::Prompt).await
    }

    /// As [`publish_data`](Self::publish_data), without waiting: the packet is queued, in order with all others.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data), and when 8 MiB wait to be sent already. What goes wrong later is not told.
    pub fn publish_data_no_wait(&self, packet: DataPacket) -> Result<(), PublishDataError> {
        let (value, kind, destinations) = self.user_packet(packet)?;
        let outgoing = Outgoing { kind, ..Outgoing::reliable(value, &destinations) };
        self.sender.try_send(self.identity_str(), outgoing, MAX_QUEUED)
    }

    /// Sends a tone of a telephone's keypad.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data).
    pub async fn publish_dtmf(&self, dtmf: SipDtmf) -> Result<(), PublishDataError> {
        self.may_send()?;
        let destinations = names(&dtmf.destination_identities);
        let value = Value::SipDtmf(proto::SipDtmf { code: dtmf.code, digit: dtmf.digit });
        self.sender.send(self.identity_str(), Outgoing::reliable(value, &destinations), Lane::Prompt).await
    }

    /// Sends a chat message of the older form, and returns it with its new id.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data).
    pub async fn send_chat_message(
        &self,
        text: impl Into<String>,
        destination_identities: Vec<ParticipantIdentity>,
        sender_identity: Option<ParticipantIdentity>,
    ) -> Result<ChatMessage, PublishDataError> {
        let bits = random::bytes().map_err(|error| PublishDataError::Internal(error.to_string()))?;
        let message = ChatMessage {
            id: tramline_core::rpc::uuid(u128::from_ne_bytes(bits)),
            message: text.into(),
            timestamp_ms: clock::unix_millis(),
            ..ChatMessage::default()
        };
        self.publish_chat_message(message, destination_identities, sender_identity).await
    }

    /// Sends a new text for an earlier chat message, and returns the message as it is now.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data).
    pub async fn edit_chat_message(
        &self,
        text: impl Into<String>,
        original: ChatMessage,
        destination_identities: Vec<ParticipantIdentity>,
        sender_identity: Option<ParticipantIdentity>,
    ) -> Result<ChatMessage, PublishDataError> {
        let message =
            ChatMessage { message: text.into(), edit_timestamp_ms: Some(clock::unix_millis()), ..original };
        self.publish_chat_message(message, destination_identities, sender_identity).await
    }

    async fn publish_chat_message(
        &self,
        message: ChatMessage,
        destination_identities: Vec<ParticipantIdentity>,
        sender_identity: Option<ParticipantIdentity>,
    ) -> Result<ChatMessage, PublishDataError> {
        self.may_send()?;
        let destinations = names(&destination_identities);
        let value = Value::ChatMessage(proto::ChatMessage {
            id: message.id.clone(),
            timestamp: message.timestamp_ms,
            edit_timestamp: message.edit_timestamp_ms,
            message: message.message.clone(),
            deleted: message.deleted,
            generated: message.generated,
        });
        let sender_identity = sender_identity.as_ref().map(ParticipantIdentity::as_str);
        let outgoing = Outgoing { sender_identity, ..Outgoing::reliable(value, &destinations) };
        self.sender.send(self.identity_str(), outgoing, Lane::Prompt).await?;
        Ok(message)
    }

    /// Sends a packet that the caller has made, reliably: for bindings that make streams themselves.
    ///
    /// Returns when it has arrived at the server.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data).
    pub async fn publish_raw(
        &self,
        value: Value,
        destination_identities: Vec<ParticipantIdentity>,
        sender_identity: Option<ParticipantIdentity>,
    ) -> Result<(), PublishDataError> {
        self.may_send()?;
        let destinations = names(&destination_identities);
        let sender_identity = sender_identity.as_ref().map(ParticipantIdentity::as_str);
        let outgoing = Outgoing { sender_identity, ..Outgoing::reliable(value, &destinations) };
        self.sender.send(self.identity_str(), outgoing, Lane::Bulk).await
    }

    // ---- Permissions.

    /// Lets everybody subscribe to the tracks of this participant, as is the case from the start, or only those in `permissions`. Replaces what was said
    /// before; subscriptions that are not allowed any more end.
    pub fn set_track_subscription_permissions(
        &self,
        all_participants_allowed: bool,
        permissions: Vec<ParticipantTrackPermission>,
    ) {
        let permissions = permissions.into_iter().map(|permission| TrackPermission {
            identity: permission.participant_identity.as_str().to_owned(),
            all_tracks: permission.allow_all,
            track_sids: permission.allowed_track_sids,
            track_names: permission.allowed_track_names,
        });
        self.link.send(ToDriver::SetSubscriptionPermissions {
            all_participants: all_participants_allowed,
            permissions: permissions.collect(),
        });
    }

    // ---- Calls.

    /// Calls a method of another participant, and returns its answer.
    ///
    /// # Errors
    /// What the method returned as its error, or one of [`RpcErrorCode`](crate::RpcErrorCode): nobody of that identity is in the room (at once), it does
    /// not answer in time, has no such method, or leaves.
    pub async fn perform_rpc(&self, data: PerformRpcData) -> Result<String, RpcError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(ToDriver::PerformRpc { data: Box::new(data), reply });
        answer.await.unwrap_or_else(|_| {
            let data = "the session is over".to_owned();
            Err(RpcError::built_in(crate::RpcErrorCode::SendFailed, Some(data)))
        })
    }

    /// Lets others call `method`. A method of that name that is registered already is replaced.
    ///
    /// Handlers run on threads of their own, up to 256 at once: they may block, and call others. One that panics is answered with
    /// [`ApplicationError`](crate::RpcErrorCode::ApplicationError). When this is called in a tokio runtime, its timers and sockets work in the handler.
    ///
    /// ```no_run
    /// # async fn example(robot: tramline::LocalParticipant) {
    /// robot.register_rpc_method("grip", |call| async move {
    ///     println!("{} asks for {}", call.caller_identity, call.payload);
    ///     Ok("done".to_owned())
    /// });
    /// # }
    /// ```
    pub fn register_rpc_method<F, Fut>(&self, method: impl Into<String>, handler: F)
    where
        F: Fn(RpcInvocationData) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RpcError>> + Send + 'static,
    {
        let handler = Handler::new(handler);
        self.link.send(ToDriver::RegisterRpcMethod { method: method.into(), handler });
    }

    /// Calls of `method` are refused from now on; those that run go on. Unknown names are ignored.
    pub fn unregister_rpc_method(&self, method: impl Into<String>) {
        self.link.send(ToDriver::UnregisterRpcMethod(method.into()));
    }

    // ---- Streams.

    /// Sends a text of any length: options, or only a topic. Returns when it has arrived at the server.
    ///
    /// # Errors
    /// As for [`publish_data`](Self::publish_data), or the header is too large.
    pub async fn send_text(
        &self,
        text: impl Into<String>,
        options: impl Into<StreamTextOptions>,
    ) -> Result<TextStreamInfo, SendStreamError> {
        let options = options.into();
        let sender = self.stream_sender(&options.destination_identities, options.sender_identity.clone())?;
        sender.send_text(text.into(), &options, self.reach(&sender.destinations)).await
    }

    /// Sends bytes of any number; see [`send_text`](Self::send_text).
    ///
    /// # Errors
    /// As for [`send_text`](Self::send_text).
    pub async fn send_bytes(
        &self,
        bytes: impl Into<Bytes>,
        options: impl Into<StreamByteOptions>,
    ) -> Result<ByteStreamInfo, SendStreamError> {
        let options = options.into();
        let sender = self.stream_sender(&options.destination_identities, options.sender_identity.clone())?;
        sender.send_bytes(bytes.into(), &options, self.reach(&sender.destinations)).await
    }

    /// Sends a file as bytes, under its name unless the options have another one; see [`send_text`](Self::send_text).
    ///
    /// # Errors
    /// As for [`send_text`](Self::send_text), or the file cannot be read.
    pub async fn send_file(
        &self,
        path: impl AsRef<Path>,
        options: impl Into<StreamByteOptions>,
    ) -> Result<ByteStreamInfo, SendStreamError> {
        let options = options.into();
        let sender = self.stream_sender(&options.destination_identities, options.sender_identity.clone())?;
        sender.send_file(path.as_ref(), &options, self.reach(&sender.destinations)).await
    }

    /// Begins a text that is written little by little.
    ///
    /// # Errors
    /// As for [`send_text`](Self::send_text).
    pub async fn stream_text(
        &self,
        options: impl Into<StreamTextOptions>,
    ) -> Result<TextStreamWriter, SendStreamError> {
        let options = options.into();
        let sender = self.stream_sender(&options.destination_identities, options.sender_identity.clone())?;
        sender.stream_text(&options).await
    }

    /// Begins bytes that are written little by little.
    ///
    /// # Errors
    /// As for [`send_text`](Self::send_text).
    pub async fn stream_bytes(
        &self,
        options: impl Into<StreamByteOptions>,
    ) -> Result<ByteStreamWriter, SendStreamError> {
        let options = options.into();
        let sender = self.stream_sender(&options.destination_identities, options.sender_identity.clone())?;
        sender.stream_bytes(&options).await
    }

    fn stream_sender(
        &self,
        destinations: &[ParticipantIdentity],
        sender_identity: Option<ParticipantIdentity>,
    ) -> Result<StreamSender, PublishDataError> {
        self.may_send()?;
        Ok(StreamSender {
            sender: self.sender.clone(),
            identity: self.state.identity.clone(),
            destinations: names(destinations),
            sender_identity,
        })
    }

    /// What those who will receive a stream understand, all of them.
    fn reach(&self, destinations: &[String]) -> Reach {
        let remotes = lock(&self.remotes);
        if destinations.is_empty() {
            return remotes.values().fold(Reach::ALL, |reach, remote| reach.and(&remote.snapshot()));
        }
        destinations.iter().fold(Reach::ALL, |reach, identity| match remotes.get(identity.as_str()) {
            Some(remote) => reach.and(&remote.snapshot()),
            None => Reach::NONE,
        })
    }

    fn identity_str(&self) -> &str {
        self.state.identity.as_str()
    }

    /// The server drops what may not be sent without a word.
    fn may_send(&self) -> Result<(), PublishDataError> {
        if self.permissions().can_publish_data { Ok(()) } else { Err(PublishDataError::NotPermitted) }
    }

    fn user_packet(
        &self,
        packet: DataPacket,
    ) -> Result<(Value, DataPacketKind, Vec<String>), PublishDataError> {
        self.may_send()?;
        let kind = if packet.reliable { DataPacketKind::Reliable } else { DataPacketKind::Lossy };
        let value = Value::User(proto::UserPacket {
            payload: packet.payload.into(),
            topic: packet.topic,
            nonce: packet.nonce.unwrap_or_default(),
            ..proto::UserPacket::default()
        });
        Ok((value, kind, names(&packet.destination_identities)))
    }
}

fn names(identities: &[ParticipantIdentity]) -> Vec<String> {
    identities.iter().map(|identity| identity.as_str().to_owned()).collect()
}
