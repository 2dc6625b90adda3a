//! What may follow in a question: fields, values of a field, operators.

use super::question::{SearchQuestion, condition, sort_field};
use super::value;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;
use model::{Class, Field, StoredType, Table};
use serde_json::{Value, json};

/// So many suggestions.
const MOST: usize = 10;

/// `GET /_ui/search/complete`: suggestions for the end of `q`, each with the whole question that
/// taking it makes. Values of a field come by a search like any other, which is recorded.
pub(in crate::ui) fn suggestions(call: &Call<'_>, caller: &Caller) -> Answer {
    let question = SearchQuestion::read(call.request).map_err(ApiError::illegal_argument)?;
    let tables = backend::tables(&call.app.engine, caller, &question.table)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    // Not trimmed: whether a blank follows the last word decides what is suggested.
    let typed = call.request.param("q").unwrap_or("");
    let (before, word) = last_word(typed);
    let (sign, word) = match word.strip_prefix(['-', '+', '(']) {
        Some(rest) => (&word[..1], rest),
        None => ("", word),
    };
    let whole = |end: &str| format!("{before}{sign}{end}");
    let found = match word.split_once(':') {
        Some((name, start)) => values(call, caller, &question, table, (before, name, start))?
            .into_iter()
            .map(|value| json!({ "text": value, "kind": "value", "q": whole(&format!("{} ", condition(name, &value))) }))
            .collect(),
        None => words(table, before, word)
            .into_iter()
            .map(|(text, kind)| json!({ "text": text, "kind": kind, "q": whole(&text) }))
            .collect::<Vec<Value>>(),
    };
    Ok(Reply::json(Value::Array(found)))
}

/// The question up to its last word, and that word, which may be a phrase that is still open.
fn last_word(text: &str) -> (&str, &str) {
    let mut start = 0;
    let mut in_phrase = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_phrase = !in_phrase,
            c if c.is_whitespace() && !in_phrase => start = at + c.len_utf8(),
            _ => {}
        }
    }
    text.split_at(start)
}

/// Fields that begin or go on with what was typed, and operators where one may stand.
fn words(table: &Table, before: &str, word: &str) -> Vec<(String, &'static str)> {
    let lower = word.to_lowercase();
    let mut fields: Vec<&Field> = table.schema.fields().iter().collect();
    let rank = |field: &Field| {
        let name = field.name.as_str().to_lowercase();
        (!name.starts_with(&lower), name)
    };
    fields
        .retain(|field| can_be_asked(field) && field.name.as_str().to_lowercase().contains(&lower));
    fields.sort_by_key(|field| rank(field));
    let mut found: Vec<(String, &'static str)> = Vec::new();
    let after_clause = !before.trim_end().is_empty()
        && !["AND", "OR", "NOT"].iter().any(|operator| before.trim_end().ends_with(operator));
    if after_clause {
        let fits = |operator: &&&str| operator.starts_with(&word.to_uppercase());
        let operators = ["AND", "OR", "AND NOT"].iter().filter(fits);
        found.extend(operators.map(|operator| (format!("{operator} "), "operator")));
    }
    found.extend(fields.into_iter().map(|field| (format!("{}:", field.name.as_str()), "field")));
    found.truncate(MOST);
    found
}

fn can_be_asked(field: &Field) -> bool {
    !field.withheld && field.stored() != StoredType::Sealed && field.class != Some(Class::Secret)
}

/// The most frequent values of a field that begin with what was typed, among the hits of what
/// stands before. Of persons none: a pseudonym helps nobody to type a name.
fn values(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    (before, name, start): (&str, &str, &str),
) -> Result<Vec<String>, ApiError> {
    let field = table.schema.find(name).map(|(_, field)| field);
    let is_open = field.is_some_and(|field| {
        can_be_asked(field) && matches!(field.class, None | Some(Class::Open))
    });
    let Some(grouped) = sort_field(table, name).filter(|_| is_open) else { return Ok(Vec::new()) };
    let start = start.trim_start_matches('"');
    let mut must = Vec::new();
    let narrowed = before.trim_end();
    let narrowed = ["AND NOT", "AND", "OR", "NOT"]
        .iter()
        .find_map(|operator| narrowed.strip_suffix(operator))
        .unwrap_or(narrowed);
    let narrowing =
        SearchQuestion { query: narrowed.trim().to_owned(), ..SearchQuestion::over(question) };
    must.push(narrowing.query_json(table));
    let is_text = matches!(field.map(Field::stored), Some(StoredType::Keyword | StoredType::Text));
    if is_text && !start.is_empty() {
        must.push(json!({ "prefix": { grouped.as_str(): { "value": start } } }));
    }
    let body = json!({
        "size": 0, "track_total_hits": false,
        "query": { "bool": { "filter": must } },
        "aggs": { "values": { "terms": { "field": grouped, "size": MOST * 3 } } },
    });
    let answer = match backend::search(&call.app.engine, caller, &question.table, Some(body), &[]) {
        Ok(answer) => answer,
        // What stands before is not finished: no help, and no alarm while somebody types.
        Err(error) if error.status().as_u16() == 400 => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let buckets =
        answer["aggregations"]["values"]["buckets"].as_array().cloned().unwrap_or_default();
    let keys = buckets.iter().map(value::key);
    Ok(keys.filter(|key| key.starts_with(start)).take(MOST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_may_be_an_open_phrase() {
        assert_eq!(last_word("kind:a AND reg"), ("kind:a AND ", "reg"));
        assert_eq!(last_word("kind:a "), ("kind:a ", ""));
        assert_eq!(last_word("a note:\"two wor"), ("a ", "note:\"two wor"));
        assert_eq!(last_word("ä ö"), ("ä ", "ö"));
        assert_eq!(last_word(""), ("", ""));
    }
}
