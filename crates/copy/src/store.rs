//! Puts what a source gives into our tables, and notes how far that brings the copy.

use crate::copies::Copy;
use crate::file::{CopyFile, TablePlan, field_of};
use crate::runner::Trouble;
use crate::state::{add_marks, lane_name};
use crate::transform::{Transform, planned, unread};
use crate::{Cell, CopiedRows, Marks, Piece, Position, SourceTable, Wanted};
use engine::{Caller, Compared, CopyPiece, CopyRuling, CopyTable, EngineError, OtherRow};
use model::{Class, FieldType, Op, Seq};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The tables of a copy, checked against source and store.
pub(crate) struct Storing {
    copy: Arc<Copy>,
    caller: Caller,
    tables: BTreeMap<String, Table>,
}

struct Table {
    plan: Arc<TablePlan>,
    key: Vec<String>,
    documents: bool,
    /// It held rows when this run began.
    had_rows: bool,
    transform: Mutex<Option<Arc<Transform>>>,
}

impl Storing {
    /// Checks the tables of a file and makes those that are missing here.
    pub(crate) fn begin(
        copy: &Arc<Copy>,
        file: &CopyFile,
        described: &[SourceTable],
    ) -> Result<Storing, Trouble> {
        let engine = &copy.engine;
        let started_by = copy.run().map(|run| run.started_by).unwrap_or_default();
        let caller = engine.copy_caller(&started_by, &copy.name)?;
        let behind =
            copy.behind().ok_or_else(|| Trouble::Pause("nobody signed the plan".into()))?;
        let mut tables = BTreeMap::new();
        for plan in &file.tables {
            let found = described.iter().find(|table| table.name == plan.from).ok_or_else(|| {
                Trouble::Pause(format!(
                    "table `{}` is not there any more, or may not be read; take it out of the copy \
                     file, or let the account read it",
                    plan.from
                ))
            })?;
            let key = plan.key.clone().unwrap_or_else(|| found.key.clone());
            let mut wanted = table_of(plan, found, !key.is_empty())?;
            wanted.keeps_types = copy.has_copied(&plan.from);
            engine.ready_copy_table(&caller, &behind.names, behind.second, &wanted)?;
            let had_rows = engine.copied_rows(&plan.to)? > 0;
            let documents = found.documents;
            let plan = Arc::new(plan.clone());
            let table = Table { plan, key, documents, had_rows, transform: Mutex::default() };
            tables.insert(found.name.clone(), table);
        }
        Ok(Storing { copy: Arc::clone(copy), caller, tables })
    }

    /// What the source is asked for.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let now = self.copy.engine.now();
        let wanted = self.tables.iter().map(|(name, table)| Wanted {
            table: name.clone(),
            key: table.key.clone(),
            left_out: unread(&table.plan, &table.key, now),
            planned: planned(&table.plan),
        });
        wanted.collect()
    }

    /// Whether rows of a table have names, so that what is given twice is stored once.
    pub(crate) fn has_key(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.documents || !table.key.is_empty())
    }

    /// Whether a table without keys is read from its beginning, also after it was interrupted: its
    /// pieces have no positions.
    pub(crate) fn begins_anew(&self, table: &str) -> bool {
        let marks = self.marks().unwrap_or_default();
        marks.lanes(table).all(|(lane, _)| lane.is_empty())
    }

    pub(crate) fn had_rows(&self, table: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.had_rows)
    }

    /// How far all lanes are stored.
    pub(crate) fn marks(&self) -> Result<Marks, EngineError> {
        let mut marks = Marks::default();
        for (name, table) in &self.tables {
            let kept = self.copy.engine.copy_marks(&table.plan.to)?;
            let anew = self.copy.anew(name);
            add_marks(&self.copy.name, self.copy.made_at, anew, &kept, &mut marks);
        }
        Ok(marks)
    }

    /// Stores a piece.
    pub(crate) fn store(&self, piece: &Piece) -> Result<(), EngineError> {
        let Some(table) = self.tables.get(&piece.table) else { return Ok(()) };
        let transform = self.transform(table, piece);
        let rows = transform.rows(piece);
        let lane = self.lane(&piece.table, &piece.lane);
        let mark = piece.position.as_ref().map(|at| (lane.as_str(), at.bytes()));
        let outcome = self.copy.engine.copy_rows(
            &self.caller,
            &CopyPiece {
                table: &table.plan.to,
                columns: &transform.columns,
                key: &transform.key,
                rows: &rows,
                ended: &transform.ended,
                mark,
            },
        )?;
        self.copy.count(&piece.table, &transform.names, &outcome);
        self.copy.count_refused(&piece.table, &piece.refused);
        Ok(())
    }

    /// The rows of a piece beside those that are stored, each of them that is another with what
    /// stands for its values at the source.
    pub(crate) fn compare(
        &self,
        piece: &Piece,
    ) -> Result<(Compared, Vec<(OtherRow, u64)>), EngineError> {
        let Some(table) = self.tables.get(&piece.table) else { return Ok(Default::default()) };
        // Of its own: a verification must not disturb what runs.
        let now = self.copy.engine.now();
        let transform = Transform::new(&piece.layout, &table.plan, &table.key, now);
        let rows = transform.rows(piece);
        let piece = CopyPiece {
            table: &table.plan.to,
            columns: &transform.columns,
            key: &transform.key,
            rows: &rows,
            ended: &transform.ended,
            mark: None,
        };
        let mut compared = self.copy.engine.compare_copied(&self.caller, &piece)?;
        let other = std::mem::take(&mut compared.other).into_iter();
        let other = other.map(|one| {
            let print = fingerprint(&rows, one.row);
            (one, print)
        });
        Ok((compared, other.collect()))
    }

    /// Shows the `_id` and the number of every row that is stored of a table.
    pub(crate) fn visit_ids(
        &self,
        table: &str,
        visit: &mut dyn FnMut(&str, Seq),
    ) -> Result<(), EngineError> {
        match self.tables.get(table) {
            Some(table) => self.copy.engine.visit_copied_ids(&self.caller, &table.plan.to, visit),
            None => Ok(()),
        }
    }

    /// The tables of the copy, as the source calls them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tables.keys()
    }

    pub(crate) fn rows_here(&self, table: &str) -> Result<u64, EngineError> {
        match self.tables.get(table) {
            Some(table) => self.copy.engine.copied_rows(&table.plan.to),
            None => Ok(0),
        }
    }

    /// Deletes all rows of a table, or those of before a number.
    pub(crate) fn empty(
        &self,
        table: &str,
        before: Option<Seq>,
        mark: Option<(&str, &Position)>,
    ) -> Result<(), EngineError> {
        let Some(known) = self.tables.get(table) else { return Ok(()) };
        let engine = &self.copy.engine;
        let before = before.unwrap_or_else(|| engine.next_seq());
        let lane = mark.map(|(lane, _)| self.lane(table, lane));
        let mark = lane.as_deref().zip(mark.map(|(_, position)| position.bytes()));
        let gone = engine.copy_delete_before(&self.caller, &known.plan.to, before, mark)?;
        tracing::info!(
            copy = self.copy.name,
            table,
            rows = gone,
            "rows that are gone were deleted"
        );
        Ok(())
    }

    fn lane(&self, table: &str, lane: &str) -> String {
        lane_name(&self.copy.name, self.copy.made_at, self.copy.anew(table), table, lane)
    }

    fn transform(&self, table: &Table, piece: &Piece) -> Arc<Transform> {
        let now = self.copy.engine.now();
        let mut known = table.transform.lock();
        if let Some(transform) = known.as_ref().filter(|known| known.is_for(&piece.layout, now)) {
            return Arc::clone(transform);
        }
        let fresh = Arc::new(Transform::new(&piece.layout, &table.plan, &table.key, now));
        *known = Some(Arc::clone(&fresh));
        fresh
    }
}

/// Stands for the values of a row within this process: whether it changed meanwhile.
fn fingerprint(rows: &CopiedRows, row: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (rows.op(row) == Op::Delete).hash(&mut hasher);
    for &cell in rows.row(row) {
        std::mem::discriminant(&cell).hash(&mut hasher);
        match cell {
            Cell::Null | Cell::Unchanged => {}
            Cell::Bool(value) => value.hash(&mut hasher),
            Cell::Long(value) | Cell::Date(value) => value.hash(&mut hasher),
            Cell::Double(value) => value.to_bits().hash(&mut hasher),
            Cell::Text(..) | Cell::Json(..) => rows.text(cell).hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// The table that a plan makes of a table of the source.
pub(crate) fn table_of(
    plan: &TablePlan,
    found: &SourceTable,
    entities: bool,
) -> Result<CopyTable, EngineError> {
    let mut fields = Vec::new();
    let ruling = |class: Option<Class>, kind: &str, why: &str| CopyRuling {
        class,
        kind: kind.to_owned(),
        reason: if why.is_empty() { "the signed plan".to_owned() } else { why.to_owned() },
    };
    let mut time_field = None;
    for column in &plan.columns {
        let source = found.columns.iter().find(|known| known.name == column.from);
        let field = match source {
            _ if column.value.is_some() => {
                Some(field_of(column.to.clone(), column.ty.unwrap_or(FieldType::Keyword)))
            }
            // A dropped column leaves what was copied of it.
            None if !found.documents => None,
            None => Some(field_of(column.to.clone(), column.ty.unwrap_or(FieldType::Keyword))),
            Some(source) if source.ty == crate::ColumnType::Json => {
                // The fields below it have rulings of their own; without any it holds plain values.
                for below in &column.fields {
                    let ty = below.ty.unwrap_or(FieldType::Keyword);
                    let ruling = ruling(below.class, &below.kind, &below.why);
                    fields.push((field_of(below.to.clone(), ty), ruling));
                }
                column.fields.is_empty().then(|| column.field(source))
            }
            Some(source) => Some(column.field(source)),
        };
        let Some(field) = field else { continue };
        if plan.time.as_deref() == Some(column.from.as_str()) {
            if field.ty != FieldType::Date || column.class != Some(Class::Open) {
                return Err(EngineError::illegal_argument(format!(
                    "`time: {}` of `{}` has to be an open date",
                    column.from, plan.from
                )));
            }
            time_field = Some(field.name.as_str().to_owned());
        }
        fields.push((field, ruling(column.class, &column.kind, &column.why)));
    }
    Ok(CopyTable {
        name: plan.to.clone(),
        entities,
        time_field,
        retention_ms: plan.retention.as_ref().map(|(ms, _)| *ms),
        fields,
        keeps_types: false,
    })
}
