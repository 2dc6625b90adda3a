//! Plans a copy: looks at a source and proposes what to copy, as what, and why.
//!
//! What a file says already stays: a person decided it. Only what nothing uses any more goes, and
//! what the source has new is proposed.

mod differences;
mod propose;
mod purposes;
mod widen;
mod write;

use crate::file::{CopyFile, TablePlan};
use crate::{About, CopiedRows, Layout, Source, SourceColumn, SourceError, SourceTable, page};
use engine::{Caller, Engine, EngineError};
use model::{Class, FieldType};
use propose::propose;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use differences::Difference;
pub(crate) use purposes::check_purposes;
pub(crate) use widen::{has_same_classes, reads_anew, widenings};

/// Rows of each table that are looked at.
const SAMPLE_ROWS: usize = 1_000;

/// What is asked of a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    /// The copy file as far as it goes: its name and source at least. Tables in it are the only
    /// ones that are looked at.
    pub yaml: &'a str,
    /// What columns that nothing uses are for, and until which day: with it they are copied.
    pub purpose: Option<(&'a str, &'a str)>,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The commented copy file.
    pub yaml: String,
    /// The page to sign, HTML.
    pub page: String,
    /// What is different at the source from the given file, for `--diff`.
    pub differences: Vec<Difference>,
    /// How many tables, columns that are copied, and columns that are not.
    pub summary: Json,
}

/// What a source has.
pub(crate) struct Found {
    looked: Vec<Looked>,
    /// Tables that the file says nothing about, if it names any.
    others: Vec<SourceTable>,
}

/// A table and a sample of it.
struct Looked {
    table: SourceTable,
    about: About,
    layout: Arc<Layout>,
    rows: CopiedRows,
}

impl Looked {
    /// Its columns in the source's own words; of documents the fields that their source declares.
    fn columns(&self) -> &[SourceColumn] {
        match self.layout.documents {
            true => &self.table.columns,
            false => &self.layout.columns,
        }
    }
}

/// Describes a source and samples its tables: those of the file, or all.
pub(crate) async fn look(source: &dyn Source, file: &CopyFile) -> Result<Found, SourceError> {
    let mut found = Found { looked: Vec::new(), others: Vec::new() };
    for table in source.describe().await? {
        if file.left_out.iter().any(|(name, _)| *name == table.name) {
            continue;
        }
        if !file.tables.is_empty() && file.table(&table.name).is_none() {
            found.others.push(table);
            continue;
        }
        let about = source.about(&table).await?;
        let (layout, rows) = source.sample(&table, SAMPLE_ROWS).await?;
        found.looked.push(Looked { table, about, layout, rows });
    }
    Ok(found)
}

/// What is proposed for one table.
struct TableProposal {
    from: String,
    to: String,
    key: Vec<String>,
    time: Option<String>,
    rows: Option<u64>,
    /// What the source says about it.
    about: Option<String>,
    retention: Option<String>,
    columns: Vec<ColumnProposal>,
}

/// What is proposed for one column, or one field below a JSON column.
#[derive(Clone)]
struct ColumnProposal {
    name: String,
    /// The field that gets it, where that is called otherwise.
    to: Option<String>,
    native: String,
    ty: FieldType,
    /// Whether the file says its type.
    says_type: bool,
    /// How it is made of other columns.
    value: Option<String>,
    /// Fields below it have rulings of their own.
    is_json: bool,
    /// `None`: withheld until a guardian rules.
    class: Option<Class>,
    kind: String,
    reason: String,
    shapes: Vec<String>,
    /// Why it is copied.
    used: Used,
    fields: Vec<ColumnProposal>,
}

/// What a column is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Used {
    Key,
    Time,
    /// Metrics and dashboards; none are named where fields below it are used.
    By(Vec<String>),
    /// The file says so, or the plan was asked to.
    Purpose(String, String),
    /// The file says what it was for, until this day.
    Ended(String),
    Nothing,
    /// Never copied, whatever uses it.
    Credential,
    /// A person left it out, and said why.
    LeftOut(String),
}

impl Used {
    fn is_copied(&self) -> bool {
        matches!(self, Used::Key | Used::Time | Used::By(_) | Used::Purpose(..))
    }
}

/// Writes the plan of what was looked at.
pub(crate) fn write(
    engine: &Engine,
    caller: &Caller,
    file: &CopyFile,
    found: &Found,
    request: &PlanRequest<'_>,
) -> Result<Planned, EngineError> {
    let mut taken = BTreeSet::new();
    let mut tables = Vec::with_capacity(found.looked.len());
    for one in &found.looked {
        let known = file.table(&one.table.name);
        let to = target_of(&one.table.name, known, &mut taken);
        tables.push(propose(engine, caller, one, known, to, request.purpose)?);
    }
    let yaml = write::yaml(request.yaml, file, &tables, &found.others);
    let written = CopyFile::parse(&yaml)
        .map_err(|error| EngineError::internal(format!("a plan that does not read: {error}")))?;
    let copied: usize = written.tables.iter().map(|table| table.columns.len()).sum();
    let left_out: usize = written.tables.iter().map(|table| table.left_out.len()).sum();
    Ok(Planned {
        page: page::of_draft(&written),
        differences: differences::differences(engine, file, found, &tables),
        summary: json!({ "tables": tables.len(), "copied": copied, "not_copied": left_out }),
        yaml,
    })
}

/// `public.devices` becomes `devices`; where that is taken, `public-devices`.
fn target_of(from: &str, known: Option<&TablePlan>, taken: &mut BTreeSet<String>) -> String {
    if let Some(known) = known {
        taken.insert(known.to.clone());
        return known.to.clone();
    }
    let clean = |name: &str| -> String {
        let name = name.to_lowercase();
        let fits = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
        name.trim_start_matches(['-', '_', '.']).to_owned()
    };
    let short = clean(from.rsplit('.').next().unwrap_or(from));
    let long = clean(&from.replace('.', "-"));
    let to = if short.is_empty() || taken.contains(&short) { long } else { short };
    taken.insert(to.clone());
    to
}

/// A table as a plan has it, for rulings alone.
pub(crate) fn as_described(plan: &TablePlan) -> SourceTable {
    use crate::ColumnType;
    let columns = plan.columns.iter().filter(|column| column.value.is_none());
    let columns = columns.map(|column| SourceColumn {
        name: column.from.clone(),
        ty: match (column.fields.is_empty(), column.ty) {
            (false, _) => ColumnType::Json,
            (true, Some(FieldType::Date)) => ColumnType::Date,
            (true, None) if plan.time.as_ref() == Some(&column.from) => ColumnType::Date,
            (true, _) => ColumnType::Keyword,
        },
        native: String::new(),
    });
    SourceTable {
        name: plan.from.clone(),
        columns: columns.collect(),
        key: plan.key.clone().unwrap_or_default(),
        documents: false,
        rows: None,
    }
}
