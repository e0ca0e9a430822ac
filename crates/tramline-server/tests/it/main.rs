//! A real server on loopback, and clients that are made of the machines below the SDK.

mod admission;
mod client;
mod garbage;
mod line;
mod listening;
mod plain_http;
mod sdk;
mod session;
mod two_connections;
mod websocket;
