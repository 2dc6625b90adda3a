//! Every column is copied for something: a key, the time, a metric or dashboard, or a purpose with
//! its end.

use crate::file::{ColumnPlan, CopyFile, FileError, TablePlan, day, field_of};
use crate::transform::is_over;
use engine::{Caller, Engine, FieldsInUse};
use model::{Field, FieldType};

/// Checks a file that somebody proposes.
pub(crate) fn check_purposes(
    engine: &Engine,
    caller: &Caller,
    file: &CopyFile,
) -> Result<(), FileError> {
    let now = engine.now();
    for table in &file.tables {
        let fields = fields_of(table);
        let time = table.columns.iter().find(|column| table.time.as_ref() == Some(&column.from));
        let time = time.map(|column| column.to.as_str());
        let used = engine.fields_in_use(caller, &table.to, &fields, time);
        let used = used.map_err(|error| FileError { line: 1, message: error.reason })?;
        let all =
            table.columns.iter().flat_map(|column| [column].into_iter().chain(&column.fields));
        for column in all {
            if let Some((_, until)) = column.purpose.as_ref().filter(|_| is_over(column, now)) {
                let message = format!(
                    "the purpose of `{}` of `{}` ended on {}: give it a later `until`, or move \
                     it to `left_out`",
                    column.from,
                    table.from,
                    day(*until)
                );
                return Err(FileError { line: column.line, message });
            }
        }
        if let Some(column) = table.columns.iter().find(|column| !has_use(table, column, &used)) {
            let message = format!(
                "no metric and no dashboard that you may open uses `{}` of `{}`: write its \
                 `purpose` and `until`, or move it to `left_out`",
                column.from, table.from
            );
            return Err(FileError { line: column.line, message });
        }
    }
    Ok(())
}

fn has_use(table: &TablePlan, column: &ColumnPlan, used: &FieldsInUse) -> bool {
    let is_key = table.key.as_ref().is_some_and(|key| key.contains(&column.from));
    let is_time = table.time.as_ref() == Some(&column.from);
    let of_itself =
        |column: &ColumnPlan| column.purpose.is_some() || used.contains_key(column.to.as_str());
    is_key || is_time || of_itself(column) || column.fields.iter().any(of_itself)
}

fn fields_of(table: &TablePlan) -> Vec<Field> {
    let all = table.columns.iter().flat_map(|column| [column].into_iter().chain(&column.fields));
    all.map(|column| field_of(column.to.clone(), column.ty.unwrap_or(FieldType::Keyword))).collect()
}
