//! What an update keeps of the stored row: values carried over, column by column, as they are
//! stored. They were sealed before and are not opened.

use model::{Batch, Column, FieldId, Row, Strings, Values};
use std::collections::{BTreeMap, HashMap};

/// One value where it stands.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Long(i64),
    Double(f64),
    Bool(bool),
    Sealed(&'a [u8]),
}

/// The values of one row by field.
pub(super) type Cells<'a> = BTreeMap<FieldId, Vec<Cell<'a>>>;

/// One row of a new batch.
pub(super) struct NewRow<'a> {
    pub(super) row: Row,
    pub(super) cells: Cells<'a>,
}

/// The values of every row of a batch.
pub(super) fn cells_by_row(batch: &Batch) -> Vec<Cells<'_>> {
    let mut rows = vec![Cells::new(); batch.rows.len()];
    for column in &batch.columns {
        for (place, &row) in column.rows.iter().enumerate() {
            let cell = cell(&column.values, place);
            rows[row as usize].entry(column.field).or_default().push(cell);
        }
    }
    rows
}

fn cell(values: &Values, place: usize) -> Cell<'_> {
    match values {
        Values::Strings(strings) => Cell::Text(strings.get(place)),
        Values::Longs(values) => Cell::Long(values[place]),
        Values::Doubles(values) => Cell::Double(values[place]),
        Values::Bools(values) => Cell::Bool(values[place]),
        Values::Bytes(values) => Cell::Sealed(&values[place]),
    }
}

/// Makes a batch of rows. `None` if the values of one field are of two types.
pub(super) fn batch_of(rows: &[NewRow<'_>], shapes: Vec<String>) -> Option<Batch> {
    let mut columns: BTreeMap<FieldId, (Column, HashMap<&str, u32>)> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        for (&field, cells) in &row.cells {
            for &cell in cells {
                let (column, known) = columns.entry(field).or_insert_with(|| {
                    (Column { field, rows: Vec::new(), values: empty_for(cell) }, HashMap::new())
                });
                column.rows.push(number as u32);
                match (&mut column.values, cell) {
                    (Values::Strings(strings), Cell::Text(text)) => {
                        let id = *known.entry(text).or_insert_with(|| strings.push_distinct(text));
                        strings.ids.push(id);
                    }
                    (Values::Longs(values), Cell::Long(value)) => values.push(value),
                    (Values::Doubles(values), Cell::Double(value)) => values.push(value),
                    (Values::Bools(values), Cell::Bool(value)) => values.push(value),
                    (Values::Bytes(values), Cell::Sealed(bytes)) => values.push(bytes.into()),
                    _ => return None,
                }
            }
        }
    }
    Some(Batch {
        rows: rows.iter().map(|row| row.row.clone()).collect(),
        columns: columns.into_values().map(|(column, _)| column).collect(),
        shapes,
    })
}

fn empty_for(cell: Cell<'_>) -> Values {
    match cell {
        Cell::Text(_) => Values::Strings(Strings::default()),
        Cell::Long(_) => Values::Longs(Vec::new()),
        Cell::Double(_) => Values::Doubles(Vec::new()),
        Cell::Bool(_) => Values::Bools(Vec::new()),
        Cell::Sealed(_) => Values::Bytes(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Op;

    #[test]
    fn rows_come_apart_and_together_again() {
        let mut strings = Strings::default();
        strings.ids = vec![strings.push_distinct("a"), strings.push_distinct("b"), 0];
        let row = |id: &str| Row { id: Some(id.into()), op: Op::Put, shape: None };
        let batch = Batch {
            rows: vec![row("1"), row("2"), row("3")],
            columns: vec![
                Column { field: FieldId(0), rows: vec![0, 0, 2], values: Values::Strings(strings) },
                Column { field: FieldId(3), rows: vec![1], values: Values::Longs(vec![7]) },
                Column {
                    field: FieldId(4),
                    rows: vec![2],
                    values: Values::Bytes(vec![Box::from(&b"x"[..])]),
                },
            ],
            shapes: Vec::new(),
        };
        let rows: Vec<NewRow<'_>> = batch
            .rows
            .iter()
            .cloned()
            .zip(cells_by_row(&batch))
            .map(|(row, cells)| NewRow { row, cells })
            .collect();
        assert!(batch_of(&rows, Vec::new()).unwrap() == batch);

        let mut mixed = Cells::new();
        mixed.insert(FieldId(0), vec![Cell::Long(1)]);
        let other = NewRow { row: row("4"), cells: mixed };
        let rows: Vec<NewRow<'_>> = rows.into_iter().chain([other]).collect();
        assert!(batch_of(&rows, Vec::new()).is_none());
    }
}
