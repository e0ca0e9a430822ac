//! Sockets, clocks and runtime: UDP with GSO/GRO, WebSocket, TLS.
