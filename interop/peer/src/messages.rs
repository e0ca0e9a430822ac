//! Packets, calls and streams.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tramline::{
    DataPacket, DataPacketKind, ParticipantIdentity, PerformRpcData, RoomEvent, RpcError, SipDtmf,
    StreamByteOptions, StreamTextOptions,
};

use crate::peer::{Peer, sha256, told};

impl Peer {
    /// Notes what came, for [`received`](Self::received) and [`streamed`](Self::streamed).
    pub(crate) fn note(self: &Rc<Self>, event: RoomEvent) {
        let named = |participant: Option<tramline::RemoteParticipant>| {
            participant.map(|participant| participant.identity().to_string())
        };
        let message = match event {
            RoomEvent::DataReceived { payload, topic, kind, participant, .. } => json!({
                "size": payload.len(),
                "sha256": sha256(&payload),
                "topic": topic,
                "reliable": kind == DataPacketKind::Reliable,
                "sender": named(participant),
            }),
            RoomEvent::SipDtmfReceived { code, digit, participant } => json!({
                "code": code,
                "digit": digit,
                "sender": named(participant),
            }),
            RoomEvent::TextStreamOpened { reader, topic, participant_identity } => {
                let Some(reader) = reader.take() else { return };
                let info = reader.info().clone();
                return self.read_stream(async move {
                    let text = reader.read_all().await.map_err(told)?;
                    Ok(json!({
                        "topic": topic,
                        "sender": participant_identity.as_str(),
                        "name": null,
                        "attributes": info.attributes(),
                        "size": text.len(),
                        "sha256": sha256(text.as_bytes()),
                    }))
                });
            }
            RoomEvent::ByteStreamOpened { reader, topic, participant_identity } => {
                let Some(reader) = reader.take() else { return };
                let info = reader.info().clone();
                return self.read_stream(async move {
                    let bytes = reader.read_all().await.map_err(told)?;
                    Ok(json!({
                        "topic": topic,
                        "sender": participant_identity.as_str(),
                        "name": info.name(),
                        "attributes": info.attributes(),
                        "size": bytes.len(),
                        "sha256": sha256(&bytes),
                    }))
                });
            }
            _ => return,
        };
        self.messages.borrow_mut().push_back(message);
    }

    fn read_stream(self: &Rc<Self>, read: impl Future<Output = Result<Value, String>> + 'static) {
        let peer = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let read = read.await;
            peer.read_streams.borrow_mut().push_back(read);
            peer.changed.notify_waiters();
        });
    }

    pub(crate) async fn received(&self) -> Value {
        self.until(|| self.messages.borrow_mut().pop_front()).await
    }

    pub(crate) async fn streamed(&self) -> Result<Value, String> {
        self.until(|| self.read_streams.borrow_mut().pop_front()).await
    }

    pub(crate) async fn send(
        &self,
        payload: &str,
        topic: Option<String>,
        reliable: bool,
        destinations: Vec<String>,
    ) -> Result<(), String> {
        let packet = DataPacket {
            payload: STANDARD.decode(payload).map_err(told)?.into(),
            topic,
            reliable,
            destination_identities: identities(destinations),
            nonce: None,
        };
        self.room()?.local_participant().publish_data(packet).await.map_err(told)
    }

    pub(crate) async fn send_dtmf(&self, code: u32, digit: String) -> Result<(), String> {
        let tone = SipDtmf { code, digit, destination_identities: Vec::new() };
        self.room()?.local_participant().publish_dtmf(tone).await.map_err(told)
    }

    /// `echo` answers with the payload, `fail` with the error 101.
    pub(crate) fn register(&self, method: &str) -> Result<(), String> {
        let local = self.room()?.local_participant();
        match method {
            "echo" => local.register_rpc_method(method, |call| async move { Ok(call.payload) }),
            _ => local.register_rpc_method(method, |_| async {
                Err(RpcError::new(101, "mine", Some("d".to_owned())))
            }),
        }
        Ok(())
    }

    pub(crate) async fn call(
        &self,
        destination: String,
        method: String,
        payload: String,
        timeout: Option<f64>,
    ) -> Result<String, String> {
        let mut data = PerformRpcData {
            destination_identity: destination.into(),
            method,
            payload,
            ..PerformRpcData::default()
        };
        if let Some(timeout) = timeout {
            data.response_timeout = Duration::from_secs_f64(timeout);
        }
        let answer = self.room()?.local_participant().perform_rpc(data).await;
        answer.map_err(|error| format!("{} {}", error.code, error.message))
    }

    pub(crate) async fn send_text(
        &self,
        text: String,
        topic: String,
        attributes: std::collections::BTreeMap<String, String>,
        parts: usize,
    ) -> Result<(), String> {
        let options = StreamTextOptions { topic, attributes, ..StreamTextOptions::default() };
        let local = self.room()?.local_participant();
        if parts <= 1 {
            return local.send_text(text, options).await.map(drop).map_err(told);
        }
        let writer = local.stream_text(options).await.map_err(told)?;
        let characters: Vec<char> = text.chars().collect();
        for part in characters.chunks(characters.len().div_ceil(parts).max(1)) {
            writer.write(&part.iter().collect::<String>()).await.map_err(told)?;
        }
        writer.close().await.map_err(told)
    }

    pub(crate) async fn send_bytes(&self, payload: &str, topic: String, name: String) -> Result<(), String> {
        let bytes = STANDARD.decode(payload).map_err(told)?;
        let options = StreamByteOptions { topic, name: Some(name), ..StreamByteOptions::default() };
        self.room()?.local_participant().send_bytes(bytes, options).await.map(drop).map_err(told)
    }

    pub(crate) async fn send_file(&self, path: &str, topic: String) -> Result<(), String> {
        let options = StreamByteOptions { topic, ..StreamByteOptions::default() };
        self.room()?.local_participant().send_file(path, options).await.map(drop).map_err(told)
    }
}

fn identities(names: Vec<String>) -> Vec<ParticipantIdentity> {
    names.into_iter().map(ParticipantIdentity::from).collect()
}
