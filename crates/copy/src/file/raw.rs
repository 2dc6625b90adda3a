//! A copy file as YAML has it, before it is checked.

use super::ordered::Ordered;
use serde::Deserialize;
use serde_norway::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) copy: String,
    pub(super) version: Option<u32>,
    pub(super) source: Ordered<Value>,
    #[serde(default)]
    pub(super) tables: Ordered<RawTable>,
    #[serde(default)]
    pub(super) left_out: Option<RawLeftOut>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    pub(super) to: Option<String>,
    pub(super) key: Option<Vec<String>>,
    pub(super) time: Option<String>,
    pub(super) retention: Option<String>,
    pub(super) about: Option<String>,
    #[serde(rename = "where")]
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) columns: Ordered<RawColumn>,
    #[serde(default)]
    pub(super) left_out: Option<RawLeftOut>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawLeftOut {
    Names(Vec<String>),
    Reasons(Ordered<Option<String>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawColumn {
    pub(super) class: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) why: String,
    pub(super) at_source: Option<String>,
    pub(super) to: Option<String>,
    #[serde(rename = "type")]
    pub(super) ty: Option<String>,
    pub(super) value: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) fields: Ordered<RawColumn>,
}

/// The names of what is left out, each with why.
pub(super) fn left_out_of(raw: Option<RawLeftOut>) -> Vec<(String, String)> {
    match raw {
        None => Vec::new(),
        Some(RawLeftOut::Names(names)) => {
            names.into_iter().map(|name| (name, String::new())).collect()
        }
        Some(RawLeftOut::Reasons(all)) => {
            all.0.into_iter().map(|(name, why)| (name, why.unwrap_or_default())).collect()
        }
    }
}
