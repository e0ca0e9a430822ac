//! Sans-IO machines for data tracks: publish, subscribe, reassembly, the live queue, session, room.
//!
//! Nothing here opens a socket, reads a clock or takes randomness: `now`, seeds and random values are arguments.
//! The way of a frame: [`packetize`] makes packets of it, [`queue`] holds them for a slower hop and gives up what
//! is too old, [`outbox`] takes turns between the tracks of one peer, [`reassemble`] makes the frame again, and
//! [`fanout`] hands it to every local reader. [`stats`] counts the same things at each of them.
#![forbid(unsafe_code)]

pub mod fanout;
pub mod frame;
pub mod outbox;
pub mod packetize;
pub mod queue;
pub mod reassemble;
pub mod stats;
