//! Reading all rows: COPY by ranges of the key, all of one consistent view.

use super::connect::{Address, ask, failed, literal, quoted, quoted_table};
use super::describe::PgTable;
use super::follow::position_of;
use super::types::PgType;
use crate::{Cell, CopiedRows, Layout, Piece, Position, Range, Snapshot, SourceError, Wanted};
use futures::StreamExt;
use model::Op;
use pg_walstream::PgReplicationConnection;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tokio_postgres::Client;

/// About so many rows in a range, unless the copy file says otherwise.
pub(crate) const RANGE_ROWS: u64 = 150_000;
const RANGES_MAX: u64 = 1_024;
/// A piece is given when it has so many rows …
pub(crate) const PIECE_ROWS: usize = 8_192;
/// … or bytes.
pub(crate) const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// A consistent view that other connections may look through.
pub(crate) struct PgSnapshot {
    pub(crate) address: Address,
    pub(crate) start: u64,
    /// What is committed before it is in the view.
    pub(crate) point: u64,
    pub(crate) snapshot: String,
    /// Whoever exported the view keeps it open.
    pub(crate) _holder: parking_lot::Mutex<PgReplicationConnection>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) reads: HashMap<String, TableRead>,
}

/// How a table is read.
pub(crate) struct TableRead {
    pub(crate) layout: Arc<Layout>,
    pub(crate) types: Vec<PgType>,
    pub(crate) key: Vec<String>,
}

/// From which key, inclusive, to which, exclusive, as texts of the server; or from which page of the
/// table, where its rows have no key.
#[derive(Default, Serialize, Deserialize)]
struct Bounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_page: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_page: Option<u64>,
}

impl TableRead {
    /// The columns of a table that are read, in order.
    pub(crate) fn of(table: &PgTable, wanted: &Wanted) -> TableRead {
        let kept = table.table.columns.iter().zip(&table.types);
        let kept = kept.filter(|(column, _)| {
            !wanted.left_out.contains(&column.name) || wanted.key.contains(&column.name)
        });
        let (columns, types) = kept.map(|(column, ty)| (column.clone(), ty.clone())).unzip();
        TableRead { layout: Layout::columns(columns), types, key: wanted.key.clone() }
    }

    fn columns(&self) -> String {
        let names = self.layout.columns.iter().map(|column| quoted(&column.name));
        names.collect::<Vec<String>>().join(", ")
    }

    fn where_in(&self, bounds: &Bounds) -> String {
        let key: Vec<String> = self.key.iter().map(|column| quoted(column)).collect();
        let row = |values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
            match values.as_slice() {
                [one] => one.clone(),
                many => format!("ROW({})", many.join(", ")),
            }
        };
        let key = match key.as_slice() {
            [one] => one.clone(),
            many => format!("ROW({})", many.join(", ")),
        };
        let mut conditions = Vec::new();
        if let Some(from) = &bounds.from {
            conditions.push(format!("{key} >= {}", row(from)));
        }
        if let Some(to) = &bounds.to {
            conditions.push(format!("{key} < {}", row(to)));
        }
        if let Some(from) = bounds.from_page {
            conditions.push(format!("ctid >= '({from},0)'"));
        }
        if let Some(to) = bounds.to_page {
            conditions.push(format!("ctid < '({to},0)'"));
        }
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }
}

/// Cuts a table into ranges of about `range_rows` rows: by a sample of its keys; without a key by
/// its pages, if the server can find rows by them.
pub(crate) async fn cut(
    client: &Client,
    table: &PgTable,
    key: &[String],
    range_rows: u64,
    by_page: bool,
) -> Result<Vec<Range>, SourceError> {
    let name = &table.table.name;
    let rows = match table.table.rows {
        Some(rows) => rows,
        None => count_pages(client, name).await?,
    };
    let count = rows.div_ceil(range_rows).clamp(1, RANGES_MAX);
    let all = match key.is_empty() {
        _ if count == 1 => vec![Bounds::default()],
        true if by_page => pages(client, name, count).await?,
        true => vec![Bounds::default()],
        false => borders(client, name, key, rows, count).await?,
    };
    let parts = all.len() as u64;
    let range = |(number, bounds): (usize, Bounds)| Range {
        table: name.clone(),
        lane: format!("range {number}"),
        bounds: serde_json::to_string(&bounds).unwrap_or_default(),
        rows: rows / parts,
    };
    Ok(all.into_iter().enumerate().map(range).collect())
}

async fn borders(
    client: &Client,
    table: &str,
    key: &[String],
    rows: u64,
    count: u64,
) -> Result<Vec<Bounds>, SourceError> {
    let columns: Vec<String> = key.iter().map(|column| quoted(column)).collect();
    let columns = columns.join(", ");
    let percent = (count as f64 * 50.0 / rows as f64 * 100.0).clamp(0.01, 100.0);
    let sql = format!(
        "SELECT {columns} FROM {} TABLESAMPLE SYSTEM ({percent}) ORDER BY {columns}",
        quoted_table(table)
    );
    let sampled = ask(client, "sampling keys", &sql).await?;
    let step = (sampled.len() / count as usize).max(1);
    let mut all = Vec::new();
    let mut from: Option<Vec<String>> = None;
    for row in sampled.iter().skip(step).step_by(step).take(count as usize - 1) {
        let border: Option<Vec<String>> =
            (0..key.len()).map(|place| row.get(place).map(str::to_owned)).collect();
        let Some(border) = border.filter(|border| from.as_ref() != Some(border)) else { continue };
        let to = Some(border.clone());
        all.push(Bounds { from: from.replace(border), to, ..Bounds::default() });
    }
    all.push(Bounds { from, ..Bounds::default() });
    Ok(all)
}

/// Ranges of pages; the last has no end, so that it holds pages that came meanwhile.
async fn pages(client: &Client, table: &str, count: u64) -> Result<Vec<Bounds>, SourceError> {
    let table = literal(&quoted_table(table));
    let sql =
        format!("SELECT pg_relation_size({table}::regclass) / current_setting('block_size')::int8");
    let rows = ask(client, "measuring a table", &sql).await?;
    let pages: u64 = rows.first().map_or(0, |row| super::describe::number(row, 0));
    let step = (pages / count).max(1);
    let range = |number: u64| Bounds {
        from_page: (number > 0).then_some(number * step),
        to_page: (number + 1 < count).then_some((number + 1) * step),
        ..Bounds::default()
    };
    Ok((0..count).map(range).collect())
}

/// A guess for tables that were never analysed.
async fn count_pages(client: &Client, table: &str) -> Result<u64, SourceError> {
    let sql = format!(
        "SELECT coalesce(sum(pg_relation_size(t.relid)), 0) / 150 \
         FROM pg_partition_tree({}::regclass) t",
        literal(&quoted_table(table))
    );
    let rows = ask(client, "measuring a table", &sql).await?;
    Ok(rows.first().map_or(0, |row| super::describe::number::<f64>(row, 0) as u64))
}

#[async_trait::async_trait]
impl Snapshot for PgSnapshot {
    fn start(&self) -> Position {
        position_of(self.start, 0)
    }

    fn view(&self) -> Position {
        position_of(self.point.saturating_sub(1), u64::MAX)
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
        let Some(read) = self.reads.get(&range.table) else { return Ok(()) };
        let bounds: Bounds = serde_json::from_str(&range.bounds)
            .map_err(|_| SourceError::Broken("a range that does not read".into()))?;
        let client = self.address.client(false).await?;
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            literal(&self.snapshot)
        );
        ask(&client, "looking through the snapshot", &begin).await?;
        let sql = format!(
            "COPY (SELECT {} FROM {}{}) TO STDOUT",
            read.columns(),
            quoted_table(&range.table),
            read.where_in(&bounds)
        );
        let what = "reading rows";
        let stream = client.copy_out(sql.as_str()).await.map_err(|e| failed(what, &e))?;
        futures::pin_mut!(stream);
        let lane: Arc<str> = range.lane.as_str().into();
        let fresh = || Piece {
            table: range.table.clone(),
            lane: Arc::clone(&lane),
            layout: Arc::clone(&read.layout),
            rows: CopiedRows::new(read.layout.width()),
            refused: Vec::new(),
            position: None,
        };
        let stopped = |_| SourceError::Unreachable("the copy stopped".into());
        let mut piece = fresh();
        while let Some(line) = stream.next().await {
            let line = line.map_err(|error| failed(what, &error))?;
            push_line(&line, &read.types, &mut piece.rows)?;
            if piece.rows.len() >= PIECE_ROWS || piece.rows.bytes() >= PIECE_BYTES {
                let full = std::mem::replace(&mut piece, fresh());
                out.send(full).await.map_err(stopped)?;
            }
        }
        if !piece.rows.is_empty() {
            out.send(piece).await.map_err(stopped)?;
        }
        Ok(())
    }
}

/// One line of COPY's text format.
pub(crate) fn push_line(
    line: &[u8],
    types: &[PgType],
    rows: &mut CopiedRows,
) -> Result<(), SourceError> {
    let broken = || SourceError::Broken("a line of COPY that does not fit its table".into());
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    rows.start(Op::Put);
    let mut fields = text.split('\t');
    for ty in types {
        match fields.next().ok_or_else(broken)? {
            "\\N" => rows.push(Cell::Null),
            field if field.contains('\\') => ty.push(&unescaped(field), rows),
            field => ty.push(field, rows),
        }
    }
    fields.next().is_none().then_some(()).ok_or_else(broken)
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.push(next);
            continue;
        }
        text.push(match rest.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnType, SourceColumn};

    #[test]
    fn lines_become_rows() {
        let types = [PgType::Long, PgType::Text, PgType::Bool];
        let mut rows = CopiedRows::new(3);
        push_line(b"7\ta\\tb\\\\N\\nc\t\\N\n", &types, &mut rows).unwrap();
        assert_eq!(rows.row(0)[0], Cell::Long(7));
        assert_eq!(rows.text(rows.row(0)[1]), Some("a\tb\\N\nc"));
        assert_eq!(rows.row(0)[2], Cell::Null);
        assert!(push_line(b"7\ta\n", &types, &mut CopiedRows::new(3)).is_err());
        assert!(push_line(b"7\ta\tt\tx\n", &types, &mut CopiedRows::new(3)).is_err());
    }

    #[test]
    fn ranges_are_conditions() {
        let column = |name: &str| SourceColumn {
            name: name.to_owned(),
            ty: ColumnType::Long,
            native: "bigint".to_owned(),
        };
        let read = |key: &[&str]| TableRead {
            layout: Layout::columns(vec![column("id"), column("b")]),
            types: vec![PgType::Long, PgType::Long],
            key: key.iter().map(|name| (*name).to_owned()).collect(),
        };
        let bounds = |from: Option<&[&str]>, to: &[&str]| {
            let texts = |key: &[&str]| key.iter().map(|text| (*text).to_owned()).collect();
            Bounds { from: from.map(texts), to: Some(texts(to)), ..Bounds::default() }
        };
        let one = bounds(Some(&["1"]), &["it's"]);
        assert_eq!(read(&["id"]).where_in(&one), " WHERE \"id\" >= '1' AND \"id\" < 'it''s'");
        assert_eq!(
            read(&["id", "b"]).where_in(&bounds(None, &["1", "2\\"])),
            " WHERE ROW(\"id\", \"b\") < ROW('1', E'2\\\\')"
        );
        assert_eq!(read(&[]).where_in(&Bounds::default()), "");
        let pages = Bounds { from_page: Some(7), to_page: Some(14), ..Bounds::default() };
        assert_eq!(read(&[]).where_in(&pages), " WHERE ctid >= '(7,0)' AND ctid < '(14,0)'");
    }
}
