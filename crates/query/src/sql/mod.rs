//! SQL over the tables: planned by DataFusion, with filters, orders and aggregates pushed down
//! into the leaf.
//!
//! * [`plan`] reads one `SELECT`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`; nothing else is taken.
//!   Literals that are compared with personal fields become pseudonyms before anything is planned.
//! * [`SqlPlan::fields`] says what the statement does with which field, for the permit;
//!   [`SqlPlan::run`] answers it over a scope that carries that permit.
//!
//! Columns are the fields of a table, `_id`, and `NAME.keyword` beside a text. Nested names may be
//! written `user.email` or `"user.email"`. `match(field, 'words')` and
//! `match_phrase(field, 'words in order')` search texts; they can only stand in a `WHERE` that is
//! pushed down as a whole. `SELECT *` means every field whose values may be shown.
//!
//! `metric('name', grain => 'day', dimensions => 'model')` stands in `FROM` for the rows of a
//! declared metric; the other arguments are those of a question to it: `"from"`, `"to"`,
//! `time_zone`, `compare`, `filters` (JSON).

mod dialect;
mod filter;
mod fold_rule;
mod functions;
mod lineage;
mod literal;
mod metric;
mod names;
mod session;
mod statement;
mod table;
#[cfg(test)]
mod tests;
mod top_rule;

pub(crate) use names::names_in;

use crate::leaf::field::Kind;
use crate::metrics::MetricPlan;
use crate::{Limits, QueryError, Scope};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use futures::TryStreamExt;
use model::{Table, TableId};
use protection::{FieldUse, Pseudonyms};
use statement::Parsed;
use std::sync::Arc;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name or alias.
    pub name: String,
    /// Elasticsearch's word for its type: `keyword`, `long`, `double`, `boolean`, `datetime`, ….
    pub ty: String,
}

/// A statement that was read, planned and turned, and waits for its permit.
pub struct SqlPlan {
    parsed: Parsed,
    tables: Vec<Arc<Table>>,
    known: Vec<Arc<Table>>,
    /// The metrics it asks, under the names that stand for them.
    metrics: Vec<(String, Arc<MetricPlan>)>,
    /// `None` for statements that read no rows.
    logical: Option<LogicalPlan>,
    uses: Vec<(TableId, lineage::Mention)>,
}

/// Reads and plans one statement. `tables` are those that the caller may know.
///
/// # Errors
/// [`QueryError::Invalid`] for what is no SQL, [`QueryError::UnknownField`] and
/// [`QueryError::UnknownTable`] with the nearest names, [`QueryError::Unsupported`] for statements
/// that are not questions.
pub fn plan(
    text: &str,
    tables: &[Arc<Table>],
    pseudonyms: &Pseudonyms,
) -> Result<SqlPlan, QueryError> {
    plan_with(text, tables, pseudonyms, &|name, _| {
        Err(QueryError::Invalid(format!("there is no metric `{name}` here")))
    })
}

/// Plans a metric by its name and the question to it, as [`crate::metrics::MetricQuery`] reads it.
pub type PlanMetric<'a> = dyn Fn(&str, &serde_json::Value) -> Result<MetricPlan, QueryError> + 'a;

/// The same, for a statement in which `metric('name', grain => 'day')` may stand in `FROM`.
///
/// # Errors
/// As [`plan`], and what `metric` says.
pub fn plan_with(
    text: &str,
    tables: &[Arc<Table>],
    pseudonyms: &Pseudonyms,
    metric: &PlanMetric<'_>,
) -> Result<SqlPlan, QueryError> {
    let parsed = statement::parse(text, tables)?;
    let known = tables.to_vec();
    let query = match &parsed {
        Parsed::ShowTables | Parsed::Describe(_) => {
            let tables = match &parsed {
                Parsed::Describe(table) => vec![Arc::clone(table)],
                _ => Vec::new(),
            };
            let (metrics, uses) = (Vec::new(), Vec::new());
            return Ok(SqlPlan { parsed, tables, known, metrics, logical: None, uses });
        }
        Parsed::Query { tables, .. } => tables.clone(),
    };
    let metrics = match &parsed {
        Parsed::Query { metrics, .. } => metrics
            .iter()
            .map(|call| Ok((call.alias.clone(), Arc::new(metric(&call.name, &call.question)?))))
            .collect::<Result<Vec<_>, QueryError>>()?,
        _ => Vec::new(),
    };
    let logical = logical_plan(&parsed, &query, &metrics)?;
    let logical = literal::turn(logical, &query, pseudonyms)?;
    let uses = lineage::mentions(&logical)?;
    let mut tables = query;
    for table in metrics.iter().flat_map(|(_, plan)| plan.tables()) {
        if !tables.iter().any(|known| known.id == table.id) {
            tables.push(Arc::clone(table));
        }
    }
    Ok(SqlPlan { parsed, tables, known, metrics, logical: Some(logical), uses })
}

fn logical_plan(
    parsed: &Parsed,
    tables: &[Arc<Table>],
    metrics: &[(String, Arc<MetricPlan>)],
) -> Result<LogicalPlan, QueryError> {
    let Parsed::Query { statement, .. } = parsed else {
        return Err(QueryError::Internal("the SQL planner".to_owned()));
    };
    let state = session::state(tables, metrics, None, &Limits::standard())?;
    let planned = futures::executor::block_on(state.statement_to_plan((**statement).clone()));
    planned.map_err(|error| statement::explain_error(error, tables))
}

/// A condition of a measure as a filter of the store.
///
/// # Errors
/// [`QueryError::Unsupported`] if it cannot be pushed down as a whole.
pub(crate) fn condition(
    text: &str,
    table: &Arc<Table>,
    pseudonyms: &Pseudonyms,
) -> Result<storage::Filter, QueryError> {
    let tables = std::slice::from_ref(table);
    let name = table.name.as_str().replace('"', "\"\"");
    let statement = format!("SELECT count(*) FROM \"{name}\" WHERE ({text}\n)");
    let plan = plan(&statement, tables, pseudonyms)?;
    let optimized = match &plan.logical {
        Some(logical) => session::state(tables, &[], None, &Limits::standard())?
            .optimize(logical)
            .map_err(QueryError::from_planning)?,
        None => return Err(QueryError::Invalid("a condition is no statement".to_owned())),
    };
    fold_rule::fold_filter(&optimized).ok_or_else(|| {
        QueryError::Unsupported(
            "a condition of a measure compares fields with literals (=, <, IN, BETWEEN, LIKE, \
             IS NULL, match), joined by AND, OR and NOT"
                .to_owned(),
        )
    })
}

impl SqlPlan {
    /// The tables that the statement reads.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// What the statement does with which field.
    pub fn fields(&self) -> Vec<(TableId, FieldUse)> {
        self.uses
            .iter()
            .map(|(table, (field, role))| {
                (*table, FieldUse { field: field.clone(), how: role.as_use() })
            })
            .chain(self.metrics.iter().flat_map(|(_, plan)| plan.fields()))
            .collect()
    }

    /// Whether no value of a single row comes out, only aggregates: the permit can then be for
    /// [`Action::Aggregate`](protection::grant::Action::Aggregate), under which special fields
    /// are counted.
    pub fn only_aggregates(&self) -> bool {
        self.logical.as_ref().is_none_or(lineage::only_aggregates)
    }

    /// The statement without its literals and aliases: what is done with which field.
    pub fn shape(&self) -> String {
        let mut shape = match &self.parsed {
            Parsed::ShowTables => return "sql show tables".to_owned(),
            Parsed::Describe(table) => return format!("sql describe {}", table.name),
            Parsed::Query { explain: true, .. } => "sql explain".to_owned(),
            Parsed::Query { explain: false, .. } => "sql select".to_owned(),
        };
        for table in &self.tables {
            let uses = self.uses.iter().filter(|(id, _)| *id == table.id);
            let uses: Vec<String> =
                uses.map(|(_, (field, role))| format!("{field}:{role:?}").to_lowercase()).collect();
            shape.push_str(&format!(" {}({})", table.name, uses.join(" ")));
        }
        for (_, plan) in &self.metrics {
            shape.push_str(&format!(" {}", plan.shape()));
        }
        shape
    }

    /// Answers the statement.
    ///
    /// # Errors
    /// [`QueryError`] sorted by fault.
    pub fn run(
        &self,
        scope: &Scope,
        limits: &Limits,
    ) -> Result<(Vec<ColumnInfo>, Vec<RecordBatch>), QueryError> {
        let Some(logical) = &self.logical else { return self.describe() };
        let batches = session::block_on(async {
            let state = session::state(&self.tables, &self.metrics, Some(scope), limits)?;
            let physical = physical_plan(&state, logical).await?;
            let failed = |error| QueryError::from_running(error, limits.memory_bytes);
            let mut stream = execute_stream(physical, state.task_ctx()).map_err(failed)?;
            let schema = Arc::new(plain_schema(&stream.schema()));
            let mut batches = Vec::new();
            let mut rows = 0;
            while let Some(batch) = session::within(limits, stream.try_next()).await? {
                rows += batch.num_rows();
                if rows > limits.rows {
                    return Err(QueryError::TooManyRows { limit: limits.rows });
                }
                batches.push(plain(batch, &schema)?);
            }
            if batches.is_empty() {
                batches.push(RecordBatch::new_empty(schema));
            }
            Ok(batches)
        })?;
        let schema = batches[0].schema();
        let columns = schema.fields().iter().map(|field| ColumnInfo {
            name: field.name().clone(),
            ty: type_name(field.data_type()).to_owned(),
        });
        Ok((columns.collect(), batches))
    }

    /// The physical plan as text: which part is pushed down into the leaf and which is not.
    ///
    /// # Errors
    /// [`QueryError`] sorted by fault.
    pub fn explain(&self, scope: &Scope, limits: &Limits) -> Result<String, QueryError> {
        let Some(logical) = &self.logical else { return Ok(self.shape()) };
        let logical = match logical {
            LogicalPlan::Explain(explain) => &explain.plan,
            other => other,
        };
        session::block_on(async {
            let state = session::state(&self.tables, &self.metrics, Some(scope), limits)?;
            let physical = physical_plan(&state, logical).await?;
            Ok(displayable(physical.as_ref()).indent(false).to_string())
        })
    }

    fn describe(&self) -> Result<(Vec<ColumnInfo>, Vec<RecordBatch>), QueryError> {
        let (names, rows): (Vec<&str>, Vec<Vec<String>>) = match &self.parsed {
            Parsed::Describe(table) => {
                let fields = table.schema.fields().iter();
                let readable = fields.filter(|field| !field.withheld);
                let row = |field: &model::Field| {
                    vec![
                        field.name.to_string(),
                        field.es_type.clone(),
                        field.class.map_or("unruled", model::Class::as_str).to_owned(),
                    ]
                };
                (vec!["column", "type", "class"], readable.map(row).collect())
            }
            _ => {
                let tables = self.known.iter();
                (vec!["name"], tables.map(|table| vec![table.name.to_string()]).collect())
            }
        };
        let columns = names
            .iter()
            .map(|name| ColumnInfo { name: (*name).to_owned(), ty: "keyword".to_owned() });
        let fields: Vec<Field> =
            names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
        let arrays = (0..names.len()).map(|at| {
            let cells = rows.iter().map(|row| row[at].as_str());
            Arc::new(StringArray::from_iter_values(cells)) as ArrayRef
        });
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())
            .map_err(|_| QueryError::Internal("describing a table".to_owned()))?;
        Ok((columns.collect(), vec![batch]))
    }
}

async fn physical_plan(
    state: &datafusion::execution::SessionState,
    logical: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
    // Our own errors come through as they are; the rest can only quote the question, because
    // planning reads no row.
    state.create_physical_plan(logical).await.map_err(QueryError::from_planning)
}

/// Views of strings and dictionaries become plain strings, which every writer knows.
fn plain_schema(schema: &Schema) -> Schema {
    let plain = |field: &Arc<Field>| {
        let ty = match field.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::Dictionary(_, value) => (**value).clone(),
            other => other.clone(),
        };
        Field::new(field.name(), ty, true)
    };
    Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>())
}

fn plain(batch: RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, QueryError> {
    let rows = batch.num_rows();
    let columns = batch.columns().to_vec();
    crate::leaf::sized_batch(schema, columns, rows)
}

/// Elasticsearch's word for an Arrow type.
fn type_name(ty: &DataType) -> &'static str {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "keyword",
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "long",
        DataType::UInt64 => "unsigned_long",
        DataType::Float16 | DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "scaled_float",
        DataType::Timestamp(..) => "datetime",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary",
        DataType::Null => "null",
        _ => "object",
    }
}

/// The Arrow type of a field as SQL sees it.
pub(crate) fn sql_type(kind: Kind) -> DataType {
    use arrow::datatypes::TimeUnit;
    match kind {
        Kind::Keyword | Kind::Text | Kind::Sealed => DataType::Utf8View,
        Kind::Date => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        other => other.arrow(),
    }
}

/// The name of a table inside a plan.
pub(crate) fn table_reference(table: &Table) -> TableReference {
    TableReference::bare(table.name.as_str())
}
