//! Live data between robots, services and browsers: the Rust SDK of Tramline.
