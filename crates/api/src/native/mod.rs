//! Our own API, for the command line and the web UI: what Elasticsearch has no word for.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod canaries;
pub(crate) mod changes;
pub(crate) mod copies;
pub(crate) mod erasures;
pub(crate) mod exposure;
pub(crate) mod factors;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod notices;
pub(crate) mod oidc;
pub(crate) mod people;
pub(crate) mod prometheus;
pub(crate) mod ring;
pub(crate) mod rulings;
pub(crate) mod saved;
pub(crate) mod scim;
pub(crate) mod tables;
