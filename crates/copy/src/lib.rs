//! Copies production data in.
