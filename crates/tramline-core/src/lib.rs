//! Sans-IO machines for data tracks: publish, subscribe, reassembly, the live queue, session, room.
//!
//! Nothing here opens a socket, reads a clock or takes randomness: `now`, seeds and random values are arguments.
//! The way of a frame: [`packetize`] makes packets of it, [`queue`] holds them for a slower hop and gives up what
//! is too old, [`outbox`] takes turns between the tracks of one peer, [`reassemble`] makes the frame again, and
//! [`fanout`] hands it to every local reader. [`e2ee`] encrypts it before the first of these and decrypts it after
//! reassembly; [`schema`] says what it holds. [`stats`] counts the same things at each of them.
//!
//! [`packet`] is about the messages beside the tracks: who may send them to whom, repeats, encryption.
//!
//! Signalling: [`session`] is the client's side, [`room`] the server's, and [`forward`] the routes that packets
//! follow between the two.
#![forbid(unsafe_code)]

pub mod data_stream;
pub mod e2ee;
pub mod fanout;
pub mod forward;
pub mod frame;
mod layout;
pub mod leave;
pub mod outbox;
pub mod packet;
pub mod packetize;
pub mod queue;
pub mod reassemble;
pub mod repair;
pub mod room;
pub mod rpc;
pub mod schema;
pub mod session;
mod slots;
pub mod stats;
pub mod track;
