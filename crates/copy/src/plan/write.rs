//! The copy file of a plan, with its reasons as comments.

use super::propose::{A_CREDENTIAL, ENDED, NOTHING_USES_IT};
use super::{ColumnProposal, TableProposal, Used};
use crate::SourceTable;
use crate::file::{CopyFile, type_word};
use model::Class;
use std::fmt::Write;

/// Writes the file: what stood in `given` of the copy and its source, then the tables.
pub(super) fn yaml(
    given: &str,
    file: &CopyFile,
    tables: &[TableProposal],
    others: &[SourceTable],
) -> String {
    let mut out = String::from(
        "# A copy of production data. What is written here and signed is copied, nothing else.\n\
         # class: open (as it is), personal (a pseudonym), special (sealed, only counted in groups),\n\
         #        secret (never stored), withheld (sealed and unread until a guardian rules).\n\
         # A column that no metric and no dashboard uses needs a purpose and its end; else it is\n\
         # not copied.\n",
    );
    out.push_str(&head_of(given));
    out.push_str("tables:\n");
    for table in tables {
        write_table(&mut out, file, table);
    }
    for other in others {
        let name = quoted(&other.name);
        let _ = writeln!(
            out,
            "  # Not copied: {name}. To copy it, write `{name}: {{}}` here and plan again; if it \
             shall stay so, name it in `left_out` below."
        );
    }
    if !file.left_out.is_empty() {
        out.push_str("left_out:\n");
        for (name, why) in &file.left_out {
            let _ = writeln!(out, "  {}: {}", quoted(name), quoted(why));
        }
    }
    out
}

fn write_table(out: &mut String, file: &CopyFile, table: &TableProposal) {
    let known = file.table(&table.from);
    let rows = table.rows.map_or(String::new(), |rows| format!("  # about {rows} rows"));
    let _ = writeln!(out, "  {}:{rows}", quoted(&table.from));
    let _ = writeln!(out, "    to: {}", quoted(&table.to));
    match table.key.is_empty() {
        true => out.push_str("    # No key: its rows are only added.\n"),
        false => {
            let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
            let _ = writeln!(out, "    key: [{}]", key.join(", "));
        }
    }
    let (copied, left_out): (Vec<&ColumnProposal>, Vec<&ColumnProposal>) =
        table.columns.iter().partition(|column| column.used.is_copied());
    let is_copied = |time: &&String| copied.iter().any(|column| column.name == **time);
    let is_timed = table.time.as_ref().is_some_and(|time| is_copied(&time));
    if let Some(time) = table.time.as_ref().filter(|_| is_timed) {
        let _ = writeln!(out, "    time: {}", quoted(time));
    }
    if let Some(about) = &table.about {
        let _ = writeln!(out, "    about: {}", quoted(about));
    }
    if let Some(retention) = table.retention.as_ref().filter(|_| is_timed || known.is_some()) {
        let _ = writeln!(out, "    retention: {}", quoted(retention));
    }
    if let Some(filter) = known.and_then(|known| known.filter.as_ref()) {
        let _ = writeln!(out, "    where: {}", quoted(&filter.text));
    }
    if !copied.is_empty() {
        out.push_str("    columns:\n");
        for column in copied {
            write_column(out, column, "      ");
        }
    }
    // A value that nothing uses is not made: there is nothing at the source to leave out.
    let left_out: Vec<_> = left_out.into_iter().filter(|column| column.value.is_none()).collect();
    if !left_out.is_empty() {
        out.push_str("    left_out:\n");
        for column in left_out {
            let why = match &column.used {
                Used::Credential => format!("{A_CREDENTIAL}{}", column.reason),
                Used::LeftOut(why) => why.clone(),
                Used::Ended(day) => format!("{ENDED}{day}; it would be {}", told(column)),
                _ => format!("{NOTHING_USES_IT}; it would be {}", told(column)),
            };
            let _ = writeln!(out, "      {}: {}", quoted(&column.name), quoted(&why));
        }
    }
}

fn write_column(out: &mut String, column: &ColumnProposal, indent: &str) {
    let mut about: Vec<String> = Vec::new();
    match &column.used {
        Used::Key => about.push("names the row".to_owned()),
        Used::Time => about.push("says when".to_owned()),
        Used::By(users) if !users.is_empty() => {
            about.push(format!("used by {}", users.join(", ").replace(['\n', '\r'], " ")));
        }
        _ => {}
    }
    if !column.shapes.is_empty() {
        about.push(format!("looks like {}", column.shapes.join(" or ").replace(['\n', '\r'], " ")));
    }
    if !about.is_empty() {
        let _ = writeln!(out, "{indent}# {}", about.join("; "));
    }
    let _ = writeln!(out, "{indent}{}:", quoted(&column.name));
    let mut say = |key: &str, value: &str| {
        let _ = writeln!(out, "{indent}  {key}: {value}");
    };
    say("class", column.class.map_or("withheld", Class::as_str));
    if !matches!(column.class, Some(Class::Open) | None) && !column.kind.is_empty() {
        say("kind", &column.kind);
    }
    if !column.native.is_empty() {
        say("at_source", &quoted(&column.native));
    }
    if let Some(to) = &column.to {
        say("to", &quoted(to));
    }
    if column.says_type && !column.is_json {
        say("type", type_word(column.ty));
    }
    if let Some(value) = &column.value {
        say("value", &quoted(value));
    }
    say("why", &quoted(&column.reason));
    if let Used::Purpose(purpose, until) = &column.used {
        say("purpose", &quoted(purpose));
        say("until", until);
    }
    if column.fields.is_empty() {
        return;
    }
    let _ = writeln!(out, "{indent}  fields:");
    let below = format!("{indent}    ");
    for field in &column.fields {
        let mut field = field.clone();
        if !field.used.is_copied() {
            // Its column is copied for another field: this one waits for a guardian, or is a tag.
            field.used = Used::By(Vec::new());
        }
        write_column(out, &field, &below);
    }
}

/// `personal (email)`.
pub(super) fn told(column: &ColumnProposal) -> String {
    let class = column.class.map_or("withheld", Class::as_str);
    match column.kind.as_str() {
        "" => class.to_owned(),
        kind => format!("{class} ({kind})"),
    }
}

/// The lines of a file before its tables, without the comments of an earlier plan, and without the
/// tables that are left out.
fn head_of(given: &str) -> String {
    let mut head = String::new();
    let mut is_left_out = false;
    for line in given.lines() {
        if line.starts_with("tables:") {
            break;
        }
        let is_below = line.starts_with([' ', '-']) || line.is_empty();
        is_left_out = line.starts_with("left_out:") || (is_left_out && is_below);
        if !line.starts_with('#') && !is_left_out {
            head.push_str(line);
            head.push('\n');
        }
    }
    head
}

/// A text as YAML takes it, quoted where it could be something else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first_fits = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = words.contains(&text.to_ascii_lowercase().as_str());
    match first_fits && !is_word && text.chars().all(|c| plain(c) || c == '.' || c == '-') {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_tables_stays() {
        let given = "# an old comment\ncopy: a\nleft_out:\n  public.x: no need\n\nsource:\n  \
                     postgres: {host: h}\ntables:\n  t: {}\n";
        assert_eq!(head_of(given), "copy: a\nsource:\n  postgres: {host: h}\n");
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in [
            ("public.devices", "public.devices"),
            ("no", "\"no\""),
            ("7", "\"7\""),
            ("character varying(64)", "\"character varying(64)\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(text), expected);
            let read: String = serde_norway::from_str(&quoted(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}
