//! Tests of the machines together and against what official clients were seen to do.

mod allocations;
mod e2ee;
mod e2ee_vectors;
mod frame_line;
mod packet_vectors;
mod people;
mod queue_model;
mod requests;
mod room_rules;
mod session_rules;
mod signalling;
mod world;

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
