//! Two associations on a virtual clock, and one against other people's.

mod congested;
mod delivery;
mod every_packet;
mod forger;
mod fuzzed;
mod handshake;
mod hostile;
mod interop;
mod link;
mod lossy;
mod model;
mod reset;
mod rows;
mod spares;
