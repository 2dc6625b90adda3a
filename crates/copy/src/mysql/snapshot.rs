//! All rows of some tables, in ranges of the primary key.

use super::cells::push_result;
use super::schema::{ColumnShape, Kind, TableShape, quoted};
use super::server::failure;
use super::{MysqlSource, Server, no_table};
use crate::{CopiedRows, Layout, Piece, Position, Range, Snapshot, SourceError};
use model::Op;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// A range has about so many rows.
const RANGE_ROWS: u64 = 100_000;
/// The most ranges of a table.
const RANGES_MAX: u64 = 256;
/// A piece has so many rows,
const PIECE_ROWS: usize = 8_192;
/// or so many bytes.
const PIECE_BYTES: usize = 4 << 20;

/// Views of some tables.
pub(super) struct TablesSnapshot {
    source: MysqlSource,
    shapes: Vec<TableShape>,
    start: Position,
    ranges: Vec<Range>,
}

impl TablesSnapshot {
    pub(super) fn new(
        source: MysqlSource,
        shapes: Vec<TableShape>,
        start: Position,
        ranges: Vec<Range>,
    ) -> TablesSnapshot {
        TablesSnapshot { source, shapes, start, ranges }
    }
}

#[async_trait::async_trait]
impl Snapshot for TablesSnapshot {
    fn start(&self) -> Position {
        self.start.clone()
    }

    fn ranges(&self) -> Vec<Range> {
        self.ranges.clone()
    }

    async fn read(
        &self,
        range: &Range,
        _after: Option<&Position>,
        out: &Sender<Piece>,
    ) -> Result<(), SourceError> {
        let shape = self.shapes.iter().find(|shape| shape.name == range.table);
        let shape = shape.ok_or_else(|| no_table(&range.table))?;
        let mut server = self.source.connect().await?;
        // A view of this range alone, no older than the start.
        for statement in [
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        ] {
            server.conn.query_drop(statement).await.map_err(|error| failure(&error))?;
        }
        let layout = Layout::columns(shape.columns.iter().map(|c| c.source.clone()).collect());
        let lane: Arc<str> = range.lane.as_str().into();
        let piece = |rows| Piece {
            table: range.table.clone(),
            lane: Arc::clone(&lane),
            layout: Arc::clone(&layout),
            rows,
            refused: Vec::new(),
            position: None,
        };
        let condition = condition(shape, &range.bounds)?;
        let statement = format!("{} FROM {}{condition}", select(shape), quoted(&shape.name));
        let found = server.conn.exec_iter(statement, ()).await;
        let mut found = found.map_err(|error| failure(&error))?;
        let mut rows = CopiedRows::new(layout.width());
        while let Some(row) = found.next().await.map_err(|error| failure(&error))? {
            push_row(&row, shape, &mut rows);
            if rows.len() >= PIECE_ROWS || rows.bytes() >= PIECE_BYTES {
                let full = std::mem::replace(&mut rows, CopiedRows::new(layout.width()));
                if out.send(piece(full)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if !rows.is_empty() {
            // Nobody listening is the listener's business.
            let _ = out.send(piece(rows)).await;
        }
        drop(found);
        server.conn.disconnect().await.map_err(|error| failure(&error))
    }
}

/// `SELECT` and the columns.
pub(super) fn select(shape: &TableShape) -> String {
    let columns: Vec<String> =
        shape.columns.iter().map(|column| quoted(&column.source.name)).collect();
    format!("SELECT {}", columns.join(","))
}

/// Adds a row of a result.
pub(super) fn push_row(row: &Row, shape: &TableShape, rows: &mut CopiedRows) {
    rows.start(Op::Put);
    for (place, column) in shape.columns.iter().enumerate() {
        push_result(row.as_ref(place).unwrap_or(&Value::NULL), column, rows);
    }
}

/// The whole-number column that the primary key consists of.
fn number_key(shape: &TableShape) -> Option<&ColumnShape> {
    let [name] = shape.key.as_slice() else { return None };
    let column = shape.columns.iter().find(|column| column.source.name == *name)?;
    matches!(column.kind, Kind::Int { .. }).then_some(column)
}

/// Cuts tables whose key is one whole number; any other is one range.
pub(super) async fn cut(
    server: &mut Server,
    shapes: &[TableShape],
) -> Result<Vec<Range>, SourceError> {
    let mut ranges = Vec::new();
    for shape in shapes {
        let rows = shape.rows.unwrap_or(0);
        let count = (rows / RANGE_ROWS).clamp(1, RANGES_MAX);
        let ends: Option<(Option<i128>, Option<i128>)> = match number_key(shape) {
            Some(column) if count > 1 => {
                let key = quoted(&column.source.name);
                let from = quoted(&shape.name);
                let asked = format!(
                    "SELECT CAST(MIN({key}) AS CHAR), CAST(MAX({key}) AS CHAR) FROM {from}"
                );
                let found: Option<(Option<String>, Option<String>)> =
                    server.conn.query_first(asked).await.map_err(|error| failure(&error))?;
                let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
                found.map(|(first, last)| (number(first), number(last)))
            }
            _ => None,
        };
        let bounds = match ends {
            Some((Some(first), Some(last))) => bounds(first, last, i128::from(count)),
            _ => vec![String::new()],
        };
        let each = rows / bounds.len() as u64;
        ranges.extend(bounds.into_iter().enumerate().map(|(number, bounds)| Range {
            table: shape.name.clone(),
            lane: format!("r{number}"),
            bounds,
            rows: each,
        }));
    }
    Ok(ranges)
}

/// `FROM..BEFORE`, the first without a beginning and the last without an end, so that keys outside
/// of what was there are in one of them too.
fn bounds(first: i128, last: i128, count: i128) -> Vec<String> {
    let edge = |number: i128| first + (last - first + 1) * number / count;
    (0..count)
        .map(|number| {
            let from = if number == 0 { String::new() } else { edge(number).to_string() };
            let end =
                if number + 1 == count { String::new() } else { edge(number + 1).to_string() };
            format!("{from}..{end}")
        })
        .collect()
}

/// The `WHERE` of a range. Bounds come back from where they were kept, so they are read as numbers.
fn condition(shape: &TableShape, bounds: &str) -> Result<String, SourceError> {
    if bounds.is_empty() {
        return Ok(String::new());
    }
    let other = || SourceError::Lost("the table's key is not what it was".to_owned());
    let key = quoted(&number_key(shape).ok_or_else(other)?.source.name);
    let (from, end) = bounds.split_once("..").ok_or_else(other)?;
    let mut terms = Vec::new();
    for (operator, text) in [(">=", from), ("<", end)] {
        if !text.is_empty() {
            let number: i128 = text.parse().map_err(|_| other())?;
            terms.push(format!("{key} {operator} {number}"));
        }
    }
    Ok(if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnType, SourceColumn};

    fn shape() -> TableShape {
        let source = SourceColumn { name: "id".into(), ty: ColumnType::Long, native: "int".into() };
        let kind = Kind::Int { bits: 32, unsigned: false };
        TableShape {
            name: "t".into(),
            columns: vec![ColumnShape { source, place: 0, kind }],
            key: vec!["id".into()],
            rows: None,
        }
    }

    #[test]
    fn ranges_cover_every_key_once() {
        let bounds = bounds(1, 10, 3);
        assert_eq!(bounds, ["..4", "4..7", "7.."]);
        let conditions: Vec<String> =
            bounds.iter().map(|bounds| condition(&shape(), bounds).unwrap()).collect();
        assert_eq!(
            conditions,
            [" WHERE `id` < 4", " WHERE `id` >= 4 AND `id` < 7", " WHERE `id` >= 7"]
        );
        assert_eq!(condition(&shape(), "").unwrap(), "");
    }

    #[test]
    fn bounds_are_numbers_and_nothing_else() {
        assert!(condition(&shape(), "1 OR 1=1..").is_err());
        assert!(condition(&shape(), "1").is_err());
    }
}
