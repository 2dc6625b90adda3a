//! A question in the syntax of `query_string` as conditions in SQL that find the same rows.
//!
//! What has no exact form is refused, never guessed at: words without a field, endings and ranges of
//! anything but keywords and numbers, `AND` and `OR` side by side without parentheses (their order is
//! Lucene's, not that of logic), and `NOT` among `OR`, which Lucene takes for `AND NOT`. One thing is
//! different: of a row with several numbers SQL lets one be above the lower end of a range and
//! another below the upper.

use model::{Class, Field, FieldType, StoredType, Table};

/// Deeper parentheses are no question that somebody reads.
const DEPTH_MAX: usize = 8;

/// The conditions that all have to be true; none for everything.
///
/// # Errors
/// Why there is no form, and what has one.
pub(super) fn conditions(query: &str, table: &Table) -> Result<Vec<String>, String> {
    if matches!(query.trim(), "" | "*" | "*:*") {
        return Ok(Vec::new());
    }
    let mut reader = Reader { rest: query, table, depth: 0 };
    let group = reader.group(None).ok_or_else(no_form)?;
    if !reader.rest.is_empty() {
        return Err(no_form());
    }
    Ok(match group.is_or && group.parts.len() > 1 {
        true => vec![format!("({})", group.written())],
        false => group.parts,
    })
}

fn no_form() -> String {
    "This question has no SQL form. Conditions such as field:value, field:\"two words\", \
     n:[1 TO 5], n:>5, reason:tls* and field:(a OR b) have one, with AND, OR and NOT between them; \
     write parentheses where AND stands beside OR, and a field before every word."
        .to_owned()
}

struct Reader<'a> {
    rest: &'a str,
    table: &'a Table,
    depth: usize,
}

struct Group {
    parts: Vec<String>,
    is_or: bool,
}

impl Group {
    fn written(&self) -> String {
        self.parts.join(if self.is_or { " OR " } else { " AND " })
    }
}

impl<'a> Reader<'a> {
    /// Clauses up to the end or a `)`; `None`: no exact form.
    fn group(&mut self, field: Option<&str>) -> Option<Group> {
        let mut parts = Vec::new();
        let mut joined: Option<bool> = None;
        let mut nots = 0;
        loop {
            self.skip_blanks();
            let is_not = self.take_word("NOT");
            let clause = self.clause(field)?;
            nots += usize::from(is_not);
            parts.push(if is_not { format!("({clause}) IS NOT TRUE") } else { clause });
            self.skip_blanks();
            if self.rest.is_empty() || self.rest.starts_with(')') {
                break;
            }
            let is_or = self.take_word("OR");
            if !is_or {
                self.take_word("AND");
            }
            if joined.replace(is_or).is_some_and(|before| before != is_or) {
                return None;
            }
        }
        let is_or = joined == Some(true);
        let is_only_not = nots == parts.len() && self.depth > 0;
        (nots == 0 || !(is_or || is_only_not)).then_some(Group { parts, is_or })
    }

    fn clause(&mut self, field: Option<&str>) -> Option<String> {
        self.skip_blanks();
        if self.take("(") {
            return self.parenthesised(field);
        }
        match field {
            Some(field) => self.value(field),
            None => {
                let field = self.name()?;
                match self.take("(") {
                    true => self.parenthesised(Some(&field)),
                    false => self.value(&field),
                }
            }
        }
    }

    fn parenthesised(&mut self, field: Option<&str>) -> Option<String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let group = self.group(field)?;
        self.depth -= 1;
        self.take(")").then(|| format!("({})", group.written()))
    }

    /// The name of a field with the colon behind it.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                ':' => {
                    self.rest = &self.rest[at + 1..];
                    return (!name.is_empty()).then_some(name);
                }
                '\\' => name.push(characters.next()?.1),
                c if c.is_alphanumeric() || "._-@".contains(c) => name.push(c),
                _ => return None,
            }
        }
        None
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let (_, field) = self.table.schema.find(name)?;
        if self.take("\"") {
            let end = self.rest.find('"')?;
            let value = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            return (!value.contains('\\')).then(|| equal(field, value, true))?;
        }
        if self.rest.starts_with(['[', '{']) {
            return self.range(field);
        }
        for sign in [">=", "<=", ">", "<"] {
            if self.take(sign) {
                let number = number(field, self.word())?;
                return Some(format!("{} {sign} {number}", quoted(name)));
            }
        }
        let word = self.word();
        match word {
            "*" => Some(format!("{} IS NOT NULL", quoted(name))),
            word if word.is_empty()
                || word.contains(|c: char| "\"[]{}?\\/<>~^:!+&|".contains(c)) =>
            {
                None
            }
            word if word.starts_with('-') && !is_number(field) => None,
            word => match word.strip_suffix('*') {
                Some(prefix) => beginning(field, prefix),
                None if word.contains('*') => None,
                None => equal(field, word, false),
            },
        }
    }

    /// `[1 TO 5]`, `{1 TO *]`
    fn range(&mut self, field: &Field) -> Option<String> {
        let end = self.rest.find([']', '}'])?;
        let (inside, closing) = (&self.rest[1..end], &self.rest[end..=end]);
        let (low, high) = inside.split_once(" TO ")?;
        let (opening, name) = (&self.rest[..1], quoted(field.name.as_str()));
        let mut parts = Vec::new();
        if low.trim() != "*" {
            let sign = if opening == "[" { ">=" } else { ">" };
            parts.push(format!("{name} {sign} {}", number(field, low.trim())?));
        }
        if high.trim() != "*" {
            let sign = if closing == "]" { "<=" } else { "<" };
            parts.push(format!("{name} {sign} {}", number(field, high.trim())?));
        }
        self.rest = &self.rest[end + 1..];
        match parts.as_slice() {
            [] => Some(format!("{name} IS NOT NULL")),
            [one] => Some(one.clone()),
            _ => Some(format!("({})", parts.join(" AND "))),
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| c.is_whitespace() || "()".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `AND`, `OR`, `NOT`: with something behind them that is no part of a word.
    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        let rest = rest.filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '('));
        self.rest = rest.map_or(self.rest, str::trim_start);
        rest.is_some()
    }
}

/// That a field has exactly this value, or these words side by side.
fn equal(field: &Field, value: &str, is_phrase: bool) -> Option<String> {
    let name = quoted(field.name.as_str());
    let literal = literal(value);
    match field.stored() {
        StoredType::Sealed => None,
        _ if is_number(field) => Some(format!("{name} = {}", number(field, value)?)),
        _ if matches!(field.ty, FieldType::Date | FieldType::GeoPoint) => None,
        StoredType::Text if is_phrase || value.chars().all(char::is_alphanumeric) => {
            Some(format!("match_phrase({name}, {literal})"))
        }
        StoredType::Text => None,
        StoredType::Bool if matches!(value, "true" | "false") => Some(format!("{name} = {value}")),
        StoredType::Bool => None,
        _ => Some(format!("{name} = {literal}")),
    }
}

/// That a keyword begins so. Stand-ins of personal values have no beginnings in common.
fn beginning(field: &Field, prefix: &str) -> Option<String> {
    let is_plain = field.ty == FieldType::Keyword && field.class == Some(Class::Open);
    if !is_plain || prefix.is_empty() || prefix.contains('*') {
        return None;
    }
    let mut pattern = String::with_capacity(prefix.len() + 2);
    for c in prefix.chars() {
        if matches!(c, '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Some(format!("{} LIKE {}", quoted(field.name.as_str()), literal(&format!("{pattern}%"))))
}

fn is_number(field: &Field) -> bool {
    matches!(field.ty, FieldType::Long | FieldType::Double)
}

/// A number as it was typed, where the field has numbers.
fn number<'a>(field: &Field, typed: &'a str) -> Option<&'a str> {
    let is_plain = typed.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
    let is_fit = match field.ty {
        FieldType::Long => typed.parse::<i64>().is_ok(),
        FieldType::Double => typed.parse::<f64>().is_ok(),
        _ => false,
    };
    (is_plain && is_fit && field.stored() != StoredType::Sealed).then_some(typed)
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A name of SQL.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && !["from", "select", "order", "group", "where", "limit"].contains(&name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
