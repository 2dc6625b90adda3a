//! The copy file: what is copied from where, as what, and why.

mod inline;
mod lines;
mod ordered;
mod raw;

use crate::expression::Expression;
use crate::{ColumnType, SourceColumn};
use lines::Lines;
use model::{Class, Field, FieldName, FieldType, TableName, Timestamp};
use ordered::Ordered;
use raw::{RawColumn, RawFile, RawTable, left_out_of};
use serde_norway::Value;
use std::collections::BTreeSet;

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// The longest reason or purpose, in bytes.
const WORDS_BYTES_MAX: usize = 1_000;

/// Why a copy file does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct FileError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// A copy file that was read and checked.
#[derive(Clone, Debug)]
pub(crate) struct CopyFile {
    pub(crate) name: String,
    /// Which kind of source.
    pub(crate) kind: String,
    /// What the source itself reads.
    pub(crate) settings: Value,
    /// What opens it, by its name in the key ring's keeping.
    pub(crate) secret: Option<String>,
    pub(crate) tables: Vec<TablePlan>,
    /// Tables of the source that are not copied on purpose, each with why.
    pub(crate) left_out: Vec<(String, String)>,
}

/// An expression, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) expression: Expression,
}

/// A table of a copy file.
#[derive(Clone, Debug)]
pub(crate) struct TablePlan {
    /// As the source calls it.
    pub(crate) from: String,
    /// The table that gets its rows.
    pub(crate) to: String,
    /// The columns that name a row; `None`: as the source says.
    pub(crate) key: Option<Vec<String>>,
    /// The column that says when.
    pub(crate) time: Option<String>,
    /// How long rows stay, in milliseconds and as it was written.
    pub(crate) retention: Option<(i64, String)>,
    /// What its source says about it, for who signs.
    pub(crate) about: Option<String>,
    /// Which rows.
    pub(crate) filter: Option<Written>,
    pub(crate) columns: Vec<ColumnPlan>,
    /// Not copied, each with why.
    pub(crate) left_out: Vec<(String, String)>,
}

/// A column of a copy file.
#[derive(Clone, Debug)]
pub(crate) struct ColumnPlan {
    /// As the source calls it; of a value that is made, its own name.
    pub(crate) from: String,
    /// The field that gets it.
    pub(crate) to: FieldName,
    /// Its class; `None`: withheld.
    pub(crate) class: Option<Class>,
    pub(crate) kind: String,
    pub(crate) why: String,
    /// What the source called its type when it was planned.
    pub(crate) at_source: Option<String>,
    /// Its type, if the file says.
    pub(crate) ty: Option<FieldType>,
    /// Made of other columns.
    pub(crate) value: Option<Written>,
    /// What for, where no metric uses it, and until when.
    pub(crate) purpose: Option<(String, Timestamp)>,
    /// Fields below it, where it is JSON.
    pub(crate) fields: Vec<ColumnPlan>,
    pub(crate) line: usize,
}

impl CopyFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub(crate) fn parse(yaml: &str) -> Result<CopyFile, FileError> {
        if yaml.len() > FILE_BYTES_MAX {
            let message = "a copy file has at most four megabytes".to_owned();
            return Err(FileError { line: 1, message });
        }
        let raw: RawFile = serde_norway::from_str(yaml).map_err(|error| FileError {
            line: error.location().map_or(1, |location| location.line()),
            message: without_place(&error.to_string()),
        })?;
        let lines = Lines::new(yaml);
        if raw.version.is_some_and(|version| version != 1) {
            return Err(lines.error(&["version"], "this is version 1; write `version: 1`".into()));
        }
        check_name(&raw.copy).map_err(|message| lines.error(&["copy"], message))?;
        let (kind, settings, secret) = source_of(raw.source, &lines)?;
        let mut tables = Vec::with_capacity(raw.tables.0.len());
        let mut targets = BTreeSet::new();
        for (from, table) in raw.tables.0 {
            let plan = table_of(&from, table, &lines)?;
            if !targets.insert(plan.to.clone()) {
                let message = format!("two tables become `{}`; name one otherwise", plan.to);
                return Err(lines.error(&["tables", &from, "to"], message));
            }
            tables.push(plan);
        }
        let left_out = left_out_of(raw.left_out);
        if let Some((both, _)) =
            left_out.iter().find(|(name, _)| tables.iter().any(|t| t.from == *name))
        {
            let message = format!("`{both}` is copied and left out; take one of them away");
            return Err(lines.error(&["left_out"], message));
        }
        Ok(CopyFile { name: raw.copy, kind, settings, secret, tables, left_out })
    }

    pub(crate) fn table(&self, from: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|table| table.from == from)
    }
}

fn source_of(
    source: Ordered<Value>,
    lines: &Lines,
) -> Result<(String, Value, Option<String>), FileError> {
    let (mut kind, mut secret) = (None, None);
    for (key, value) in source.0 {
        match (key.as_str(), value, &kind) {
            ("secret", Value::String(name), _) => {
                check_name(&name).map_err(|why| lines.error(&["source", "secret"], why))?;
                secret = Some(name);
            }
            ("secret", ..) => {
                let message = "`secret` is the name that `clerestory copy secret` gave it";
                return Err(lines.error(&["source", "secret"], message.into()));
            }
            (name, ..) if inline::is_credential(name) => {
                return Err(lines.error(&["source", name], inline::INSTEAD.into()));
            }
            (_, value, None) => kind = Some((key, value)),
            (_, _, Some(_)) => {
                let message = "a copy has one source; make a file for each".to_owned();
                return Err(lines.error(&["source", &key], message));
            }
        }
    }
    let Some((kind, settings)) = kind else {
        let message = "say which source, such as `postgres:`".to_owned();
        return Err(lines.error(&["source"], message));
    };
    if let Some(path) = inline::credential_in(&settings) {
        let path: Vec<&str> =
            ["source", kind.as_str()].into_iter().chain(path.iter().map(String::as_str)).collect();
        return Err(lines.error(&path, inline::INSTEAD.into()));
    }
    Ok((kind, settings, secret))
}

fn written(text: String) -> Result<Written, String> {
    Ok(Written { expression: Expression::parse(&text)?, text })
}

fn table_of(from: &str, raw: RawTable, lines: &Lines) -> Result<TablePlan, FileError> {
    let at = |key: &str, message: String| lines.error(&["tables", from, key], message);
    let to = raw.to.unwrap_or_else(|| {
        from.rsplit('.').next().unwrap_or(from).to_lowercase().replace(['/', ' '], "-")
    });
    TableName::parse(&to).map_err(|error| at("to", format!("table `{to}` {error}")))?;
    let filter = match raw.filter {
        Some(text) => Some(written(text).map_err(|why| at("where", why))?),
        None => None,
    };
    let retention = match raw.retention {
        Some(text) => {
            let wrong = || at("retention", "write a time such as `90d` or `12h`".to_owned());
            Some((days(&text).ok_or_else(wrong)?, text))
        }
        None => None,
    };
    let mut columns = Vec::with_capacity(raw.columns.0.len());
    let mut targets = BTreeSet::new();
    for (name, column) in raw.columns.0 {
        let path = ["tables", from, "columns", name.as_str()];
        let plan = column_of(&path, column, lines, None)?;
        if !targets.insert(plan.to.as_str().to_owned()) {
            let message = format!("two columns become `{}`; give one a `to`", plan.to);
            return Err(lines.error(&path, message));
        }
        columns.push(plan);
    }
    let left_out = left_out_of(raw.left_out);
    for (name, _) in &left_out {
        if columns.iter().any(|column| column.from == *name && column.value.is_none()) {
            let message = format!("`{name}` is copied and left out; take one of them away");
            return Err(lines.error(&["tables", from, "left_out"], message));
        }
    }
    if let Some(time) = &raw.time
        && !columns.iter().any(|column| column.from == *time)
    {
        return Err(at("time", format!("`{time}` is not among the columns")));
    }
    Ok(TablePlan {
        from: from.to_owned(),
        to,
        key: raw.key,
        time: raw.time,
        retention,
        about: raw.about,
        filter,
        columns,
        left_out,
    })
}

fn column_of(
    path: &[&str],
    raw: RawColumn,
    lines: &Lines,
    below: Option<&FieldName>,
) -> Result<ColumnPlan, FileError> {
    let error = |key: &str, message: String| {
        let mut place = path.to_vec();
        place.push(key);
        lines.error(&place, message)
    };
    let name = path.last().copied().unwrap_or_default();
    let class = match raw.class.as_str() {
        "withheld" => None,
        word => Some(word.parse::<Class>().map_err(|_| {
            let words = "open, personal, special, secret or withheld";
            error("class", format!("`{word}` is no class: {words}"))
        })?),
    };
    let kind_fits = raw.kind.len() <= 32
        && raw
            .kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if !kind_fits {
        let message = "a kind is up to 32 small letters, digits, `-` and `_`".to_owned();
        return Err(error("kind", message));
    }
    let kind = match class {
        Some(Class::Open) | None => String::new(),
        Some(_) if raw.kind.is_empty() => "value".to_owned(),
        Some(_) => raw.kind,
    };
    let to = raw.to.as_deref().unwrap_or(name);
    let to = match below {
        Some(above) => format!("{above}.{to}"),
        None => to.to_owned(),
    };
    let to = FieldName::parse(&to).map_err(|why| error("to", why.to_string()))?;
    let ty = match raw.ty.as_deref() {
        None => None,
        Some(word) => Some(type_of(word).ok_or_else(|| {
            let words = "keyword, text, long, double, boolean, date, ip or geo_point";
            error("type", format!("`{word}` is no type: {words}"))
        })?),
    };
    let value = match raw.value {
        Some(text) => Some(written(text).map_err(|why| error("value", why))?),
        None => None,
    };
    let purpose = match (raw.purpose, raw.until) {
        (None, None) => None,
        (Some(purpose), Some(until)) => {
            let until = Timestamp::parse_rfc3339(&format!("{until}T00:00:00Z"))
                .or_else(|| Timestamp::parse_rfc3339(&until));
            let until =
                until.ok_or_else(|| error("until", "write a day such as 2027-06-30".into()))?;
            Some((purpose, until))
        }
        (Some(_), None) => {
            let message = "a purpose ends: write `until` with a day, such as 2027-06-30";
            return Err(error("purpose", message.into()));
        }
        (None, Some(_)) => return Err(error("until", "write the `purpose`, too".into())),
    };
    let words = [Some(&raw.why), purpose.as_ref().map(|(purpose, _)| purpose)];
    if words.into_iter().flatten().any(|words| words.len() > WORDS_BYTES_MAX) {
        let message = format!("words have at most {WORDS_BYTES_MAX} bytes");
        return Err(error("why", message));
    }
    let mut fields = Vec::with_capacity(raw.fields.0.len());
    for (below_name, field) in raw.fields.0 {
        let mut place = path.to_vec();
        place.extend(["fields", below_name.as_str()]);
        fields.push(column_of(&place, field, lines, Some(&to))?);
    }
    let line = lines.find(path);
    let from = name.to_owned();
    Ok(ColumnPlan {
        from,
        to,
        class,
        kind,
        why: raw.why,
        at_source: raw.at_source,
        ty,
        value,
        purpose,
        fields,
        line,
    })
}

impl ColumnPlan {
    /// The field that this column gets, from what the source says of it.
    pub(crate) fn field(&self, column: &SourceColumn) -> Field {
        field_of(self.to.clone(), self.ty.unwrap_or_else(|| type_for(column.ty)))
    }
}

/// When something ends: a day, or a moment where it is no midnight.
pub(crate) fn day(at: Timestamp) -> String {
    const DAY_MS: i64 = 86_400_000;
    let text = at.to_rfc3339();
    match (at.0.rem_euclid(DAY_MS), text.get(..10)) {
        (0, Some(day)) => day.to_owned(),
        _ => text,
    }
}

/// A field of a type with the word that Elasticsearch has for it.
pub(crate) fn field_of(name: FieldName, ty: FieldType) -> Field {
    let mut field = Field::new(name, ty, type_word(ty));
    if ty == FieldType::Text {
        field.keyword_up_to = Some(256);
    }
    field
}

/// What a column becomes unless the file says otherwise.
pub(crate) fn type_for(ty: ColumnType) -> FieldType {
    match ty {
        ColumnType::Bool => FieldType::Boolean,
        ColumnType::Long => FieldType::Long,
        ColumnType::Double => FieldType::Double,
        ColumnType::Date => FieldType::Date,
        // Words are for sentences: the plan says `text` where a sample has some.
        ColumnType::Keyword | ColumnType::Text | ColumnType::Json => FieldType::Keyword,
        ColumnType::Ip => FieldType::Ip,
        ColumnType::Point => FieldType::GeoPoint,
    }
}

fn type_of(word: &str) -> Option<FieldType> {
    let all = [
        FieldType::Keyword,
        FieldType::Text,
        FieldType::Long,
        FieldType::Double,
        FieldType::Boolean,
        FieldType::Date,
        FieldType::Ip,
        FieldType::GeoPoint,
    ];
    all.into_iter().find(|ty| type_word(*ty) == word)
}

/// The word of a type in a copy file, and in a mapping.
pub(crate) fn type_word(ty: FieldType) -> &'static str {
    match ty {
        FieldType::Keyword => "keyword",
        FieldType::Text => "text",
        FieldType::Long => "long",
        FieldType::Double => "double",
        FieldType::Boolean => "boolean",
        FieldType::Date => "date",
        FieldType::Ip => "ip",
        FieldType::GeoPoint => "geo_point",
    }
}

/// `90d`, `12h` in milliseconds.
fn days(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit: i64 = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<i64>().ok().filter(|number| *number > 0)?.checked_mul(unit)
}

/// The name of a copy or a secret.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    match (1..=48).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err("a name is 1 to 48 small letters, digits, `-`, `_` and `.`".to_owned()),
    }
}

/// The text of a YAML error without its own ` at line 3 column 5`.
fn without_place(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
copy: production
version: 1
source:
  postgres:
    host: 127.0.0.1
    database: app
    user: clerestory
  secret: production-db
tables:
  public.accounts:
    to: accounts
    key: [id]
    time: created_at
    where: deleted_at is null
    columns:
      id: {class: personal, kind: account, why: names a person}
      email:
        class: personal
        kind: email
        why: a rule knows it
      created_at: {class: open}
      short:
        class: open
        value: first(plan, 3)
        purpose: support sorts by it
        until: 2027-06-30
      settings:
        class: open
        fields:
          wifi.ssid: {class: personal, kind: ssid}
    left_out:
      password_hash: a credential
      notes:
";

    #[test]
    fn a_file_is_read() {
        let file = CopyFile::parse(GOOD).unwrap();
        assert_eq!(
            (file.kind.as_str(), file.secret.as_deref()),
            ("postgres", Some("production-db"))
        );
        let table = file.table("public.accounts").unwrap();
        let names: Vec<&str> = table.columns.iter().map(|column| column.from.as_str()).collect();
        assert_eq!(names, ["id", "email", "created_at", "short", "settings"]);
        assert_eq!(table.columns[1].line, 17);
        assert_eq!(table.columns[4].fields[0].to.as_str(), "settings.wifi.ssid");
        assert_eq!(table.left_out[0], ("password_hash".to_owned(), "a credential".to_owned()));
        assert!(table.filter.is_some() && table.columns[3].purpose.is_some());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |from: &str, to: &str, line: usize, part: &str| {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from} stands in the file");
            let error = CopyFile::parse(&text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
            assert_eq!(error.line, line, "{error}");
        };
        check("        class: personal\n", "        class: public\n", 18, "no class");
        check("where: deleted_at is null", "where: deleted_at is", 14, "`null` is missing");
        check("        until: 2027-06-30\n", "", 25, "a purpose ends");
        check("until: 2027-06-30", "until: soon", 26, "a day such as");
        check("to: accounts", "to: Accounts", 11, "lowercase");
        check("copy: production", "copy: Production!", 1, "small letters");
        check("version: 1", "version: 2", 2, "version 1");
        check("      notes:\n", "      email:\n", 31, "copied and left out");
        check("time: created_at", "time: made_at", 13, "not among the columns");
        check("  secret: production-db", "  secret: {a: b}", 8, "the name that");
        check("    user: clerestory\n", "    passwd: hunter2\n", 7, "clerestory copy secret NAME");
        check("  secret: production-db", "  password: hunter2", 8, "write `secret: NAME`");
        check("host: 127.0.0.1", "host: postgres://a:hunter2@db", 5, "does not stand");
        check("        kind: email\n", "        kinds: email\n", 19, "unknown field");
    }

    #[test]
    fn the_files_of_others_are_refused_gently() {
        for text in ["", "[]", "42", "copy: 7", "a: &a [*a]", "\u{0}", "copy: a\nsource: {}\n"] {
            assert!(CopyFile::parse(text).is_err(), "{text:?}");
        }
    }
}
