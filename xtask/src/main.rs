//! `cargo xtask`: the only definition of what CI runs.
fn main() {}
