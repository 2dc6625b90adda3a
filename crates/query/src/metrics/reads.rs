//! Which fields a metric reads, by its declaration alone: also of tables that are not there yet.

use super::condition::Condition;
use super::join::JoinedTable;
use super::model::{Entities, Metric, MetricKind, MetricModel};
use crate::sql;
use std::collections::{BTreeMap, BTreeSet};

/// What a metric reads of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReads {
    /// Its fields, as the file writes them: in a condition in SQL letters may be of another case.
    pub fields: BTreeSet<String>,
    /// Whether its rows happen when the table's own time field says.
    pub own_time: bool,
}

impl MetricModel {
    /// What a metric of this file reads of each table: what it measures, its conditions, entities,
    /// times and dimensions, and both sides of the joins that its dimensions go through.
    pub fn reads<'m>(&'m self, metric: &'m Metric) -> BTreeMap<&'m str, TableReads> {
        let mut reads = Reads::default();
        match &metric.kind {
            MetricKind::Conversion(funnel) => {
                reads.entities(&funnel.rows);
                for step in &funnel.steps {
                    reads.condition(&funnel.rows.table, &step.condition);
                }
            }
            MetricKind::Retention(retained) => {
                reads.entities(&retained.rows);
                if let Some(born) = &retained.born {
                    reads.condition(&retained.rows.table, born);
                }
            }
            _ => {
                for measure in self.measures_of(metric) {
                    reads.time(&measure.table, measure.time.as_deref());
                    reads.field(&measure.table, measure.aggregate.field());
                    if let Some(condition) = &measure.condition {
                        reads.condition(&measure.table, condition);
                    }
                }
            }
        }
        let own: Vec<&str> = reads.0.keys().copied().collect();
        for dimension in &metric.dimensions {
            let joined =
                self.joins().iter().find_map(|join| Some((join, behind(join, dimension)?)));
            let Some((join, field)) = joined else {
                own.iter().for_each(|table| reads.field(table, Some(dimension)));
                continue;
            };
            own.iter().for_each(|table| reads.field(table, Some(&join.on)));
            reads.field(&join.table, Some(&join.key));
            reads.field(&join.table, Some(field));
        }
        reads.0
    }
}

/// The field of a joined table that a dimension means.
fn behind<'d>(join: &JoinedTable, dimension: &'d str) -> Option<&'d str> {
    dimension.strip_prefix(join.name.as_str())?.strip_prefix('.')
}

#[derive(Default)]
struct Reads<'m>(BTreeMap<&'m str, TableReads>);

impl<'m> Reads<'m> {
    fn entities(&mut self, rows: &'m Entities) {
        self.time(&rows.table, rows.time.as_deref());
        self.field(&rows.table, Some(&rows.entity));
        if let Some(condition) = &rows.condition {
            self.condition(&rows.table, condition);
        }
    }

    fn time(&mut self, table: &'m str, time: Option<&str>) {
        match time {
            Some(_) => self.field(table, time),
            None => self.0.entry(table).or_default().own_time = true,
        }
    }

    fn field(&mut self, table: &'m str, field: Option<&str>) {
        self.0.entry(table).or_default().fields.extend(field.map(str::to_owned));
    }

    fn condition(&mut self, table: &'m str, condition: &Condition) {
        let names: BTreeSet<String> = match condition {
            Condition::Fields(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            // It was read when the file was applied; a table is not needed for that.
            Condition::Sql(text) => sql::names_in(text, table).unwrap_or_default(),
        };
        self.0.entry(table).or_default().fields.extend(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
measures:
  - {name: slow, table: requests, agg: quantile, field: ms, quantile: 0.9, filter: 'route = ''/a'' and code >= 500'}
  - {name: all, table: requests, time: seen_at, agg: count, filter: {method: GET}}
joins:
  - {name: account, table: users, on: user_id, key: uid}
metrics:
  - {name: slowness, type: ratio, numerator: slow, denominator: all, dimensions: [region, account.plan]}
  - {name: twice, type: derived, expression: slowness * 2}
  - name: funnel
    type: conversion
    table: events
    entity: device
    window: 1d
    filter: {kind: [a, b]}
    dimensions: [firmware]
    steps:
      - {name: one, filter: {kind: a}}
      - {name: two, filter: 'strength > 3'}
  - name: kept
    type: retention
    table: events
    time: at
    entity: member
    periods: [1, 7]
    cohort: {first: true}
";

    #[test]
    fn every_part_of_a_metric_is_a_read() {
        let model = MetricModel::parse(FILE).unwrap();
        let told = |name: &str| {
            let reads = model.reads(model.metric(name).unwrap());
            let told = reads.iter().map(|(table, reads)| {
                let fields: Vec<&str> = reads.fields.iter().map(String::as_str).collect();
                let time = if reads.own_time { " and its time" } else { "" };
                format!("{table}: {}{time}", fields.join(" "))
            });
            told.collect::<Vec<String>>().join("; ")
        };
        let slowness = "requests: code method ms region route seen_at user_id and its time; \
                        users: plan uid";
        assert_eq!(told("slowness"), slowness);
        // Of another metric its measures: its dimensions are its own.
        assert_eq!(told("twice"), "requests: code method ms route seen_at and its time");
        assert_eq!(told("funnel"), "events: device firmware kind strength and its time");
        assert_eq!(told("kept"), "events: at first member");
    }
}
