//! Index templates: what a cluster says about the indices that will come.
//!
//! A table here stands for all of them, so what a template says becomes the table's own: fields that
//! no index has yet, and how long rows stay.

use super::client::Client;
use super::indices::{members, see_fields};
use crate::{SourceColumn, SourceError};
use serde_json::Value;

/// One template.
#[derive(Clone, Debug, PartialEq)]
struct Template {
    name: String,
    patterns: Vec<String>,
    /// Of composable ones the greatest counts alone; of older ones all, the greatest last.
    order: i64,
    is_composable: bool,
    /// What it says: its parts, then its own.
    says: Vec<Value>,
}

/// All templates that we may see.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Templates {
    all: Vec<Template>,
    /// The cluster does not let us see them.
    are_hidden: bool,
}

/// What templates say about one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// For people: which templates there are.
    pub(super) about: Option<String>,
    /// How long rows stay, such as `30d`.
    pub(super) retention: Option<String>,
}

impl Templates {
    /// Reads them; a cluster that does not know one kind has none of it.
    pub(super) fn read(client: &Client) -> Result<Templates, SourceError> {
        let ask = |path: &str| match client.get_if_known(path) {
            // The right to see them is another than the right to read.
            Err(SourceError::Refused(_)) => Ok(Err(())),
            Err(error) => Err(error),
            Ok(found) => Ok(Ok(found.unwrap_or_default())),
        };
        let (Ok(composable), Ok(parts), Ok(older)) =
            (ask("/_index_template")?, ask("/_component_template")?, ask("/_template")?)
        else {
            return Ok(Templates { all: Vec::new(), are_hidden: true });
        };
        let mut all = Vec::new();
        for one in list(&composable["index_templates"]) {
            let body = &one["index_template"];
            let part = |name: &Value| -> Option<Value> {
                let known = list(&parts["component_templates"]).iter();
                let mut known = known.filter(|known| known["name"] == *name);
                Some(known.next()?["component_template"]["template"].clone())
            };
            let mut says: Vec<Value> = list(&body["composed_of"]).iter().filter_map(part).collect();
            says.push(body["template"].clone());
            all.push(Template {
                name: one["name"].as_str().unwrap_or_default().to_owned(),
                patterns: texts(&body["index_patterns"]),
                order: body["priority"].as_i64().unwrap_or(0),
                is_composable: true,
                says,
            });
        }
        for (name, body) in members(&older) {
            all.push(Template {
                name: name.clone(),
                patterns: texts(&body["index_patterns"]),
                order: body["order"].as_i64().unwrap_or(0),
                is_composable: false,
                says: vec![body.clone()],
            });
        }
        all.sort_by_key(|template| template.order);
        Ok(Templates { all, are_hidden: false })
    }

    /// Those that count for indices of these names.
    fn of<'t>(&'t self, names: &[&str]) -> Vec<&'t Template> {
        let fits = |template: &&Template| {
            let mut pairs =
                template.patterns.iter().flat_map(|p| names.iter().map(move |n| (p, n)));
            pairs.any(|(pattern, name)| matches(pattern, name))
        };
        let (composable, older): (Vec<&Template>, Vec<&Template>) =
            self.all.iter().filter(fits).partition(|template| template.is_composable);
        match composable.last() {
            Some(last) => vec![last],
            None => older,
        }
    }

    /// Adds the fields that an index of these names would have.
    pub(super) fn see_fields(&self, names: &[&str], columns: &mut Vec<SourceColumn>) {
        // What was said last counts, and a field that an index has already is as it is there.
        for says in self.of(names).iter().rev().flat_map(|template| template.says.iter().rev()) {
            see_fields("", &says["mappings"]["properties"], columns);
        }
    }

    /// What they say about a table of these names beside its fields.
    pub(super) fn about(&self, names: &[&str]) -> Said {
        if self.are_hidden {
            let about = "its templates were not seen: the login lacks the cluster's `monitor`";
            return Said { about: Some(about.to_owned()), retention: None };
        }
        let found = self.of(names);
        if found.is_empty() {
            return Said::default();
        }
        let told = found.iter().map(|t| format!("`{}` ({})", t.name, t.patterns.join(", ")));
        let about = format!("indices by the template {}", told.collect::<Vec<String>>().join(", "));
        let all = found.iter().rev().flat_map(|template| template.says.iter().rev());
        let mut retention =
            all.filter_map(|says| days(says["lifecycle"]["data_retention"].as_str()?));
        Said { about: Some(about), retention: retention.next() }
    }
}

/// A time of the cluster's as a copy file writes it: whole days, or hours.
fn days(text: &str) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok().filter(|number| *number > 0)?;
    match unit {
        "d" | "h" => Some(format!("{number}{unit}")),
        "m" if number >= 60 => Some(format!("{}h", number / 60)),
        _ => None,
    }
}

/// Whether a name fits a pattern in which `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((first, rest)) => name.strip_prefix(first).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, fits) in [
            ("logs", "logs", true),
            ("logs", "logs-1", false),
            ("logs-*", "logs-1", true),
            ("*-prod-*", "a-prod-b-prod-c", true),
            ("*-prod", "a-prod-b", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn one_composable_template_counts_and_all_of_the_older_ones() {
        let template = |name: &str, order, is_composable, says: Value| Template {
            name: name.to_owned(),
            patterns: vec!["logs-*".to_owned()],
            order,
            is_composable,
            says: vec![says],
        };
        let field = |name: &str, ty: &str| json!({ "mappings": { "properties": { name: { "type": ty } } } });
        let mut templates = Templates {
            all: vec![
                template("old-1", 0, false, field("a", "long")),
                template("old-2", 1, false, field("a", "keyword")),
            ],
            are_hidden: false,
        };
        let fields = |templates: &Templates| {
            let mut columns = Vec::new();
            templates.see_fields(&["logs-1"], &mut columns);
            let told = columns.iter().map(|column| format!("{} {}", column.name, column.native));
            told.collect::<Vec<String>>().join(", ")
        };
        assert_eq!(fields(&templates), "a keyword", "the later one counts");
        let mut new = field("b", "ip");
        new["lifecycle"] = json!({ "data_retention": "90d" });
        templates.all.push(template("weak", 1, true, field("c", "ip")));
        templates.all.push(template("strong", 200, true, new));
        assert_eq!(fields(&templates), "b ip");
        let said = templates.about(&["logs-1"]);
        assert_eq!(said.about.as_deref(), Some("indices by the template `strong` (logs-*)"));
        assert_eq!(said.retention.as_deref(), Some("90d"));
        assert_eq!(templates.about(&["other"]), Said::default());
    }

    #[test]
    fn times_are_days_or_hours() {
        let told = ["30d", "12h", "180m", "30m", "0d", "d", "-1d"].map(days);
        let told: Vec<&str> = told.iter().map(|text| text.as_deref().unwrap_or("-")).collect();
        assert_eq!(told, ["30d", "12h", "3h", "-", "-", "-", "-"]);
    }
}
