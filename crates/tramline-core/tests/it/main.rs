//! Tests of the machines together and against what official clients were seen to do.

mod frame_line;
mod packet_vectors;
mod queue_model;

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
