//! What is shown of a row.

use super::super::EsError;
use super::super::bind::Binder;
use super::super::columns::CellColumn;
use super::super::date_format::DateFormat;
use super::super::fields::Kind;
use super::super::zone::UTC;
use super::highlight::Highlighter;
use super::{HitsSpec, text};
use crate::OutColumn;
use arrow::array::RecordBatch;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::ops::Range;
use storage::Filter;

/// The columns of the rows that are shown, and which is which.
pub(super) struct Show {
    pub(super) columns: Vec<OutColumn>,
    id: Option<usize>,
    source: Option<usize>,
    version: Option<usize>,
    seq: Option<usize>,
    fields: Option<usize>,
    /// How the dates among `fields` are written.
    formats: HashMap<String, DateFormat>,
    highlight: Option<(usize, Highlighter)>,
}

/// One hit while it is put together, in Elasticsearch's order of members.
pub(super) struct Hit {
    head: Map<String, Value>,
    tail: Map<String, Value>,
}

impl Hit {
    pub(super) fn put_score(&mut self, score: Option<f64>) {
        self.head.insert("_score".to_owned(), json!(score));
    }

    pub(super) fn put_sort(&mut self, values: Vec<Value>) {
        self.tail.insert("sort".to_owned(), Value::Array(values));
    }

    pub(super) fn finish(self) -> Value {
        let Hit { mut head, tail } = self;
        head.extend(tail);
        Value::Object(head)
    }
}

impl Show {
    pub(super) fn plan(
        binder: &Binder<'_>,
        spec: &HitsSpec,
        filter: &Filter,
    ) -> Result<Show, EsError> {
        let mut show = Show {
            columns: vec![OutColumn::Table],
            id: None,
            source: None,
            version: None,
            seq: None,
            fields: None,
            formats: HashMap::new(),
            highlight: None,
        };
        if !spec.bare {
            show.id = Some(show.add(OutColumn::Id));
        }
        if spec.source.on && !spec.bare {
            let (include, exclude) = (spec.source.include.clone(), spec.source.exclude.clone());
            show.source = Some(show.add(OutColumn::Source { include, exclude }));
        }
        if spec.version {
            show.version = Some(show.add(OutColumn::Version));
        }
        if spec.seq_no {
            show.seq = Some(show.add(OutColumn::Seq));
        }
        let names = show.field_names(binder, spec)?;
        if !names.is_empty() {
            show.fields = Some(show.add(OutColumn::Fields(names)));
        }
        if let Some(highlight) = &spec.highlight {
            let highlighter = Highlighter::plan(binder, highlight, filter);
            if !highlighter.fields.is_empty() {
                let names = highlighter.fields.keys().cloned().collect();
                show.highlight = Some((show.add(OutColumn::Fields(names)), highlighter));
            }
        }
        Ok(show)
    }

    /// Adds a column and says its place.
    pub(super) fn add(&mut self, column: OutColumn) -> usize {
        self.columns.push(column);
        self.columns.len() - 1
    }

    fn field_names(
        &mut self,
        binder: &Binder<'_>,
        spec: &HitsSpec,
    ) -> Result<Vec<String>, EsError> {
        let mut names: Vec<String> = Vec::new();
        for asked in &spec.fields {
            let matching = if asked.pattern.contains('*') {
                binder.fields.expand(&asked.pattern)
            } else {
                vec![asked.pattern.clone()]
            };
            for name in matching {
                let Some(found) = binder.fields.resolve(&name)? else { continue };
                if found.kind == Kind::Sealed {
                    continue;
                }
                let format =
                    asked.format.as_deref().filter(|format| *format != "use_field_mapping");
                if let (Some(format), Kind::Date) = (format, found.kind) {
                    self.formats.insert(name.clone(), DateFormat::parse(format)?);
                }
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// The rows of an answer.
    pub(super) fn rows(
        &self,
        batch: &RecordBatch,
        rows: Range<usize>,
    ) -> Result<Vec<Hit>, EsError> {
        let column =
            |place: Option<usize>| place.map(|place| CellColumn::at(batch, place)).transpose();
        let tables = CellColumn::at(batch, 0)?;
        let (ids, sources) = (column(self.id)?, column(self.source)?);
        let (versions, seqs, fields) =
            (column(self.version)?, column(self.seq)?, column(self.fields)?);
        let marked = column(self.highlight.as_ref().map(|(place, _)| *place))?;
        let hit = |row: usize| {
            let (mut head, mut tail) = (Map::new(), Map::new());
            head.insert("_index".to_owned(), json!(text(tables.cell(row))));
            if let Some(ids) = &ids {
                head.insert("_id".to_owned(), json!(text(ids.cell(row))));
            }
            if let Some(versions) = &versions {
                head.insert("_version".to_owned(), json!(versions.cell(row).count()));
            }
            if let Some(seqs) = &seqs {
                head.insert("_seq_no".to_owned(), json!(seqs.cell(row).count()));
                head.insert("_primary_term".to_owned(), json!(1));
            }
            if let Some(sources) = &sources {
                tail.insert("_source".to_owned(), parsed(&text(sources.cell(row))));
            }
            if let Some(fields) = &fields {
                let mut members = parsed(&text(fields.cell(row)));
                self.write_dates(&mut members);
                if members.as_object().is_some_and(|members| !members.is_empty()) {
                    tail.insert("fields".to_owned(), members);
                }
            }
            if let (Some(marked), Some((_, highlighter))) = (&marked, &self.highlight) {
                let found = highlighter.mark(&parsed(&text(marked.cell(row))));
                if !found.is_empty() {
                    tail.insert("highlight".to_owned(), Value::Object(found));
                }
            }
            Hit { head, tail }
        };
        Ok(rows.map(hit).collect())
    }

    fn write_dates(&self, members: &mut Value) {
        let usual = DateFormat::default();
        for (name, format) in &self.formats {
            let Some(Value::Array(values)) = members.get_mut(name) else { continue };
            for value in values {
                let millis = value.as_str().and_then(|text| usual.read(text, UTC, false));
                if let Some(millis) = millis {
                    *value = json!(format.write(millis, UTC));
                }
            }
        }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
