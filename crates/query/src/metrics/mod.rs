//! Declared metrics.
