//! The values of given rows as Arrow arrays.

use super::Place;
use super::field::{self, Kind};
use crate::{OutColumn, QueryError, Scope};
use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Array, Float64Builder, Int64Builder, StringArray,
    StringBuilder, UInt64Array, new_null_array,
};
use arrow::datatypes::DataType;
use model::{Field, Table, Timestamp};
use protection::grant::Action;
use serde_json::{Map, Value as Json};
use std::hash::BuildHasher;
use std::sync::Arc;
use storage::{BLOCK, Block, Column, Filter, KeywordColumn, MISSING, View};

/// What to give of each row, with the kinds of the fields.
pub(super) struct Columns {
    columns: Vec<(OutColumn, Option<Kind>)>,
}

impl Columns {
    /// Looks the fields up once.
    pub(super) fn new(tables: &[Arc<Table>], columns: &[OutColumn]) -> Result<Columns, QueryError> {
        let columns = columns
            .iter()
            .map(|column| match column {
                OutColumn::Field(name) => Ok((column.clone(), field::kind(tables, name)?)),
                _ => Ok((column.clone(), None)),
            })
            .collect::<Result<_, QueryError>>()?;
        Ok(Columns { columns })
    }

    /// The columns of these rows, ascending row numbers of one view.
    pub(super) fn fetch(
        &self,
        scope: &Scope,
        filter: &Filter,
        place: &Place,
        rows: &[u32],
    ) -> Result<Vec<ArrayRef>, QueryError> {
        let view = &place.view;
        note(scope, view, rows)?;
        self.columns
            .iter()
            .map(|(column, kind)| {
                Ok(match column {
                    OutColumn::Field(name) => values(view, name, *kind, rows)?,
                    OutColumn::Id => Arc::new(StringArray::from(view.ids(rows)?)),
                    OutColumn::Table => {
                        let name = view.table().name.as_str();
                        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| name)))
                    }
                    OutColumn::Source { include, exclude } => {
                        let table = view.table();
                        let keep = |field: &Field| {
                            scope.permit.may_read(table.id, field)
                                && !field.withheld
                                && wanted(field.name.as_str(), include, exclude)
                        };
                        Arc::new(StringArray::from(view.documents(rows, &keep)?))
                    }
                    OutColumn::Score => {
                        let scores = view.scores(&scope.snapshot, filter, rows)?;
                        Arc::new(Float32Array::from(scores))
                    }
                    OutColumn::Version => Arc::new(UInt64Array::from(view.versions(rows)?)),
                    OutColumn::Seq => Arc::new(UInt64Array::from(view.seqs(rows)?)),
                    OutColumn::Fields(names) => fields(view, names, rows)?,
                })
            })
            .collect()
    }
}

/// Notes for the audit record which rows go out, and of how many people.
fn note(scope: &Scope, view: &View, rows: &[u32]) -> Result<(), QueryError> {
    let (seen, table) = (scope.permit.seen(), view.table());
    if scope.permit.action() < Action::Read {
        // They are computed with; none goes out.
        seen.all_below(table.name.as_str(), scope.snapshot.seq_end().0);
        return Ok(());
    }
    seen.rows(table.name.as_str(), view.seqs(rows)?);
    let Some(subject) = protection::subject_column(table) else { return Ok(()) };
    let Some(Column::Keyword(column)) = view.column(&subject)? else { return Ok(()) };
    let mut ords = Vec::new();
    let mut distinct = Vec::new();
    for chunk in rows.chunks(BLOCK) {
        column.first_ords(Block::Rows(chunk), &mut ords);
        distinct.extend(ords.iter().copied().filter(|&ord| ord != MISSING));
        distinct.sort_unstable();
        distinct.dedup();
    }
    // Equal within a process is all that counting needs.
    let hash = |term: &String| foldhash::quality::FixedState::default().hash_one(term);
    seen.subjects(column.terms(&distinct)?.iter().map(hash));
    Ok(())
}

/// Whether `_source` shows the field: included (or nothing said), and not excluded. A pattern
/// also means everything below the object it names, as in Elasticsearch.
fn wanted(name: &str, include: &[String], exclude: &[String]) -> bool {
    let matches = |pattern: &String| {
        wildcard(pattern, name)
            || name.match_indices('.').any(|(dot, _)| wildcard(pattern, &name[..dot]))
    };
    (include.is_empty() || include.iter().any(matches)) && !exclude.iter().any(matches)
}

/// Whether `text` matches a pattern in which `*` stands for anything.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or("");
    let mut text = text;
    for part in parts {
        match text.find(part) {
            Some(found) => text = &text[found + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

/// The first value of each row.
fn values(
    view: &View,
    name: &str,
    kind: Option<Kind>,
    rows: &[u32],
) -> Result<ArrayRef, QueryError> {
    let Some(kind) = kind else { return Ok(new_null_array(&DataType::Utf8, rows.len())) };
    let here = field::find(view.table(), name).map(Kind::of);
    if here == Some(Kind::Text) {
        return Ok(Arc::new(StringArray::from(view.texts(name, rows)?)));
    }
    let column = view.column(name)?;
    Ok(match (kind, column) {
        (Kind::Keyword | Kind::Text, Some(Column::Keyword(column))) => strings(&column, rows)?,
        (Kind::Long | Kind::Date, Some(Column::Long(column))) => {
            let mut builder = Int64Builder::with_capacity(rows.len());
            let (mut values, mut present) = (Vec::new(), Vec::new());
            for chunk in rows.chunks(BLOCK) {
                column.first(Block::Rows(chunk), &mut values, &mut present);
                builder.append_values(&values, &present);
            }
            Arc::new(builder.finish())
        }
        (Kind::Double, Some(column @ (Column::Double(_) | Column::Long(_)))) => {
            let mut builder = Float64Builder::with_capacity(rows.len());
            let mut present = Vec::new();
            for chunk in rows.chunks(BLOCK) {
                let mut values = Vec::new();
                match &column {
                    Column::Long(column) => {
                        let mut longs = Vec::new();
                        column.first(Block::Rows(chunk), &mut longs, &mut present);
                        values.extend(longs.iter().map(|&value| value as f64));
                    }
                    Column::Double(column) => {
                        column.first(Block::Rows(chunk), &mut values, &mut present);
                    }
                    Column::Keyword(_) | Column::Bool(_) => present.clear(),
                }
                builder.append_values(&values, &present);
            }
            Arc::new(builder.finish())
        }
        (Kind::Bool, Some(Column::Bool(column))) => {
            let mut builder = BooleanBuilder::with_capacity(rows.len());
            let (mut values, mut present) = (Vec::new(), Vec::new());
            for chunk in rows.chunks(BLOCK) {
                column.first(Block::Rows(chunk), &mut values, &mut present);
                for (&value, &present) in values.iter().zip(&present) {
                    builder.append_option(present.then_some(value));
                }
            }
            Arc::new(builder.finish())
        }
        // No value here, or values from before a ruling changed how the field is stored.
        _ => new_null_array(&kind.arrow(), rows.len()),
    })
}

/// The first keyword of each row; each distinct one is read from the dictionary once.
pub(super) fn strings(column: &KeywordColumn, rows: &[u32]) -> Result<ArrayRef, QueryError> {
    let mut all = Vec::with_capacity(rows.len());
    let mut ords = Vec::new();
    for chunk in rows.chunks(BLOCK) {
        column.first_ords(Block::Rows(chunk), &mut ords);
        all.extend_from_slice(&ords);
    }
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.last() == Some(&MISSING) {
        distinct.pop();
    }
    let terms = column.terms(&distinct)?;
    let mut builder = StringBuilder::with_capacity(all.len(), all.len() * 8);
    for ord in all {
        match distinct.binary_search(&ord) {
            Ok(place) => builder.append_value(&terms[place]),
            Err(_) => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// For each row one JSON object: every value of each field that has one, in an array.
fn fields(view: &View, names: &[String], rows: &[u32]) -> Result<ArrayRef, QueryError> {
    let mut objects: Vec<Map<String, Json>> = vec![Map::new(); rows.len()];
    for name in names {
        let Some(found) = field::find(view.table(), name) else { continue };
        let kind = Kind::of(found);
        if kind == Kind::Text {
            for (object, text) in objects.iter_mut().zip(view.texts(name, rows)?) {
                if let Some(text) = text {
                    object.insert(name.clone(), Json::Array(vec![Json::String(text)]));
                }
            }
            continue;
        }
        let Some(column) = view.column(name)? else { continue };
        for (start, chunk) in (0..).step_by(BLOCK).zip(rows.chunks(BLOCK)) {
            for (row, value) in all_values(&column, kind, chunk)? {
                let object = &mut objects[start + row as usize];
                match object.get_mut(name) {
                    Some(Json::Array(values)) => values.push(value),
                    _ => {
                        object.insert(name.clone(), Json::Array(vec![value]));
                    }
                }
            }
        }
    }
    let texts = objects.into_iter().map(|object| Json::Object(object).to_string());
    Ok(Arc::new(StringArray::from_iter_values(texts)))
}

/// Every value of a block, with the place of its row in the block.
fn all_values(column: &Column, kind: Kind, rows: &[u32]) -> Result<Vec<(u32, Json)>, QueryError> {
    let block = Block::Rows(rows);
    let mut places = Vec::new();
    let values: Vec<Json> = match column {
        Column::Keyword(column) => {
            let mut ords = Vec::new();
            column.all_ords(block, &mut places, &mut ords);
            let mut distinct = ords.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let terms = column.terms(&distinct)?;
            let term = |ord: &u32| {
                distinct.binary_search(ord).map_or(Json::Null, |place| terms[place].clone().into())
            };
            ords.iter().map(term).collect()
        }
        Column::Long(column) => {
            let mut values = Vec::new();
            column.all(block, &mut places, &mut values);
            let json = |value: i64| match kind {
                Kind::Date => Json::String(Timestamp(value).to_rfc3339()),
                _ => Json::from(value),
            };
            values.into_iter().map(json).collect()
        }
        Column::Double(column) => {
            let mut values = Vec::new();
            column.all(block, &mut places, &mut values);
            values.into_iter().map(Json::from).collect()
        }
        Column::Bool(column) => {
            let mut values = Vec::new();
            column.all(block, &mut places, &mut values);
            values.into_iter().map(Json::from).collect()
        }
    };
    Ok(places.into_iter().zip(values).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_patterns_work_as_in_elasticsearch() {
        let patterns = |list: &[&str]| list.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
        assert!(wanted("user.email", &[], &[]));
        assert!(wanted("user.email", &patterns(&["user"]), &[]), "an object means all below it");
        assert!(wanted("user.email", &patterns(&["*.email"]), &[]));
        assert!(!wanted("user.email", &patterns(&["u*"]), &patterns(&["*email"])));
        assert!(!wanted("user.email", &patterns(&["use"]), &[]));
        assert!(wildcard("a*b*c", "aXbYc") && !wildcard("a*b*c", "aXcYb"));
    }
}
