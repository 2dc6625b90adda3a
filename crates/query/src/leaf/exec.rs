//! The leaf as a node of a DataFusion plan.

use super::field::{self, Kind};
use super::{Ground, Job, Memory, Place, disclosure, fetch, fold, rows, top};
use crate::{
    Ask, Group, GroupBy, Limits, Measure, OutColumn, QueryError, Question, Scope, SortBy, guard,
};
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use model::{Table, TableId};
use std::fmt;
use std::sync::Arc;
use storage::Filter;

/// One question over the views of a snapshot, as the leaf of a DataFusion plan.
///
/// Its display names fields and never literals.
pub struct LeafExec {
    scope: Scope,
    places: Vec<Place>,
    tables: Vec<Arc<Table>>,
    question: Question,
    limits: Limits,
    /// What comes out: our own types unless [`LeafExec::typed`] said otherwise.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl LeafExec {
    /// A leaf over every table of the scope.
    ///
    /// # Errors
    /// [`QueryError::NotPermitted`] if the question mentions a field that the permit does not
    /// cover, [`QueryError::Invalid`] if it asks of a field what its type cannot give.
    pub fn new(scope: &Scope, question: Question, limits: &Limits) -> Result<LeafExec, QueryError> {
        LeafExec::over(scope, question, limits, None)
    }

    /// A leaf over one table of the scope, or all.
    pub(crate) fn over(
        scope: &Scope,
        question: Question,
        limits: &Limits,
        only: Option<TableId>,
    ) -> Result<LeafExec, QueryError> {
        let wanted = |table: TableId| only.is_none_or(|only| only == table);
        let tables: Vec<Arc<Table>> =
            scope.snapshot.tables().iter().filter(|t| wanted(t.id)).cloned().collect();
        guard::check(scope, &tables, &question)?;
        let views = scope.snapshot.views().iter().filter(|view| wanted(view.table().id));
        let places: Vec<Place> = views.map(|view| Place { view: Arc::clone(view) }).collect();
        let schema = Arc::new(schema(&tables, &question.ask)?);
        let partitions = match &question.ask {
            Ask::Rows { limit: None, .. } => places.len().clamp(1, limits.threads.max(1)),
            _ => 1,
        };
        let properties = properties(&schema, partitions);
        let (scope, limits) = (scope.clone(), limits.clone());
        Ok(LeafExec { scope, places, tables, question, limits, schema, properties })
    }

    /// The same leaf with its columns cast to the types of `schema`, which has as many columns.
    pub(crate) fn typed(mut self, schema: SchemaRef) -> LeafExec {
        self.properties = properties(&schema, self.properties.partitioning.partition_count());
        self.schema = schema;
        self
    }

    /// What its table says about each key; the question only says which fields are mentioned.
    pub(super) fn mapping(&self, key: &str, value: &str) -> Result<crate::Mapping, QueryError> {
        let pool = super::runtime(&self.limits)?;
        let reservation = MemoryConsumer::new("ClerestoryLeaf").register(&pool.memory_pool);
        let memory = Memory { reservation, limit: self.limits.memory_bytes };
        let job = Job {
            scope: &self.scope,
            ground: Ground {
                places: &self.places,
                tables: &self.tables,
                limits: &self.limits,
                memory: &memory,
            },
        };
        let least = disclosure::least(&self.scope.permit, &self.tables, &self.question).0;
        let mapping = fold::mapping(&job, key, value)?;
        Ok(crate::Mapping { least, ..mapping })
    }

    /// Whether the answer is rows of tables, in contrast to counts and groups.
    pub(crate) fn gives_rows(&self) -> bool {
        matches!(self.question.ask, Ask::Rows { .. } | Ask::Top { .. })
    }

    /// The whole answer of all that is not streamed.
    fn answer(&self, memory: &Memory) -> Result<RecordBatch, QueryError> {
        if !self.gives_rows() {
            let (seen, end) = (self.scope.permit.seen(), self.scope.snapshot.seq_end());
            self.tables.iter().for_each(|table| seen.all_below(table.name.as_str(), end.0));
        }
        let job = Job {
            scope: &self.scope,
            ground: Ground {
                places: &self.places,
                tables: &self.tables,
                limits: &self.limits,
                memory,
            },
        };
        let rule = disclosure::Rule::of(&job, &self.question)?;
        if rule.is_some() {
            self.limits.answered.hide();
        }
        let columns = match &self.question.ask {
            Ask::Count => vec![match &rule {
                Some(rule) => rule.count(&job, &self.question.filter)?,
                None => count(&job, &self.question.filter)?,
            }],
            Ask::Top { keys, limit, after, columns } => {
                let order = top::Order { keys, limit: *limit, after: after.as_deref() };
                top::top(&job, &self.question.filter, &order, columns)?
            }
            Ask::Fold { groups, measures } => match &rule {
                Some(rule) => rule.fold(&job, &self.question.filter, groups, measures)?,
                None => fold::fold(&job, &self.question.filter, groups, measures)?,
            },
            Ask::Funnel(funnel) => fold::funnel(&job, &self.question, funnel, rule.as_ref())?,
            Ask::Retention(retention) => {
                fold::retention(&job, &self.question, retention, rule.as_ref())?
            }
            Ask::Rows { .. } => {
                return Err(QueryError::Internal("the leaf: rows are streamed".to_owned()));
            }
        };
        batch(&self.schema, columns)
    }
}

/// Puts columns under a schema, cast to its types where they differ.
pub(super) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, QueryError> {
    let rows = columns.first().map_or(0, |column| column.len());
    sized_batch(schema, columns, rows)
}

/// The same for batches that may have no column.
pub(crate) fn sized_batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, QueryError> {
    let wrong = |_| QueryError::Internal("the leaf: a column of the wrong type".to_owned());
    let columns = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| convert(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(wrong)
}

/// The column as another type; of a list its first element.
fn convert(column: ArrayRef, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == ty {
        return Ok(column);
    }
    if let (Some(lists), false) = (column.as_list_opt::<i32>(), ty.is_nested()) {
        let first = |at: usize| lists.is_valid(at).then(|| lists.value_offsets()[at] as u64);
        let places: UInt64Array = (0..lists.len()).map(first).collect();
        return convert(arrow::compute::take(lists.values(), &places, None)?, ty);
    }
    // Our dates are milliseconds, whatever unit the plan wants.
    if let (DataType::Int64, DataType::Timestamp(_, zone)) = (column.data_type(), ty) {
        let ms = DataType::Timestamp(TimeUnit::Millisecond, zone.clone());
        return arrow::compute::cast(&arrow::compute::cast(&column, &ms)?, ty);
    }
    arrow::compute::cast(&column, ty)
}

fn count(job: &Job<'_>, filter: &Filter) -> Result<ArrayRef, QueryError> {
    let counts = super::work::in_parallel(job.limits.threads, job.places, |place| {
        job.limits.check()?;
        Ok(place.view.count(filter)?)
    })?;
    Ok(Arc::new(UInt64Array::from(vec![counts.iter().sum::<u64>()])))
}

fn properties(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// The columns of an answer.
fn schema(tables: &[Arc<Table>], ask: &Ask) -> Result<Schema, QueryError> {
    let mut fields = Vec::new();
    match ask {
        Ask::Count => fields.push(Field::new("count", DataType::UInt64, false)),
        Ask::Rows { columns, .. } => push_columns(tables, columns, &mut fields)?,
        Ask::Top { keys, columns, .. } => {
            push_columns(tables, columns, &mut fields)?;
            for (place, key) in keys.iter().enumerate() {
                let ty = match &key.by {
                    SortBy::Field(name) => arrow_type(field::column_kind(tables, name)?),
                    SortBy::Score => DataType::Float32,
                    SortBy::Seq => DataType::UInt64,
                };
                fields.push(Field::new(format!("_sort{place}"), ty, true));
            }
        }
        Ask::Fold { groups, measures } => {
            push_groups(tables, groups, &mut fields)?;
            for (place, measure) in measures.iter().enumerate() {
                let ty = measure_type(tables, &measure.measure)?;
                fields.push(Field::new(format!("m{place}"), ty, true));
            }
        }
        Ask::Funnel(funnel) => {
            push_groups(tables, &funnel.groups, &mut fields)?;
            check_journey(tables, &funnel.entity, &funnel.time)?;
            fields.push(Field::new("step", DataType::UInt32, true));
            fields.push(Field::new("entities", DataType::UInt64, true));
            fields.push(Field::new("median_ms", DataType::Float64, true));
        }
        Ask::Retention(retention) => {
            push_groups(tables, &retention.groups, &mut fields)?;
            check_journey(tables, &retention.entity, &retention.time)?;
            fields.push(Field::new("period", DataType::UInt32, true));
            fields.push(Field::new("entities", DataType::UInt64, true));
            fields.push(Field::new("of", DataType::UInt64, true));
        }
    }
    Ok(Schema::new(fields))
}

fn push_groups(
    tables: &[Arc<Table>],
    groups: &[Group],
    fields: &mut Vec<Field>,
) -> Result<(), QueryError> {
    for (place, group) in groups.iter().enumerate() {
        fields.push(Field::new(format!("g{place}"), group_type(tables, &group.by)?, true));
    }
    Ok(())
}

/// Entities are told apart by keywords and ordered by dates.
fn check_journey(tables: &[Arc<Table>], entity: &str, time: &str) -> Result<(), QueryError> {
    match field::column_kind(tables, entity)? {
        Some(Kind::Keyword) => {}
        Some(_) => {
            return Err(QueryError::Invalid(format!(
                "field `{entity}` holds no keywords; an entity is told by one"
            )));
        }
        None => return Err(field::unknown(tables, entity)),
    }
    match field::column_kind(tables, time)? {
        Some(Kind::Date) => Ok(()),
        Some(_) => Err(QueryError::Invalid(format!("field `{time}` holds no dates"))),
        None => Err(field::unknown(tables, time)),
    }
}

fn push_columns(
    tables: &[Arc<Table>],
    columns: &[OutColumn],
    fields: &mut Vec<Field>,
) -> Result<(), QueryError> {
    for column in columns {
        let (name, ty) = match column {
            OutColumn::Field(name) => (name.as_str(), arrow_type(field::kind(tables, name)?)),
            OutColumn::Id => ("_id", DataType::Utf8),
            OutColumn::Table => ("_index", DataType::Utf8),
            OutColumn::Source { .. } => ("_source", DataType::Utf8),
            OutColumn::Score => ("_score", DataType::Float32),
            OutColumn::Version => ("_version", DataType::UInt64),
            OutColumn::Seq => ("_seq_no", DataType::UInt64),
            OutColumn::Fields(_) => ("fields", DataType::Utf8),
        };
        fields.push(Field::new(name, ty, true));
    }
    Ok(())
}

fn arrow_type(kind: Option<Kind>) -> DataType {
    kind.map_or(DataType::Utf8, Kind::arrow)
}

fn group_type(tables: &[Arc<Table>], by: &GroupBy) -> Result<DataType, QueryError> {
    Ok(match by {
        GroupBy::Terms(name) => arrow_type(field::column_kind(tables, name)?),
        GroupBy::Date { field: name, .. } => match field::column_kind(tables, name)? {
            None | Some(Kind::Date | Kind::Long) => DataType::Int64,
            Some(_) => {
                return Err(QueryError::Invalid(format!(
                    "field `{name}` holds no dates; group by date intervals needs a date field"
                )));
            }
        },
        GroupBy::Number { field: name, interval, .. } => {
            field::number_kind(tables, name)?;
            if !(interval.is_finite() && *interval > 0.0) {
                return Err(QueryError::Invalid(
                    "the interval of a histogram has to be greater than zero".to_owned(),
                ));
            }
            DataType::Float64
        }
        GroupBy::Ranges { field: name, .. } => {
            field::number_kind(tables, name)?;
            DataType::UInt32
        }
        GroupBy::Filters(_) => DataType::UInt32,
        GroupBy::Mapped { field: name, .. } => match field::column_kind(tables, name)? {
            None | Some(Kind::Keyword) => DataType::Utf8,
            Some(_) => {
                return Err(QueryError::Invalid(format!(
                    "field `{name}` holds no keywords; a join goes by one"
                )));
            }
        },
    })
}

pub(super) fn measure_type(
    tables: &[Arc<Table>],
    measure: &Measure,
) -> Result<DataType, QueryError> {
    Ok(match measure {
        Measure::Rows | Measure::Values(_) => DataType::UInt64,
        Measure::Distinct(name) | Measure::DistinctApprox(name) => {
            field::column_kind(tables, name)?;
            DataType::UInt64
        }
        Measure::Sum(name) => match field::number_kind(tables, name)? {
            Some(Kind::Long | Kind::Bool | Kind::Date) => DataType::Int64,
            _ => DataType::Float64,
        },
        Measure::Mean(name) | Measure::SumOfSquares(name) => {
            field::number_kind(tables, name)?;
            DataType::Float64
        }
        Measure::Min(name) | Measure::Max(name) => match field::column_kind(tables, name)? {
            None => DataType::Float64,
            Some(Kind::Bool) => DataType::Int64,
            Some(kind) => kind.arrow(),
        },
        Measure::Quantiles(name, ranks) => {
            field::number_kind(tables, name)?;
            if ranks.iter().any(|rank| !(0.0..=1.0).contains(rank)) {
                return Err(QueryError::Invalid("a quantile lies between 0 and 1".to_owned()));
            }
            DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
        }
    })
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &'static str {
        "ClerestoryLeaf"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("the leaf has no children"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let reservation = MemoryConsumer::new("ClerestoryLeaf").register(context.memory_pool());
        let memory = Memory { reservation, limit: self.limits.memory_bytes };
        let schema = Arc::clone(&self.schema);
        let Ask::Rows { columns, limit } = &self.question.ask else {
            let answer = self.answer(&memory).map_err(DataFusionError::from);
            let stream = futures::stream::iter([answer]);
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)));
        };
        let job = Job {
            scope: &self.scope,
            ground: Ground {
                places: &self.places,
                tables: &self.tables,
                limits: &self.limits,
                memory: &memory,
            },
        };
        // Refuses: rows are never under the rule for groups.
        disclosure::Rule::of(&job, &self.question)?;
        let partitions = self.properties.partitioning.partition_count();
        let mine = self.places.iter().skip(partition).step_by(partitions).cloned().collect();
        let batches = rows::Rows::new(
            self.scope.clone(),
            mine,
            self.question.filter.clone(),
            fetch::Columns::new(&self.tables, columns)?,
            *limit,
            self.limits.clone(),
            Arc::clone(&schema),
        );
        let batches = batches.map(|batch| batch.map_err(DataFusionError::from));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches))))
    }
}

impl fmt::Debug for LeafExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Described(self))
    }
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Described(self))
    }
}

struct Described<'a>(&'a LeafExec);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaf = self.0;
        let tables: Vec<&str> = leaf.tables.iter().map(|table| table.name.as_str()).collect();
        write!(f, "ClerestoryLeaf: ")?;
        match &leaf.question.ask {
            Ask::Count => write!(f, "count")?,
            Ask::Rows { columns, limit } => {
                write!(f, "rows columns=[{}]", names(columns))?;
                if limit.is_some() {
                    write!(f, " limited")?;
                }
            }
            Ask::Top { keys, columns, .. } => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|key| {
                        let by = match &key.by {
                            SortBy::Field(name) => name.as_str(),
                            SortBy::Score => "_score",
                            SortBy::Seq => "_seq_no",
                        };
                        format!("{by}{}", if key.descending { " desc" } else { "" })
                    })
                    .collect();
                write!(f, "top keys=[{}] columns=[{}]", keys.join(", "), names(columns))?;
            }
            Ask::Fold { groups, measures } => {
                let groups: Vec<String> = groups.iter().map(|g| group_name(&g.by)).collect();
                let measures: Vec<String> = measures
                    .iter()
                    .map(|of| {
                        let filter = match &of.filter {
                            Some(filter) => format!(" where {}", filter_name(filter)),
                            None => String::new(),
                        };
                        measure_name(&of.measure) + &filter
                    })
                    .collect();
                write!(
                    f,
                    "fold groups=[{}] measures=[{}]",
                    groups.join(", "),
                    measures.join(", ")
                )?;
            }
            Ask::Funnel(funnel) => {
                let groups: Vec<String> = funnel.groups.iter().map(|g| group_name(&g.by)).collect();
                let steps = std::iter::once(&funnel.first).chain(&funnel.then);
                let steps: Vec<String> = steps.map(filter_name).collect();
                let (groups, steps) = (groups.join(", "), steps.join(", "));
                write!(f, "funnel of {} groups=[{groups}] steps=[{steps}]", funnel.entity)?;
            }
            Ask::Retention(retention) => {
                let groups = retention.groups.iter().map(|g| group_name(&g.by));
                let groups = groups.collect::<Vec<_>>().join(", ");
                let born = filter_name(&retention.born);
                let active = filter_name(&retention.active);
                write!(
                    f,
                    "retention of {} groups=[{groups}] born=[{born}] active=[{active}]",
                    retention.entity
                )?;
            }
        }
        write!(f, " filter={}", filter_name(&leaf.question.filter))?;
        write!(f, " tables=[{}] segments={}", tables.join(", "), leaf.places.len())
    }
}

fn names(columns: &[OutColumn]) -> String {
    let names: Vec<&str> = columns
        .iter()
        .map(|column| match column {
            OutColumn::Field(name) => name.as_str(),
            OutColumn::Id => "_id",
            OutColumn::Table => "_index",
            OutColumn::Source { .. } => "_source",
            OutColumn::Score => "_score",
            OutColumn::Version => "_version",
            OutColumn::Seq => "_seq_no",
            OutColumn::Fields(_) => "fields",
        })
        .collect();
    names.join(", ")
}

fn group_name(by: &GroupBy) -> String {
    match by {
        GroupBy::Terms(name) => name.clone(),
        GroupBy::Date { field, interval, .. } => format!("{interval:?}({field})").to_lowercase(),
        GroupBy::Number { field, .. } => format!("histogram({field})"),
        GroupBy::Ranges { field, ranges } => format!("{} ranges({field})", ranges.len()),
        GroupBy::Filters(filters) => format!("{} filters", filters.len()),
        GroupBy::Mapped { field, mapping } => format!("{}({field})", mapping.name),
    }
}

fn measure_name(measure: &Measure) -> String {
    match measure {
        Measure::Rows => "rows".to_owned(),
        Measure::Values(name) => format!("values({name})"),
        Measure::Sum(name) => format!("sum({name})"),
        Measure::Min(name) => format!("min({name})"),
        Measure::Max(name) => format!("max({name})"),
        Measure::Mean(name) => format!("mean({name})"),
        Measure::SumOfSquares(name) => format!("sum_of_squares({name})"),
        Measure::Distinct(name) => format!("distinct({name})"),
        Measure::DistinctApprox(name) => format!("distinct_approx({name})"),
        Measure::Quantiles(name, ranks) => format!("{} quantiles({name})", ranks.len()),
    }
}

/// The shape of a filter: fields and operators, no literal.
pub(crate) fn filter_name(filter: &Filter) -> String {
    let list = |of: &[Filter], word: &str| {
        let parts: Vec<String> = of.iter().map(filter_name).collect();
        format!("({})", parts.join(word))
    };
    match filter {
        Filter::All => "all".to_owned(),
        Filter::Nothing => "nothing".to_owned(),
        Filter::Exists(name) => format!("exists({name})"),
        Filter::Term(name, _) => format!("{name}=…"),
        Filter::Terms(name, values) => format!("{name} in {} values", values.len()),
        Filter::Range { field, .. } => format!("range({field})"),
        Filter::Prefix { field, .. } => format!("prefix({field})"),
        Filter::Pattern { field, .. } => format!("pattern({field})"),
        Filter::Words { field, .. } => format!("words({field})"),
        Filter::Phrase { field, .. } => format!("phrase({field})"),
        Filter::Ids(ids) => format!("{} ids", ids.len()),
        Filter::And(of) => list(of, " and "),
        Filter::Or { of, .. } | Filter::Best { of, .. } => list(of, " or "),
        Filter::Not(inner) => format!("not {}", filter_name(inner)),
        Filter::Boost(inner, _) | Filter::Score(inner, _) => filter_name(inner),
    }
}
