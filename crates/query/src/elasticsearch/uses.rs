//! Which fields a request mentions, and how.

use super::aggregation::{Aggregation, Kind as AggregationKind};
use super::fields::behind;
use super::hits::HitsSpec;
use super::json;
use super::parse::{Node, Query, Weighted};
use super::query_string::Leaf;
use model::{Class, Field, StoredType, Table, TableId};
use protection::{FieldUse, Use};
use std::sync::Arc;

/// Collects the fields of `tables` that are mentioned, each use once. `*` stands for every
/// field that may be read.
pub(super) struct Uses<'a> {
    tables: &'a [Arc<Table>],
    found: Vec<(TableId, String, Use)>,
}

impl<'a> Uses<'a> {
    pub(super) fn new(tables: &'a [Arc<Table>]) -> Uses<'a> {
        Uses { tables, found: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<(TableId, FieldUse)> {
        self.found.into_iter().map(|(table, field, how)| (table, FieldUse { field, how })).collect()
    }

    fn add(&mut self, name: &str, how: Use) {
        if name.contains('*') {
            self.pattern(name, how);
            return;
        }
        for (table, field) in behind(self.tables, name) {
            self.push(table, field, how);
        }
    }

    /// A pattern stands for the fields that can be asked for. As an output the permit hides the
    /// others itself; in any other use they are left out by naming the rest.
    fn pattern(&mut self, pattern: &str, how: Use) {
        let tables = self.tables;
        for table in tables {
            let fields = || {
                table
                    .schema
                    .fields()
                    .iter()
                    .filter(|field| json::matches(pattern, field.name.as_str()))
            };
            let closed = |field: &&Field| {
                field.stored() == StoredType::Sealed || field.class == Some(Class::Secret)
            };
            if how == Use::Output || !fields().any(|field| closed(&field)) {
                self.push(table.id, pattern.to_owned(), how);
                continue;
            }
            for field in fields().filter(|field| !closed(field)) {
                self.push(table.id, field.name.as_str().to_owned(), how);
            }
        }
    }

    fn push(&mut self, table: TableId, field: String, how: Use) {
        let entry = (table, field, how);
        if !self.found.contains(&entry) {
            self.found.push(entry);
        }
    }

    pub(super) fn query(&mut self, query: &Query) {
        match &query.node {
            Node::All | Node::Nothing | Node::Ids(_) => {}
            Node::Term { field, .. }
            | Node::Terms { field, .. }
            | Node::Prefix { field, .. }
            | Node::Wildcard { field, .. }
            | Node::Regexp { field, .. } => self.add(field, Use::Filter),
            Node::Range(range) => self.add(&range.field, Use::Filter),
            Node::Exists(field) => self.exists(field),
            Node::Match(one) => self.add(&one.field, Use::Filter),
            Node::MultiMatch(many) => self.weighted(&many.fields),
            Node::Text(text) => {
                let mut asks_default = false;
                text.tree.leaves_of(&mut |field, leaf| match (field, leaf) {
                    (Some(field), Leaf::Exists) => self.exists(field),
                    (Some(field), _) => self.add(field, Use::Filter),
                    (None, _) => asks_default = true,
                });
                if asks_default {
                    self.weighted(&text.fields);
                }
            }
            Node::Bool(all) => {
                let parts = all.must.iter().chain(&all.should).chain(&all.must_not);
                parts.chain(&all.filter).for_each(|query| self.query(query));
            }
            Node::Constant(inner) => self.query(inner),
            Node::Best { queries, .. } => queries.iter().for_each(|query| self.query(query)),
            Node::Boosting { positive, negative, .. } => {
                self.query(positive);
                self.query(negative);
            }
        }
    }

    /// A field, or everything below an object.
    fn exists(&mut self, name: &str) {
        if name.contains('*') || !behind(self.tables, name).is_empty() {
            self.add(name, Use::Filter);
            return;
        }
        self.pattern(&format!("{name}.*"), Use::Filter);
    }

    fn weighted(&mut self, fields: &[Weighted]) {
        if fields.is_empty() {
            self.add("*", Use::Filter);
        }
        fields.iter().for_each(|weighted| self.add(&weighted.field, Use::Filter));
    }

    pub(super) fn hits(&mut self, spec: &HitsSpec) {
        if spec.size == 0 {
            return;
        }
        for key in &spec.sort {
            self.add(&key.field, Use::Sort);
        }
        if spec.source.on && !spec.bare {
            match spec.source.include.as_slice() {
                [] => self.add("*", Use::Output),
                // What is named, and all below it. As a pattern: what may not be read is hidden.
                names => names.iter().for_each(|name| self.add(&format!("{name}*"), Use::Output)),
            }
        }
        for field in &spec.fields {
            self.add(&field.pattern, Use::Output);
        }
        if let Some(highlight) = &spec.highlight {
            highlight.fields.iter().for_each(|(pattern, _)| self.add(pattern, Use::Output));
        }
    }

    pub(super) fn aggregation(&mut self, aggregation: &Aggregation) {
        match &aggregation.kind {
            AggregationKind::Metric(metric) => self.add(&metric.field, Use::Measure),
            AggregationKind::Terms(terms) => self.add(&terms.field, Use::Group),
            AggregationKind::Histogram(histogram) => self.add(&histogram.field, Use::Group),
            AggregationKind::Ranges(ranges) => self.add(&ranges.field, Use::Group),
            AggregationKind::Missing(field) => self.add(field, Use::Filter),
            AggregationKind::Filter(query) => self.query(query),
            AggregationKind::Filters(filters) => {
                filters.queries.iter().for_each(|query| self.query(query));
            }
            AggregationKind::Composite(composite) => {
                composite.sources.iter().for_each(|source| self.add(&source.field, Use::Group));
            }
            AggregationKind::TopHits(spec) => self.hits(spec),
            // What it is about was asked for by others.
            AggregationKind::Global | AggregationKind::Pipeline(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FieldName, FieldType, Intake, Schema, TableKind, TableName};

    #[test]
    fn words_in_all_fields_are_not_looked_for_in_closed_ones() {
        let field = |name: &str, class| {
            let name = FieldName::parse(name).unwrap();
            Field { class, ..Field::new(name, FieldType::Keyword, "keyword") }
        };
        let fields = vec![
            field("plan", Some(Class::Open)),
            field("email", Some(Class::Personal)),
            field("gender", Some(Class::Special)),
            field("token", Some(Class::Secret)),
        ];
        let table = Arc::new(Table {
            id: TableId(1),
            name: TableName::parse("users").unwrap(),
            kind: TableKind::Entities,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(fields),
        });
        let tables = [table];
        let mut uses = Uses::new(&tables);
        uses.weighted(&[]);
        let names: Vec<String> = uses.finish().into_iter().map(|(_, used)| used.field).collect();
        assert_eq!(names, ["plan", "email"]);
    }
}
