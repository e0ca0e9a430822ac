//! Data-track packets, extensions and ids: bytes to types and back.
