//! What is declared, as the engine tells it.

use crate::backend;
use crate::error::ApiError;
use crate::ui::number;
use engine::{Caller, Engine};
use serde_json::Value;

/// A declared metric.
pub(in crate::ui) struct Declared {
    pub(in crate::ui) name: String,
    /// What people call it.
    pub(in crate::ui) label: String,
    /// `simple`, `ratio`.
    pub(in crate::ui) kind: String,
    /// How it is made, in words.
    pub(in crate::ui) made_of: String,
    pub(in crate::ui) description: String,
    pub(in crate::ui) grain: Option<String>,
    pub(in crate::ui) dimensions: Vec<String>,
}

impl Declared {
    /// Reads one; `None` if it has no name.
    pub(in crate::ui) fn read(value: &Value) -> Option<Declared> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let name = text("name")?;
        let kind = text("type").unwrap_or_else(|| "simple".to_owned());
        let measures = value["measures"].as_array().map(Vec::as_slice).unwrap_or_default();
        let measures: Vec<&str> = measures.iter().filter_map(Value::as_str).collect();
        let made_of = measures.join(if kind == "ratio" { " ÷ " } else { ", " });
        let dimensions = value["dimensions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name_of = |dimension: &Value| {
            dimension.as_str().or_else(|| dimension["name"].as_str()).map(str::to_owned)
        };
        Some(Declared {
            label: text("label").filter(|label| !label.is_empty()).unwrap_or_else(|| name.clone()),
            kind,
            made_of,
            description: text("description").unwrap_or_default(),
            grain: text("grain"),
            dimensions: dimensions.iter().filter_map(name_of).collect(),
            name,
        })
    }

    /// Whether it is a share of something.
    pub(in crate::ui) fn is_ratio(&self) -> bool {
        matches!(self.kind.as_str(), "ratio" | "conversion" | "retention")
    }

    /// One of its numbers.
    pub(in crate::ui) fn written(&self, value: Option<f64>) -> String {
        match value {
            None => "–".to_owned(),
            Some(value) if self.is_ratio() => number::percent(value),
            Some(value) => number::plain(value),
        }
    }
}

/// All metrics that the caller may know.
pub(in crate::ui) fn declared(engine: &Engine, caller: &Caller) -> Result<Vec<Declared>, ApiError> {
    let listed = backend::metrics(engine, caller)?;
    let listed = listed.as_array().or_else(|| listed["metrics"].as_array());
    Ok(listed.into_iter().flatten().filter_map(Declared::read).collect())
}
