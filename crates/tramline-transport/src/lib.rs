//! Sans-IO WebRTC peer for data channels: SDP, ICE, DTLS, SCTP.
