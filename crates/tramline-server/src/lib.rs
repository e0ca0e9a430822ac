//! The SFU as a library: tokens, signalling, forwarding.
//!
//! ```
//! use tramline_server::auth::{AccessToken, VideoGrants};
//! use tramline_server::{Server, ServerConfig};
//!
//! let server = Server::start(ServerConfig::ephemeral())?;
//! let token = AccessToken::new("devkey", "secret")
//!     .with_identity("robot-7")
//!     .with_grants(VideoGrants::join("yard"))
//!     .to_jwt()?;
//! println!("{} takes {token}", server.url());
//! server.shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server is one thread, `tramline-shard`: HTTP, WebSockets, rooms and all transports. Clients come in with a JWT, over
//! `/rtc/v1` (LiveKit's signalling with a single peer connection) or `/rtc` (the older one with two, of which the server
//! offers the one that the client receives on), and send and receive data tracks and data packets over WebRTC data channels on one UDP port.
#![forbid(unsafe_code)]

pub mod auth;

mod admin;
mod config;
mod http;
mod server;
mod shard;
mod stats;

pub use admin::AdminError;
pub use config::{DEFAULT_PORT, DEFAULT_UDP_PORT, Limits, ServerConfig};
pub use server::{Server, StartError};
pub use stats::ServerStats;
pub use tramline_core::room::{Grants, MetadataTooLong};
pub use tramline_core::session::SelfUpdate;
