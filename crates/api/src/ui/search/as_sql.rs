//! A question of the search page as SQL, where there is one that finds the same rows.

use super::question::{PAGE_HITS, SearchQuestion};
use model::{FieldType, StoredType, Table, Timestamp};

/// The statement, or why there is none.
pub(super) fn as_sql(question: &SearchQuestion, table: &Table) -> Result<String, String> {
    let mut conditions = Vec::new();
    for part in
        question.query.split(" AND ").map(str::trim).filter(|part| !matches!(*part, "" | "*"))
    {
        conditions.push(condition(part, table)?);
    }
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

/// `field:value` or `NOT field:value` of a field that is compared exactly, or words in a text.
fn condition(part: &str, table: &Table) -> Result<String, String> {
    let none = || {
        "This question has no SQL form: only conditions such as field:value with AND and NOT between \
         have one."
            .to_owned()
    };
    let (is_not, part) = match part.strip_prefix("NOT ") {
        Some(rest) => (true, rest.trim()),
        None => (false, part),
    };
    let (name, value) = part.split_once(':').ok_or_else(none)?;
    let (_, field) = table.schema.find(name).ok_or_else(none)?;
    let value = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains(['"', '\\']) => inner,
        None if !value.contains(|c: char| " \"()[]{}*?\\/<>~^".contains(c)) => value,
        _ => return Err(none()),
    };
    let is_number = matches!(field.ty, FieldType::Long | FieldType::Double);
    let literal = format!("'{}'", value.replace('\'', "''"));
    let found = match field.stored() {
        StoredType::Text if is_not => return Err(none()),
        StoredType::Text => format!("match_phrase({}, {literal})", quoted(name)),
        StoredType::Sealed => return Err(none()),
        _ if is_number && value.parse::<f64>().is_ok() => format!("{} = {value}", quoted(name)),
        _ if is_number || field.ty == FieldType::Date => return Err(none()),
        StoredType::Bool if matches!(value, "true" | "false") => {
            format!("{} = {value}", quoted(name))
        }
        StoredType::Bool => return Err(none()),
        _ => format!("{} = {literal}", quoted(name)),
    };
    // A row without a value is none of those with this value.
    Ok(if is_not { format!("({0} IS NULL OR NOT {found})", quoted(name)) } else { found })
}

fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && !["from", "select", "order", "group", "where", "limit"].contains(&name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::time_range::TimeRange;
    use model::{Field, FieldName, Intake, Schema, TableId, TableKind, TableName};

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
        };
        as_sql(&question, &table)
    }

    #[test]
    fn what_has_a_form_in_sql_is_written() {
        let all = sql("kind:\"it's\" AND NOT n:5 AND message:\"timed out\"").unwrap();
        assert_eq!(
            all,
            "SELECT \"@timestamp\", kind\nFROM logs\nWHERE kind = 'it''s'\n  AND (n IS NULL OR NOT n = 5)\n  AND \
             match_phrase(message, 'timed out')\n  AND \"@timestamp\" >= TIMESTAMP \
             '1970-01-01T00:00:00.000Z'\n  AND \"@timestamp\" < TIMESTAMP \
             '1970-01-01T00:00:01.000Z'\nORDER BY \"@timestamp\" DESC\nLIMIT 50"
        );
        for without in [
            "words",
            "kind:a OR kind:b",
            "kind:a*",
            "n:[1 TO 5]",
            "other:x",
            "n:abc",
            "NOT message:x",
            "kind:\"a\\\"b\"",
        ] {
            assert!(sql(without).is_err(), "{without}");
        }
    }
}
