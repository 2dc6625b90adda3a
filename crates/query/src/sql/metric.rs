//! `metric('name', …)` in `FROM`: the rows of a declared metric.

use super::table::{Bound, bound, project};
use crate::QueryError;
use crate::metrics::MetricPlan;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, UnaryOperator, Value,
};
use serde_json::{Map, Value as Json, json};
use std::fmt;
use std::sync::Arc;

/// The arguments that a call may have beside the name of the metric.
const ARGUMENTS: [&str; 7] =
    ["grain", "dimensions", "filters", "from", "to", "time_zone", "compare"];

/// A call of the function.
pub(super) struct MetricCall {
    /// What stands for it in the statement.
    pub(super) alias: String,
    /// The metric.
    pub(super) name: String,
    /// The question to it.
    pub(super) question: Json,
}

impl MetricCall {
    /// Reads the arguments.
    pub(super) fn read(alias: String, arguments: &[FunctionArg]) -> Result<MetricCall, QueryError> {
        let usage = || {
            QueryError::Invalid(
                "metric takes the name of a metric and named arguments: \
                 metric('activations', grain => 'day', dimensions => 'model')"
                    .to_owned(),
            )
        };
        let Some((FunctionArg::Unnamed(FunctionArgExpr::Expr(name)), rest)) =
            arguments.split_first()
        else {
            return Err(usage());
        };
        let Some(Json::String(name)) = literal(name) else { return Err(usage()) };
        let mut question = Map::new();
        for argument in rest {
            let (key, value) = match argument {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    (name.value.clone(), value)
                }
                FunctionArg::ExprNamed {
                    name: SqlExpr::Identifier(name),
                    arg: FunctionArgExpr::Expr(value),
                    ..
                } => (name.value.clone(), value),
                _ => return Err(usage()),
            };
            let key = key.to_lowercase();
            if !ARGUMENTS.contains(&key.as_str()) {
                let hint = crate::error::nearest(&key, ARGUMENTS.into_iter());
                return Err(QueryError::Invalid(format!("metric has no argument `{key}`{hint}")));
            }
            let wrong = || QueryError::Invalid(format!("`{key}` of a metric takes a literal"));
            let value = literal(value).ok_or_else(wrong)?;
            let value = match (key.as_str(), value) {
                ("dimensions", Json::String(list)) => {
                    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
                    names.map(|name| json!(name)).collect()
                }
                ("filters", Json::String(text)) => serde_json::from_str(&text).map_err(|_| {
                    QueryError::Invalid(
                        "`filters` of a metric is JSON, such as '{\"model\": [\"cam-3\"]}'"
                            .to_owned(),
                    )
                })?,
                (_, value) => value,
            };
            question.insert(key, value);
        }
        Ok(MetricCall { alias, name, question: Json::Object(question) })
    }
}

fn literal(expr: &SqlExpr) -> Option<Json> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(json!(text)),
            Value::Number(number, _) => serde_json::from_str(&number.to_string()).ok(),
            Value::Boolean(value) => Some(json!(value)),
            Value::Null => Some(Json::Null),
            _ => None,
        },
        SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Json::Number(number) => Some(json!(-number.as_i64()?)),
            _ => None,
        },
        _ => None,
    }
}

/// The rows of a metric as DataFusion sees them.
pub(super) struct MetricTable {
    plan: Arc<MetricPlan>,
    schema: SchemaRef,
}

impl MetricTable {
    /// The rows of `plan`.
    pub(super) fn new(plan: &Arc<MetricPlan>) -> MetricTable {
        MetricTable { plan: Arc::clone(plan), schema: plan.schema() }
    }
}

impl fmt::Debug for MetricTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetricTable({})", self.plan.shape())
    }
}

#[async_trait]
impl TableProvider for MetricTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let exec = MetricExec {
            plan: Arc::clone(&self.plan),
            bound: bound(session)?,
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(Arc::clone(&self.schema)),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Final,
                Boundedness::Bounded,
            )),
        };
        let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
        match projection {
            None => Ok(exec),
            Some(places) => project(exec, places),
        }
    }
}

/// Asks the metric when rows are wanted.
struct MetricExec {
    plan: Arc<MetricPlan>,
    bound: Arc<Bound>,
    properties: Arc<PlanProperties>,
}

impl ExecutionPlan for MetricExec {
    fn name(&self) -> &'static str {
        "ClerestoryMetric"
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
            false => internal_err!("a metric has no children"),
        }
    }

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let (plan, bound) = (Arc::clone(&self.plan), Arc::clone(&self.bound));
        let schema = self.plan.schema();
        let answer = async move {
            let answer = plan.run(&bound.scope, &bound.limits).map_err(DataFusionError::from)?;
            answer.to_arrow().map_err(DataFusionError::from)
        };
        let stream = futures::stream::once(answer);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

impl fmt::Debug for MetricExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClerestoryMetric: {}", self.plan.shape())
    }
}

impl DisplayAs for MetricExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClerestoryMetric: {}", self.plan.shape())
    }
}
