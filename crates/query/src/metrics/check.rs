//! Whether a file of metrics holds together, alone and with the tables that there are.

use super::condition::{self, Condition};
use super::model::{
    Conversion, Metric, MetricKind, MetricModel, ModelError, Retained, check_dimension, find_table,
};
use crate::QueryError;
use ::model::Table;
use protection::Pseudonyms;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most parts that a metric is made of when all metrics in it are written out.
const PARTS_MAX: usize = 1000;

impl MetricModel {
    pub(super) fn check_names(&self) -> Result<(), ModelError> {
        let measures = self.measures.iter().filter(|measure| !measure.is_hidden());
        let names = measures.map(|measure| ("measures", &measure.name));
        let names = names.chain(self.metrics.iter().map(|metric| ("metrics", &metric.name)));
        for (section, name) in names.chain(self.joins.iter().map(|join| ("joins", &join.name))) {
            let fits = !name.is_empty()
                && name.len() <= 100
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
                && name.starts_with(|c: char| c.is_ascii_alphabetic());
            if !fits {
                return Err(self.lines.error(
                    section,
                    name,
                    "name",
                    format!(
                        "`{name}` is no name; use letters, digits, `_` and `-`, a letter first"
                    ),
                ));
            }
        }
        self.lines.once("measures", "measures", self.measures.iter().map(|m| &m.name))?;
        self.lines.once("metrics", "metrics", self.metrics.iter().map(|m| &m.name))?;
        self.lines.once("joins", "joins", self.joins.iter().map(|join| &join.name))
    }

    /// Whether everything that a metric is made of stands in the file, and nothing is made of
    /// itself.
    pub(super) fn check_references(&self) -> Result<(), ModelError> {
        for metric in &self.metrics {
            for (key, name) in metric.kind.keyed_references() {
                let error = |message| Err(self.lines.error("metrics", &metric.name, key, message));
                let other = self.metric(name).filter(|_| metric.kind.takes_metrics());
                match (other, self.measure(name)) {
                    (Some(other), _) if other.kind.has_steps() => {
                        return error(format!(
                            "`{name}` has a number for each step; an expression needs single ones"
                        ));
                    }
                    (Some(_), _) | (None, Some(_)) => {}
                    (None, None) => {
                        let metrics = self.metrics.iter().filter(|_| metric.kind.takes_metrics());
                        let known = metrics.map(|metric| metric.name.as_str());
                        let measures = self.measures.iter().filter(|m| !m.is_hidden());
                        let known = known.chain(measures.map(|measure| measure.name.as_str()));
                        let hint = crate::error::nearest(name, known);
                        let what = match metric.kind.takes_metrics() {
                            true => "metric or measure",
                            false => "measure",
                        };
                        return error(format!("there is no {what} `{name}`{hint}"));
                    }
                }
            }
        }
        let mut sizes = BTreeMap::new();
        for metric in &self.metrics {
            let error =
                |message| Err(self.lines.error("metrics", &metric.name, "expression", message));
            match self.size(metric, &mut Vec::new(), &mut sizes) {
                None => return error(format!("`{}` is made of itself", metric.name)),
                Some(size) if size > PARTS_MAX => {
                    return error(format!(
                        "`{}` is made of more than {PARTS_MAX} parts; take it apart",
                        metric.name
                    ));
                }
                Some(_) => {}
            }
        }
        for test in &self.tests {
            if self.metric(&test.metric).is_none() {
                let known = self.metrics.iter().map(|metric| metric.name.as_str());
                let hint = crate::error::nearest(&test.metric, known);
                let message = format!("there is no metric `{}` in this file{hint}", test.metric);
                return Err(ModelError { line: test.line, message });
            }
        }
        Ok(())
    }

    /// Of how many parts a metric is made when all others are written out; `None` if that never
    /// ends. `above` are those that are being written out.
    fn size<'a>(
        &'a self,
        metric: &'a Metric,
        above: &mut Vec<&'a str>,
        known: &mut BTreeMap<&'a str, usize>,
    ) -> Option<usize> {
        if let Some(size) = known.get(metric.name.as_str()) {
            return Some(*size);
        }
        if above.contains(&metric.name.as_str()) {
            return None;
        }
        above.push(&metric.name);
        let mut size = 1_usize;
        for name in metric.kind.references() {
            let other = self.metric(name).filter(|_| metric.kind.takes_metrics());
            size = size.saturating_add(match other {
                Some(other) => self.size(other, above, known)?,
                None => 1,
            });
        }
        above.pop();
        known.insert(&metric.name, size);
        Some(size)
    }

    /// Checks tables, fields, conditions and dimensions against the tables that there are.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub fn check(&self, tables: &[Arc<Table>], pseudonyms: &Pseudonyms) -> Result<(), ModelError> {
        for measure in &self.measures {
            let error = |key: &str, error: QueryError| match measure.name.split_once('.') {
                // A metric that made its own measure.
                Some((metric, _)) => {
                    let key = if key == "field" { "entity" } else { key };
                    self.lines.error("metrics", metric, key, error.to_string())
                }
                None => self.lines.error("measures", &measure.name, key, error.to_string()),
            };
            let table = find_table(tables, &measure.table).map_err(|e| error("table", e))?;
            measure.time_field(table).map_err(|e| error("time", e))?;
            measure.aggregate.check(table).map_err(|e| error("field", e))?;
            if let Some(condition) = &measure.condition {
                condition::filter(condition, table, pseudonyms).map_err(|e| error("filter", e))?;
            }
        }
        for metric in &self.metrics {
            self.check_metric(metric, tables, pseudonyms)?;
        }
        Ok(())
    }

    fn check_metric(
        &self,
        metric: &Metric,
        tables: &[Arc<Table>],
        pseudonyms: &Pseudonyms,
    ) -> Result<(), ModelError> {
        let error = |key: &str, error: QueryError| {
            self.lines.error("metrics", &metric.name, key, error.to_string())
        };
        let rows = match &metric.kind {
            MetricKind::Conversion(Conversion { rows, .. })
            | MetricKind::Retention(Retained { rows, .. }) => Some(rows),
            _ => None,
        };
        let mut cut: Vec<&str> = Vec::new();
        if let Some(rows) = rows {
            let table = find_table(tables, &rows.table).map_err(|e| error("table", e))?;
            rows.time_field(table).map_err(|e| error("time", e))?;
            rows.check_entity(table).map_err(|e| error("entity", e))?;
            let own = rows.condition.iter().map(|condition| ("filter", condition));
            let parts: Vec<(&str, &Condition)> = match &metric.kind {
                MetricKind::Conversion(funnel) => {
                    funnel.steps.iter().map(|step| ("steps", &step.condition)).collect()
                }
                MetricKind::Retention(retained) => {
                    retained.born.iter().map(|born| ("cohort", born)).collect()
                }
                _ => Vec::new(),
            };
            for (key, condition) in own.chain(parts) {
                condition::filter(condition, table, pseudonyms).map_err(|e| error(key, e))?;
            }
            cut.push(&rows.table);
        }
        cut.extend(self.measures_of(metric).into_iter().map(|measure| measure.table.as_str()));
        for name in cut {
            let table = find_table(tables, name).map_err(|e| error("dimensions", e))?;
            for dimension in &metric.dimensions {
                check_dimension(table, dimension, &self.joins, tables)
                    .map_err(|e| error("dimensions", e))?;
            }
        }
        Ok(())
    }
}
