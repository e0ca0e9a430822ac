//! Two peers, a virtual clock and a network that may be bad.

mod connect;
mod hostile;
mod link;
mod messages;
mod moving;
mod official;

#[path = "../fuzzed/mod.rs"]
mod fuzzed;
