//! The SFU as a library: signalling, forwarding, tokens.
