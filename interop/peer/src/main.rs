//! One participant of the SDK, driven by the interop cases.
//!
//! Each line on stdin is a JSON object `{"id": N, "op": "…", …}`. Each is answered by one line on stdout, `{"id": N, "ok": …}` or
//! `{"id": N, "error": "text"}`, as soon as it is done and in any order: an operation that waits holds up no other. The end of stdin
//! ends the program.
#![allow(clippy::print_stdout, reason = "stdout is how it answers")]

mod messages;
mod peer;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::ExitCode;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use peer::Peer;

/// What a case can ask for.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Connect {
        url: String,
        token: String,
        encryption: Option<Encryption>,
        /// One for each direction, as in LiveKit's older signalling.
        #[serde(default)]
        two_connections: bool,
    },
    Publish {
        name: String,
    },
    /// The payload is base64, the time stamp a decimal string, since JSON in a browser has no 64-bit numbers.
    Push {
        sid: String,
        payload: String,
        user_timestamp: Option<String>,
    },
    Unpublish {
        sid: String,
    },
    Track {
        publisher: String,
        name: String,
    },
    Unpublished {
        sid: String,
    },
    Subscribe {
        sid: String,
        buffer_size: Option<usize>,
    },
    Read {
        stream: usize,
    },
    CloseStream {
        stream: usize,
    },
    /// With `expected`, waits until the participant is like that.
    Participant {
        identity: String,
        expected: Option<Value>,
    },
    Update {
        name: String,
        metadata: String,
        attributes: BTreeMap<String, String>,
    },
    SetKey {
        key: String,
    },
    Departed {
        identity: String,
    },
    Send {
        payload: String,
        topic: Option<String>,
        reliable: bool,
        #[serde(default)]
        destinations: Vec<String>,
    },
    SendDtmf {
        code: u32,
        digit: String,
    },
    /// The next packet or tone.
    Received,
    Register {
        method: String,
    },
    Call {
        destination: String,
        method: String,
        payload: String,
        timeout: Option<f64>,
    },
    /// At once, or little by little in so many parts.
    SendText {
        text: String,
        topic: String,
        #[serde(default)]
        attributes: BTreeMap<String, String>,
        #[serde(default)]
        parts: usize,
    },
    SendBytes {
        payload: String,
        topic: String,
        name: String,
    },
    SendFile {
        path: String,
        topic: String,
    },
    /// The next stream that has come whole.
    Streamed,
    Disconnected,
    Close,
}

/// A key for everybody in the room, in slot 0.
#[derive(Debug, Deserialize)]
pub(crate) struct Encryption {
    pub(crate) key: String,
    pub(crate) derivation: Derivation,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Derivation {
    Pbkdf2,
    Hkdf,
}

#[derive(Debug, Deserialize)]
struct Request {
    id: u64,
    #[serde(flatten)]
    operation: Operation,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers can be built");
    let tasks = tokio::task::LocalSet::new();
    let (lines, inbox) = mpsc::unbounded_channel();
    // The runtime must not wait for stdin, so a thread of its own does.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    tasks.block_on(&runtime, serve(inbox))
}

async fn serve(mut inbox: mpsc::UnboundedReceiver<String>) -> ExitCode {
    let peer = Rc::new(Peer::default());
    while let Some(line) = inbox.recv().await {
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                eprintln!("tramline-interop-peer: cannot read a request: {error}");
                return ExitCode::FAILURE;
            }
        };
        let peer = Rc::clone(&peer);
        tokio::task::spawn_local(async move {
            let id = request.id;
            let answer = match perform(&peer, request.operation).await {
                Ok(value) => json!({ "id": id, "ok": value }),
                Err(error) => json!({ "id": id, "error": error }),
            };
            println!("{answer}");
        });
    }
    ExitCode::SUCCESS
}

async fn perform(peer: &Rc<Peer>, operation: Operation) -> Result<Value, String> {
    match operation {
        Operation::Connect { url, token, encryption, two_connections } => {
            peer.connect(&url, &token, encryption, two_connections).await.map(Value::from)
        }
        Operation::Publish { name } => peer.publish(&name).await.map(Value::from),
        Operation::Push { sid, payload, user_timestamp } => {
            peer.push(&sid, &payload, user_timestamp).map(Value::from)
        }
        Operation::Unpublish { sid } => peer.unpublish(&sid).map(Value::from),
        Operation::Track { publisher, name } => Ok(peer.track(&publisher, &name).await.into()),
        Operation::Unpublished { sid } => {
            peer.unpublished(&sid).await;
            Ok(Value::Null)
        }
        Operation::Subscribe { sid, buffer_size } => peer.subscribe(&sid, buffer_size).await.map(Value::from),
        Operation::Read { stream } => peer.read(stream).await,
        Operation::CloseStream { stream } => peer.close_stream(stream).await.map(Value::from),
        Operation::Participant { identity, expected } => {
            Ok(peer.participant(&identity, expected.as_ref()).await)
        }
        Operation::Update { name, metadata, attributes } => {
            peer.update(name, metadata, attributes).await.map(Value::from)
        }
        Operation::SetKey { key } => peer.set_key(&key).map(Value::from),
        Operation::Departed { identity } => {
            peer.departed(&identity).await;
            Ok(Value::Null)
        }
        Operation::Send { payload, topic, reliable, destinations } => {
            peer.send(&payload, topic, reliable, destinations).await.map(Value::from)
        }
        Operation::SendDtmf { code, digit } => peer.send_dtmf(code, digit).await.map(Value::from),
        Operation::Received => Ok(peer.received().await),
        Operation::Register { method } => peer.register(&method).map(Value::from),
        Operation::Call { destination, method, payload, timeout } => {
            peer.call(destination, method, payload, timeout).await.map(Value::from)
        }
        Operation::SendText { text, topic, attributes, parts } => {
            peer.send_text(text, topic, attributes, parts).await.map(Value::from)
        }
        Operation::SendBytes { payload, topic, name } => {
            peer.send_bytes(&payload, topic, name).await.map(Value::from)
        }
        Operation::SendFile { path, topic } => peer.send_file(&path, topic).await.map(Value::from),
        Operation::Streamed => peer.streamed().await,
        Operation::Disconnected => Ok(peer.disconnected().await.into()),
        Operation::Close => peer.close().await.map(Value::from),
    }
}
