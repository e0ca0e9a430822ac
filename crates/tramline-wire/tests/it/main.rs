//! Integration tests of the packet codec.

mod corpus;
mod e2ee;
mod forward;
mod ids;
mod packet;
mod properties;
mod vectors;

#[path = "../fuzzed/packet.rs"]
mod fuzzed;
