//! Measures and metrics as they are declared.

use super::condition::Condition;
use super::expression::Expression;
use super::file;
use super::join::{Join, JoinedTable};
use super::lines::Lines;
use super::span::Span;
use super::tests_of::MetricTest;
use crate::QueryError;
use crate::leaf::field::{self, Kind};
use ::model::Table;
use std::sync::Arc;

/// The measures and metrics of one file. References inside it hold.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricModel {
    pub(super) measures: Vec<Measured>,
    pub(super) metrics: Vec<Metric>,
    pub(super) joins: Vec<JoinedTable>,
    pub(super) tests: Vec<MetricTest>,
    pub(super) lines: Lines,
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

/// What a metric is made of: names of measures, or steps of entities.
#[derive(Clone, Debug, PartialEq)]
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
    /// Arithmetic over metrics and measures.
    Derived {
        /// The arithmetic.
        expression: Expression,
    },
    /// One measure over all that came before, or a part of it.
    Cumulative {
        /// The measure.
        measure: String,
        /// How far back.
        reach: Reach,
    },
    /// Distinct entities, in each interval or in a window that ends with it.
    Unique {
        /// The distinct count.
        measure: String,
        /// How far back, if further than the interval.
        window: Option<Span>,
    },
    /// How many entities come from the first step to each other one.
    Conversion(Conversion),
    /// How many entities come back.
    Retention(Retained),
}

/// How far back a cumulative metric looks from the end of each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the first row.
    Beginning,
    /// A length of time.
    Window(Span),
    /// To the beginning of the calendar unit that the interval lies in.
    Since(Grain),
}

/// A funnel, as it is declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// Table, time and entity; the condition says which rows take part in any step.
    pub(super) rows: Entities,
    /// The steps, in order: two to twelve.
    pub(super) steps: Vec<Step>,
    /// How long after the first step the last one counts.
    pub(super) window: Span,
}

/// One step of a funnel.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Which rows.
    pub(super) condition: Condition,
}

/// A retention, as it is declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Retained {
    /// Table, time and entity; the condition says with which rows somebody is active.
    pub(super) rows: Entities,
    /// With which rows somebody is born; `None`: any row.
    pub(super) born: Option<Condition>,
    /// The unit of periods: hour, day, week or month.
    pub(super) unit: Grain,
    /// Which periods after that of the birth, ascending.
    pub(super) periods: Vec<u32>,
}

/// Rows that are about entities.
#[derive(Clone, Debug, PartialEq)]
pub struct Entities {
    /// The table.
    pub(super) table: String,
    /// The date field; `None`: the table's own.
    pub(super) time: Option<String>,
    /// The keyword that tells entities apart.
    pub(super) entity: String,
    /// Which rows.
    pub(super) condition: Option<Condition>,
}

/// How long the intervals of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Months.
    Month,
    /// Three months from January, April, July, October.
    Quarter,
    /// Years.
    Year,
    /// One number over all time.
    Total,
}

impl Grain {
    /// All grains, the finest first.
    pub const ALL: [Grain; 8] = [
        Grain::Minute,
        Grain::Hour,
        Grain::Day,
        Grain::Week,
        Grain::Month,
        Grain::Quarter,
        Grain::Year,
        Grain::Total,
    ];
    /// The words for all of them, for messages.
    pub(super) const WORDS: &str = "minute, hour, day, week, month, quarter, year or total";

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Grain::Minute => "minute",
            Grain::Hour => "hour",
            Grain::Day => "day",
            Grain::Week => "week",
            Grain::Month => "month",
            Grain::Quarter => "quarter",
            Grain::Year => "year",
            Grain::Total => "total",
        }
    }

    /// Reads the word; `all` is another one for `total`.
    pub fn parse(word: &str) -> Option<Grain> {
        let word = if word == "all" { "total" } else { word };
        Grain::ALL.into_iter().find(|grain| grain.as_str() == word)
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
        let file::Read { measures, metrics, joins, tests, lines } = file::read(yaml)?;
        let model = MetricModel { measures, metrics, joins, tests, lines };
        model.check_names()?;
        model.check_references()?;
        Ok(model)
    }

    /// What the file says its metrics have to answer, in the order of the file.
    pub fn tests(&self) -> &[MetricTest] {
        &self.tests
    }

    /// The tables that its dimensions may come from.
    pub(super) fn joins(&self) -> &[JoinedTable] {
        &self.joins
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

    /// The measures that a metric is made of, directly or through other metrics, each once; the
    /// upper one of a ratio first. A funnel and a retention have none.
    pub fn measures_of(&self, metric: &Metric) -> Vec<&Measured> {
        let mut found: Vec<&Measured> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut left: Vec<&Metric> = self.metric(&metric.name).into_iter().collect();
        while let Some(metric) = left.pop() {
            for name in metric.kind.references() {
                if seen.contains(&name) {
                    continue;
                }
                seen.push(name);
                match (metric.kind.takes_metrics(), self.metric(name)) {
                    (true, Some(other)) => left.push(other),
                    _ => found.extend(self.measure(name)),
                }
            }
        }
        found
    }
}

impl MetricKind {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            MetricKind::Simple { .. } => "simple",
            MetricKind::Ratio { .. } => "ratio",
            MetricKind::Derived { .. } => "derived",
            MetricKind::Cumulative { .. } => "cumulative",
            MetricKind::Unique { .. } => "unique",
            MetricKind::Conversion(_) => "conversion",
            MetricKind::Retention(_) => "retention",
        }
    }

    /// The names that it is made of.
    pub(super) fn references(&self) -> Vec<&str> {
        self.keyed_references().into_iter().map(|(_, name)| name).collect()
    }

    /// The names that it is made of, each with the key of the file under which it stands.
    pub(super) fn keyed_references(&self) -> Vec<(&'static str, &str)> {
        match self {
            MetricKind::Simple { measure }
            | MetricKind::Cumulative { measure, .. }
            | MetricKind::Unique { measure, .. } => vec![("measure", measure.as_str())],
            MetricKind::Ratio { numerator, denominator } => {
                vec![("numerator", numerator.as_str()), ("denominator", denominator.as_str())]
            }
            MetricKind::Derived { expression } => {
                expression.names().into_iter().map(|name| ("expression", name)).collect()
            }
            MetricKind::Conversion(_) | MetricKind::Retention(_) => Vec::new(),
        }
    }

    /// Whether it is made of metrics, too, and not of measures alone.
    pub(super) fn takes_metrics(&self) -> bool {
        matches!(self, MetricKind::Derived { .. })
    }

    /// Whether its answer has a row for each step or period, beside time and dimensions.
    pub fn has_steps(&self) -> bool {
        matches!(self, MetricKind::Conversion(_) | MetricKind::Retention(_))
    }
}

impl Conversion {
    /// The names of its steps, in order.
    pub fn steps(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.name.as_str()).collect()
    }

    /// The field that tells entities apart.
    pub fn entity(&self) -> &str {
        &self.rows.entity
    }
}

impl Retained {
    /// Which periods after that of the birth, ascending.
    pub fn periods(&self) -> &[u32] {
        &self.periods
    }

    /// The unit of periods.
    pub fn unit(&self) -> Grain {
        self.unit
    }

    /// The field that tells entities apart.
    pub fn entity(&self) -> &str {
        &self.rows.entity
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

/// Whether a table can be cut by a field, its own or one of a joined table.
pub(super) fn check_dimension(
    table: &Arc<Table>,
    name: &str,
    joins: &[JoinedTable],
    tables: &[Arc<Table>],
) -> Result<Option<Join>, QueryError> {
    let own = std::slice::from_ref(table);
    let is_own = field::column_kind(own, name)?.is_some();
    match (is_own, Join::of(name, joins, table, tables)?) {
        (true, None) => Ok(None),
        (false, Some(join)) => Ok(Some(join)),
        (true, Some(_)) => Err(QueryError::Invalid(format!(
            "`{name}` is a field of `{}` and one of a joined table; give the join another name",
            table.name
        ))),
        (false, None) => Err(field::unknown(own, name)),
    }
}

/// The field that says when a row happened.
fn time_field<'a>(time: Option<&'a str>, table: &'a Arc<Table>) -> Result<&'a str, QueryError> {
    let name = time.or(table.time_field.as_deref()).ok_or_else(|| {
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

impl Measured {
    /// The field that says when a row happened.
    pub(super) fn time_field<'a>(&'a self, table: &'a Arc<Table>) -> Result<&'a str, QueryError> {
        time_field(self.time.as_deref(), table)
    }

    /// Whether a metric made it for itself: no file can name it.
    pub fn is_hidden(&self) -> bool {
        self.name.contains('.')
    }
}

impl Entities {
    /// The field that says when a row happened.
    pub(super) fn time_field<'a>(&'a self, table: &'a Arc<Table>) -> Result<&'a str, QueryError> {
        time_field(self.time.as_deref(), table)
    }

    /// Whether the table has the keyword that tells entities apart.
    pub(super) fn check_entity(&self, table: &Arc<Table>) -> Result<(), QueryError> {
        let tables = std::slice::from_ref(table);
        match field::column_kind(tables, &self.entity)? {
            Some(Kind::Keyword) => Ok(()),
            Some(_) => Err(QueryError::Invalid(format!(
                "field `{}` holds no keywords; an entity is told by one",
                self.entity
            ))),
            None => Err(field::unknown(tables, &self.entity)),
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

    /// Whether nothing counted is zero: of the others there is no value without rows.
    pub(super) fn is_zero_of_nothing(&self) -> bool {
        matches!(
            self,
            Aggregate::Count | Aggregate::CountOf(_) | Aggregate::Distinct(_) | Aggregate::Sum(_)
        )
    }

    /// Whether its values are whole numbers.
    pub(super) fn is_whole(&self, table: &Arc<Table>) -> bool {
        let whole = |field: &str| {
            let kind = field::kind(std::slice::from_ref(table), field);
            matches!(kind, Ok(Some(Kind::Long | Kind::Bool | Kind::Date)))
        };
        match self {
            Aggregate::Count | Aggregate::CountOf(_) | Aggregate::Distinct(_) => true,
            Aggregate::Sum(field) | Aggregate::Min(field) | Aggregate::Max(field) => whole(field),
            Aggregate::Mean(_) | Aggregate::Quantile(..) => false,
        }
    }

    /// Whether the table has the field, and it can be computed from.
    pub(super) fn check(&self, table: &Arc<Table>) -> Result<(), QueryError> {
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
