//! Virtual clock and seeded lossy network for the tests.
