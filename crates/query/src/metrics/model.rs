//! Measures and metrics as they are declared, checked.

use super::condition::{self, Condition};
use super::file::{self, Lines};
use crate::QueryError;
use crate::leaf::field::{self, Kind};
use ::model::Table;
use protection::Pseudonyms;
use std::sync::Arc;

/// The measures and metrics of one file. References inside it hold.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricModel {
    measures: Vec<Measured>,
    metrics: Vec<Metric>,
    lines: Lines,
}

/// An aggregate over the rows of a table that pass a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// The table.
    pub table: String,
    /// The date field; `None`: the table's own.
    pub time: Option<String>,
    /// What is computed.
    pub aggregate: Aggregate,
    /// Which rows.
    pub(super) condition: Option<Condition>,
}

/// What is computed over rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// How many rows.
    Count,
    /// How many values of a field.
    CountOf(String),
    /// How many distinct values.
    Distinct(String),
    /// Sum.
    Sum(String),
    /// Mean.
    Mean(String),
    /// Smallest.
    Min(String),
    /// Largest.
    Max(String),
    /// The value at a rank from 0 to 1.
    Quantile(String, f64),
}

/// A number that can be asked for by grain and dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What people call it; the name if nothing was said.
    pub label: String,
    /// What it means.
    pub description: String,
    /// Made of what.
    pub kind: MetricKind,
    /// The grain of a question that names none.
    pub grain: Grain,
    /// Fields that it may be cut and filtered by.
    pub dimensions: Vec<String>,
    /// What a time without rows shows.
    pub empty: Empty,
}

/// What a metric is made of: names of measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// One measure.
    Simple {
        /// The measure.
        measure: String,
    },
    /// One measure divided by another; nothing where the lower one is zero.
    Ratio {
        /// The upper one.
        numerator: String,
        /// The lower one.
        denominator: String,
    },
}

/// How long the intervals of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Months.
    Month,
    /// One number over all time.
    Total,
}

impl Grain {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
            Grain::Week => "week",
            Grain::Month => "month",
            Grain::Total => "total",
        }
    }

    /// Reads the word; `all` is another one for `total`.
    pub fn parse(word: &str) -> Option<Grain> {
        let all = [Grain::Hour, Grain::Day, Grain::Week, Grain::Month, Grain::Total];
        let word = if word == "all" { "total" } else { word };
        all.into_iter().find(|grain| grain.as_str() == word)
    }
}

/// What an interval without rows shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Nothing: there is no row for it.
    Gap,
    /// Zero.
    Zero,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ModelError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl MetricModel {
    /// Reads a file and checks what can be checked without the tables.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub fn parse(yaml: &str) -> Result<MetricModel, ModelError> {
        let (measures, metrics, lines) = file::read(yaml)?;
        let model = MetricModel { measures, metrics, lines };
        model.check_names()?;
        Ok(model)
    }

    /// Its measures, in the order of the file.
    pub fn measures(&self) -> &[Measured] {
        &self.measures
    }

    /// Its metrics, in the order of the file.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The measure called `name`.
    pub fn measure(&self, name: &str) -> Option<&Measured> {
        self.measures.iter().find(|measure| measure.name == name)
    }

    /// The measures that a metric is made of, the upper one of a ratio first.
    pub fn measures_of(&self, metric: &Metric) -> Vec<&Measured> {
        let names: Vec<&str> = match &metric.kind {
            MetricKind::Simple { measure } => vec![measure],
            MetricKind::Ratio { numerator, denominator } => vec![numerator, denominator],
        };
        names.into_iter().filter_map(|name| self.measure(name)).collect()
    }

    fn check_names(&self) -> Result<(), ModelError> {
        let names = self.measures.iter().map(|measure| ("measures", &measure.name));
        let names = names.chain(self.metrics.iter().map(|metric| ("metrics", &metric.name)));
        for (section, name) in names {
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
        for (place, measure) in self.measures.iter().enumerate() {
            if self.measures[..place].iter().any(|other| other.name == measure.name) {
                let message = format!("two measures are called `{}`", measure.name);
                return Err(self.lines.error_at_last("measures", &measure.name, message));
            }
        }
        for (place, metric) in self.metrics.iter().enumerate() {
            if self.metrics[..place].iter().any(|other| other.name == metric.name) {
                let message = format!("two metrics are called `{}`", metric.name);
                return Err(self.lines.error_at_last("metrics", &metric.name, message));
            }
            let parts = match &metric.kind {
                MetricKind::Simple { measure } => vec![("measure", measure)],
                MetricKind::Ratio { numerator, denominator } => {
                    vec![("numerator", numerator), ("denominator", denominator)]
                }
            };
            for (key, name) in parts {
                if self.measure(name).is_none() {
                    let known = self.measures.iter().map(|measure| measure.name.as_str());
                    let hint = crate::error::nearest(name, known);
                    let message = format!("there is no measure `{name}`{hint}");
                    return Err(self.lines.error("metrics", &metric.name, key, message));
                }
            }
        }
        Ok(())
    }

    /// Checks tables, fields, conditions and dimensions against the tables that there are.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub fn check(&self, tables: &[Arc<Table>], pseudonyms: &Pseudonyms) -> Result<(), ModelError> {
        for measure in &self.measures {
            let error = |key: &str, error: QueryError| {
                self.lines.error("measures", &measure.name, key, error.to_string())
            };
            let table = find_table(tables, &measure.table).map_err(|e| error("table", e))?;
            measure.time_field(table).map_err(|e| error("time", e))?;
            measure.aggregate.check(table).map_err(|e| error("field", e))?;
            if let Some(condition) = &measure.condition {
                condition::filter(condition, table, pseudonyms).map_err(|e| error("filter", e))?;
            }
        }
        for metric in &self.metrics {
            for measure in self.measures_of(metric) {
                let error = |error: QueryError| {
                    self.lines.error("metrics", &metric.name, "dimensions", error.to_string())
                };
                let table = find_table(tables, &measure.table).map_err(error)?;
                for dimension in &metric.dimensions {
                    check_dimension(table, dimension).map_err(error)?;
                }
            }
        }
        Ok(())
    }
}

/// The table with this name.
pub(super) fn find_table<'a>(
    tables: &'a [Arc<Table>],
    name: &str,
) -> Result<&'a Arc<Table>, QueryError> {
    tables.iter().find(|table| table.name.as_str() == name).ok_or_else(|| {
        QueryError::UnknownTable {
            name: name.to_owned(),
            hint: crate::error::nearest(name, tables.iter().map(|table| table.name.as_str())),
        }
    })
}

/// Whether a table can be cut by a field.
pub(super) fn check_dimension(table: &Arc<Table>, name: &str) -> Result<(), QueryError> {
    let tables = std::slice::from_ref(table);
    match field::column_kind(tables, name)? {
        Some(_) => Ok(()),
        None => Err(field::unknown(tables, name)),
    }
}

impl Measured {
    /// The field that says when a row happened.
    pub(super) fn time_field<'a>(&'a self, table: &'a Arc<Table>) -> Result<&'a str, QueryError> {
        let name = self.time.as_deref().or(table.time_field.as_deref()).ok_or_else(|| {
            QueryError::Invalid(format!(
                "table `{}` has no time field; name one with `time`",
                table.name
            ))
        })?;
        match field::kind(std::slice::from_ref(table), name)? {
            Some(Kind::Date) => Ok(name),
            Some(_) => Err(QueryError::Invalid(format!("field `{name}` holds no dates"))),
            None => Err(field::unknown(std::slice::from_ref(table), name)),
        }
    }
}

impl Aggregate {
    /// The field that it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Aggregate::Count => None,
            Aggregate::CountOf(field)
            | Aggregate::Distinct(field)
            | Aggregate::Sum(field)
            | Aggregate::Mean(field)
            | Aggregate::Min(field)
            | Aggregate::Max(field)
            | Aggregate::Quantile(field, _) => Some(field),
        }
    }

    fn check(&self, table: &Arc<Table>) -> Result<(), QueryError> {
        let tables = std::slice::from_ref(table);
        let Some(name) = self.field() else { return Ok(()) };
        let found = match self {
            Aggregate::Count | Aggregate::CountOf(_) => field::kind(tables, name)?,
            Aggregate::Distinct(_) => field::column_kind(tables, name)?,
            Aggregate::Sum(_)
            | Aggregate::Mean(_)
            | Aggregate::Min(_)
            | Aggregate::Max(_)
            | Aggregate::Quantile(..) => field::number_kind(tables, name)?,
        };
        found.map(|_| ()).ok_or_else(|| field::unknown(tables, name))
    }
}
