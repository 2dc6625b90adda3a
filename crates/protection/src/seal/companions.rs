//! The companions of fields on the way in: what many share of a value, told in the clear beside
//! its pseudonym.

use super::{Sealer, StringsBuilder, text_of};
use crate::classify::Companion;
use crate::pseudonym::is_pseudonym;
use model::{
    Batch, Class, Column, Field, FieldId, FieldName, FieldType, Ruling, StoredType, Table, Values,
};

impl Sealer {
    /// Adds to `batch` what is told of its values that are still as they were written, and to
    /// `table` the fields for it; returns the new ones. What else the batch holds for such a field
    /// must be something that is told, or it goes.
    pub(super) fn tell_companions(&self, table: &mut Table, batch: &mut Batch) -> Vec<FieldId> {
        for column in &mut batch.columns {
            keep_what_is_told(table, column);
        }
        batch.columns.retain(|column| {
            table.schema.field(column.field).companion_of.is_none() || !column.rows.is_empty()
        });
        let mut added = Vec::new();
        let mut told = Vec::new();
        for column in &batch.columns {
            let field = table.schema.field(column.field);
            let is_hidden = matches!(field.class, Some(Class::Personal | Class::Special));
            if !is_hidden || field.withheld || field.companion_of.is_some() {
                continue;
            }
            let Some(companion) = Companion::of(&field.kind) else { continue };
            let (rows, values) = tell(companion, field, column);
            if rows.is_empty() {
                continue;
            }
            let Some(id) = self.companion_field(table, column.field, companion, &mut added) else {
                continue;
            };
            told.push(Column { field: id, rows, values });
        }
        let is_told = |id: FieldId| told.iter().any(|column| column.field == id);
        batch.columns.retain(|column| !is_told(column.field));
        batch.columns.extend(told);
        added
    }

    /// The field of the companion, made if there is none; `None` if its name is taken.
    fn companion_field(
        &self,
        table: &mut Table,
        of: FieldId,
        companion: &Companion,
        added: &mut Vec<FieldId>,
    ) -> Option<FieldId> {
        let above = table.schema.field(of).name.as_str();
        let name = format!("{above}.{}", companion.suffix);
        if let Some((id, known)) = table.schema.find(&name) {
            return (known.companion_of == Some(of)).then_some(id);
        }
        let es_type = if companion.ty == FieldType::Long { "long" } else { "keyword" };
        let mut field = Field::new(FieldName::parse(&name).ok()?, companion.ty, es_type);
        field.companion_of = Some(of);
        let id = table.schema.push(field);
        let ruling = Ruling {
            by: Ruling::CLASSIFIER.to_owned(),
            at: self.clock.now(),
            reason: format!("what many share of a value of kind {}", companion.kind),
            class: Some(Class::Open),
            kind: String::new(),
            rules: 0,
        };
        table.schema.rule(id, ruling);
        added.push(id);
        Some(id)
    }
}

/// Whether nobody ruled that what is told is too much.
pub(super) fn is_open(field: &Field) -> bool {
    field.class == Some(Class::Open) && !field.withheld
}

/// Whether a column tells of values that were ruled secret since: then it goes with them.
pub(super) fn tells_a_secret(table: &Table, column: &Column) -> bool {
    let of = table.schema.field(column.field).companion_of;
    of.is_some_and(|of| table.schema.field(of).class == Some(Class::Secret))
}

/// What is told of the values of a column. Pseudonyms and what is sealed were told before.
fn tell(companion: &Companion, field: &Field, column: &Column) -> (Vec<u32>, Values) {
    let told = |value: &str| companion.value(value).filter(|_| !is_pseudonym(value));
    let by_value: Vec<Option<String>> = match &column.values {
        Values::Strings(strings) => {
            let distinct: Vec<_> = strings.iter_distinct().map(told).collect();
            strings.ids.iter().map(|&id| distinct[id as usize].clone()).collect()
        }
        values => (0..values.len())
            .map(|place| text_of(values, place, field.ty).and_then(|text| told(&text)))
            .collect(),
    };
    let mut rows = Vec::new();
    let mut strings = StringsBuilder::default();
    let mut longs = Vec::new();
    for (&row, told) in column.rows.iter().zip(by_value) {
        let Some(told) = told else { continue };
        if companion.ty == FieldType::Long {
            let Ok(number) = told.parse() else { continue };
            longs.push(number);
        } else {
            let number = strings.distinct(&told);
            strings.strings.ids.push(number);
        }
        rows.push(row);
    }
    let is_long = companion.ty == FieldType::Long;
    (rows, if is_long { Values::Longs(longs) } else { Values::Strings(strings.strings) })
}

/// In the open field of a companion stands nothing but what a companion says, whoever made the
/// batch.
fn keep_what_is_told(table: &Table, column: &mut Column) {
    let field = table.schema.field(column.field);
    let Some(of) = field.companion_of.filter(|_| is_open(field)) else { return };
    let name = field.name.leaf();
    let companion = Companion::of(&table.schema.field(of).kind).filter(|one| one.suffix == name);
    let is_told = |place: usize| {
        let told = text_of(&column.values, place, FieldType::Keyword);
        told.zip(companion).is_some_and(|(told, companion)| companion.is_told(&told))
    };
    if (0..column.rows.len()).all(is_told) {
        return;
    }
    column.rows.clear();
    column.values = match table.schema.field(column.field).stored() {
        StoredType::Long => Values::Longs(Vec::new()),
        _ => Values::Strings(model::Strings::default()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Classifier;
    use crate::keys::KeyRing;
    use crate::pseudonym::Pseudonyms;
    use model::{Intake, ManualClock, Op, Row, Schema, TableId, TableKind, TableName, Timestamp};
    use std::sync::Arc;

    fn sealer() -> Sealer {
        let ring = Arc::new(KeyRing::in_memory());
        let pseudonyms = Arc::new(Pseudonyms::new(&ring));
        let clock = Arc::new(ManualClock::at(Timestamp(5)));
        Sealer::new(ring, pseudonyms, Arc::new(Classifier::standard()), clock)
    }

    fn table(intake: Intake) -> Table {
        Table {
            id: TableId(3),
            name: TableName::parse("people").unwrap(),
            kind: TableKind::Entities,
            intake,
            time_field: None,
            sort: None,
            retention_ms: None,
            dynamic: true,
            schema: Schema::default(),
        }
    }

    fn strings(values: &[&str]) -> Values {
        let mut builder = StringsBuilder::default();
        for value in values {
            let id = builder.distinct(value);
            builder.strings.ids.push(id);
        }
        Values::Strings(builder.strings)
    }

    fn batch(table: &mut Table, columns: Vec<(&str, FieldType, Values)>) -> Batch {
        let count = columns[0].2.len() as u32;
        let columns = columns.into_iter().map(|(name, ty, values)| {
            let field = table.schema.push(Field::new(FieldName::parse(name).unwrap(), ty, "x"));
            Column { field, rows: (0..count).collect(), values }
        });
        let columns = columns.collect();
        let rows = (0..count).map(|_| Row { id: None, op: Op::Put, shape: None }).collect();
        Batch { rows, columns, shapes: Vec::new() }
    }

    fn told(table: &Table, batch: &Batch, name: &str) -> Vec<(u32, String)> {
        let Some((id, _)) = table.schema.find(name) else { return Vec::new() };
        let Some(column) = batch.columns.iter().find(|column| column.field == id) else {
            return Vec::new();
        };
        let text = |place| text_of(&column.values, place, FieldType::Keyword).unwrap();
        column.rows.iter().enumerate().map(|(place, &row)| (row, text(place))).collect()
    }

    #[test]
    fn what_many_share_stands_beside_the_pseudonym() {
        let (sealer, mut table) = (sealer(), table(Intake::Classified));
        let columns = vec![
            ("email", FieldType::Keyword, strings(&["ada@gmail.com", "bob@bob.example", "none"])),
            ("client_ip", FieldType::Ip, strings(&["83.149.9.216", "2001:db8::7", "83.149.9.1"])),
            (
                "birth_date",
                FieldType::Date,
                Values::Longs(vec![452_649_600_000, 0, -1_577_923_200_000]),
            ),
            ("nickname", FieldType::Keyword, strings(&["a", "b", "c"])),
        ];
        let raw = batch(&mut table, columns);
        let outcome = sealer.seal(&mut table, raw).unwrap();
        let sealed = outcome.batch.batch();
        let row = |row: u32, text: &str| (row, text.to_owned());
        assert_eq!(told(&table, sealed, "email.domain"), [row(0, "gmail.com"), row(1, "other")]);
        assert_eq!(
            told(&table, sealed, "client_ip.network"),
            [row(0, "83.149.9/24"), row(1, "2001:db8/32"), row(2, "83.149.9/24")]
        );
        assert_eq!(
            told(&table, sealed, "birth_date.year"),
            [row(0, "1984"), row(1, "1970"), row(2, "1940")]
        );
        let (_, domain) = table.schema.find("email.domain").unwrap();
        let email = table.schema.find("email").unwrap().0;
        assert_eq!((domain.class, domain.companion_of), (Some(Class::Open), Some(email)));
        assert_eq!(table.schema.fields().len(), 7, "a nickname shares nothing");

        // Sealed again, as an update does it, nothing is lost and nothing doubled.
        let again = sealer.seal(&mut table, sealed.clone()).unwrap();
        assert!(again.newly_ruled.is_empty() && again.batch.batch() == sealed);
    }

    #[test]
    fn nobody_else_writes_into_a_companion() {
        let (sealer, mut table) = (sealer(), table(Intake::Classified));
        let raw = batch(&mut table, vec![("email", FieldType::Keyword, strings(&["a@gmail.com"]))]);
        sealer.seal(&mut table, raw).unwrap();
        let forged = strings(&["ada@lovelace.family"]);
        let raw = batch(&mut table, vec![("email.domain", FieldType::Keyword, forged)]);
        let outcome = sealer.seal(&mut table, raw).unwrap();
        assert!(outcome.batch.batch().columns.is_empty());
    }

    #[test]
    fn a_guardian_can_close_a_companion_and_a_secret_takes_it_along() {
        let (sealer, mut table) = (sealer(), table(Intake::Classified));
        let one = || vec![("email", FieldType::Keyword, strings(&["a@gmail.com"]))];
        let raw = batch(&mut table, one());
        let sealed = sealer.seal(&mut table, raw).unwrap().batch;
        let mut rule = |name: &str, class| {
            let id = table.schema.find(name).unwrap().0;
            let ruling = Ruling {
                by: "grace".into(),
                at: Timestamp(6),
                reason: "too few customers".into(),
                class: Some(class),
                kind: "email".into(),
                rules: 0,
            };
            table.schema.rule(id, ruling);
            table.clone()
        };
        let mut closed = rule("email.domain", Class::Personal);
        let raw = batch(&mut closed, one());
        let again = sealer.seal(&mut closed, raw).unwrap().batch;
        let told = told(&closed, again.batch(), "email.domain");
        assert!(told[0].1.starts_with("email:"), "{told:?}");
        let kept = sealer.seal(&mut closed, again.batch().clone()).unwrap().batch;
        assert!(kept.batch() == again.batch(), "an update keeps it");

        let secret = rule("email", Class::Secret);
        let rewritten = sealer.rewrite(&secret, 0, sealed.into_batch()).unwrap();
        assert_eq!(rewritten.batch.batch().columns.len(), 1);
    }

    #[test]
    fn a_name_that_is_taken_is_left_to_its_writer() {
        let (sealer, mut table) = (sealer(), table(Intake::Classified));
        let columns = vec![
            ("email.domain", FieldType::Keyword, strings(&["x"])),
            ("email", FieldType::Keyword, strings(&["a@gmail.com"])),
        ];
        let raw = batch(&mut table, columns);
        let outcome = sealer.seal(&mut table, raw).unwrap();
        assert_eq!(outcome.newly_ruled.len(), 2);
        assert!(table.schema.fields().iter().all(|field| field.companion_of.is_none()));
    }

    #[test]
    fn what_is_withheld_or_open_has_no_companion() {
        let (sealer, mut table) = (sealer(), table(Intake::Closed));
        let mut open = Field::new(FieldName::parse("gateway").unwrap(), FieldType::Ip, "ip");
        open.class = Some(Class::Open);
        table.schema.push(open);
        let columns = vec![
            ("gateway", FieldType::Ip, strings(&["10.0.0.1"])),
            ("remark", FieldType::Keyword, strings(&["at home"])),
        ];
        let raw = batch(&mut table, columns);
        sealer.seal(&mut table, raw).unwrap();
        assert_eq!(table.schema.fields().len(), 2);
    }
}
