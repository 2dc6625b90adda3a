//! DataFusion's session for one statement: our tables, our rules, no files, no disk.

use super::metric::MetricTable;
use super::table::{Bound, LeafTable};
use super::{fold_rule, functions, table_reference, top_rule};
use crate::metrics::MetricPlan;
use crate::{Limits, QueryError, Scope, leaf};
use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use model::Table;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often a running plan is asked whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The session for a statement over these tables. Without a scope it can plan and not run.
pub(super) fn state(
    tables: &[Arc<Table>],
    metrics: &[(String, Arc<MetricPlan>)],
    scope: Option<&Scope>,
    limits: &Limits,
) -> Result<SessionState, QueryError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(limits.threads.max(1))
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(true);
    config.options_mut().execution.time_zone = Some("UTC".to_owned());
    config.options_mut().explain.physical_plan_only = true;
    if let Some(scope) = scope {
        let bound = Bound { scope: scope.clone(), limits: limits.clone() };
        config = config.with_extension(Arc::new(bound));
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(leaf::runtime(limits)?)
        .with_default_features()
        .with_optimizer_rules(rules())
        .build();
    let context = SessionContext::new_with_state(state);
    for function in functions::all() {
        context.register_udf(function);
    }
    for table in tables {
        let provider = Arc::new(LeafTable::new(table));
        context
            .register_table(table_reference(table), provider)
            .map_err(QueryError::from_planning)?;
    }
    for (alias, plan) in metrics {
        let provider = Arc::new(MetricTable::new(plan));
        context
            .register_table(TableReference::bare(alias.as_str()), provider)
            .map_err(QueryError::from_planning)?;
    }
    // `now()` is the moment at which the statement starts, the same everywhere in it.
    let mut state = context.state();
    state.mark_start_execution();
    Ok(state)
}

/// DataFusion's own rules, with ours where they find what they look for: aggregates before
/// DataFusion takes distinct counts apart, orders after limits and filters were pushed down.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = Vec::new();
    for rule in Optimizer::new().rules {
        let simplifies = rule.name() == "simplify_expressions";
        rules.push(rule);
        if simplifies {
            rules.push(Arc::new(fold_rule::FoldRule));
        }
    }
    rules.push(Arc::new(top_rule::TopRule));
    rules
}

/// Waits for a step of a plan, but no longer than the limits allow. Operators that work for long
/// before they give anything, such as joins, yield now and then; then is asked.
pub(super) async fn within<T>(
    limits: &Limits,
    step: impl Future<Output = datafusion::error::Result<T>>,
) -> Result<T, QueryError> {
    let mut step = std::pin::pin!(step);
    loop {
        limits.check()?;
        match tokio::time::timeout(LOOK_EVERY, step.as_mut()).await {
            Ok(done) => {
                return done.map_err(|error| QueryError::from_running(error, limits.memory_bytes));
            }
            Err(_) => continue,
        }
    }
}

/// Runs a future of DataFusion, whose operators need a runtime of Tokio, to its end.
pub(super) fn block_on<T: Send>(
    future: impl Future<Output = Result<T, QueryError>> + Send,
) -> Result<T, QueryError> {
    static RUNTIME: OnceLock<Option<tokio::runtime::Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("clerestory-sql")
            .enable_time()
            .build()
            .ok()
    });
    match runtime {
        Some(runtime) => runtime.block_on(future),
        None => Err(QueryError::Internal("starting threads for SQL".to_owned())),
    }
}
