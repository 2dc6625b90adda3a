//! Tables and columns as the server describes them.

use super::server::failure;
use crate::{ColumnType, SourceColumn, SourceError};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// A table of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableShape {
    pub(super) name: String,
    pub(super) columns: Vec<ColumnShape>,
    /// The primary key.
    pub(super) key: Vec<String>,
    pub(super) rows: Option<u64>,
}

/// A column, and how its values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnShape {
    pub(super) source: SourceColumn,
    /// Its place among all columns of the table.
    pub(super) place: usize,
    pub(super) kind: Kind,
}

impl ColumnShape {
    /// Whether `binlog_row_image = NOBLOB` leaves it out where a statement did not set it.
    pub(super) fn is_left_out_by_noblob(&self) -> bool {
        let native = self.source.native.to_ascii_lowercase();
        ["text", "blob", "json"].iter().any(|word| native.contains(word))
            || matches!(self.kind, Kind::Geometry)
    }
}

/// How the values of a column are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers of so many bits.
    Int { bits: u32, unsigned: bool },
    /// Floats.
    Float,
    /// Exact decimals; with no digits behind the point they are whole numbers.
    Decimal { whole: bool },
    /// `bit(n)`: of one a boolean, else a number.
    Bits { count: u32 },
    /// A day, or a moment without a zone, which is taken for UTC.
    Moment,
    /// A moment.
    Timestamp,
    /// A time of day or a span.
    Time,
    /// A year.
    Year,
    /// Text in this character set.
    Text(Charset),
    /// Bytes, padded with zeros to this length; 0: as long as they are.
    Bytes { length: usize },
    /// One of these.
    Enum(Vec<String>),
    /// Some of these.
    Set(Vec<String>),
    /// JSON.
    Json,
    /// MariaDB's own addresses and ids.
    Inet6,
    /// The same of four bytes.
    Inet4,
    /// MariaDB's own UUID.
    Uuid,
    /// A shape on the earth or elsewhere; only points are read.
    Geometry,
}

/// Character sets that can be read from the binary log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// `utf8mb4`, `utf8mb3`, `ascii`.
    Utf8,
    /// MySQL's `latin1`, which is Windows' code page 1252.
    Latin1,
    /// `ucs2`, `utf16`: two bytes, the greater first.
    Utf16,
    /// `utf32`.
    Utf32,
    /// Another: read in a snapshot, not in the binary log.
    Other,
}

impl Charset {
    pub(super) fn of(name: &str) -> Charset {
        match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Charset::Utf8,
            "latin1" => Charset::Latin1,
            "ucs2" | "utf16" => Charset::Utf16,
            "utf32" => Charset::Utf32,
            _ => Charset::Other,
        }
    }
}

type Described = (String, String, String, String, Option<String>, Option<u64>, Option<u64>);

/// All tables of a database.
pub(super) async fn tables(
    conn: &mut Conn,
    database: &str,
    is_maria: bool,
) -> Result<Vec<TableShape>, SourceError> {
    let asked = "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES \
                 WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME";
    let names: Vec<(String, Option<u64>)> =
        conn.exec(asked, (database,)).await.map_err(|error| failure(&error))?;
    let asked = "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, \
                 CHARACTER_OCTET_LENGTH, NUMERIC_SCALE FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION";
    let columns: Vec<Described> =
        conn.exec(asked, (database,)).await.map_err(|error| failure(&error))?;
    let asked = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
                 WHERE TABLE_SCHEMA = ? AND CONSTRAINT_NAME = 'PRIMARY' \
                 ORDER BY TABLE_NAME, ORDINAL_POSITION";
    let keys: Vec<(String, String)> =
        conn.exec(asked, (database,)).await.map_err(|error| failure(&error))?;
    // MariaDB keeps JSON as text that is checked.
    let json: Vec<(String, String)> = match is_maria {
        true => {
            let asked = "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
                         WHERE CONSTRAINT_SCHEMA = ? AND CHECK_CLAUSE LIKE 'json_valid(%'";
            conn.exec(asked, (database,)).await.map_err(|error| failure(&error))?
        }
        false => Vec::new(),
    };
    let shape = |(name, rows): (String, Option<u64>)| {
        let of_table = columns.iter().filter(|(table, ..)| *table == name);
        let columns = of_table.enumerate().map(|(place, described)| {
            let clause = format!("json_valid(`{}`)", described.1);
            let is_json = json.iter().any(|(table, check)| *table == name && *check == clause);
            column(described, place, is_json)
        });
        let columns = columns.collect();
        let key = keys.iter().filter(|(table, _)| *table == name);
        let key = key.map(|(_, column)| column.clone()).collect();
        TableShape { name, columns, key, rows }
    };
    Ok(names.into_iter().map(shape).collect())
}

fn column(described: &Described, place: usize, is_json: bool) -> ColumnShape {
    let (_, name, data_type, native, charset, octets, scale) = described;
    let unsigned = native.contains("unsigned");
    let int = |bits| (ColumnType::Long, Kind::Int { bits, unsigned });
    let charset = Charset::of(charset.as_deref().unwrap_or("utf8mb4"));
    let bytes = |length| (ColumnType::Keyword, Kind::Bytes { length });
    let (ty, kind) = match data_type.as_str() {
        _ if is_json => (ColumnType::Json, Kind::Json),
        "json" => (ColumnType::Json, Kind::Json),
        "tinyint" => int(8),
        "smallint" => int(16),
        "mediumint" => int(24),
        "int" | "integer" => int(32),
        "bigint" => int(64),
        "float" | "double" | "real" => (ColumnType::Double, Kind::Float),
        "decimal" | "numeric" => match scale {
            Some(0) => (ColumnType::Long, Kind::Decimal { whole: true }),
            _ => (ColumnType::Double, Kind::Decimal { whole: false }),
        },
        "bit" => match number_in(native) {
            1 => (ColumnType::Bool, Kind::Bits { count: 1 }),
            count => (ColumnType::Long, Kind::Bits { count }),
        },
        "date" | "datetime" => (ColumnType::Date, Kind::Moment),
        "timestamp" => (ColumnType::Date, Kind::Timestamp),
        "time" => (ColumnType::Keyword, Kind::Time),
        "year" => (ColumnType::Long, Kind::Year),
        "char" | "varchar" => (ColumnType::Keyword, Kind::Text(charset)),
        "tinytext" | "text" | "mediumtext" | "longtext" => (ColumnType::Text, Kind::Text(charset)),
        "binary" => bytes(octets.unwrap_or(0) as usize),
        "enum" => (ColumnType::Keyword, Kind::Enum(labels(native))),
        "set" => (ColumnType::Keyword, Kind::Set(labels(native))),
        "inet6" => (ColumnType::Ip, Kind::Inet6),
        "inet4" => (ColumnType::Ip, Kind::Inet4),
        "uuid" => (ColumnType::Keyword, Kind::Uuid),
        "point" => (ColumnType::Point, Kind::Geometry),
        "geometry" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            (ColumnType::Keyword, Kind::Geometry)
        }
        _ => bytes(0),
    };
    let source = SourceColumn { name: name.clone(), ty, native: native.clone() };
    ColumnShape { source, place, kind }
}

/// The number in the brackets of `bit(8)`.
fn number_in(native: &str) -> u32 {
    let digits = native.split_once('(').map_or("1", |(_, rest)| rest);
    digits.trim_end_matches(')').parse().unwrap_or(1)
}

/// The labels of `enum('a','it''s')`.
fn labels(native: &str) -> Vec<String> {
    let Some((_, rest)) = native.split_once('(') else { return Vec::new() };
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        match (&mut label, character) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(text), '\'') if characters.peek() == Some(&'\'') => {
                characters.next();
                text.push('\'');
            }
            (Some(text), '\'') => {
                labels.push(std::mem::take(text));
                label = None;
            }
            (Some(text), other) => text.push(other),
        }
    }
    labels
}

/// A name for use in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read() {
        assert_eq!(labels("enum('a','it''s','x,y)')"), ["a", "it's", "x,y)"]);
        assert_eq!(labels("set('')"), [""]);
        assert_eq!(number_in("bit(12)"), 12);
        assert_eq!(quoted("a`b"), "`a``b`");
    }

    #[test]
    fn types_are_told_apart() {
        let of = |data_type: &str, native: &str, scale| {
            let described = (
                String::new(),
                "c".to_owned(),
                data_type.to_owned(),
                native.to_owned(),
                Some("latin1".to_owned()),
                Some(16),
                scale,
            );
            column(&described, 0, false)
        };
        assert_eq!(
            of("int", "int(10) unsigned", None).kind,
            Kind::Int { bits: 32, unsigned: true }
        );
        assert_eq!(of("decimal", "decimal(10,0)", Some(0)).source.ty, ColumnType::Long);
        assert_eq!(of("varchar", "varchar(9)", None).kind, Kind::Text(Charset::Latin1));
        assert_eq!(of("binary", "binary(16)", None).kind, Kind::Bytes { length: 16 });
    }
}
