//! Rulings: which fields wait for one, what one would do, and carrying it out.
//!
//! A ruling counts for every read from the moment it is in the catalog; stored values follow in
//! the background. A guardian may make a field stricter alone. Whatever lets somebody see more
//! than before is checked here and carried out for the change that two people agreed on.

use crate::error::{EngineError, chain};
use crate::{Engine, FieldsInUse};
use model::{Class, Column, Field, FieldId, Ruling, Table};
use protection::Proposal;
use protection::audit::{Event, EventKind, FieldTouched};
use protection::caller::Caller;
use protection::grant::Action;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// So many rows are looked at for a proposal.
const SAMPLE_ROWS: usize = 64;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// A ruling that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRuling {
    /// On a field of this table.
    pub table: String,
    /// Its path.
    pub field: String,
    /// The class that it gets.
    pub class: Class,
    /// The kind of its values; `None`: as it was, as the classifier says, or after its name.
    pub kind: Option<String>,
    /// Why, in the person's words.
    pub reason: String,
}

/// What a ruling means for those who read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulingEffect {
    /// Nobody sees more or less: a person agrees with the classifier.
    Confirms,
    /// Somebody sees less, nobody more.
    Tightens,
    /// Somebody sees more, so it takes two people.
    Widens,
}

impl RulingEffect {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            RulingEffect::Confirms => "confirms",
            RulingEffect::Tightens => "tightens",
            RulingEffect::Widens => "widens",
        }
    }
}

/// A ruling that was checked, and what it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulingPlan {
    /// The table.
    pub table: String,
    /// The field.
    pub field: String,
    /// What the field is now: a class, `withheld` or `unruled`.
    pub before: String,
    /// The class that it gets.
    pub class: Class,
    /// The kind of its values.
    pub kind: String,
    /// Why, in the person's words.
    pub reason: String,
    /// What it means for those who read.
    pub effect: RulingEffect,
    /// What becomes of the values that are stored.
    pub stored: &'static str,
    /// How many rows have a value.
    pub rows: u64,
    /// Declared metrics that use the field.
    pub metrics: Vec<String>,
    /// Dashboards that use it, of those that the caller may open.
    pub dashboards: Vec<String>,
    /// The change that waits for a second person; `None`: it is in force, or was only looked at.
    pub change: Option<u64>,
}

impl RulingPlan {
    /// The plan as the API shows it.
    pub fn to_json(&self) -> Json {
        json!({
            "table": self.table,
            "field": self.field,
            "before": self.before,
            "class": self.class.as_str(),
            "kind": self.kind,
            "reason": self.reason,
            "effect": self.effect.as_str(),
            "stored_values": self.stored,
            "rows": self.rows,
            "metrics": self.metrics,
            "dashboards": self.dashboards,
            "change": self.change,
        })
    }
}

impl Engine {
    /// The fields that wait for a person: withheld ones first, then those that only the classifier
    /// ruled on; of one table or all. Each with what the classifier proposes, what its values look
    /// like (never a value), how many rows have one, and what uses it.
    ///
    /// # Errors
    /// If the caller may not rule, there is no such table, or the store cannot be read.
    pub fn ruling_queue(&self, caller: &Caller, table: Option<&str>) -> Result<Json, EngineError> {
        let tables = match table {
            Some(name) => vec![self.table_for(caller, name)?],
            None => self.known_tables(caller),
        };
        self.may(caller, Action::Rule, None)?;
        let mut waiting: Vec<(bool, Json)> = Vec::new();
        for table in &tables {
            if self.may(caller, Action::Rule, Some(&table.name)).is_err() {
                continue;
            }
            let uses = self.uses_of(caller, table)?;
            for field in table.schema.fields().iter().filter(|field| field.awaits_review()) {
                waiting.push((!field.withheld, self.describe(table, field, &uses)?));
            }
        }
        waiting.sort_by_key(|(ruled, _)| *ruled);
        self.record_look(caller, &tables, "the queue")?;
        Ok(waiting.into_iter().map(|(_, shown)| shown).collect())
    }

    /// One field: its class, every ruling that it ever had, and how much is still stored as it was
    /// before the last one.
    ///
    /// # Errors
    /// If the caller may not rule, or there is no such table or field.
    pub fn ruling(&self, caller: &Caller, table: &str, field: &str) -> Result<Json, EngineError> {
        let table = self.table_for(caller, table)?;
        self.may(caller, Action::Rule, Some(&table.name))?;
        let (_, field) = find_field(&table, field)?;
        let mut shown = self.describe(&table, field, &self.uses_of(caller, &table)?)?;
        let history: Vec<Json> = field.rulings.iter().rev().map(ruling_json).collect();
        shown["history"] = Json::Array(history);
        shown["rows_to_rewrite"] = json!(self.store.stale_rows(table.id)?);
        shown["log_to_rewrite"] = json!(self.store.log_is_stale());
        self.record_look(caller, std::slice::from_ref(&table), field.name.as_str())?;
        Ok(shown)
    }

    /// The tables in which a ruling is being carried out, each with how many rows still lie as
    /// they did before it. Nobody reads them as they lie.
    ///
    /// # Errors
    /// If the caller may not rule, or the store cannot be read.
    pub fn rewrites(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may(caller, Action::Rule, None)?;
        let mut running = Vec::new();
        for table in self.known_tables(caller) {
            let rows = self.store.stale_rows(table.id)?;
            if rows > 0 {
                running.push(json!({ "table": table.name.as_str(), "rows": rows }));
            }
        }
        Ok(Json::Array(running))
    }

    /// Checks a ruling and says what it would do; nothing happens.
    ///
    /// # Errors
    /// If the caller may not rule, there is no such field, or the ruling makes no sense.
    pub fn propose_ruling(
        &self,
        caller: &Caller,
        wanted: &NewRuling,
    ) -> Result<RulingPlan, EngineError> {
        let table = self.table_for(caller, &wanted.table)?;
        self.may(caller, Action::Rule, Some(&table.name))?;
        let mut plan = self.plan_ruling(&table, wanted)?;
        if let Some(uses) = self.uses_of(caller, &table)?.remove(&plan.field) {
            (plan.metrics, plan.dashboards) = (uses.metrics, uses.dashboards);
        }
        Ok(plan)
    }

    /// Rules on a field, if one person may do it alone: agreeing with the classifier, or making it
    /// stricter. What lets more be seen waits for a second person, as a change.
    ///
    /// # Errors
    /// As [`Engine::propose_ruling`]; if it cannot be proposed.
    pub fn rule(&self, caller: &Caller, wanted: &NewRuling) -> Result<RulingPlan, EngineError> {
        let plan = self.propose_ruling(caller, wanted)?;
        if plan.effect == RulingEffect::Widens && !self.policies.is_founding() {
            let change = self.propose_widening(caller, wanted, &plan)?;
            return Ok(RulingPlan { change: Some(change), ..plan });
        }
        self.carry_out_ruling(caller, caller.name(), wanted)?;
        Ok(plan)
    }

    /// Puts a ruling into force. Whoever calls this has made sure that it may be: `by` are those
    /// who agreed on it, `caller` is the last of them.
    ///
    /// # Errors
    /// As [`Engine::propose_ruling`], or if it cannot be recorded or made durable; it is then not
    /// in force.
    pub(crate) fn carry_out_ruling(
        &self,
        caller: &Caller,
        by: &str,
        wanted: &NewRuling,
    ) -> Result<(), EngineError> {
        let known = self.store.table(&wanted.table);
        let id = known.ok_or_else(|| EngineError::no_table(&wanted.table))?.id;
        let lock = self.schema_lock(id);
        let _locked = lock.lock();
        let known = self.store.table_by_id(id);
        let table = known.ok_or_else(|| EngineError::no_table(&wanted.table))?;
        let plan = self.plan_ruling(&table, wanted)?;
        let (field, _) = find_field(&table, &wanted.field)?;
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::Rule),
            tables: vec![plan.table.clone()],
            fields: vec![FieldTouched {
                table: plan.table.clone(),
                field: plan.field.clone(),
                class: Some(plan.class),
                how: None,
            }],
            purpose: plan.reason.clone(),
            rows: Some(plan.rows),
            outcome: format!("{} to {}", plan.before, plan.class),
            subject: by.to_owned(),
            ..Event::by(EventKind::Ruling, caller)
        })?;
        let mut ruled = Table::clone(&table);
        let ruling = Ruling {
            by: by.to_owned(),
            at: self.clock.now(),
            reason: plan.reason,
            class: Some(plan.class),
            kind: plan.kind,
            rules: 0, // The schema counts.
        };
        ruled.schema.rule(field, ruling);
        self.store.put_table(ruled)?;
        tracing::info!(table_id = id.0, class = %plan.class, "field ruled on");
        Ok(())
    }

    fn plan_ruling(&self, table: &Table, wanted: &NewRuling) -> Result<RulingPlan, EngineError> {
        let (id, field) = find_field(table, &wanted.field)?;
        let reason = wanted.reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            let reason = format!("a ruling needs a reason of 1 to {REASON_BYTES_MAX} bytes");
            return Err(EngineError::illegal_argument(reason));
        }
        if self.sealer.name_as_value(reason).is_some() {
            let reason = "the reason holds a personal value or a credential; say it without";
            return Err(EngineError::illegal_argument(reason));
        }
        let name = field.name.as_str();
        let orders_rows = table.time_field.as_deref() == Some(name)
            || table.sort.as_ref().is_some_and(|sort| sort.field == name);
        if orders_rows && wanted.class != Class::Open {
            let reason = format!("the rows of [{}] stand in the order of [{name}]", table.name);
            return Err(EngineError::illegal_argument(format!("{reason}; it stays open")));
        }
        let (proposal, rows) = self.proposal(table, id, field)?;
        let kind = kind_for(field, wanted, proposal.as_ref())?;
        let is_same = field.class == Some(wanted.class) && !field.withheld;
        if is_same && !field.ruling().is_some_and(Ruling::is_by_classifier) {
            let reason = format!("[{name}] of [{}] is {} already", table.name, wanted.class);
            return Err(EngineError::illegal_argument(reason));
        }
        Ok(RulingPlan {
            table: table.name.as_str().to_owned(),
            field: name.to_owned(),
            before: state_of(field).to_owned(),
            class: wanted.class,
            kind,
            reason: reason.to_owned(),
            effect: effect_of(field, wanted.class),
            stored: what_becomes_of_values(field, wanted.class),
            rows,
            metrics: Vec::new(),
            dashboards: Vec::new(),
            change: None,
        })
    }

    /// What the classifier says about a field, and how many rows have a value of it.
    fn proposal(
        &self,
        table: &Table,
        id: FieldId,
        field: &Field,
    ) -> Result<(Option<Proposal>, u64), EngineError> {
        let (batches, rows) = self.store.sample(table.id, field.name.as_str(), SAMPLE_ROWS)?;
        let is_turned = matches!(field.class, Some(Class::Personal | Class::Secret));
        let column: Option<Column> = batches
            .into_iter()
            .flat_map(|batch| batch.columns)
            .find(|column| column.field == id && !is_turned);
        let Some(column) = column else { return Ok((None, rows)) };
        match self.sealer.propose(table, &column) {
            Ok(proposal) => Ok((Some(proposal), rows)),
            Err(error) => {
                tracing::error!(cause = chain(&error), "stored values cannot be looked at");
                Ok((None, rows))
            }
        }
    }

    fn describe(
        &self,
        table: &Arc<Table>,
        field: &Field,
        uses: &FieldsInUse,
    ) -> Result<Json, EngineError> {
        let (id, _) = find_field(table, field.name.as_str())?;
        let (proposal, rows) = self.proposal(table, id, field)?;
        let uses = uses.get(field.name.as_str()).cloned().unwrap_or_default();
        let proposed = proposal.as_ref().map(|proposal| {
            json!({
                "class": proposal.class.as_str(),
                "kind": proposal.kind,
                "reason": proposal.reason,
                "sampled": proposal.sampled,
                "shapes": proposal.shapes.iter().map(|shape| {
                    json!({ "shape": shape.shape, "values": shape.values })
                }).collect::<Vec<Json>>(),
            })
        });
        Ok(json!({
            "table": table.name.as_str(),
            "field": field.name.as_str(),
            "type": field.es_type,
            "state": state_of(field),
            "kind": field.kind,
            "ruling": field.ruling().map(ruling_json),
            "proposal": proposed,
            "rows": rows,
            "metrics": uses.metrics,
            "dashboards": uses.dashboards,
        }))
    }

    /// What uses the fields of a table.
    fn uses_of(&self, caller: &Caller, table: &Table) -> Result<FieldsInUse, EngineError> {
        let time = table.time_field.as_deref();
        self.fields_in_use(caller, table.name.as_str(), table.schema.fields(), time)
    }

    /// Somebody looked at what values look like.
    fn record_look(
        &self,
        caller: &Caller,
        tables: &[Arc<Table>],
        what: &str,
    ) -> Result<(), EngineError> {
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::Rule),
            tables: tables.iter().map(|table| table.name.as_str().to_owned()).collect(),
            subject: what.to_owned(),
            outcome: "shapes shown".to_owned(),
            ..Event::by(EventKind::RulingShown, caller)
        })
    }
}

fn find_field<'t>(table: &'t Table, name: &str) -> Result<(FieldId, &'t Field), EngineError> {
    table.schema.find(name).ok_or_else(|| {
        let reason = format!("there is no field [{}] in [{}]", name.escape_debug(), table.name);
        EngineError::new(404, "resource_not_found_exception", reason)
    })
}

fn ruling_json(ruling: &Ruling) -> Json {
    json!({
        "by": ruling.by,
        "at": ruling.at.to_rfc3339(),
        "reason": ruling.reason,
        "class": ruling.class.map_or("withheld", Class::as_str),
        "kind": ruling.kind,
    })
}

fn state_of(field: &Field) -> &'static str {
    match field.class {
        _ if field.withheld => "withheld",
        Some(class) => class.as_str(),
        None => "unruled",
    }
}

/// Who reads a withheld field sees nothing of it; of a secret one there is only a tag.
fn effect_of(field: &Field, class: Class) -> RulingEffect {
    if field.withheld {
        return match class {
            Class::Secret => RulingEffect::Tightens,
            _ => RulingEffect::Widens,
        };
    }
    // Without a ruling the classifier would have the next word; it may say anything.
    let before = field.class.unwrap_or(Class::Secret);
    match class.cmp(&before) {
        std::cmp::Ordering::Less => RulingEffect::Widens,
        std::cmp::Ordering::Equal if field.class.is_some() => RulingEffect::Confirms,
        _ => RulingEffect::Tightens,
    }
}

fn what_becomes_of_values(field: &Field, class: Class) -> &'static str {
    let is_sealed = field.withheld || field.class == Some(Class::Special);
    match (class, field.class) {
        (Class::Secret, Some(Class::Secret)) => "stay as they are",
        (Class::Secret, _) => "are destroyed; a keyed tag stands for each",
        (Class::Special, _) if is_sealed => "stay sealed",
        (Class::Special, _) => "are sealed value by value",
        (Class::Personal, _) if is_sealed => "are opened and become pseudonyms",
        (Class::Personal, Some(Class::Open) | None) => "become pseudonyms",
        (Class::Open, _) if is_sealed => "are opened and become readable",
        (Class::Open, Some(Class::Personal | Class::Secret)) => {
            "stay pseudonyms and tags: the store does not hold what they stand for"
        }
        _ => "stay as they are",
    }
}

/// The kind of a field's values under a ruling.
fn kind_for(
    field: &Field,
    wanted: &NewRuling,
    proposal: Option<&Proposal>,
) -> Result<String, EngineError> {
    const KIND_BYTES_MAX: usize = 32;
    if wanted.class == Class::Open {
        return Ok(String::new());
    }
    let current = Some(&field.kind).filter(|kind| !kind.is_empty());
    if let (Some(current), Some(kind)) = (current, &wanted.kind)
        && field.class == Some(wanted.class)
        && current != kind
    {
        let reason =
            format!("[{}] is of kind [{current}]; what is stored keeps that kind", field.name);
        return Err(EngineError::illegal_argument(reason));
    }
    let is_kind = |kind: &str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase();
        let fits = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || b"-_".contains(&byte);
        kind.len() <= KIND_BYTES_MAX
            && kind.bytes().next().is_some_and(is_letter)
            && kind.bytes().all(fits)
            && !kind.starts_with("secret-")
    };
    if let Some(kind) = &wanted.kind {
        return match is_kind(kind) {
            true => Ok(kind.clone()),
            false => Err(EngineError::illegal_argument(
                "a kind is 1 to 32 small letters, digits, - and _, and begins with a letter",
            )),
        };
    }
    let proposed = proposal.filter(|proposal| proposal.class == wanted.class);
    let proposed = proposed.map(|proposal| proposal.kind.clone()).filter(|kind| is_kind(kind));
    let of_name = Some(field.name.leaf().to_ascii_lowercase()).filter(|kind| is_kind(kind));
    let kind = current.cloned().or(proposed).or(of_name);
    Ok(kind.unwrap_or_else(|| "value".to_owned()))
}

#[cfg(test)]
mod tests;
