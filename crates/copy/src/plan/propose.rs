//! What is proposed for a table, column by column.

use super::{ColumnProposal, Looked, TableProposal, Used};
use crate::file::{ColumnPlan, TablePlan, day, field_of, type_for};
use crate::transform::{is_over, new_name};
use crate::{Cell, ColumnType, CopiedRows, SourceColumn, SourceTable};
use engine::{Caller, CopyColumn, Engine, EngineError, FieldProposal, FieldsInUse};
use model::{Class, Field, FieldName, FieldType, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

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
/// How the reasons begin that a plan gives for what it leaves out. Others are a person's.
pub(super) const NOTHING_USES_IT: &str = "nothing uses it";
pub(super) const A_CREDENTIAL: &str = "a credential: ";
pub(super) const ENDED: &str = "its purpose ended on ";

/// What decides about the columns of one table.
struct Table<'a> {
    looked: &'a Looked,
    known: Option<&'a TablePlan>,
    to: String,
    key: Vec<String>,
    time: Option<String>,
    uses: FieldsInUse,
    purpose: Option<(&'a str, &'a str)>,
    now: Timestamp,
}

pub(super) fn propose(
    engine: &Engine,
    caller: &Caller,
    looked: &Looked,
    known: Option<&TablePlan>,
    to: String,
    purpose: Option<(&str, &str)>,
) -> Result<TableProposal, EngineError> {
    let source = &looked.table;
    let key = known.and_then(|known| known.key.clone()).unwrap_or_else(|| source.key.clone());
    let time = known.and_then(|known| known.time.clone()).or_else(|| time_of(source));
    let (uses, now) = (FieldsInUse::new(), engine.now());
    let mut table = Table { looked, known, to, key, time, uses, purpose, now };
    let columns = table.read_as();
    let mut proposals = engine.propose_for_rows(&table.to, &columns, &looked.rows)?;
    if looked.layout.documents {
        let unseen = table.unseen_fields(engine, &proposals)?;
        proposals.extend(unseen);
    }
    table.see_uses(engine, caller, &columns, &proposals)?;
    let mut proposed = match looked.layout.documents {
        true => table.of_documents(&proposals),
        false => table.of_columns(&columns, &proposals),
    };
    proposed.extend(table.made());
    let Table { to, key, time, .. } = table;
    let (from, rows) = (source.name.clone(), source.rows);
    let about = looked.about.words.clone().or_else(|| known.and_then(|known| known.about.clone()));
    let retention = match known {
        Some(known) => known.retention.as_ref().map(|(_, text)| text.clone()),
        // Rows are dropped by when they happened.
        None => looked.about.retention.clone().filter(|_| time.is_some()),
    };
    Ok(TableProposal { from, to, key, time, rows, about, retention, columns: proposed })
}

impl Table<'_> {
    /// What the classifier is told that a column is called. The key of `accounts` is an
    /// `account_id`: it joins with what other tables call so.
    fn said(&self, name: &str) -> String {
        match (self.key.as_slice(), name) {
            ([only], "id") if only == name => format!("{}_id", singular(&self.to)),
            // What an account is called is an account's name, not a business fact.
            (_, "name") => format!("{}_name", singular(&self.to)),
            _ => name.to_owned(),
        }
    }

    /// The columns as the classifier reads them.
    fn read_as(&self) -> Vec<CopyColumn> {
        let columns = self.looked.layout.columns.iter().enumerate();
        let read_as = columns.map(|(place, column)| {
            let ty = match self.planned(&column.name).and_then(|planned| planned.ty) {
                Some(ty) => ty,
                None if is_prose(&self.looked.rows, place, column) => FieldType::Text,
                None => type_for(column.ty),
            };
            let field = FieldName::parse(&self.said(&column.name).replace('.', "_")).ok();
            let field = field.map(|name| field_of(name, ty));
            CopyColumn { field, json: column.ty == ColumnType::Json }
        });
        read_as.collect()
    }

    /// What the names alone say of fields that the source declares and no sampled document has.
    fn unseen_fields(
        &self,
        engine: &Engine,
        seen: &[FieldProposal],
    ) -> Result<Vec<FieldProposal>, EngineError> {
        let declared = self.looked.table.columns.iter();
        let unseen = declared.filter(|column| !seen.iter().any(|one| one.field == column.name));
        let columns: Vec<CopyColumn> = unseen
            .filter_map(|column| FieldName::parse(&column.name).ok().map(|name| (name, column.ty)))
            .map(|(name, ty)| CopyColumn { field: Some(field_of(name, type_for(ty))), json: false })
            .collect();
        engine.propose_for_rows(&self.to, &columns, &CopiedRows::new(columns.len()))
    }

    fn planned(&self, from: &str) -> Option<&ColumnPlan> {
        let known = self.known?;
        known.columns.iter().find(|column| column.from == from && column.value.is_none())
    }

    /// The field that gets a column.
    fn target(&self, from: &str) -> Option<FieldName> {
        self.planned(from).map(|planned| planned.to.clone()).or_else(|| new_name(from))
    }

    /// What metrics and dashboards use, by the fields that the table would have.
    fn see_uses(
        &mut self,
        engine: &Engine,
        caller: &Caller,
        columns: &[CopyColumn],
        proposals: &[FieldProposal],
    ) -> Result<(), EngineError> {
        let mut fields: Vec<Field> = Vec::new();
        for proposal in proposals {
            let column = self.looked.layout.columns.iter().zip(columns).find(|(_, read_as)| {
                let name = read_as.field.as_ref().map(|field| field.name.as_str());
                name == Some(proposal.field.as_str())
            });
            let target = match column {
                Some((column, _)) => self.target(&column.name),
                None => FieldName::parse(&proposal.field).ok(),
            };
            fields.extend(target.map(|name| field_of(name, proposal.ty)));
        }
        for column in self.looked.layout.columns.iter().filter(|c| c.ty == ColumnType::Json) {
            // What is used below it counts for all of it, unless the field is known.
            let target = self.target(&column.name);
            fields.extend(target.map(|name| field_of(name, FieldType::Keyword)));
        }
        for column in self.known.iter().flat_map(|known| &known.columns) {
            if !fields.iter().any(|field| field.name == column.to) {
                fields.push(field_of(column.to.clone(), column.ty.unwrap_or(FieldType::Keyword)));
            }
        }
        let time = self.time.as_deref().and_then(|time| self.target(time));
        let time = time.as_ref().map(FieldName::as_str);
        self.uses = engine.fields_in_use(caller, &self.to, &fields, time)?;
        Ok(())
    }

    fn of_documents(&self, proposals: &[FieldProposal]) -> Vec<ColumnProposal> {
        let mut proposed: Vec<ColumnProposal> = Vec::new();
        for proposal in proposals {
            let planned = self.planned(&proposal.field);
            let native = self.native(&proposal.field);
            let mut one = of_field(&proposal.field, proposal, native);
            one.says_type = true;
            if proposal.sampled == 0 && !proposal.by_rule {
                one.class = None;
                one.reason = "no value of it was seen, so a guardian rules".to_owned();
            }
            proposed.push(self.decided(one, planned));
        }
        let known = self.known.iter().flat_map(|known| &known.columns);
        for planned in known.filter(|column| column.value.is_none()) {
            if !proposed.iter().any(|one| one.name == planned.from) {
                proposed.push(self.unseen(planned));
            }
        }
        proposed
    }

    fn of_columns(
        &self,
        columns: &[CopyColumn],
        proposals: &[FieldProposal],
    ) -> Vec<ColumnProposal> {
        let by_field: BTreeMap<&str, &FieldProposal> =
            proposals.iter().map(|proposal| (proposal.field.as_str(), proposal)).collect();
        let mut proposed = Vec::new();
        for (place, (column, read_as)) in self.looked.layout.columns.iter().zip(columns).enumerate()
        {
            let Some(field) = &read_as.field else { continue };
            let planned = self.planned(&column.name);
            let prefix = format!("{}.", field.name);
            let below: Vec<&FieldProposal> = proposals
                .iter()
                .filter(|proposal| read_as.json && proposal.field.starts_with(&prefix))
                .collect();
            let one = match by_field.get(field.name.as_str()) {
                Some(proposal) if below.is_empty() => {
                    let mut one = of_field(&column.name, proposal, &column.native);
                    if !proposal.by_rule && says_much(&self.looked.rows, place) {
                        one.class = None;
                        one.reason = "no rule knows it, and nearly every row has another text: it \
                                      may speak of a person, so a guardian rules"
                            .to_owned();
                    }
                    one
                }
                // JSON. If no value of it was seen, what comes is withheld.
                _ => self.of_json(column, &below, prefix.len(), planned),
            };
            proposed.push(self.decided(one, planned));
        }
        proposed
    }

    fn of_json(
        &self,
        column: &SourceColumn,
        below: &[&FieldProposal],
        prefix: usize,
        planned: Option<&ColumnPlan>,
    ) -> ColumnProposal {
        let target = self.target(&column.name);
        let target = target.as_ref().map_or(column.name.as_str(), FieldName::as_str);
        let known = planned.map(|planned| planned.fields.as_slice()).unwrap_or_default();
        let mut fields: Vec<ColumnProposal> = Vec::new();
        for proposal in below {
            let short = &proposal.field[prefix..];
            let mut one = of_field(short, proposal, "");
            one.says_type = true;
            let planned = known.iter().find(|field| field.from == short);
            one.used = match one.class {
                Some(Class::Secret) => Used::Credential,
                _ => self.used(&format!("{target}.{short}"), planned),
            };
            fields.push(match planned {
                Some(planned) => as_planned(one, planned),
                None => one,
            });
        }
        for planned in known {
            if fields.iter().any(|field| field.name == planned.from) {
                continue;
            }
            let mut one = self.unseen(planned);
            one.used = self.used(planned.to.as_str(), Some(planned));
            fields.push(one);
        }
        ColumnProposal {
            native: column.native.clone(),
            is_json: true,
            reason: "JSON: each field below it has its own ruling".to_owned(),
            fields,
            ..blank(&column.name, FieldType::Keyword)
        }
    }

    /// What a person decided counts before what is proposed.
    fn decided(&self, one: ColumnProposal, planned: Option<&ColumnPlan>) -> ColumnProposal {
        let mut one = match planned {
            Some(planned) => as_planned(one, planned),
            None => one,
        };
        let target = self.target(&one.name);
        if let Some(target) = &target
            && target.as_str() != one.name
        {
            one.to = Some(target.as_str().to_owned());
        }
        let target = target.as_ref().map_or(one.name.as_str(), FieldName::as_str);
        let is_time = self.time.as_deref() == Some(one.name.as_str());
        let left_out = self.left_out(&one.name).filter(|_| planned.is_none());
        one.used = match (one.class, left_out) {
            _ if self.key.contains(&one.name) => Used::Key,
            (Some(Class::Secret), _) => Used::Credential,
            (_, Some(why)) => Used::LeftOut(why.to_owned()),
            _ if is_time => Used::Time,
            _ => self.used(target, planned),
        };
        if one.used == Used::Time {
            (one.class, one.kind) = (Some(Class::Open), String::new());
        }
        let below = one.fields.iter().any(|field| field.used.is_copied());
        if below && matches!(one.used, Used::Nothing | Used::Ended(_)) {
            one.used = Used::By(Vec::new());
        }
        one
    }

    /// Why a person left a column out; what a plan left out may be used by now.
    fn left_out(&self, from: &str) -> Option<&str> {
        let mut left_out = self.known?.left_out.iter().filter(|(name, _)| name == from);
        let (_, why) = left_out.next()?;
        let own = [NOTHING_USES_IT, A_CREDENTIAL, ENDED];
        Some(why.as_str()).filter(|why| !own.iter().any(|own| why.starts_with(own)))
    }

    /// What a column is for that is neither key nor time nor a credential.
    fn used(&self, target: &str, planned: Option<&ColumnPlan>) -> Used {
        if let Some(uses) = self.uses.get(target) {
            return Used::By(uses.told());
        }
        let stated = planned.and_then(|planned| planned.purpose.as_ref());
        match (stated, self.purpose, planned) {
            (Some((purpose, until)), _, Some(planned)) if !is_over(planned, self.now) => {
                Used::Purpose(purpose.clone(), day(*until))
            }
            (_, Some((purpose, until)), _) => Used::Purpose(purpose.to_owned(), until.to_owned()),
            (Some((_, until)), None, _) => Used::Ended(day(*until)),
            (None, None, _) => Used::Nothing,
        }
    }

    /// Values that the file makes of columns.
    fn made(&self) -> Vec<ColumnProposal> {
        let known = self.known.iter().flat_map(|known| &known.columns);
        let made = known.filter_map(|column| Some((column, column.value.as_ref()?)));
        let made = made.map(|(column, value)| {
            let mut one = as_planned(blank(&column.from, FieldType::Keyword), column);
            one.value = Some(value.text.clone());
            if column.to.as_str() != column.from {
                one.to = Some(column.to.as_str().to_owned());
            }
            one.used = self.used(column.to.as_str(), Some(column));
            one
        });
        made.collect()
    }

    /// A field of documents that no sampled one has.
    fn unseen(&self, planned: &ColumnPlan) -> ColumnProposal {
        let mut one = blank(&planned.from, planned.ty.unwrap_or(FieldType::Keyword));
        one.native = self.native(&planned.from).to_owned();
        one.says_type = true;
        self.decided(one, Some(planned))
    }

    /// What the source itself says about a field of its documents.
    fn native(&self, name: &str) -> &str {
        let declared = self.looked.table.columns.iter().find(|column| column.name == name);
        declared.map_or("", |column| column.native.as_str())
    }
}

/// A proposal with what the file says about it.
fn as_planned(one: ColumnProposal, planned: &ColumnPlan) -> ColumnProposal {
    ColumnProposal {
        ty: planned.ty.unwrap_or(one.ty),
        says_type: planned.ty.is_some() || one.says_type,
        class: planned.class,
        kind: planned.kind.clone(),
        reason: if planned.why.is_empty() { one.reason } else { planned.why.clone() },
        ..one
    }
}

fn blank(name: &str, ty: FieldType) -> ColumnProposal {
    ColumnProposal {
        name: name.to_owned(),
        to: None,
        native: String::new(),
        ty,
        says_type: false,
        value: None,
        is_json: false,
        class: Some(Class::Open),
        kind: String::new(),
        reason: String::new(),
        shapes: Vec::new(),
        used: Used::Nothing,
        fields: Vec::new(),
    }
}

fn of_field(name: &str, proposal: &FieldProposal, native: &str) -> ColumnProposal {
    ColumnProposal {
        native: native.to_owned(),
        says_type: proposal.ty == FieldType::Text,
        class: Some(proposal.class),
        kind: proposal.kind.clone(),
        reason: match proposal.by_rule {
            true => proposal.reason.clone(),
            false => "nothing in its name or its values speaks of a person".to_owned(),
        },
        shapes: proposal.shapes.iter().map(|shape| shape.shape.clone()).take(3).collect(),
        ..blank(name, proposal.ty)
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
