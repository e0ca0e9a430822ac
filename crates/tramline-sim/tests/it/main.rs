//! The whole way of frames (queue, scheduler, SCTP, links, reassembly) on virtual time.

mod line;
mod live;
mod lossy;
