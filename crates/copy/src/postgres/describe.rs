//! What tables a database has, as its own catalog says.

use super::connect::ask;
use super::types::{PgType, TypeRow, Types};
use crate::{SourceColumn, SourceError, SourceTable};
use std::collections::{HashMap, HashSet};
use tokio_postgres::{Client, SimpleQueryRow};

const COLUMNS: &str = "\
SELECT n.nspname, c.relname, c.relkind::text, c.reltuples::float8, c.relreplident::text,
       a.attname, a.atttypid::int8, a.atttypmod, format_type(a.atttypid, a.atttypmod),
       coalesce(k.pos, 0), coalesce(r.pos, 0), c.oid::int8
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attgenerated = ''
LEFT JOIN (SELECT i.indrelid, u.attnum, u.pos
           FROM pg_index i, unnest(i.indkey) WITH ORDINALITY u(attnum, pos)
           WHERE i.indisprimary) k ON k.indrelid = c.oid AND k.attnum = a.attnum
LEFT JOIN (SELECT i.indrelid, u.attnum, u.pos
           FROM pg_index i, unnest(i.indkey) WITH ORDINALITY u(attnum, pos)
           WHERE i.indisreplident) r ON r.indrelid = c.oid AND r.attnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
  AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY n.nspname, c.relname, a.attnum";

const TYPES: &str = "\
SELECT oid::int8, typname, typtype::text, typcategory::text, typelem::int8, typbasetype::int8,
       typrelid::int8, typtypmod, typdelim::text FROM pg_type";

const ATTRIBUTES: &str = "\
SELECT a.attrelid::int8, a.attname, a.atttypid::int8, a.atttypmod
FROM pg_attribute a JOIN pg_type t ON t.typrelid = a.attrelid AND t.typtype = 'c'
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY a.attrelid, a.attnum";

/// A table with what only PostgreSQL says of it.
#[derive(Clone, Debug)]
pub(crate) struct PgTable {
    pub(crate) table: SourceTable,
    /// Beside each column.
    pub(crate) types: Vec<PgType>,
    /// Its number, which stays when it gets another name.
    pub(crate) oid: u32,
    /// `d` primary key, `f` full, `i` an index, `n` nothing.
    pub(crate) identity: char,
    /// The columns of that index.
    pub(crate) index: Vec<String>,
    pub(crate) partitioned: bool,
}

impl PgTable {
    /// Whether updates and deletions of it say which row they are about.
    pub(crate) fn says_rows(&self) -> bool {
        match self.identity {
            'f' | 'i' => true,
            'd' => !self.table.key.is_empty(),
            _ => false,
        }
    }

    /// The columns that a deletion says.
    pub(crate) fn said_by_deletions(&self) -> Vec<&String> {
        match self.identity {
            'f' => self.table.columns.iter().map(|column| &column.name).collect(),
            'i' => self.index.iter().collect(),
            _ => self.table.key.iter().collect(),
        }
    }
}

/// All types of the database.
pub(crate) async fn types(client: &Client) -> Result<Types, SourceError> {
    let mut types = Types::default();
    for row in ask(client, "reading the types", TYPES).await? {
        types.by_oid.insert(
            number(&row, 0),
            TypeRow {
                name: text(&row, 1),
                kind: letter(&row, 2),
                category: letter(&row, 3),
                element: number(&row, 4),
                base: number(&row, 5),
                relation: number(&row, 6),
                modifier: number(&row, 7),
                delimiter: letter(&row, 8),
            },
        );
    }
    for row in ask(client, "reading composite types", ATTRIBUTES).await? {
        let attribute = (text(&row, 1), number(&row, 2), number(&row, 3));
        types.attributes.entry(number(&row, 0)).or_default().push(attribute);
    }
    Ok(types)
}

/// All tables that the account may read, partitions as a part of their table.
pub(crate) async fn tables(client: &Client, types: &Types) -> Result<Vec<PgTable>, SourceError> {
    let mut tables: Vec<PgTable> = Vec::new();
    let mut keys: HashMap<String, Vec<(i64, String)>> = HashMap::new();
    for row in ask(client, "reading the tables", COLUMNS).await? {
        let name = format!("{}.{}", text(&row, 0), text(&row, 1));
        if tables.last().is_none_or(|last| last.table.name != name) {
            let rows: f64 = row.get(3).and_then(|rows| rows.parse().ok()).unwrap_or(-1.0);
            tables.push(PgTable {
                table: SourceTable {
                    name: name.clone(),
                    columns: Vec::new(),
                    key: Vec::new(),
                    documents: false,
                    // Never analysed: -1.
                    rows: (rows >= 0.0).then_some(rows as u64),
                },
                types: Vec::new(),
                oid: number(&row, 11),
                identity: letter(&row, 4),
                index: Vec::new(),
                partitioned: letter(&row, 2) == 'p',
            });
        }
        let ty = types.resolve(number(&row, 6), number(&row, 7));
        let column = text(&row, 5);
        let place: i64 = number(&row, 9);
        if place > 0 {
            keys.entry(name).or_default().push((place, column.clone()));
        }
        if let Some(last) = tables.last_mut() {
            if number::<i64>(&row, 10) > 0 {
                last.index.push(column.clone());
            }
            last.table.columns.push(SourceColumn {
                name: column,
                ty: ty.column_type(),
                native: text(&row, 8),
            });
            last.types.push(ty);
        }
    }
    for table in &mut tables {
        let mut key = keys.remove(&table.table.name).unwrap_or_default();
        key.sort();
        table.table.key = key.into_iter().map(|(_, column)| column).collect();
    }
    Ok(tables)
}

/// Which of these tables are still there, whatever they are called.
pub(crate) async fn known(
    client: &Client,
    tables: impl Iterator<Item = u32>,
) -> Result<HashSet<u32>, SourceError> {
    let list: Vec<String> = tables.map(|oid| oid.to_string()).collect();
    if list.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!("SELECT oid::int8 FROM pg_class WHERE oid IN ({})", list.join(", "));
    let rows = ask(client, "looking at the tables", &sql).await?;
    Ok(rows.iter().map(|row| number(row, 0)).collect())
}

pub(crate) fn text(row: &SimpleQueryRow, place: usize) -> String {
    row.get(place).unwrap_or_default().to_owned()
}

pub(crate) fn number<N: std::str::FromStr + Default>(row: &SimpleQueryRow, place: usize) -> N {
    row.get(place).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn letter(row: &SimpleQueryRow, place: usize) -> char {
    row.get(place).and_then(|text| text.chars().next()).unwrap_or(' ')
}
