//! From text to one statement that only reads, with its names settled.

use super::dialect::Words;
use super::metric::MetricCall;
use crate::QueryError;
use crate::error::nearest;
use crate::leaf::field::COMPANION;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, DescribeAlias, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    Statement as SqlStatement, TableFactor, Value, VisitMut, VisitorMut,
};
use model::{Class, StoredType, Table};
use std::ops::ControlFlow;
use std::sync::Arc;

/// How deep expressions and subqueries may nest.
pub(super) const DEPTH_MAX: usize = 50;
/// The longest statement, in bytes.
const TEXT_MAX: usize = 1 << 20;

/// What was asked.
pub(super) enum Parsed {
    /// `SHOW TABLES`.
    ShowTables,
    /// `DESCRIBE table`.
    Describe(Arc<Table>),
    /// `SELECT` or `EXPLAIN SELECT`.
    Query {
        /// The statement with settled names.
        statement: Box<Statement>,
        /// Whether only the plan is wanted.
        explain: bool,
        /// The tables it reads.
        tables: Vec<Arc<Table>>,
        /// The metrics it asks, each under the name that stands for it in the statement.
        metrics: Vec<MetricCall>,
    },
}

/// Reads one statement and settles the names in it.
pub(super) fn parse(text: &str, known: &[Arc<Table>]) -> Result<Parsed, QueryError> {
    if text.len() > TEXT_MAX {
        return Err(QueryError::Invalid("the statement is longer than a megabyte".to_owned()));
    }
    let mut statements = DFParserBuilder::new(text)
        .with_dialect(&Words)
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(QueryError::from_planning)?;
    let one = statements.pop_front();
    let (Some(mut statement), true) = (one, statements.is_empty()) else {
        return Err(QueryError::Invalid("write exactly one statement".to_owned()));
    };
    let mut explain = false;
    let inner = match &mut statement {
        Statement::Explain(inner) => {
            explain = true;
            &mut *inner.statement
        }
        other => other,
    };
    let Statement::Statement(sql) = inner else { return Err(only_questions()) };
    match &mut **sql {
        SqlStatement::ShowTables { .. } if !explain => Ok(Parsed::ShowTables),
        SqlStatement::ExplainTable {
            describe_alias: DescribeAlias::Describe | DescribeAlias::Desc,
            table_name,
            ..
        } => find_table(table_name, known).map(Parsed::Describe),
        query @ SqlStatement::Query(_) => {
            let mut tables = Tables {
                known,
                ctes: Vec::new(),
                found: Vec::new(),
                metrics: Vec::new(),
                unknown: None,
            };
            let _ = VisitMut::visit(query, &mut tables);
            if let Some(unknown) = tables.unknown {
                return Err(unknown);
            }
            let metrics = tables.metrics;
            let tables = tables.found;
            let mut names = Names { tables: &tables };
            let _ = VisitMut::visit(query, &mut names);
            Ok(Parsed::Query { statement: Box::new(statement), explain, tables, metrics })
        }
        _ => Err(only_questions()),
    }
}

fn only_questions() -> QueryError {
    QueryError::Unsupported(
        "only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE are SQL here; \
         tables are made and filled through the Elasticsearch API"
            .to_owned(),
    )
}

fn joined(name: &ObjectName) -> String {
    let part = |part: &ObjectNamePart| part.as_ident().map_or(String::new(), |i| i.value.clone());
    name.0.iter().map(part).collect::<Vec<_>>().join(".")
}

fn find_table(name: &ObjectName, known: &[Arc<Table>]) -> Result<Arc<Table>, QueryError> {
    let name = joined(name);
    let exact = known.iter().find(|table| table.name.as_str() == name);
    let found = exact.or_else(|| {
        let lower = name.to_lowercase();
        known.iter().find(|table| table.name.as_str() == lower)
    });
    found.cloned().ok_or_else(|| QueryError::UnknownTable {
        hint: nearest(&name, known.iter().map(|table| table.name.as_str())),
        name,
    })
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Finds the tables and writes their names as one quoted word.
struct Tables<'a> {
    known: &'a [Arc<Table>],
    ctes: Vec<String>,
    found: Vec<Arc<Table>>,
    metrics: Vec<MetricCall>,
    unknown: Option<QueryError>,
}

impl VisitorMut for Tables<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.push(cte.alias.name.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: args @ Some(_), .. } = factor
            && joined(name).eq_ignore_ascii_case("metric")
        {
            let arguments = args.take().map(|args| args.args).unwrap_or_default();
            let alias = format!("metric {}", self.metrics.len());
            match MetricCall::read(alias.clone(), &arguments) {
                Ok(call) => self.metrics.push(call),
                Err(error) => {
                    self.unknown.get_or_insert(error);
                }
            }
            *name = ObjectName::from(vec![quoted(&alias)]);
            return ControlFlow::Continue(());
        }
        // Other functions, files and the like have no place here: only tables and subqueries.
        let TableFactor::Table { name, args: None, .. } = factor else {
            if !matches!(
                factor,
                TableFactor::Derived { .. }
                    | TableFactor::NestedJoin { .. }
                    | TableFactor::UNNEST { .. }
            ) {
                self.unknown.get_or_insert_with(|| {
                    QueryError::Unsupported(
                        "only tables, subqueries and metric(…) can stand in FROM".to_owned(),
                    )
                });
            }
            return ControlFlow::Continue(());
        };
        if name.0.len() == 1 && self.ctes.contains(&joined(name).to_lowercase()) {
            return ControlFlow::Continue(());
        }
        match find_table(name, self.known) {
            Ok(table) => {
                *name = ObjectName::from(vec![quoted(table.name.as_str())]);
                if !self.found.iter().any(|found| found.id == table.id) {
                    self.found.push(table);
                }
            }
            Err(unknown) => {
                self.unknown.get_or_insert(unknown);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Settles the names of columns: dotted paths, upper case, and what `*` stands for.
struct Names<'a> {
    tables: &'a [Arc<Table>],
}

impl Names<'_> {
    /// The column that a name means, if it is one of ours.
    fn column(&self, name: &str) -> Option<String> {
        let is_column = |wanted: &str| self.tables.iter().any(|t| has_column(t, wanted));
        if is_column(name) {
            return Some(name.to_owned());
        }
        let mut alike = self
            .tables
            .iter()
            .flat_map(|table| columns(table))
            .filter(|column| column.eq_ignore_ascii_case(name));
        let first = alike.next()?;
        alike.all(|other| other == first).then_some(first)
    }

    /// The column that a dotted path means, alone or behind the name of a table.
    fn settled_path(&self, parts: &[Ident]) -> Option<Expr> {
        let join = |parts: &[Ident]| {
            parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
        };
        if let Some(column) = self.column(&join(parts)) {
            return Some(Expr::Identifier(quoted(&column)));
        }
        let (table, rest) = parts.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let column = self.column(&join(rest))?;
        let mut table = table.clone();
        if self.tables.iter().any(|known| known.name.as_str() == table.value) {
            table = quoted(&table.value);
        }
        Some(Expr::CompoundIdentifier(vec![table, quoted(&column)]))
    }

    fn expand(&self, select: &mut Select) {
        let mut factors: Vec<(Option<String>, Option<Arc<Table>>)> = Vec::new();
        for from in &select.from {
            let joined = from.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&from.relation).chain(joined) {
                match factor {
                    TableFactor::Table { name, alias, .. } => {
                        let name = self::joined(name);
                        let table = self.tables.iter().find(|t| t.name.as_str() == name).cloned();
                        let alias = alias.as_ref().map_or(name, |alias| alias.name.value.clone());
                        factors.push((Some(alias), table));
                    }
                    TableFactor::Derived { alias: Some(alias), .. } => {
                        factors.push((Some(alias.name.value.clone()), None));
                    }
                    _ => factors.push((None, None)),
                }
            }
        }
        // A name that is not known to us (a subquery) keeps its own star.
        let all_named = factors.iter().all(|(alias, _)| alias.is_some());
        let any_table = factors.iter().any(|(_, table)| table.is_some());
        if !any_table {
            return;
        }
        let single = factors.len() == 1;
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match &item {
                SelectItem::Wildcard(options) if options.opt_exclude.is_none() && all_named => {
                    for (alias, table) in &factors {
                        push_star(&mut items, alias.as_deref(), table.as_deref(), single);
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) if options.opt_exclude.is_none() => {
                    let wanted = joined(name);
                    let factor = factors.iter().find(|(alias, table)| {
                        table.is_some()
                            && alias.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(&wanted))
                    });
                    match factor {
                        Some((alias, table)) => {
                            push_star(&mut items, alias.as_deref(), table.as_deref(), false);
                        }
                        None => items.push(item),
                    }
                }
                _ => items.push(item),
            }
        }
        select.projection = items;
    }
}

fn push_star(
    items: &mut Vec<SelectItem>,
    alias: Option<&str>,
    table: Option<&Table>,
    single: bool,
) {
    let alias = alias.unwrap_or_default();
    let Some(table) = table else {
        let kind =
            SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![quoted(alias)]));
        items.push(SelectItem::QualifiedWildcard(kind, Default::default()));
        return;
    };
    for field in table.schema.fields() {
        let is_shown = field.stored() != StoredType::Sealed && field.class != Some(Class::Secret);
        if field.withheld || !is_shown || field.companion_of.is_some() {
            continue;
        }
        let column = quoted(field.name.as_str());
        let column = match single {
            true => Expr::Identifier(column),
            false => Expr::CompoundIdentifier(vec![quoted(alias), column]),
        };
        items.push(SelectItem::UnnamedExpr(column));
    }
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.expand(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                if let Some(column) = self.column(&ident.value) {
                    *ident = quoted(&column);
                }
            }
            Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => {
                if let Some(settled) = path(expr).and_then(|parts| self.settled_path(&parts)) {
                    *expr = settled;
                }
            }
            // `user` and its like are functions to the parser, and often fields to people.
            Expr::Function(Function { args: FunctionArguments::None, name, .. })
                if self.column(&joined(name)).is_some() =>
            {
                *expr = Expr::Identifier(quoted(&self.column(&joined(name)).unwrap_or_default()));
            }
            Expr::Function(function) => {
                let name = joined(&function.name).to_lowercase();
                if name != "match" && name != "match_phrase" {
                    return ControlFlow::Continue(());
                }
                // Elasticsearch writes the field as a string: match('message', 'words').
                if let FunctionArguments::List(list) = &mut function.args
                    && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(field))) =
                        list.args.first_mut()
                    && let Expr::Value(value) = field
                    && let Value::SingleQuotedString(text) = &value.value
                {
                    *field = Expr::Identifier(quoted(text));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The words of a dotted path, of which the parser takes some for functions.
pub(super) fn path(expr: &Expr) -> Option<Vec<Ident>> {
    match expr {
        Expr::Identifier(ident) => Some(vec![ident.clone()]),
        Expr::CompoundIdentifier(parts) => Some(parts.clone()),
        Expr::Function(Function { args: FunctionArguments::None, name, .. }) => {
            name.0.iter().map(|part| part.as_ident().cloned()).collect()
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut parts = path(root)?;
            for access in access_chain {
                let AccessExpr::Dot(part) = access else { return None };
                parts.extend(path(part)?);
            }
            Some(parts)
        }
        _ => None,
    }
}

/// The names of all columns of a table.
pub(super) fn columns(table: &Table) -> Vec<String> {
    let mut names = vec!["_id".to_owned()];
    for field in table.schema.fields().iter().filter(|field| !field.withheld) {
        names.push(field.name.as_str().to_owned());
        if field.stored() == StoredType::Text && field.keyword_up_to.is_some() {
            names.push(format!("{}{COMPANION}", field.name));
        }
    }
    names
}

fn has_column(table: &Table, name: &str) -> bool {
    name == "_id"
        || crate::leaf::field::find(table, name).is_some_and(|found| !found.field.withheld)
}

/// An error of the planner, with the nearest names where a name is unknown.
pub(super) fn explain_error(error: DataFusionError, tables: &[Arc<Table>]) -> QueryError {
    fn unknown(error: &DataFusionError) -> Option<String> {
        match error {
            DataFusionError::SchemaError(schema, _) => match &**schema {
                SchemaError::FieldNotFound { field, .. } => Some(field.name.clone()),
                _ => None,
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                unknown(inner)
            }
            DataFusionError::Collection(errors) => errors.first().and_then(unknown),
            _ => None,
        }
    }
    match unknown(&error) {
        Some(name) => {
            let columns: Vec<String> = tables.iter().flat_map(|table| columns(table)).collect();
            let hint = nearest(&name, columns.iter().map(String::as_str));
            QueryError::UnknownField { name, hint }
        }
        None => QueryError::from_planning(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Field, FieldName, FieldType, Intake, Schema, TableId, TableKind, TableName};

    fn table() -> Arc<Table> {
        let field = |name: &str, ty| Field::new(FieldName::parse(name).unwrap(), ty, "x");
        Arc::new(Table {
            id: TableId(1),
            name: TableName::parse("events").unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(vec![
                field("user.email", FieldType::Keyword),
                field("deviceId", FieldType::Keyword),
                field("@timestamp", FieldType::Date),
            ]),
        })
    }

    fn settled(text: &str) -> String {
        match parse(text, &[table()]).unwrap() {
            Parsed::Query { statement, .. } => statement.to_string(),
            _ => panic!("a query was written"),
        }
    }

    #[test]
    fn names_are_settled() {
        assert_eq!(
            settled("select user.email, DEVICEID, e.user.email from Events e where @timestamp > 0"),
            "SELECT \"user.email\", \"deviceId\", e.\"user.email\" FROM \"events\" e \
             WHERE \"@timestamp\" > 0"
        );
        assert_eq!(
            settled("select * from events"),
            "SELECT \"user.email\", \"deviceId\", \"@timestamp\" FROM \"events\""
        );
        assert_eq!(
            settled("select match('deviceId', 'a') from events"),
            "SELECT match(\"deviceId\", 'a') FROM \"events\""
        );
    }

    #[test]
    fn only_questions_are_taken() {
        for text in [
            "drop table events",
            "insert into events values (1)",
            "copy events to '/tmp/x.csv'",
            "create external table x stored as csv location '/etc/passwd'",
            "set datafusion.execution.batch_size = 1",
            "select * from events; select 1",
            "select * from '/etc/passwd'",
            "select * from generate_series(1, 100)",
            "",
        ] {
            assert!(parse(text, &[table()]).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_table_is_met_with_the_nearest() {
        let error = parse("select 1 from event", &[table()]).err().unwrap();
        assert_eq!(error.to_string(), "unknown table `event`; did you mean `events`");
    }
}
