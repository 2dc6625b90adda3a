//! What a copy tells people once: purposes that ended, and tables that came to its source.

use crate::SourceTable;
use crate::copies::{Copies, Copy};
use crate::file::{ColumnPlan, CopyFile, day};
use crate::runner::{NOTES_MAX, Trouble};
use crate::state::{StoredNote, StoredRun};
use crate::transform::is_over;
use model::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

impl Copies {
    /// Tables that came to the sources of copies, and of which nothing is copied yet: for who rules.
    pub fn new_tables(&self) -> Vec<Json> {
        let copies = self.copies.lock();
        let all = copies.values().flat_map(|copy| {
            let came = copy.run().map(|run| run.came).unwrap_or_default();
            let name = copy.name.clone();
            came.into_iter().map(move |(table, at)| {
                json!({ "copy": name, "table": table, "since": Timestamp(at).to_rfc3339() })
            })
        });
        all.collect()
    }
}

impl Copy {
    /// Names the columns whose purpose has ended: they are copied no more.
    pub(crate) fn tell_ended(&self, file: &CopyFile) -> Result<(), Trouble> {
        let now = self.engine.now();
        let mut told = Vec::new();
        for table in &file.tables {
            told.extend(
                ended(&table.columns, now).into_iter().map(|what| (table.from.clone(), what)),
            );
        }
        match told.is_empty() {
            true => Ok(()),
            false => self.change(|run| {
                told.into_iter().for_each(|(table, what)| note_once(run, now, &table, &what));
            }),
        }
    }

    /// Notes the tables that were not there when the copy was started. Nothing of them is copied.
    pub(crate) fn tell_new_tables(
        &self,
        file: &CopyFile,
        described: &[SourceTable],
    ) -> Result<(), Trouble> {
        let is_named = |table: &String| {
            file.table(table).is_some() || file.left_out.iter().any(|(name, _)| name == table)
        };
        let now = self.engine.now();
        let run = self.run().unwrap_or_default();
        let seen = run.seen.clone().unwrap_or_default();
        let fresh: Vec<String> = described
            .iter()
            .map(|table| table.name.clone())
            .filter(|table| !seen.contains(table))
            .collect();
        let is_there = |table: &String| described.iter().any(|one| one.name == *table);
        let mut came: BTreeMap<String, i64> = run.came.clone();
        came.retain(|table, _| is_there(table) && !is_named(table));
        // What was there in the beginning was left out by who signed.
        let is_first = run.seen.is_none();
        for table in fresh.iter().filter(|table| !is_first && !is_named(table)) {
            came.entry(table.clone()).or_insert(now.0);
        }
        if !is_first && fresh.is_empty() && came == run.came {
            return Ok(());
        }
        let known = run.came;
        self.change(|run| {
            for table in came.keys().filter(|table| !known.contains_key(*table)) {
                tracing::warn!(copy = self.name, table, "a table came to the source");
                let what = "this table came to the source: nothing of it is copied until a signed \
                            file names it; `clerestory copy plan FILE --diff` says what it means";
                note_once(run, now, table, what);
            }
            run.seen.get_or_insert_default().extend(fresh);
            run.came = came;
        })
    }
}

fn ended(columns: &[ColumnPlan], now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    for column in columns {
        if let Some((_, until)) = column.purpose.as_ref().filter(|_| is_over(column, now)) {
            told.push(format!(
                "the purpose of `{}` ended on {}: it is copied no more, what was copied stays; \
                 propose a file with a later `until` and have it signed, or move it to `left_out`",
                column.from,
                day(*until)
            ));
        }
        told.extend(ended(&column.fields, now));
    }
    told
}

/// Keeps a note, unless it was told before.
fn note_once(run: &mut StoredRun, now: Timestamp, table: &str, what: &str) {
    if run.notes.iter().any(|note| note.table == table && note.what == what) {
        return;
    }
    run.notes.push(StoredNote { at: now.0, table: table.to_owned(), what: what.to_owned() });
    let excess = run.notes.len().saturating_sub(NOTES_MAX);
    run.notes.drain(..excess);
}
