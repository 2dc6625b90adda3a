//! What stands around a copy of production data: its records, what opens its sources, what the
//! classifier and the declared metrics say about columns, and the tables that it fills.

use crate::document::BatchBuilder;
use crate::error::chain;
use crate::ruling::{NewRuling, RulingEffect};
use crate::{CopyColumn, Engine, EngineError};
use model::{
    Batch, Class, CopiedRows, Field, FieldId, FieldType, Intake, Ruling, Schema, Table, TableId,
    TableKind, TableName,
};
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::classify::FieldFacts;
use protection::grant::Action;
use protection::{RecordStore, Shape};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{Aside, Store, StoreError};
use zeroize::Zeroizing;

/// The kinds of the catalog's records.
const COPIES: &str = "copy";
const SECRETS: &str = "source_secret";
/// The longest secret that opens a source, in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What the classifier says about a field of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProposal {
    /// The path of the field.
    pub field: String,
    /// What its values are.
    pub ty: FieldType,
    /// The class that the classifier would give.
    pub class: Class,
    /// The kind of value; empty if open.
    pub kind: String,
    /// Why. Never a value.
    pub reason: String,
    /// Whether a rule or most values said so; false: open because nothing spoke against it.
    pub by_rule: bool,
    /// What the sampled values look like, the most frequent first.
    pub shapes: Vec<Shape>,
    /// How many values were looked at.
    pub sampled: u64,
}

/// The class that a signed plan gives to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRuling {
    /// The class; `None`: withheld until a guardian rules.
    pub class: Option<Class>,
    /// The kind of its values; empty if open.
    pub kind: String,
    /// Why.
    pub reason: String,
}

/// A table as a signed plan wants it.
#[derive(Clone, Debug)]
pub struct CopyTable {
    /// Its name.
    pub name: String,
    /// Whether its rows have keys and are updated.
    pub entities: bool,
    /// The date that orders its rows.
    pub time_field: Option<String>,
    /// Rows older than this many milliseconds are dropped.
    pub retention_ms: Option<i64>,
    /// Its fields and what is ruled about them.
    pub fields: Vec<(Field, CopyRuling)>,
    /// The copy filled it before. A column that has another type at the source since then stops
    /// nothing: its field keeps its type, and values that it cannot hold are left out.
    pub keeps_types: bool,
}

/// Makes places for what a copy cannot hold in memory.
#[derive(Clone)]
pub struct Asides(Arc<Store>);

impl Asides {
    /// A new place: sealed, without a name, gone with the process.
    ///
    /// # Errors
    /// If the disk is full or fails.
    pub fn make(&self) -> std::io::Result<Aside> {
        self.0.aside()
    }
}

impl std::fmt::Debug for Asides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asides")
    }
}

impl Engine {
    /// Where a copy puts aside what does not fit in memory.
    pub fn asides(&self) -> Asides {
        Asides(Arc::clone(&self.store))
    }

    /// The stored form of every copy, by name. It means something to the copying alone.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub fn stored_copies(&self) -> Result<Vec<(String, Vec<u8>)>, EngineError> {
        let records: &dyn RecordStore = &**self.store.catalog();
        records.list(COPIES).map_err(|error| EngineError::unavailable(error.to_string()))
    }

    /// Keeps the stored form of a copy; durable when this returns.
    ///
    /// # Errors
    /// If the catalog cannot be written; the old form stays then.
    pub fn store_copy(&self, name: &str, stored: &[u8]) -> Result<(), EngineError> {
        let records: &dyn RecordStore = &**self.store.catalog();
        records
            .put(COPIES, name, stored)
            .map_err(|error| EngineError::unavailable(error.to_string()))
    }

    /// Removes the stored form of a copy; the tables that it filled stay.
    ///
    /// # Errors
    /// If the catalog cannot be written.
    pub fn forget_copy(&self, name: &str) -> Result<(), EngineError> {
        let records: &dyn RecordStore = &**self.store.catalog();
        records.delete(COPIES, name).map_err(|error| EngineError::unavailable(error.to_string()))
    }

    /// Whether `caller` may plan and run copies: whoever may make tables and write to them.
    ///
    /// # Errors
    /// 403 if not.
    pub fn may_copy(&self, caller: &Caller) -> Result<(), EngineError> {
        self.may(caller, Action::Write, None)?;
        self.may(caller, Action::CreateTable, None)
    }

    /// Whether `caller` may sign a plan that fills a table (`None`: any): whoever may rule on it.
    ///
    /// # Errors
    /// 403 if not, 400 if no table can be called so.
    pub fn may_sign(&self, caller: &Caller, table: Option<&str>) -> Result<(), EngineError> {
        let table = table
            .map(TableName::parse)
            .transpose()
            .map_err(|error| EngineError::illegal_argument(format!("a table name {error}")))?;
        self.may(caller, Action::Rule, table.as_ref())
    }

    /// Whether nothing was ever stored, so that one person alone may set everything up.
    pub fn is_founding(&self) -> bool {
        self.policies.is_founding()
    }

    /// The account that started a copy, for as long as it may do what it started.
    ///
    /// # Errors
    /// 403 if it is disabled or gone, or may not write any more.
    pub fn copy_caller(&self, account: &str, copy: &str) -> Result<Caller, EngineError> {
        let gone = || {
            let reason = format!(
                "`{account}`, who started this copy, may not write any more; let another engineer \
                 resume it"
            );
            EngineError::forbidden(reason)
        };
        let caller = self.directory.on_duty(account, &format!("copy:{copy}")).ok_or_else(gone)?;
        self.may_copy(&caller).map_err(|_| gone())?;
        Ok(caller)
    }

    /// Writes what happens to a copy into the audit record.
    ///
    /// # Errors
    /// If it cannot be written; then it must not happen.
    pub fn record_copy(
        &self,
        caller: &Caller,
        copy: &str,
        what: &str,
        tables: &[String],
    ) -> Result<(), EngineError> {
        self.record(&Event {
            policy: self.policies.version(),
            tables: tables.to_vec(),
            subject: copy.to_owned(),
            outcome: what.to_owned(),
            ..Event::by(EventKind::Copy, caller)
        })
    }

    /// Keeps what opens a source (a password, a key) in the key ring's keeping. It is given out to
    /// copies of this node alone and shown to nobody.
    ///
    /// # Errors
    /// 403 without the right to copy; if it is too long or cannot be kept.
    pub fn put_source_secret(
        &self,
        caller: &Caller,
        name: &str,
        secret: &[u8],
    ) -> Result<(), EngineError> {
        self.may_copy(caller)?;
        check_name(name)?;
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            let reason = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes");
            return Err(EngineError::illegal_argument(reason));
        }
        self.record_secret(caller, name, "kept")?;
        let sealed = self.seal_secret(&secret_name(name), secret);
        let records: &dyn RecordStore = &**self.store.catalog();
        records
            .put(SECRETS, name, &sealed)
            .map_err(|error| EngineError::unavailable(error.to_string()))
    }

    /// Forgets what opens a source. Copies that use it pause when they connect again.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is none.
    pub fn remove_source_secret(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        self.may_copy(caller)?;
        if !self.source_secrets(caller)?.iter().any(|known| known == name) {
            let reason = format!("there is no secret `{}`", name.escape_debug());
            return Err(EngineError::new(404, "resource_not_found_exception", reason));
        }
        self.record_secret(caller, name, "removed")?;
        let records: &dyn RecordStore = &**self.store.catalog();
        records.delete(SECRETS, name).map_err(|error| EngineError::unavailable(error.to_string()))
    }

    /// The names of the secrets that are kept.
    ///
    /// # Errors
    /// 403 without the right to copy; if the catalog cannot be read.
    pub fn source_secrets(&self, caller: &Caller) -> Result<Vec<String>, EngineError> {
        self.may_copy(caller)?;
        let records: &dyn RecordStore = &**self.store.catalog();
        let known = records.list(SECRETS);
        let known = known.map_err(|error| EngineError::unavailable(error.to_string()))?;
        Ok(known.into_iter().map(|(name, _)| name).collect())
    }

    /// A secret, for a copy that connects. Not for an answer to anybody.
    ///
    /// # Errors
    /// 404 if there is none of this name; if it does not open.
    pub fn source_secret(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let records: &dyn RecordStore = &**self.store.catalog();
        let known = records.list(SECRETS);
        let known = known.map_err(|error| EngineError::unavailable(error.to_string()))?;
        let sealed = known.into_iter().find(|(known, _)| known == name).map(|(_, sealed)| sealed);
        let Some(sealed) = sealed else {
            let reason = format!(
                "there is no secret `{}`; keep it with: clerestory copy secret {} --from-file F",
                name.escape_debug(),
                name.escape_debug()
            );
            return Err(EngineError::new(404, "resource_not_found_exception", reason));
        };
        match self.open_secret(&secret_name(name), &sealed) {
            Some(secret) => Ok(Zeroizing::new(secret)),
            None => Err(EngineError::internal("a source secret that does not open")),
        }
    }

    fn record_secret(&self, caller: &Caller, name: &str, what: &str) -> Result<(), EngineError> {
        self.record(&Event {
            policy: self.policies.version(),
            subject: name.to_owned(),
            outcome: what.to_owned(),
            ..Event::by(EventKind::SourceSecret, caller)
        })
    }

    /// What the classifier says about sampled rows that are to come into `table`, field by field:
    /// also the fields below JSON. Nothing is stored.
    ///
    /// # Errors
    /// If the rows do not fit the columns.
    pub fn propose_for_rows(
        &self,
        table: &str,
        columns: &[CopyColumn],
        rows: &CopiedRows,
    ) -> Result<Vec<FieldProposal>, EngineError> {
        let mut table = blank_table(table)?;
        let mut builder = BatchBuilder::new(&table);
        let mut targets = Vec::with_capacity(columns.len());
        for column in columns {
            targets.push(match &column.field {
                Some(field) => builder
                    .cell_target(field, column.json)
                    .map_err(|error| EngineError::illegal_argument(error.reason))?,
                None => crate::document::CellTarget::Nowhere,
            });
        }
        let mut left_out = vec![0; rows.width()];
        for row in 0..rows.len() {
            if columns.is_empty() {
                let json = rows.text(rows.row(row)[1]).unwrap_or_default();
                // A document that does not read proposes nothing; the copy counts it.
                let _ = builder.put(None, json.as_bytes());
            } else {
                builder.put_cells(None, &targets, rows, row, &mut left_out);
            }
        }
        let built = builder.finish();
        for field in built.new_fields {
            table.schema.push(field);
        }
        let columns: BTreeMap<FieldId, &model::Column> =
            built.batch.columns.iter().map(|column| (column.field, column)).collect();
        let mut proposals = Vec::with_capacity(table.schema.fields().len());
        for (place, field) in table.schema.fields().iter().enumerate() {
            let id = FieldId(place as u32);
            let nothing =
                model::Column { field: id, rows: Vec::new(), values: no_values(field.ty) };
            let column = columns.get(&id).copied().unwrap_or(&nothing);
            let mut proposal = self.sealer.propose(&table, column)?;
            if proposal.class != Class::Secret && self.holds_credentials(&column.values) {
                (proposal.class, proposal.by_rule) = (Class::Secret, true);
                proposal.kind = "token".to_owned();
                proposal.reason = "credentials inside its values".to_owned();
            }
            proposals.push(FieldProposal {
                field: field.name.as_str().to_owned(),
                ty: field.ty,
                class: proposal.class,
                kind: proposal.kind,
                reason: proposal.reason,
                by_rule: proposal.by_rule,
                shapes: proposal.shapes,
                sampled: proposal.sampled,
            });
        }
        Ok(proposals)
    }

    /// Makes the table of a signed plan, or adds to it what it lacks. What is ruled on fields that
    /// are new counts at once, if two people stand behind the plan (`second`), or nothing was ever
    /// stored; else fields that the plan makes less strict than the classifier would are withheld.
    /// Rulings of fields that are there stay: see [`Engine::rule_copied`].
    ///
    /// # Errors
    /// If the caller may not make tables; if a field would change its type, or the table has other
    /// fields that contradict.
    pub fn ready_copy_table(
        &self,
        caller: &Caller,
        by: &str,
        second: bool,
        wanted: &CopyTable,
    ) -> Result<(), EngineError> {
        let name = TableName::parse(&wanted.name).map_err(|error| {
            EngineError::illegal_argument(format!("table `{}` {error}", wanted.name))
        })?;
        self.may(caller, Action::CreateTable, Some(&name))?;
        self.may(caller, Action::Write, Some(&name))?;
        let second = second || self.is_founding();
        if self.store.table(name.as_str()).is_none() {
            let mut table = blank_table(name.as_str())?;
            table.kind = if wanted.entities { TableKind::Entities } else { TableKind::Events };
            table.time_field.clone_from(&wanted.time_field);
            table.retention_ms = wanted.retention_ms;
            self.add_copied_fields(&mut table, by, second, wanted)?;
            self.record_copied_table(EventKind::TableCreated, caller, &table)?;
            match self.store.create_table(table) {
                Ok(_) => return Ok(()),
                Err(StoreError::TableExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lock = self.schema_lock(self.copy_table(name.as_str())?.id);
        let _locked = lock.lock();
        let before = self.copy_table(name.as_str())?;
        if before.intake != Intake::Closed {
            let reason = format!(
                "table `{name}` takes telemetry, whose new fields the classifier rules on; name \
                 another table"
            );
            return Err(EngineError::illegal_argument(reason));
        }
        let mut table = Table::clone(&before);
        self.add_copied_fields(&mut table, by, second, wanted)?;
        if table != *before {
            self.record_copied_table(EventKind::TableChanged, caller, &table)?;
            self.store.put_table(table)?;
        }
        Ok(())
    }

    fn add_copied_fields(
        &self,
        table: &mut Table,
        by: &str,
        second: bool,
        wanted: &CopyTable,
    ) -> Result<(), EngineError> {
        for (field, ruling) in &wanted.fields {
            if let Some((_, known)) = table.schema.find(field.name.as_str()) {
                if known.ty != field.ty && !wanted.keeps_types {
                    let reason = format!(
                        "field [{}] of [{}] is of type [{}] and stays so; name another target",
                        field.name, table.name, known.es_type
                    );
                    return Err(EngineError::illegal_argument(reason));
                }
                continue;
            }
            if let Some(kind) = self.sealer.name_as_value(field.name.as_str()) {
                let reason = format!("a field name is itself a value of kind {kind}");
                return Err(EngineError::illegal_argument(reason));
            }
            let id = table.schema.push(field.clone());
            let of_name = self.sealer.classifier().rule_on_field(&FieldFacts {
                name: field.name.as_str(),
                ty: field.ty,
                values: &no_values(field.ty),
            });
            let is_time = table.time_field.as_deref() == Some(field.name.as_str());
            let is_strict = ruling
                .class
                .is_some_and(|class| is_time || (of_name.by_rule && class >= of_name.class));
            let class = ruling.class.filter(|&class| second || is_strict || class == Class::Secret);
            let kind = if class.is_some() { ruling.kind.clone() } else { String::new() };
            let (at, reason) = (self.clock.now(), ruling.reason.clone());
            table.schema.rule(id, Ruling { by: by.to_owned(), at, reason, class, kind, rules: 0 });
        }
        Ok(())
    }

    /// Brings the fields that a table has already to what a signed plan rules: what is stricter at
    /// once, what lets more be seen as a change that waits for a second person. Says the numbers of
    /// the changes.
    ///
    /// # Errors
    /// If the caller may not rule, or a ruling cannot be carried out.
    pub fn rule_copied(
        &self,
        caller: &Caller,
        wanted: &CopyTable,
    ) -> Result<Vec<u64>, EngineError> {
        let Some(table) = self.store.table(&wanted.name) else { return Ok(Vec::new()) };
        self.may(caller, Action::Rule, Some(&table.name))?;
        let mut changes = Vec::new();
        for (field, ruling) in &wanted.fields {
            let Some((_, known)) = table.schema.find(field.name.as_str()) else { continue };
            let Some(class) = ruling.class else { continue };
            if known.class == Some(class) && !known.withheld {
                continue;
            }
            let wanted = NewRuling {
                table: wanted.name.clone(),
                field: field.name.as_str().to_owned(),
                class,
                kind: Some(ruling.kind.clone()).filter(|kind| !kind.is_empty()),
                reason: ruling.reason.clone(),
            };
            let plan = self.rule(caller, &wanted)?;
            if plan.effect == RulingEffect::Widens {
                changes.extend(plan.change);
            }
        }
        Ok(changes)
    }

    /// The rows of a table and when the last came, for the state of a copy.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn copied_rows(&self, table: &str) -> Result<u64, EngineError> {
        let table = self.copy_table(table)?;
        Ok(self.store.stats(table.id)?.rows)
    }

    /// What a field of a table holds; `None` if there is no such table or field yet.
    pub fn copied_field_type(&self, table: &str, field: &str) -> Option<FieldType> {
        let table = self.store.table(table)?;
        table.schema.find(field).map(|(_, field)| field.ty)
    }

    /// A column that came to the source after the plan was signed: withheld until a guardian rules,
    /// unless it carries credentials, which are not even sealed.
    pub(crate) fn withhold_new(&self, table: &mut Table, id: FieldId, batch: &Batch) {
        let field = table.schema.field(id);
        let nothing = no_values(field.ty);
        let column = batch.columns.iter().find(|column| column.field == id);
        let verdict = self.sealer.classifier().rule_on_field(&FieldFacts {
            name: field.name.as_str(),
            ty: field.ty,
            values: column.map_or(&nothing, |column| &column.values),
        });
        if verdict.by_rule && verdict.class == Class::Secret {
            return;
        }
        let holds_credentials = column.is_some_and(|c| self.holds_credentials(&c.values));
        let (class, kind, reason) = match holds_credentials {
            true => (Some(Class::Secret), "token", "credentials inside its values"),
            false => (None, "", "it came to the source after the plan was signed"),
        };
        table.schema.rule(
            id,
            Ruling {
                by: Ruling::CLASSIFIER.to_owned(),
                at: self.clock.now(),
                reason: reason.to_owned(),
                class,
                kind: kind.to_owned(),
                rules: 0,
            },
        );
    }

    /// Whether most of the texts have a credential somewhere inside: what is withheld is sealed, but
    /// credentials are not even that.
    fn holds_credentials(&self, values: &model::Values) -> bool {
        const LOOKED_AT: usize = 200;
        let model::Values::Strings(strings) = values else { return false };
        let mut findings = Vec::new();
        let (mut looked, mut found) = (0, 0);
        for text in strings.iter_distinct().take(LOOKED_AT) {
            self.sealer.classifier().find_in_text(text, &mut findings);
            looked += 1;
            found += usize::from(findings.iter().any(|finding| finding.class == Class::Secret));
        }
        found * 2 > looked
    }

    fn record_copied_table(
        &self,
        kind: EventKind,
        caller: &Caller,
        table: &Table,
    ) -> Result<(), EngineError> {
        let mut event = Event::by(kind, caller);
        event.policy = self.policies.version();
        event.tables = vec![table.name.as_str().to_owned()];
        event.outcome = "allowed".to_owned();
        self.record(&event).inspect_err(|error| {
            tracing::error!(cause = chain(error), "a table is not made");
        })
    }
}

pub(crate) fn blank_table(name: &str) -> Result<Table, EngineError> {
    let name = TableName::parse(name)
        .map_err(|error| EngineError::illegal_argument(format!("a table name {error}")))?;
    Ok(Table {
        id: TableId(0), // The store chooses.
        name,
        kind: TableKind::Entities,
        intake: Intake::Closed,
        time_field: None,
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::default(),
    })
}

fn no_values(ty: FieldType) -> model::Values {
    match ty {
        FieldType::Long | FieldType::Date => model::Values::Longs(Vec::new()),
        FieldType::Double => model::Values::Doubles(Vec::new()),
        FieldType::Boolean => model::Values::Bools(Vec::new()),
        FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint => {
            model::Values::Strings(model::Strings::default())
        }
    }
}

fn secret_name(name: &str) -> String {
    format!("source {name}")
}

fn check_name(name: &str) -> Result<(), EngineError> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(EngineError::illegal_argument(
            "a name is 1 to 64 small letters, digits, `-`, `_` and `.`",
        ));
    }
    Ok(())
}
