//! What a cluster has: indices, data streams, aliases; their fields and shards.

use super::client::{Client, encoded};
use super::templates::Templates;
use crate::{About, ColumnType, Range, SourceColumn, SourceError, SourceTable, Wanted};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One shard of an index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) table: String,
    pub(super) index: String,
    pub(super) number: u64,
    /// Whether there are others beside it.
    pub(super) has_others: bool,
    /// Everything with a sequence number below this is done; `None`: the cluster does not say, and
    /// gives what was written at once.
    pub(super) done_below: Option<u64>,
    pub(super) rows: u64,
}

impl Shard {
    /// The lane of its documents.
    pub(super) fn lane(&self) -> String {
        format!("{}/{}", self.index, self.number)
    }

    pub(super) fn to_range(&self) -> Range {
        Range {
            table: self.table.clone(),
            lane: self.lane(),
            bounds: String::new(),
            rows: self.rows,
        }
    }
}

/// The tables of a cluster: data streams and aliases of several indices as one, each other index
/// alone. What begins with a dot is the cluster's own.
pub(super) fn describe(client: &Client) -> Result<Vec<SourceTable>, SourceError> {
    let (counts, templates) = (counts(client)?, Templates::read(client)?);
    let mappings = client.get("/_mapping")?;
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, indices) in streams(client)?.into_iter().chain(aliases(client)?) {
        if indices.len() > 1 || indices.iter().all(|index| index.starts_with('.')) {
            tables.entry(name).or_default().extend(indices);
        }
    }
    let together: BTreeSet<String> = tables.values().flatten().cloned().collect();
    for index in members(&mappings).keys() {
        if !index.starts_with('.') && !together.contains(*index) {
            tables.insert((*index).clone(), BTreeSet::from([(*index).clone()]));
        }
    }
    let table = |(name, indices): (String, BTreeSet<String>)| {
        let mut columns = Vec::new();
        for index in &indices {
            see_fields("", &mappings[index]["mappings"]["properties"], &mut columns);
        }
        templates.see_fields(&names_of(&name, &indices), &mut columns);
        SourceTable {
            name,
            columns,
            key: vec!["_id".to_owned()],
            documents: true,
            rows: Some(indices.iter().filter_map(|index| counts.get(index)).sum()),
        }
    };
    Ok(tables.into_iter().map(table).collect())
}

/// What the cluster says about a table beside its fields.
pub(super) fn about(client: &Client, table: &str) -> Result<About, SourceError> {
    let of_table = streams(client)?.into_iter().chain(aliases(client)?);
    let mut of_table = of_table.filter(|(name, _)| name == table);
    let indices = of_table.next().map(|(_, indices)| indices).unwrap_or_default();
    let said = Templates::read(client)?.about(&names_of(table, &indices));
    Ok(About { words: said.about, retention: said.retention })
}

fn names_of<'n>(table: &'n str, indices: &'n BTreeSet<String>) -> Vec<&'n str> {
    std::iter::once(table).chain(indices.iter().map(String::as_str)).collect()
}

/// The shards of some tables as they are now.
pub(super) fn shards(client: &Client, tables: &[Wanted]) -> Result<Vec<Shard>, SourceError> {
    let counts = counts(client)?;
    let mut shards = Vec::new();
    for table in tables {
        let path = encoded(&table.table);
        let settings = client.get_if_known(&format!("/{path}/_settings"))?;
        let settings = settings.ok_or_else(|| {
            SourceError::Refused(format!(
                "there is no index `{}`, or we may not see it",
                table.table
            ))
        })?;
        let stats = client.get_if_known(&format!("/{path}/_stats?level=shards"))?;
        for (index, of_index) in members(&settings) {
            let count = of_index["settings"]["index"]["number_of_shards"].as_str();
            let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or(1);
            for number in 0..count {
                let done = stats.as_ref().and_then(|stats| done_below(stats, index, number));
                shards.push(Shard {
                    table: table.table.clone(),
                    index: index.clone(),
                    number,
                    has_others: count > 1,
                    done_below: done,
                    rows: counts.get(index).copied().unwrap_or(0) / count,
                });
            }
        }
    }
    Ok(shards)
}

/// The least of the copies of a shard: any of them may be asked.
fn done_below(stats: &Value, index: &str, number: u64) -> Option<u64> {
    let copies = stats["indices"][index]["shards"][number.to_string()].as_array()?;
    let done = copies.iter().filter_map(|copy| copy["seq_no"]["local_checkpoint"].as_i64());
    // Before the first document it is -1.
    done.min().map(|done| u64::try_from(done + 1).unwrap_or(0))
}

/// How many documents each index has.
fn counts(client: &Client) -> Result<BTreeMap<String, u64>, SourceError> {
    let rows = client.get("/_cat/indices?format=json&h=index,docs.count")?;
    let count = |row: &Value| {
        let count = row["docs.count"].as_str().and_then(|count| count.parse().ok()).unwrap_or(0);
        Some((row["index"].as_str()?.to_owned(), count))
    };
    Ok(rows.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(count).collect())
}

fn streams(client: &Client) -> Result<BTreeMap<String, BTreeSet<String>>, SourceError> {
    let Some(found) = client.get_if_known("/_data_stream")? else { return Ok(BTreeMap::new()) };
    let streams = found["data_streams"].as_array().cloned().unwrap_or_default();
    let stream = |stream: &Value| {
        let indices = stream["indices"].as_array()?.iter();
        let indices = indices.filter_map(|index| Some(index["index_name"].as_str()?.to_owned()));
        let name = stream["name"].as_str().filter(|name| !name.starts_with('.'))?;
        Some((name.to_owned(), indices.collect()))
    };
    Ok(streams.iter().filter_map(stream).collect())
}

fn aliases(client: &Client) -> Result<BTreeMap<String, BTreeSet<String>>, SourceError> {
    let mut aliases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let found = client.get_if_known("/_alias")?.unwrap_or_default();
    for (index, of_index) in members(&found) {
        for (alias, terms) in members(&of_index["aliases"]) {
            // An alias with a filter shows less than its indices have: copy those by their names.
            let is_whole = terms.get("filter").is_none();
            if is_whole && !alias.starts_with('.') && !index.starts_with('.') {
                aliases.entry(alias.clone()).or_default().insert(index.clone());
            }
        }
    }
    Ok(aliases)
}

pub(super) fn members(value: &Value) -> BTreeMap<&String, &Value> {
    value.as_object().map(|object| object.iter().collect()).unwrap_or_default()
}

/// Fields of a mapping by their path.
pub(super) fn see_fields(path: &str, properties: &Value, columns: &mut Vec<SourceColumn>) {
    for (name, field) in members(properties) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let native = field["type"].as_str().unwrap_or("object");
        if native == "object" {
            see_fields(&path, &field["properties"], columns);
            continue;
        }
        if columns.iter().any(|column| column.name == path) {
            continue;
        }
        let ty = match native {
            "long" | "integer" | "short" | "byte" | "unsigned_long" | "token_count" => {
                ColumnType::Long
            }
            "double" | "float" | "half_float" | "scaled_float" => ColumnType::Double,
            "boolean" => ColumnType::Bool,
            "date" | "date_nanos" => ColumnType::Date,
            "text" | "match_only_text" | "search_as_you_type" => ColumnType::Text,
            "ip" => ColumnType::Ip,
            "geo_point" => ColumnType::Point,
            "nested" | "flattened" | "flat_object" => ColumnType::Json,
            _ => ColumnType::Keyword,
        };
        columns.push(SourceColumn { name: path, ty, native: native.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_have_paths_and_types() {
        let mut columns = Vec::new();
        let properties = json!({
            "at": { "type": "date" },
            "user": { "properties": { "email": { "type": "keyword" }, "ip": { "type": "ip" } } },
        });
        see_fields("", &properties, &mut columns);
        let told: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.ty)).collect();
        assert_eq!(
            told,
            [
                ("at", ColumnType::Date),
                ("user.email", ColumnType::Keyword),
                ("user.ip", ColumnType::Ip)
            ]
        );
    }

    #[test]
    fn the_slowest_copy_of_a_shard_counts() {
        let copy = |done: i64| json!({ "seq_no": { "local_checkpoint": done } });
        let stats = json!({ "indices": { "i": { "shards": { "0": [copy(7), copy(5)], "1": [copy(-1)] } } } });
        assert_eq!(done_below(&stats, "i", 0), Some(6));
        assert_eq!(done_below(&stats, "i", 1), Some(0));
        assert_eq!(done_below(&stats, "i", 2), None);
    }
}
