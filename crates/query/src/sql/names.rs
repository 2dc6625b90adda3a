//! The names of fields in a condition, without the table that has them.

use super::dialect::Words;
use super::statement::path;
use crate::QueryError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, Visit, Visitor,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The names in a condition on rows of `table`, as they are written: letters may be of another case
/// than those of the field. A dotted path is one name; in front of it may stand the table.
///
/// # Errors
/// If it does not read.
pub(crate) fn names_in(condition: &str, table: &str) -> Result<BTreeSet<String>, QueryError> {
    let text = format!("SELECT 1 WHERE ({condition}\n)");
    let statements = DFParserBuilder::new(text.as_str())
        .with_dialect(&Words)
        .with_recursion_limit(super::statement::DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(QueryError::from_planning)?;
    let mut names = Names { table, found: BTreeSet::new() };
    for statement in &statements {
        if let Statement::Statement(statement) = statement {
            // It never breaks off.
            let _ = statement.visit(&mut names);
        }
    }
    Ok(names.found)
}

struct Names<'a> {
    table: &'a str,
    found: BTreeSet<String>,
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { args: FunctionArguments::List(list), name, .. }) = expr {
            let is_match = ["match", "match_phrase"]
                .iter()
                .any(|word| name.to_string().eq_ignore_ascii_case(word));
            // Elasticsearch writes the field as a string: match('message', 'words').
            if is_match
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) =
                    list.args.first()
                && let Value::SingleQuotedString(field) = &value.value
            {
                self.found.insert(field.clone());
            }
        }
        let Some(parts) = path(expr) else { return ControlFlow::Continue(()) };
        let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        let name = match parts.split_first() {
            Some((first, rest)) if !rest.is_empty() && *first == self.table => rest.join("."),
            _ => parts.join("."),
        };
        self.found.insert(name);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (condition, expected) in [
            ("kind IN ('connect', 'failed') AND NOT (ms > 5)", "kind ms"),
            ("\"Wi Fi\" IS NULL OR a.b.c = 'x'", "Wi Fi a.b.c"),
            ("events.status BETWEEN 1 AND 2", "status"),
            ("match('message', 'login failed') OR match_phrase(note, 'x')", "message note"),
            ("lower(Model) LIKE 'cam%' AND user = 'u'", "Model user"),
            ("CASE WHEN plan = 'plus' THEN n ELSE 0 END > 1", "n plan"),
            ("true", ""),
        ] {
            let found = names_in(condition, "events").unwrap();
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found.join(" "), expected, "{condition}");
        }
        assert!(names_in("kind = ", "events").is_err());
    }
}
