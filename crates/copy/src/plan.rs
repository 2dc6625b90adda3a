//! Plans a copy: looks at a source and proposes what to copy, as what, and why.

mod write;

use crate::file::{ColumnPlan, CopyFile, FileError, TablePlan, field_of, type_for};
use crate::{
    Cell, ColumnType, CopiedRows, Layout, Source, SourceColumn, SourceError, SourceTable, page,
};
use engine::{Caller, CopyColumn, Engine, EngineError, FieldProposal, FieldsInUse};
use model::{Class, Field, FieldName, FieldType};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use write::yaml;

/// Rows of each table that are looked at.
const SAMPLE_ROWS: usize = 1_000;
/// Texts of more words than this, on average, are to be searched, not grouped.
const WORDS_MAX: usize = 4;
/// Dates of these names say when a row came, the first one that is there.
const TIMES: [&str; 12] = [
    "occurred_at",
    "created_at",
    "event_time",
    "measured_at",
    "requested_at",
    "inserted_at",
    "timestamp",
    "time",
    "ts",
    "at",
    "date",
    "created",
];

/// What is asked of a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    /// The copy file as far as it goes: its name and source at least. Tables in it are the only
    /// ones that are looked at.
    pub yaml: &'a str,
    /// What columns that no metric uses are for, and until which day: with it they are copied.
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
    pub differences: Vec<String>,
    /// How many tables, columns that are copied, and columns that are not.
    pub summary: Json,
}

/// A table and a sample of it.
pub(crate) struct Looked {
    pub(crate) table: SourceTable,
    layout: Arc<Layout>,
    rows: CopiedRows,
}

/// Describes a source and samples its tables: those of the file, or all.
pub(crate) async fn look(source: &dyn Source, file: &CopyFile) -> Result<Vec<Looked>, SourceError> {
    let mut looked = Vec::new();
    for table in source.describe().await? {
        if !file.tables.is_empty() && file.table(&table.name).is_none() {
            continue;
        }
        let (layout, rows) = source.sample(&table, SAMPLE_ROWS).await?;
        looked.push(Looked { table, layout, rows });
    }
    Ok(looked)
}

/// What is proposed for one table.
pub(crate) struct TableProposal {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) key: Vec<String>,
    pub(crate) time: Option<String>,
    pub(crate) rows: Option<u64>,
    pub(crate) columns: Vec<ColumnProposal>,
}

/// What is proposed for one column, or one field below a JSON column.
#[derive(Clone)]
pub(crate) struct ColumnProposal {
    pub(crate) name: String,
    pub(crate) native: String,
    pub(crate) ty: FieldType,
    /// Fields below it have rulings of their own.
    pub(crate) is_json: bool,
    /// `None`: withheld until a guardian rules.
    pub(crate) class: Option<Class>,
    pub(crate) kind: String,
    pub(crate) reason: String,
    pub(crate) shapes: Vec<String>,
    /// Why it is copied.
    pub(crate) used: Used,
    pub(crate) fields: Vec<ColumnProposal>,
}

/// What a column is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    Key,
    Time,
    Metrics(Vec<String>),
    /// The file says so, or the plan was asked to.
    Purpose(String, String),
    Nothing,
    /// Never copied, whatever uses it.
    Credential,
}

/// Writes the plan of what was looked at.
pub(crate) fn write(
    engine: &Engine,
    caller: &Caller,
    file: &CopyFile,
    looked: &[Looked],
    request: &PlanRequest<'_>,
) -> Result<Planned, EngineError> {
    let mut taken = BTreeSet::new();
    let mut tables = Vec::with_capacity(looked.len());
    for one in looked {
        let known = file.table(&one.table.name);
        let to = target_of(&one.table.name, known, &mut taken);
        tables.push(propose(engine, caller, one, known, to, request.purpose)?);
    }
    let yaml = yaml(request.yaml, file, &tables);
    let written = CopyFile::parse(&yaml)
        .map_err(|error| EngineError::internal(format!("a plan that does not read: {error}")))?;
    let copied: usize = written.tables.iter().map(|table| table.columns.len()).sum();
    let left_out: usize = written.tables.iter().map(|table| table.left_out.len()).sum();
    Ok(Planned {
        page: page::of_draft(&written),
        differences: differences(file, looked),
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

fn propose(
    engine: &Engine,
    caller: &Caller,
    looked: &Looked,
    known: Option<&TablePlan>,
    to: String,
    purpose: Option<(&str, &str)>,
) -> Result<TableProposal, EngineError> {
    let table = &looked.table;
    let key = known.and_then(|known| known.key.clone()).unwrap_or_else(|| table.key.clone());
    let time = known.and_then(|known| known.time.clone()).or_else(|| time_of(table));
    // The key of `accounts` is an `account_id`: it joins with what other tables call so.
    let said = |name: &str| match (key.as_slice(), name) {
        ([only], "id") if only == name => format!("{}_id", singular(&to)),
        // What an account is called is an account's name, not a business fact.
        (_, "name") => format!("{}_name", singular(&to)),
        _ => name.to_owned(),
    };
    let mut columns = Vec::new();
    for (place, column) in looked.layout.columns.iter().enumerate() {
        let ty = match is_prose(&looked.rows, place, column) {
            true => FieldType::Text,
            false => type_for(column.ty),
        };
        let field = FieldName::parse(&said(&column.name).replace('.', "_")).ok();
        let field = field.map(|name| field_of(name, ty));
        columns.push(CopyColumn { field, json: column.ty == ColumnType::Json });
    }
    let proposals = engine.propose_for_rows(&to, &columns, &looked.rows)?;
    let by_field: BTreeMap<&str, &FieldProposal> =
        proposals.iter().map(|proposal| (proposal.field.as_str(), proposal)).collect();
    let fields: Vec<Field> = proposals
        .iter()
        .filter_map(|proposal| {
            let name = looked.layout.columns.iter().find(|c| said(&c.name) == proposal.field);
            let name = name.map_or(proposal.field.as_str(), |column| column.name.as_str());
            Some(field_of(FieldName::parse(name).ok()?, proposal.ty))
        })
        .collect();
    let used = engine.metrics_for_fields(caller, &to, &fields, time.as_deref())?;
    let decide = |name: &str, class: Class| -> Used {
        if key.iter().any(|key| key == name) {
            return Used::Key;
        }
        if class == Class::Secret {
            return Used::Credential;
        }
        if time.as_deref() == Some(name) {
            return Used::Time;
        }
        use_of(name, &used, known, purpose)
    };
    let mut proposed = Vec::new();
    if looked.layout.documents {
        for proposal in &proposals {
            let used = decide(&proposal.field, proposal.class);
            proposed.push(of_field(&proposal.field, proposal, "", used));
        }
    }
    for (place, (column, target)) in looked.layout.columns.iter().zip(&columns).enumerate() {
        let Some(field) = &target.field else { continue };
        let name = field.name.as_str();
        let below: Vec<&FieldProposal> = match target.json {
            true => proposals
                .iter()
                .filter(|proposal| {
                    proposal.field.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
                })
                .collect(),
            false => Vec::new(),
        };
        if !below.is_empty() {
            let fields: Vec<ColumnProposal> = below
                .iter()
                .map(|proposal| {
                    let short = &proposal.field[name.len() + 1..];
                    let used = decide(&proposal.field, proposal.class);
                    of_field(short, proposal, "", used)
                })
                .collect();
            proposed.push(of_json(column, fields, decide(&column.name, Class::Open)));
            continue;
        }
        match by_field.get(name) {
            Some(proposal) => {
                let mut one = of_field(&column.name, proposal, &column.native, Used::Nothing);
                one.used = decide(&column.name, proposal.class);
                if !proposal.by_rule && says_much(&looked.rows, place) {
                    one.class = None;
                    one.reason = "no rule knows it, and nearly every row has another text: it may \
                                  speak of a person, so a guardian rules"
                        .to_owned();
                }
                if one.used == Used::Time {
                    (one.class, one.kind) = (Some(Class::Open), String::new());
                }
                proposed.push(one);
            }
            // JSON of which no value was seen: what comes is withheld.
            None => proposed.push(of_json(column, Vec::new(), decide(&column.name, Class::Open))),
        }
    }
    Ok(TableProposal {
        from: table.name.clone(),
        to,
        key,
        time,
        rows: table.rows,
        columns: proposed,
    })
}

fn of_field(name: &str, proposal: &FieldProposal, native: &str, used: Used) -> ColumnProposal {
    ColumnProposal {
        name: name.to_owned(),
        native: native.to_owned(),
        ty: proposal.ty,
        is_json: false,
        class: Some(proposal.class),
        kind: proposal.kind.clone(),
        reason: match proposal.by_rule {
            true => proposal.reason.clone(),
            false => "nothing in its name or its values speaks of a person".to_owned(),
        },
        shapes: proposal.shapes.iter().map(|shape| shape.shape.clone()).take(3).collect(),
        used,
        fields: Vec::new(),
    }
}

fn of_json(column: &SourceColumn, fields: Vec<ColumnProposal>, used: Used) -> ColumnProposal {
    ColumnProposal {
        name: column.name.clone(),
        native: column.native.clone(),
        ty: FieldType::Keyword,
        is_json: true,
        class: Some(Class::Open),
        kind: String::new(),
        reason: "JSON: each field below it has its own ruling".to_owned(),
        shapes: Vec::new(),
        used: match fields.iter().any(|field| is_copied(&field.used)) {
            true if !is_copied(&used) => Used::Metrics(Vec::new()),
            _ => used,
        },
        fields,
    }
}

pub(crate) fn is_copied(used: &Used) -> bool {
    !matches!(used, Used::Nothing | Used::Credential)
}

fn use_of(
    name: &str,
    used: &FieldsInUse,
    known: Option<&TablePlan>,
    purpose: Option<(&str, &str)>,
) -> Used {
    if let Some(metrics) = used.get(name) {
        return Used::Metrics(metrics.clone());
    }
    let planned = known.and_then(|known| known.columns.iter().find(|column| column.from == name));
    if let Some((purpose, until)) = planned.and_then(|planned| planned.purpose.as_ref()) {
        let until = until.to_rfc3339();
        return Used::Purpose(purpose.clone(), until.get(..10).unwrap_or(&until).to_owned());
    }
    match purpose {
        Some((purpose, until)) => Used::Purpose(purpose.to_owned(), until.to_owned()),
        None => Used::Nothing,
    }
}

/// The date that says when a row came.
fn time_of(table: &SourceTable) -> Option<String> {
    let dates: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| column.ty == ColumnType::Date)
        .map(|column| column.name.as_str())
        .collect();
    let known = TIMES.iter().find(|time| dates.contains(time)).copied();
    known.or_else(|| dates.iter().copied().find(|name| name.ends_with("_at"))).map(str::to_owned)
}

/// Whether a column holds texts of which nearly each is another.
fn says_much(rows: &CopiedRows, place: usize) -> bool {
    let texts = (0..rows.len()).map(|row| rows.row(row)[place]);
    let texts: Vec<&str> = texts
        .filter(|cell| matches!(cell, Cell::Text(..)))
        .filter_map(|cell| rows.text(cell))
        .collect();
    let distinct: BTreeSet<&str> = texts.iter().copied().collect();
    let words = texts.iter().map(|text| text.split_whitespace().count()).sum::<usize>();
    let is_prose = words > WORDS_MAX * texts.len();
    is_prose || (texts.len() >= 20 && distinct.len() * 2 > texts.len())
}

/// Whether the values of a text column are sentences.
fn is_prose(rows: &CopiedRows, place: usize, column: &SourceColumn) -> bool {
    if column.ty != ColumnType::Text {
        return false;
    }
    let texts = (0..rows.len()).filter_map(|row| rows.text(rows.row(row)[place]));
    let (mut count, mut words) = (0, 0);
    for text in texts {
        count += 1;
        words += text.split_whitespace().count();
    }
    count > 0 && words > WORDS_MAX * count
}

fn singular(name: &str) -> &str {
    let last = name.rsplit(['.', '-', '_']).next().unwrap_or(name);
    last.strip_suffix('s').unwrap_or(last)
}

/// What is different at the source from what a file says.
fn differences(file: &CopyFile, looked: &[Looked]) -> Vec<String> {
    let mut all = Vec::new();
    for plan in &file.tables {
        let Some(found) = looked.iter().find(|looked| looked.table.name == plan.from) else {
            all.push(format!("table `{}` is gone", plan.from));
            continue;
        };
        if found.layout.documents {
            continue;
        }
        let columns = &found.layout.columns;
        for column in columns {
            let is_planned = plan.columns.iter().any(|planned| planned.from == column.name)
                || plan.left_out.iter().any(|(name, _)| *name == column.name);
            if !is_planned {
                all.push(format!(
                    "column `{}` of `{}` is new ({}): withheld until a signed plan names it",
                    column.name, plan.from, column.native
                ));
            }
        }
        for planned in plan.columns.iter().filter(|planned| planned.value.is_none()) {
            match columns.iter().find(|column| column.name == planned.from) {
                None => {
                    all.push(format!("column `{}` of `{}` is gone", planned.from, plan.from));
                }
                Some(column)
                    if planned
                        .ty
                        .is_some_and(|ty| ty != type_for(column.ty) && ty != FieldType::Text) =>
                {
                    all.push(format!(
                        "column `{}` of `{}` is {} at the source",
                        planned.from, plan.from, column.native
                    ));
                }
                Some(_) => {}
            }
        }
    }
    all
}

/// Every column is copied for something: a key, the time, a metric, or a purpose with its end.
pub(crate) fn check_purposes(
    engine: &Engine,
    caller: &Caller,
    file: &CopyFile,
) -> Result<(), FileError> {
    for table in &file.tables {
        let mut fields = Vec::new();
        for column in &table.columns {
            fields.push(field_of(column.to.clone(), column.ty.unwrap_or(FieldType::Keyword)));
            fields.extend(
                column.fields.iter().map(|below| {
                    field_of(below.to.clone(), below.ty.unwrap_or(FieldType::Keyword))
                }),
            );
        }
        let time = table.columns.iter().find(|column| table.time.as_ref() == Some(&column.from));
        let time = time.map(|column| column.to.as_str());
        let used = engine.metrics_for_fields(caller, &table.to, &fields, time);
        let used = used.map_err(|error| FileError { line: 1, message: error.reason })?;
        for column in &table.columns {
            let is_key = table.key.as_ref().is_some_and(|key| key.contains(&column.from));
            let is_time = table.time.as_ref() == Some(&column.from);
            let has_use = |column: &ColumnPlan| {
                column.purpose.is_some() || used.contains_key(column.to.as_str())
            };
            let below = column.fields.iter().any(&has_use);
            if is_key || is_time || below || has_use(column) {
                continue;
            }
            let message = format!(
                "no metric uses `{}` of `{}`: write its `purpose` and `until`, or move it to \
                 `left_out`",
                column.from, table.from
            );
            return Err(FileError { line: column.line, message });
        }
    }
    Ok(())
}

/// A table as a plan has it, for rulings alone.
pub(crate) fn as_described(plan: &TablePlan) -> SourceTable {
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
