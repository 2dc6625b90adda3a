//! The page that a guardian reads before signing: what is copied, as what, why, and what is not.
//! It needs nothing but itself: no script, no picture, no other file.

use crate::file::{ColumnPlan, CopyFile, day};
use crate::signing::More;
use crate::state::StoredVersion;
use model::{Class, Timestamp};
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;\
padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}\
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d5d9de;vertical-align:top}\
code{font:14px ui-monospace,monospace;overflow-wrap:anywhere}h1 code,h2 code{font-size:.8em}.wide{overflow-x:auto}.open{color:#1a6b34}.personal{color:#7a4b00}\
.special,.secret,.withheld{color:#a11}@media(prefers-color-scheme:dark){body{background:#14171a;\
color:#e3e6e9}th,td{border-color:#3a4048}.open{color:#7fd49a}.personal{color:#f0b860}\
.special,.secret,.withheld{color:#ff8d8d}}";

/// The page of a version.
pub(crate) fn of(file: &CopyFile, version: &StoredVersion, more: Option<&More>) -> String {
    let at = Timestamp(version.at).to_rfc3339();
    let signed = match &version.signed {
        Some(signed) => format!(
            "Signed by <b>{}</b> on {}.",
            escaped(&signed.by),
            Timestamp(signed.at).to_rfc3339()
        ),
        None => format!(
            "Not signed. Who signs says: these columns may be copied as written here. \
             <code>clerestory copy sign {}</code>",
            escaped(&file.name)
        ),
    };
    let by = format!("Proposed by <b>{}</b> on {at}. {signed}", escaped(&version.by));
    page(file, &by, more)
}

/// The page of a file that nobody proposed yet.
pub(crate) fn of_draft(file: &CopyFile) -> String {
    page(file, "A draft: nobody proposed it yet.", None)
}

fn page(file: &CopyFile, about: &str, more: Option<&More>) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Copy {name}</title>\
         <style>{STYLE}</style><main><h1>Copy <code>{name}</code></h1><p>{about}</p>\
         <p>Source: {kind}. It is only read.</p>",
        name = escaped(&file.name),
        kind = escaped(&file.kind),
    );
    if let Some(more) = more {
        push_more(&mut out, more);
    }
    for table in &file.tables {
        let _ = write!(
            out,
            "<h2><code>{}</code> becomes <code>{}</code></h2>",
            escaped(&table.from),
            escaped(&table.to)
        );
        if let Some(about) = &table.about {
            let _ = write!(out, "<p>{}</p>", escaped(about));
        }
        if table.filter.is_some() {
            out.push_str("<p>Only some of its rows; the file says which.</p>");
        }
        out.push_str(
            "<div class=\"wide\" tabindex=\"0\"><table><tr><th>Field<th>From<th>Stored as<th>Why<th>Copied \
             for</tr>",
        );
        for column in &table.columns {
            row(&mut out, column);
        }
        out.push_str("</table></div>");
        if !table.left_out.is_empty() {
            out.push_str("<h3>Not copied</h3><table><tr><th>Column<th>Why</tr>");
            for (name, why) in &table.left_out {
                let why = if why.is_empty() { "nothing uses it" } else { why };
                let _ =
                    write!(out, "<tr><td><code>{}</code><td>{}</tr>", escaped(name), escaped(why));
            }
            out.push_str("</table>");
        }
    }
    out.push_str(
        "<p>A column that comes to the source later is withheld: sealed and unread until a guardian \
         rules on it. Credentials are never stored.</p></main></html>",
    );
    out
}

/// What is different from the version that is in force.
fn push_more(out: &mut String, more: &More) {
    let than = more.than;
    if more.what.is_empty() {
        let _ = write!(out, "<p>It only takes away from version {than}.</p>");
        return;
    }
    let _ = write!(
        out,
        "<h2>More than version {than}</h2><p>Somebody else than who proposed it signs for:</p><ul>"
    );
    for what in &more.what {
        let _ = write!(out, "<li>{}</li>", escaped(what));
    }
    out.push_str("</ul>");
}

fn row(out: &mut String, column: &ColumnPlan) {
    let (class, means) = match column.class {
        Some(Class::Open) => ("open", "as it is"),
        Some(Class::Personal) => ("personal", "a pseudonym"),
        Some(Class::Special) => ("special", "sealed, and only counted in groups"),
        Some(Class::Secret) => ("secret", "never; a keyed tag stands for it"),
        None => ("withheld", "sealed and unread until a guardian rules"),
    };
    let kind = match column.kind.as_str() {
        "" => String::new(),
        kind => format!(" ({})", escaped(kind)),
    };
    let purpose = match &column.purpose {
        Some((purpose, until)) => format!("{}, until {}", escaped(purpose), day(*until)),
        None => "metrics and dashboards, or to name and order rows".to_owned(),
    };
    let made = if column.value.is_some() { " (made of others)" } else { "" };
    let _ = write!(
        out,
        "<tr><td><code>{}</code><td><code>{}</code>{made}<td class=\"{class}\">{class}{kind}: \
         {means}<td>{}<td>{purpose}</tr>",
        escaped(column.to.as_str()),
        escaped(&column.from),
        escaped(&column.why),
    );
    for below in &column.fields {
        row(out, below);
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_becomes_markup() {
        let yaml = "copy: a\nsource: {postgres: {}}\ntables:\n  '<script>':\n    to: t\n    \
                    columns:\n      '<b>': {class: open, why: '<i>&'}\n    left_out: ['<u>']\n";
        let page = of_draft(&CopyFile::parse(yaml).unwrap());
        for tag in ["<script>", "<b>'", "<i>", "<u>"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert!(page.contains("&lt;i&gt;&amp;") && page.contains("&lt;script&gt;"));
    }
}
