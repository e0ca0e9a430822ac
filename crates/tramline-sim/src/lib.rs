//! Virtual clock and seeded bad links: for the tests, and for the command line's relay.
//!
//! A [`Link`] is one direction of a link with delay, jitter, loss (independent or in bursts), duplication, a rate with
//! a queue in front of it, and outages; a [`Network`] has one for each pair of endpoints, in each direction. A test owns
//! a [`VirtualClock`] and a [`Network`], moves datagrams between its machines by hand, and advances the clock to the next
//! thing that happens. The same seed gives the same run. [`run_seeds`] repeats a test over many seeds and names the one
//! that failed.
//!
//! For fuzzing, [`Choices`] makes operations of a fuzzer's bytes, and [`replay_corpus`] runs what it found again.

mod choices;
mod clock;
mod corpus;
mod link;
mod network;
mod seeds;

pub use choices::Choices;
pub use clock::VirtualClock;
pub use corpus::replay_corpus;
pub use fastrand::Rng;
pub use link::{Link, LinkConfig, LinkStats};
pub use network::{Conditions, Delivery, Network, NetworkStats};
pub use seeds::run_seeds;
