//! What a file copies more than the one that was signed before it.
//!
//! More is whatever brings in another value, lets one be seen that was not, or keeps one longer or
//! for something else. It takes a second person. What only takes away does not.

use crate::file::{ColumnPlan, CopyFile, TablePlan, Written, day};
use crate::transform::is_over;
use model::{Class, Timestamp};

/// What `next` copies more than `signed`, in words; empty if it only takes away.
pub(crate) fn widenings(signed: &CopyFile, next: &CopyFile) -> Vec<String> {
    let mut more = Vec::new();
    let is_same_source = signed.kind == next.kind
        && signed.settings == next.settings
        && signed.secret == next.secret;
    if !is_same_source {
        more.push("the source is another, or is opened otherwise".to_owned());
    }
    for table in &next.tables {
        match signed.table(&table.from) {
            None => more.push(format!("table `{}`", table.from)),
            Some(before) => of_table(before, table, &mut more),
        }
    }
    more
}

/// Whether rows that are there already become others under `next`, so that all are read again.
pub(crate) fn reads_anew(before: &TablePlan, next: &TablePlan, now: Timestamp) -> bool {
    let text = |written: &Option<Written>| written.as_ref().map(|written| written.text.clone());
    let is_same = |one: &ColumnPlan, other: &ColumnPlan| {
        let comes_back = is_over(one, now) && !is_over(other, now);
        (&one.from, &one.to, text(&one.value)) == (&other.from, &other.to, text(&other.value))
            && !comes_back
    };
    let is_known = |column: &ColumnPlan| before.columns.iter().any(|known| is_same(known, column));
    before.to != next.to
        || before.key != next.key
        || text(&before.filter) != text(&next.filter)
        || !next.columns.iter().all(is_known)
}

/// Whether no column that both files copy has another class.
pub(crate) fn has_same_classes(before: &CopyFile, next: &CopyFile) -> bool {
    fn all<'f>(columns: &'f [ColumnPlan], before: &'f [ColumnPlan]) -> bool {
        columns.iter().all(|column| {
            let known = before.iter().find(|known| known.from == column.from);
            known.is_none_or(|known| {
                known.class == column.class && all(&column.fields, &known.fields)
            })
        })
    }
    next.tables.iter().all(|table| {
        let known = before.table(&table.from);
        known.is_none_or(|known| all(&table.columns, &known.columns))
    })
}

fn of_table(before: &TablePlan, next: &TablePlan, more: &mut Vec<String>) {
    let from = &next.from;
    if before.to != next.to {
        more.push(format!("`{from}` into another table, `{}`", next.to));
    }
    let text = |plan: &TablePlan| plan.filter.as_ref().map(|filter| filter.text.clone());
    match (text(before), text(next)) {
        (Some(_), None) => more.push(format!("all rows of `{from}`: `where` is gone")),
        (Some(before), Some(next)) if before != next => {
            more.push(format!("other rows of `{from}`: `where` is another"));
        }
        _ => {}
    }
    let stays = |plan: &TablePlan| plan.retention.as_ref().map_or(i64::MAX, |(ms, _)| *ms);
    if stays(before) < stays(next) {
        more.push(format!("rows of `{from}` stay longer"));
    }
    if before.key != next.key {
        more.push(format!("rows of `{from}` are named otherwise"));
    }
    for column in &next.columns {
        let known = before.columns.iter().find(|known| known.from == column.from);
        of_column(from, known, column, more);
    }
}

fn of_column(table: &str, before: Option<&ColumnPlan>, next: &ColumnPlan, more: &mut Vec<String>) {
    let name = format!("`{}` of `{table}`", next.from);
    let Some(before) = before else {
        return more.push(format!("column {name}"));
    };
    let text = |plan: &ColumnPlan| plan.value.as_ref().map(|value| value.text.clone());
    if before.to != next.to || text(before) != text(next) {
        more.push(format!("column {name} as another field, or made otherwise"));
    }
    if is_weaker(before.class, next.class) {
        let word = |class: Option<Class>| class.map_or("withheld", Class::as_str);
        more.push(format!("column {name} as {} (was {})", word(next.class), word(before.class)));
    }
    match (&before.purpose, &next.purpose) {
        (Some(_), None) => more.push(format!("column {name} without an end")),
        (Some((for_what, until)), Some((next_for, next_until))) => {
            if next_until > until {
                let (until, next_until) = (day(*until), day(*next_until));
                more.push(format!("column {name} until {next_until} (was {until})"));
            }
            if for_what != next_for {
                more.push(format!("column {name} for another purpose"));
            }
        }
        (None, _) => {}
    }
    for below in &next.fields {
        match before.fields.iter().find(|known| known.from == below.from) {
            Some(known) => of_column(table, Some(known), below, more),
            // A field below JSON that no file names is withheld.
            None if is_weaker(None, below.class) => {
                let field = format!("`{}.{}` of `{table}`", next.from, below.from);
                more.push(format!("field {field} as {}", below.class.map_or("", Class::as_str)));
            }
            None => {}
        }
    }
}

/// Whether more is seen of a class than of the one before it. What is withheld nobody reads; of a
/// secret there is not even a sealed value.
fn is_weaker(before: Option<Class>, next: Option<Class>) -> bool {
    let strength = |class: Option<Class>| match class {
        Some(Class::Open) => 0,
        Some(Class::Personal) => 1,
        Some(Class::Special) => 2,
        None => 3,
        Some(Class::Secret) => 4,
    };
    strength(next) < strength(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "\
copy: a
source: {postgres: {host: h, database: d, user: u}, secret: s}
tables:
  t:
    to: t
    key: [id]
    retention: 30d
    where: n > 3
    columns:
      id: {class: personal, kind: id}
      email: {class: personal, kind: email, purpose: support, until: 2027-06-30}
      plan: {class: open}
      note: {class: withheld}
      short: {class: open, value: 'first(plan, 1)'}
      settings: {class: open, fields: {ssid: {class: personal, kind: ssid}}}
";

    fn more(from: &str, to: &str) -> Vec<String> {
        let next = SIGNED.replace(from, to);
        assert!(from == to || next != SIGNED, "{from} stands in the file");
        widenings(&CopyFile::parse(SIGNED).unwrap(), &CopyFile::parse(&next).unwrap())
    }

    #[test]
    fn whatever_copies_more_is_named() {
        for (from, to, expected) in [
            ("host: h", "host: other", "the source is another"),
            ("secret: s", "secret: r", "the source is another"),
            ("\n    retention: 30d", "", "rows of `t` stay longer"),
            ("30d", "60d", "rows of `t` stay longer"),
            ("\n    where: n > 3", "", "all rows of `t`"),
            ("n > 3", "n > 2", "other rows of `t`"),
            ("key: [id]", "key: [plan]", "are named otherwise"),
            ("    to: t", "    to: u", "into another table, `u`"),
            (
                "plan: {class: open}",
                "plan: {class: open}\n      city: {class: personal}",
                "column `city`",
            ),
            ("plan: {class: open}", "plan: {class: open, to: tariff}", "as another field"),
            ("first(plan, 1)", "first(plan, 2)", "made otherwise"),
            ("{class: withheld}", "{class: special}", "`note` of `t` as special (was withheld)"),
            ("{class: personal, kind: id}", "{class: open}", "`id` of `t` as open (was personal)"),
            ("2027-06-30", "2027-07-01", "until 2027-07-01 (was 2027-06-30)"),
            ("purpose: support", "purpose: marketing", "for another purpose"),
            (", purpose: support, until: 2027-06-30", "", "without an end"),
            ("ssid: {class: personal, kind: ssid}", "mac: {class: open}", "field `settings.mac`"),
            ("ssid: {class: personal, kind: ssid}", "ssid: {class: open}", "`ssid` of `t` as open"),
        ] {
            let found = more(from, to);
            assert_eq!(found.len(), 1, "{to}: {found:?}");
            assert!(found[0].contains(expected), "{to}: {found:?}");
        }
        let two = SIGNED.replace("tables:\n", "tables:\n  other: {to: o}\n");
        let found = widenings(&CopyFile::parse(SIGNED).unwrap(), &CopyFile::parse(&two).unwrap());
        assert_eq!(found, ["table `other`"]);
    }

    #[test]
    fn rows_are_read_again_where_they_become_others() {
        let now = Timestamp::parse_rfc3339("2027-07-01T00:00:00Z").unwrap();
        for (from, to, expected) in [
            ("copy", "copy", false),
            ("      plan: {class: open}\n", "", false),
            ("plan: {class: open}", "plan: {class: special}", false),
            ("n > 3", "n > 4", true),
            ("plan: {class: open}", "plan: {class: open}\n      city: {class: open}", true),
            ("first(plan, 1)", "first(plan, 2)", true),
            // Its purpose had ended.
            ("2027-06-30", "2028-06-30", true),
        ] {
            let next = CopyFile::parse(&SIGNED.replace(from, to)).unwrap();
            let before = CopyFile::parse(SIGNED).unwrap();
            assert_eq!(reads_anew(&before.tables[0], &next.tables[0], now), expected, "{to}");
        }
    }

    #[test]
    fn what_only_takes_away_is_no_widening() {
        for (from, to) in [
            ("copy", "copy"),
            ("30d", "7d"),
            ("      plan: {class: open}\n", ""),
            ("plan: {class: open}", "plan: {class: special}"),
            ("plan: {class: open}", "plan: {class: open, purpose: x, until: 2027-01-01}"),
            ("2027-06-30", "2027-06-29"),
            ("{class: withheld}", "{class: secret}"),
            ("ssid: {class: personal, kind: ssid}", "ssid: {class: secret}"),
        ] {
            assert_eq!(more(from, to), [""; 0], "{to}");
        }
        let tables = SIGNED.split("tables:").next().unwrap();
        let none = CopyFile::parse(&format!("{tables}tables: {{}}\n")).unwrap();
        assert!(widenings(&CopyFile::parse(SIGNED).unwrap(), &none).is_empty());
    }
}
