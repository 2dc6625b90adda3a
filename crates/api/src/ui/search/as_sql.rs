//! A question of the search page as SQL, where there is one that finds the same rows.

use super::condition::{conditions, quoted};
use super::question::{PAGE_HITS, SearchQuestion};
use model::{Table, Timestamp};

/// The statement, or why there is none.
pub(super) fn as_sql(question: &SearchQuestion, table: &Table) -> Result<String, String> {
    let mut conditions = conditions(&question.query, table)?;
    if let (Some(field), Some((start, end))) = (&table.time_field, question.range.span) {
        let field = quoted(field);
        let at = |ms: i64| format!("TIMESTAMP '{}'", Timestamp(ms).to_rfc3339());
        conditions.push(format!("{field} >= {}", at(start)));
        conditions.push(format!("{field} < {}", at(end)));
    }
    let mut columns: Vec<String> = table.time_field.iter().map(|field| quoted(field)).collect();
    columns.extend(question.columns.iter().map(|column| quoted(column)));
    let columns = if question.columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let mut sql = format!("SELECT {columns}\nFROM {}", quoted(table.name.as_str()));
    for (place, condition) in conditions.iter().enumerate() {
        sql.push_str(if place == 0 { "\nWHERE " } else { "\n  AND " });
        sql.push_str(condition);
    }
    if let Some(sort) = question.order(table) {
        let order = if sort.descending { " DESC" } else { "" };
        sql.push_str(&format!("\nORDER BY {}{order}", quoted(&sort.field)));
    }
    sql.push_str(&format!("\nLIMIT {PAGE_HITS}"));
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::time_range::TimeRange;
    use model::{Field, FieldName, FieldType, Intake, Schema, TableId, TableKind, TableName};

    fn sql(query: &str) -> Result<String, String> {
        let field = |name: &str, ty| Field::new(FieldName::parse(name).unwrap(), ty, "");
        let table = Table {
            id: TableId(1),
            name: TableName::parse("logs").unwrap(),
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: Some("@timestamp".to_owned()),
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::from_fields(vec![
                field("@timestamp", FieldType::Date),
                field("kind", FieldType::Keyword),
                field("n", FieldType::Long),
                field("message", FieldType::Text),
            ]),
        };
        let question = SearchQuestion {
            table: "logs".to_owned(),
            query: query.to_owned(),
            range: TimeRange::between(0, 1000),
            columns: vec!["kind".to_owned()],
            sort: None,
            page: 0,
            field: None,
            refresh: None,
            inspects: false,
            saved: None,
        };
        as_sql(&question, &table)
    }

    #[test]
    fn what_has_a_form_in_sql_is_written() {
        let all = sql("kind:\"it's\" AND NOT n:5 AND message:\"timed out\"").unwrap();
        assert_eq!(
            all,
            "SELECT \"@timestamp\", kind\nFROM logs\nWHERE kind = 'it''s'\n  AND (n = 5) IS NOT TRUE\n  AND \
             match_phrase(message, 'timed out')\n  AND \"@timestamp\" >= TIMESTAMP \
             '1970-01-01T00:00:00.000Z'\n  AND \"@timestamp\" < TIMESTAMP \
             '1970-01-01T00:00:01.000Z'\nORDER BY \"@timestamp\" DESC\nLIMIT 50"
        );
        for (query, expected) in [
            ("kind:a OR n:>5", "(kind = 'a' OR n > 5)"),
            (
                "kind:(a OR \"b c\") n:[1 TO 5}",
                "(kind = 'a' OR kind = 'b c')\n  AND (n >= 1 AND n < 5)",
            ),
            ("(kind:a AND n:1) OR kind:b", "((kind = 'a' AND n = 1) OR kind = 'b')"),
            ("NOT (kind:a OR kind:b)", "((kind = 'a' OR kind = 'b')) IS NOT TRUE"),
            ("NOT message:x", "(match_phrase(message, 'x')) IS NOT TRUE"),
            ("n:* AND n:[* TO -2]", "n IS NOT NULL\n  AND n <= -2"),
        ] {
            let found = sql(query).unwrap();
            assert!(found.contains(&format!("WHERE {expected}\n  AND \"@timestamp\"")), "{found}");
        }
        assert!(!sql("*").unwrap().contains("kind ="));
    }

    #[test]
    fn what_has_none_is_refused() {
        for without in [
            "words",
            "kind:a AND words",
            "kind:a OR kind:b AND n:1",
            "kind:a OR NOT kind:b",
            "kind:a AND (NOT kind:b)",
            "kind:a*b",
            "kind:a?",
            "kind:[a TO b]",
            "other:x",
            "n:abc",
            "n:1e3",
            "message:tls*",
            "message:tls-handshake",
            "kind:\"a\\\"b\"",
            "kind:a~2",
            "+kind:a",
            "-kind:a",
            "kind:a && n:1",
            "(kind:a",
            "kind:a)",
            "kind:",
            "kind:\"a",
            "@timestamp:2026",
        ] {
            assert!(sql(without).is_err(), "{without}: {}", sql(without).unwrap());
        }
    }
}
