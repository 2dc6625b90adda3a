//! What was typed into a saved question, turned before it is kept.

use super::SavedKind;
use super::dashboard::Dashboard;
use crate::error::EngineError;
use protection::Pseudonyms;
use protection::classify::{Classifier, Finding};
use serde_json::{Value as Json, json};

/// So many parameters a saved search has.
const PARAMS_MAX: usize = 60;
/// The pages that ask what is saved.
const PAGES: [&str; 2] = ["search", "sql"];

/// Checks the content of a saved object and replaces in it what says who somebody is.
pub(super) fn body(
    kind: SavedKind,
    body: &Json,
    pseudonyms: &Pseudonyms,
    classifier: &Classifier,
) -> Result<Json, EngineError> {
    match kind {
        SavedKind::Dashboard => {
            let dashboard = Dashboard::read(body).map_err(EngineError::illegal_argument)?;
            let turned = every_text(&dashboard.to_json(), pseudonyms);
            // A pseudonym may be longer than what it stands for.
            Dashboard::read(&turned).map_err(EngineError::illegal_argument)?;
            Ok(turned)
        }
        SavedKind::Search => search(body, pseudonyms, classifier),
    }
}

/// Every text of a document turned; names of members are ours.
fn every_text(of: &Json, pseudonyms: &Pseudonyms) -> Json {
    match of {
        Json::String(text) => Json::String(pseudonyms.query_text(text)),
        Json::Array(items) => items.iter().map(|item| every_text(item, pseudonyms)).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), every_text(value, pseudonyms)))
            .collect(),
        other => other.clone(),
    }
}

fn search(
    body: &Json,
    pseudonyms: &Pseudonyms,
    classifier: &Classifier,
) -> Result<Json, EngineError> {
    let wrong = |reason: &str| Err(EngineError::illegal_argument(reason));
    let page = body["page"].as_str().unwrap_or("search");
    if !PAGES.contains(&page) {
        return wrong("the [page] of a saved search is `search` or `sql`");
    }
    let Some(params) = body["params"].as_array() else {
        return wrong("a saved search has [params]: a list of pairs of texts");
    };
    if params.len() > PARAMS_MAX {
        return wrong("a saved search has up to 60 parameters");
    }
    let mut turned = Vec::with_capacity(params.len());
    for param in params {
        let (Some(name), Some(value), None) = (param[0].as_str(), param[1].as_str(), param.get(2))
        else {
            return wrong("each of the [params] is a pair of texts");
        };
        let value = match name {
            "q" => query(value, pseudonyms, classifier),
            _ => pseudonyms.query_text(value),
        };
        turned.push(json!([name, value]));
    }
    Ok(json!({ "page": page, "params": turned }))
}

/// A query in the syntax of `query_string`. A pseudonym has a colon, which would name a field
/// there: outside quotes it is put into some.
fn query(text: &str, pseudonyms: &Pseudonyms, classifier: &Classifier) -> String {
    let mut findings: Vec<Finding> = Vec::new();
    classifier.find_in_text(text, &mut findings);
    let mut out = String::with_capacity(text.len() + findings.len() * 8);
    let mut at = 0;
    let mut is_quoted = false;
    for finding in &findings {
        let before = &text[at..finding.start];
        is_quoted ^= before.matches('"').count() % 2 == 1;
        out.push_str(before);
        let stand_in = pseudonyms.query_text(&text[finding.start..finding.end]);
        match is_quoted {
            true => out.push_str(&stand_in),
            false => out.extend(["\"", &stand_in, "\""]),
        }
        at = finding.end;
    }
    out.push_str(&text[at..]);
    // What only the whole text gives away.
    pseudonyms.query_text(&out)
}
