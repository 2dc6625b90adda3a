//! Elasticsearch's API: one file for each group of its routes.

pub(crate) mod bulk;
pub(crate) mod cat;
pub(crate) mod cluster;
pub(crate) mod cursor;
pub(crate) mod document;
pub(crate) mod index;
pub(crate) mod info;
pub(crate) mod search;
pub(crate) mod security;
pub(crate) mod sql;

/// The version of Elasticsearch whose API this is.
pub(crate) const VERSION: &str = "9.2.0";
/// The name of this cluster of one node.
pub(crate) const CLUSTER: &str = "clerestory";
