//! Two associations on a virtual clock, and one against other people's.

mod congested;
mod delivery;
mod handshake;
mod hostile;
mod interop;
mod link;
mod lossy;
mod reset;
mod spares;
