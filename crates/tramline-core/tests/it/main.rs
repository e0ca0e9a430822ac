//! Tests of the machines together and against what official clients were seen to do.

mod e2ee;
mod e2ee_vectors;
mod frame_line;
mod packet_vectors;
mod queue_model;

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
