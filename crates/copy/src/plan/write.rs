//! The copy file of a plan, with its reasons as comments.

use super::{ColumnProposal, TableProposal, Used, is_copied};
use crate::file::{CopyFile, type_word};
use model::{Class, FieldType};
use std::fmt::Write;

/// Writes the file: what stood in `given` of the copy and its source, then the tables.
pub(crate) fn yaml(given: &str, file: &CopyFile, tables: &[TableProposal]) -> String {
    let mut out = String::from(
        "# A copy of production data. What is written here and signed is copied, nothing else.\n\
         # class: open (as it is), personal (a pseudonym), special (sealed, only counted in groups),\n\
         #        secret (never stored), withheld (sealed and unread until a guardian rules).\n\
         # A column that no metric uses needs a purpose and its end; else it is not copied.\n",
    );
    out.push_str(&head_of(given));
    out.push_str("tables:\n");
    for table in tables {
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
        let is_copied_time = |time: &&String| {
            let mut columns = table.columns.iter();
            columns.any(|column| column.name == **time && is_copied(&column.used))
        };
        if let Some(time) = table.time.as_ref().filter(is_copied_time) {
            let _ = writeln!(out, "    time: {}", quoted(time));
        }
        if known.is_some_and(|known| known.filter.is_some())
            && let Some(text) = filter_of(given, &table.from)
        {
            let _ = writeln!(out, "    where: {}", quoted(&text));
        }
        let copied: Vec<&ColumnProposal> =
            table.columns.iter().filter(|column| is_copied(&column.used)).collect();
        if !copied.is_empty() {
            out.push_str("    columns:\n");
            for column in copied {
                write_column(&mut out, column, "      ");
            }
        }
        let left_out: Vec<&ColumnProposal> =
            table.columns.iter().filter(|column| !is_copied(&column.used)).collect();
        if !left_out.is_empty() {
            out.push_str("    left_out:\n");
            for column in left_out {
                let why = match column.used {
                    Used::Credential => format!("a credential: {}", column.reason),
                    _ => format!("nothing uses it; it would be {}", told(column)),
                };
                let _ = writeln!(out, "      {}: {}", quoted(&column.name), quoted(&why));
            }
        }
    }
    out
}

fn write_column(out: &mut String, column: &ColumnProposal, indent: &str) {
    let mut about: Vec<String> = Vec::new();
    if !column.native.is_empty() {
        about.push(column.native.replace(['\n', '\r'], " "));
    }
    match &column.used {
        Used::Key => about.push("names the row".to_owned()),
        Used::Time => about.push("says when".to_owned()),
        Used::Metrics(metrics) if !metrics.is_empty() => {
            about.push(format!("used by {}", metrics.join(", ")));
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
    if !column.is_json && (column.ty == FieldType::Text || column.native.is_empty()) {
        say("type", type_word(column.ty));
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
        if !is_copied(&field.used) {
            // Its column is copied for another field: this one waits for a guardian, or is a tag.
            field.used = Used::Metrics(Vec::new());
        }
        write_column(out, &field, &below);
    }
}

fn told(column: &ColumnProposal) -> String {
    match column.kind.as_str() {
        "" => column.class.map_or("withheld", Class::as_str).to_owned(),
        kind => format!("{} ({kind})", column.class.map_or("withheld", Class::as_str)),
    }
}

/// The lines of a file before its tables, without the comments of an earlier plan.
fn head_of(given: &str) -> String {
    let mut head = String::new();
    for line in given.lines() {
        if line.starts_with("tables:") {
            break;
        }
        if !line.starts_with('#') {
            head.push_str(line);
            head.push('\n');
        }
    }
    head
}

/// The text of `where` of a table in a file, as it was written.
fn filter_of(given: &str, table: &str) -> Option<String> {
    let value: serde_norway::Value = serde_norway::from_str(given).ok()?;
    value.get("tables")?.get(table)?.get("where")?.as_str().map(str::to_owned)
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
