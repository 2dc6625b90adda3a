use crate::batch_codec::{self, DecodeError};
use crate::classify::{Classifier, FieldFacts, Finding, Hints, Verdict};
use crate::keys::KeyRing;
use crate::pseudonym::{OpenReading, Pseudonyms, is_pseudonym, open_hints};
use hashbrown::HashTable;
use model::{
    Batch, Class, Clock, Column, Field, FieldId, FieldType, GeneratedId, Intake, Ruling,
    StoredType, Strings, Table, TableName, Timestamp, Values,
};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

mod proposal;
mod renew;
mod rewrite;
mod subject;

pub use proposal::{Proposal, Shape};
pub use rewrite::Rewritten;
pub use subject::Subject;

/// The way in: rules on new fields, then replaces, tags or encrypts what is not open.
pub struct Sealer {
    ring: Arc<KeyRing>,
    pseudonyms: Arc<Pseudonyms>,
    classifier: Arc<Classifier>,
    clock: Arc<dyn Clock>,
    /// What the rules say of the ids of each table that was seen.
    id_kinds: RwLock<HashMap<TableName, Option<&'static str>>>,
}

/// What sealing made.
#[derive(Debug)]
pub struct SealOutcome {
    /// The batch, ready to be stored.
    pub batch: SealedBatch,
    /// Fields that were ruled on now; the table must be stored before or with the batch.
    pub newly_ruled: Vec<FieldId>,
    /// Where credentials came in: field, kind, how many values.
    pub secrets_seen: Vec<(FieldId, &'static str, u64)>,
}

/// Why a batch was not sealed. The table is unchanged, and no part of the batch may be stored:
/// take the rows out and seal what is left against a fresh copy of the table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Some rows carry what cannot be sealed.
    #[error("{} rows carry what cannot be sealed; leave them out", .0.len())]
    Refused(Vec<RefusedField>),
    /// A column speaks of a field or a row that is not there, or holds what its field cannot.
    #[error("the batch does not fit its table; this is a defect, please report it")]
    Misfit,
    /// A stored value does not open under the key of its field, or opens to no value.
    #[error("a sealed value of field {0} cannot be opened; restore the table from a backup")]
    Unreadable(String),
}

/// A row that cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedField {
    /// Its place in the batch.
    pub row: u32,
    /// Why.
    pub reason: RefusedReason,
}

/// Why a row cannot be sealed. Carries no name: a name that is a value is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedReason {
    /// A key of the document is itself a personal value or a credential.
    #[error("a field name is itself a value of kind {0}; put the value into a field")]
    NameIsValue(&'static str),
    /// A number with the checksum of a payment card, in a field that keeps its numbers.
    #[error(
        "a number field that was ruled open holds a payment card number; ask a guardian to rule on the field, or send it as a string"
    )]
    CardInNumbers,
}

impl Sealer {
    /// A sealer under `ring`.
    pub fn new(
        ring: Arc<KeyRing>,
        pseudonyms: Arc<Pseudonyms>,
        classifier: Arc<Classifier>,
        clock: Arc<dyn Clock>,
    ) -> Sealer {
        Sealer { ring, pseudonyms, classifier, clock, id_kinds: RwLock::default() }
    }

    /// The pseudonyms it makes.
    pub fn pseudonyms(&self) -> &Arc<Pseudonyms> {
        &self.pseudonyms
    }

    /// The rules it asks; see [`Classifier::adopt`].
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Rules on the fields of `table` that have no class yet and that `batch` has values for,
    /// then seals the batch.
    ///
    /// # Errors
    /// If rows must be left out, or the batch does not fit the table; the table is then unchanged.
    pub fn seal(&self, table: &mut Table, batch: Batch) -> Result<SealOutcome, SealError> {
        check_fit(table, &batch)?;
        // Read first: if another epoch begins meanwhile, a store does not take the batch.
        let epoch = self.pseudonyms.epoch();
        let mut refused = Vec::new();
        self.refuse_shapes(&batch, &mut refused);
        let mut rulings = Vec::new();
        for column in &batch.columns {
            let field = table.schema.field(column.field);
            if field.class.is_none() && !field.withheld && !column.values.is_empty() {
                match self.name_as_value(field.name.as_str()) {
                    Some(kind) => {
                        let reason = RefusedReason::NameIsValue(kind);
                        refused.extend(column.rows.iter().map(|&row| RefusedField { row, reason }));
                    }
                    None => rulings.push((column.field, self.rule(table, field, &column.values))),
                }
            }
            self.refuse_cards(field, column, &mut refused);
        }
        if !refused.is_empty() {
            refused.sort_by_key(|refused| refused.row);
            refused.dedup_by_key(|refused| refused.row);
            return Err(SealError::Refused(refused));
        }
        let mut newly_ruled = self.apply(table, rulings);
        let mut batch = batch;
        newly_ruled.extend(self.tell_companions(table, &mut batch));
        let mut secrets_seen = Vec::new();
        let batch = self.seal_rows(table, batch, &mut secrets_seen);
        let batch = SealedBatch { batch, rules: table.schema.rules(), epoch };
        Ok(SealOutcome { batch, newly_ruled, secrets_seen })
    }

    /// How an `_id` of a table is stored and looked up. The ids of a table of persons or devices
    /// (`users`, `devices`) are those persons and devices: they become the pseudonyms that a field
    /// such as `user_id` gets, so that the two can be joined. In any other id what is personal or
    /// secret is replaced.
    pub fn row_id(&self, table: &TableName, id: &str) -> String {
        if GeneratedId::parse(id).is_some() || is_pseudonym(id) {
            return id.to_owned();
        }
        match self.id_kind(table) {
            Some(kind) => self.pseudonyms.of(kind, id),
            None => self.turned_id(id),
        }
    }

    /// The kind of the ids of a table whose name says what its rows are.
    fn id_kind(&self, table: &TableName) -> Option<&'static str> {
        if let Some(&kind) = self.id_kinds.read().get(table) {
            return kind;
        }
        let kind = self.rule_on_ids(table);
        self.id_kinds.write().insert(table.clone(), kind);
        kind
    }

    fn rule_on_ids(&self, table: &TableName) -> Option<&'static str> {
        let last = table.as_str().rsplit(['.', '-', '_']).next().unwrap_or_default();
        let name = format!("{}_id", last.strip_suffix('s').unwrap_or(last));
        let values = Values::Longs(Vec::new());
        let facts = FieldFacts { name: &name, ty: FieldType::Keyword, values: &values };
        let verdict = self.classifier.rule_on_field(&facts);
        (verdict.by_rule && verdict.class == Class::Personal).then_some(verdict.kind)
    }

    fn turned_id(&self, id: &str) -> String {
        let mut findings = Vec::new();
        self.classifier.find(id, Hints::NAME, &mut findings);
        let mut out = String::with_capacity(id.len());
        self.pseudonyms.push_replaced(id, &findings, &mut out);
        out
    }

    /// The kind of value that a field name is instead of a name; such a name must not be stored.
    pub fn name_as_value(&self, name: &str) -> Option<&'static str> {
        let mut findings = Vec::new();
        self.classifier.find(name, Hints::NAME, &mut findings);
        findings.first().map(|finding| finding.kind)
    }

    /// Keys of empty objects stand nowhere but in the shape.
    fn refuse_shapes(&self, batch: &Batch, refused: &mut Vec<RefusedField>) {
        let kinds: Vec<Option<&'static str>> =
            batch.shapes.iter().map(|shape| self.name_as_value(shape)).collect();
        if kinds.iter().all(Option::is_none) {
            return;
        }
        for (row, shape) in batch.rows.iter().map(|row| row.shape).enumerate() {
            if let Some(kind) = shape.and_then(|shape| kinds[shape as usize]) {
                let reason = RefusedReason::NameIsValue(kind);
                refused.push(RefusedField { row: row as u32, reason });
            }
        }
    }

    fn refuse_cards(&self, field: &Field, column: &Column, refused: &mut Vec<RefusedField>) {
        let is_open = field.class == Some(Class::Open) && !field.withheld;
        let is_number = matches!(field.ty, FieldType::Long | FieldType::Double);
        if !is_open || !is_number || !self.classifier.hints(field.name.as_str()).card {
            return;
        }
        for (place, &row) in column.rows.iter().enumerate() {
            if text_of(&column.values, place, field.ty)
                .is_some_and(|text| self.classifier.is_card(&text))
            {
                refused.push(RefusedField { row, reason: RefusedReason::CardInNumbers });
            }
        }
    }

    /// `None`: withheld until a guardian rules.
    fn rule(&self, table: &Table, field: &Field, values: &Values) -> Option<Verdict> {
        if table.time_field.as_deref() == Some(field.name.as_str()) && field.ty == FieldType::Date {
            let reason = "the time field of the table".to_owned();
            return Some(Verdict { class: Class::Open, kind: "", reason, by_rule: true });
        }
        let facts = FieldFacts { name: field.name.as_str(), ty: field.ty, values };
        let verdict = self.classifier.rule_on_field(&facts);
        (verdict.by_rule || table.intake == Intake::Classified).then_some(verdict)
    }

    fn apply(&self, table: &mut Table, rulings: Vec<(FieldId, Option<Verdict>)>) -> Vec<FieldId> {
        let at = self.clock.now();
        let mut ruled = Vec::with_capacity(rulings.len());
        for (id, verdict) in rulings {
            let (class, kind, reason) = match verdict {
                Some(verdict) => (Some(verdict.class), verdict.kind, verdict.reason),
                None => (None, "", "no rule knows it; a guardian has to rule".to_owned()),
            };
            let by = Ruling::CLASSIFIER.to_owned();
            let kind = kind.to_owned();
            table.schema.rule(id, Ruling { by, at, reason, class, kind, rules: 0 });
            ruled.push(id);
        }
        ruled
    }

    fn seal_rows(
        &self,
        table: &Table,
        mut batch: Batch,
        secrets_seen: &mut Vec<(FieldId, &'static str, u64)>,
    ) -> Batch {
        for id in batch.rows.iter_mut().filter_map(|row| row.id.as_mut()) {
            let turned = self.row_id(&table.name, id);
            if turned != **id {
                *id = turned.into_boxed_str();
            }
        }
        for column in &mut batch.columns {
            let field = table.schema.field(column.field);
            if field.companion_of.is_some() && companions::is_open(field) {
                continue;
            }
            let values = std::mem::replace(&mut column.values, Values::Bools(Vec::new()));
            column.values = match field.class {
                _ if field.withheld => self.encrypt(table, column.field, values),
                Some(Class::Special) => self.encrypt(table, column.field, values),
                Some(class @ (Class::Personal | Class::Secret)) => {
                    if class == Class::Secret && !values.is_empty() {
                        let kind = known_kind(&field.kind);
                        secrets_seen.push((column.field, kind, values.len() as u64));
                    }
                    self.turn_whole(class, field, values)
                }
                Some(Class::Open) | None => {
                    let mut secrets = Vec::new();
                    let values = self.turn_inside(field, values, &mut secrets);
                    let seen = secrets.into_iter().map(|(kind, count)| (column.field, kind, count));
                    secrets_seen.extend(seen);
                    values
                }
            };
        }
        batch
    }

    fn encrypt(&self, table: &Table, id: FieldId, values: Values) -> Values {
        let cipher = self.ring.value_cipher(table.id, id);
        let seal = |json: String| cipher.seal(json.as_bytes());
        let json = |value: serde_json::Value| value.to_string();
        Values::Bytes(match values {
            // Read back from the store for an update: sealed already.
            Values::Bytes(sealed) => sealed,
            Values::Strings(strings) => {
                (0..strings.ids.len()).map(|place| seal(json(strings.get(place).into()))).collect()
            }
            Values::Longs(longs) => longs.iter().map(|value| seal(value.to_string())).collect(),
            Values::Doubles(doubles) => {
                doubles.iter().map(|&value| seal(json(value.into()))).collect()
            }
            Values::Bools(bools) => bools.iter().map(|value| seal(value.to_string())).collect(),
        })
    }

    /// Each value as a whole becomes its pseudonym or tag.
    fn turn_whole(&self, class: Class, field: &Field, values: Values) -> Values {
        let mut builder = StringsBuilder::default();
        let mut turned = String::new();
        let mut turn = |value: &str, builder: &mut StringsBuilder| {
            turned.clear();
            self.pseudonyms.push_whole(class, field, value, &mut turned);
            builder.distinct(&turned)
        };
        match values {
            Values::Strings(strings) => {
                let numbers: Vec<u32> =
                    strings.iter_distinct().map(|value| turn(value, &mut builder)).collect();
                builder.strings.ids = strings.ids.iter().map(|&id| numbers[id as usize]).collect();
            }
            values => {
                for place in 0..values.len() {
                    let text = text_of(&values, place, field.ty).unwrap_or_default();
                    let number = turn(&text, &mut builder);
                    builder.strings.ids.push(number);
                }
            }
        }
        Values::Strings(builder.strings)
    }

    /// What is personal or secret inside the values is replaced in place.
    fn turn_inside(
        &self,
        field: &Field,
        values: Values,
        secrets: &mut Vec<(&'static str, u64)>,
    ) -> Values {
        let Values::Strings(strings) = values else { return values };
        let reading =
            open_hints(&self.classifier, field).unwrap_or(OpenReading::plain(Hints::TEXT));
        let mut findings: Vec<Finding> = Vec::new();
        let first = (0..strings.distinct_len() as u32).find(|&number| {
            reading.find(&self.classifier, strings.distinct(number), &mut findings);
            !findings.is_empty()
        });
        let Some(first) = first else { return Values::Strings(strings) };

        let mut builder = StringsBuilder::with_capacity(&strings);
        let mut numbers = Vec::with_capacity(strings.distinct_len());
        let mut secret_numbers: Vec<(u32, &'static str)> = Vec::new();
        let mut turned = String::new();
        for (number, value) in (0..).zip(strings.iter_distinct()) {
            if number < first {
                numbers.push(builder.distinct(value));
                continue;
            }
            reading.find(&self.classifier, value, &mut findings);
            turned.clear();
            self.pseudonyms.push_replaced(value, &findings, &mut turned);
            numbers.push(builder.distinct(&turned));
            let secret = findings.iter().filter(|finding| finding.class == Class::Secret);
            secret_numbers.extend(secret.map(|finding| (number, finding.kind)));
        }
        count_secrets(&strings, &secret_numbers, secrets);
        builder.strings.ids = strings.ids.iter().map(|&id| numbers[id as usize]).collect();
        Values::Strings(builder.strings)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// A batch without a personal, special or secret value in the clear, as the rulings of its table
/// say. [`Sealer::seal`] and [`Sealer::rewrite`] make one, and [`SealedBatch::decode`] brings one
/// back.
pub struct SealedBatch {
    batch: Batch,
    rules: u32,
    epoch: u32,
}

impl SealedBatch {
    /// The sealed columns.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The sealed columns, without a copy.
    pub fn into_batch(self) -> Batch {
        self.batch
    }

    /// The [`model::Schema::rules`] of the table when the batch was sealed. A store takes it only
    /// while that is the table's: a ruling that came between would go unheeded.
    pub fn rules(&self) -> u32 {
        self.rules
    }

    /// The epoch of its pseudonyms. A store takes it only while that is the store's: two epochs
    /// beside each other would not join.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Appends the batch as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        batch_codec::encode(&self.batch, self.rules, self.epoch, out);
    }

    /// Reads what [`SealedBatch::encode`] wrote. Only for bytes that were authenticated on the way
    /// back from the log: whoever can choose the bytes can choose what counts as sealed.
    ///
    /// # Errors
    /// If the bytes are cut, contradict themselves or were written by a newer version.
    pub fn decode(bytes: &[u8]) -> Result<SealedBatch, DecodeError> {
        let (batch, rules, epoch) = batch_codec::decode(bytes)?;
        Ok(SealedBatch { batch, rules, epoch })
    }
}

impl fmt::Debug for SealedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SealedBatch({} rows, {} columns)",
            self.batch.rows.len(),
            self.batch.columns.len()
        )
    }
}

/// Strings of which each distinct one is kept once, also when two became the same.
#[derive(Default)]
struct StringsBuilder {
    strings: Strings,
    known: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
}

impl StringsBuilder {
    fn with_capacity(strings: &Strings) -> StringsBuilder {
        StringsBuilder {
            known: HashTable::with_capacity(strings.distinct_len()),
            ..StringsBuilder::default()
        }
    }

    fn distinct(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let known = self.known.find(hash, |&number| self.strings.distinct(number) == text);
        if let Some(&number) = known {
            return number;
        }
        let number = self.strings.push_distinct(text);
        let (strings, hasher) = (&self.strings, &self.hasher);
        self.known.insert_unique(hash, number, |&number| hasher.hash_one(strings.distinct(number)));
        number
    }
}

fn check_fit(table: &Table, batch: &Batch) -> Result<(), SealError> {
    let fits = |column: &Column| {
        let field = table.schema.fields().get(column.field.0 as usize);
        field.is_some_and(|field| holds(field, &column.values))
            && column.rows.len() == column.values.len()
            && column.rows.last().is_none_or(|&row| (row as usize) < batch.rows.len())
    };
    let has_shape = |shape: u32| (shape as usize) < batch.shapes.len();
    let all_fit = batch.columns.iter().all(fits)
        && batch.rows.iter().all(|row| row.shape.is_none_or(has_shape));
    if all_fit { Ok(()) } else { Err(SealError::Misfit) }
}

/// Only a field that is kept sealed may come with sealed values.
fn holds(field: &Field, values: &Values) -> bool {
    !matches!(values, Values::Bytes(_)) || field.stored() == StoredType::Sealed
}

fn count_secrets(
    strings: &Strings,
    found: &[(u32, &'static str)],
    counts: &mut Vec<(&'static str, u64)>,
) {
    for &(number, kind) in found {
        let values = strings.ids.iter().filter(|&&id| id == number).count() as u64;
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += values,
            None => counts.push((kind, values)),
        }
    }
}

/// A value as the text that its pseudonym is made from; `None` for what is sealed already.
fn text_of(values: &Values, place: usize, ty: FieldType) -> Option<String> {
    Some(match values {
        Values::Strings(strings) => strings.get(place).to_owned(),
        Values::Longs(longs) if ty == FieldType::Date => Timestamp(longs[place]).to_rfc3339(),
        Values::Longs(longs) => longs[place].to_string(),
        Values::Doubles(doubles) => doubles[place].to_string(),
        Values::Bools(bools) => bools[place].to_string(),
        Values::Bytes(_) => return None,
    })
}

/// The rule's own name of a kind; kinds that a person invented are counted together.
fn known_kind(kind: &str) -> &'static str {
    const KINDS: [&str; 6] = ["password", "token", "key", "secret", "jwt", "aws"];
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("secret")
}

mod companions;
#[cfg(test)]
mod tests;
