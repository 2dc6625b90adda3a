//! Stored rows under the rulings of today: what a background rewrite does to their values.
//!
//! What a row becomes is what it would be, had it been sealed today, as far as its stored values
//! still say so:
//!
//! | stored as | open | personal | special | secret |
//! |---|---|---|---|---|
//! | withheld, special | opened | opened, then a pseudonym | stays sealed | opened, then a tag |
//! | open | | a pseudonym | sealed | a tag |
//! | personal | pseudonyms stay | | pseudonyms, sealed | tags of pseudonyms |
//! | secret | tags stay | tags stay | tags, sealed | |
//!
//! So a person's real value does not come back when a field is ruled open, and what was ruled
//! secret is gone. Numbers and dates cannot hold a pseudonym: where such a field is opened, what
//! is only a pseudonym is dropped and counted.

use super::{SealError, SealedBatch, Sealer, StringsBuilder, check_fit, companions, text_of};
use crate::cipher::ValueCipher;
use model::{Batch, Class, Column, Field, FieldId, FieldType, Table, Values};
use serde_json::Value as Json;

/// What rewriting made.
#[derive(Debug)]
pub struct Rewritten {
    /// The rows, as they are stored from now on.
    pub batch: SealedBatch,
    /// Values that their field can hold no more: pseudonyms in numbers, card numbers in the open.
    pub dropped: u64,
}

/// How the values of a field lie in a batch.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// As they came, but for what was found inside.
    Open,
    /// Whole values are pseudonyms or tags.
    Turned(Class),
    /// Ciphertexts.
    Sealed,
}

impl Form {
    fn of(field: &Field) -> Form {
        match field.class {
            _ if field.withheld => Form::Sealed,
            Some(Class::Special) => Form::Sealed,
            Some(class @ (Class::Personal | Class::Secret)) => Form::Turned(class),
            Some(Class::Open) | None => Form::Open,
        }
    }
}

impl Sealer {
    /// Brings rows that were sealed under earlier `rules` of `table` under those of today.
    ///
    /// Only for rows that a store reads back from where it put them: what claims to be sealed
    /// already is believed.
    ///
    /// # Errors
    /// If the rows do not fit the table, or a sealed value does not open.
    pub fn rewrite(
        &self,
        table: &Table,
        rules: u32,
        mut batch: Batch,
    ) -> Result<Rewritten, SealError> {
        let epoch = self.pseudonyms.epoch();
        let mut dropped = 0;
        for column in &mut batch.columns {
            let fields = table.schema.fields();
            let now = fields.get(column.field.0 as usize).ok_or(SealError::Misfit)?;
            if now.stored_since() <= rules {
                continue;
            }
            let then = now.as_of(rules);
            let before = column.values.len();
            let taken = Column {
                field: column.field,
                rows: std::mem::take(&mut column.rows),
                values: std::mem::replace(&mut column.values, Values::Bools(Vec::new())),
            };
            *column = self.rewrite_column(table, &then, now, taken)?;
            dropped += (before - column.values.len()) as u64;
        }
        batch.columns.retain(|column| {
            !column.values.is_empty() && !companions::tells_a_secret(table, column)
        });
        check_fit(table, &batch)?;
        let batch = SealedBatch { batch, rules: table.schema.rules(), epoch };
        Ok(Rewritten { batch, dropped })
    }

    fn rewrite_column(
        &self,
        table: &Table,
        then: &Field,
        now: &Field,
        column: Column,
    ) -> Result<Column, SealError> {
        let Column { field: id, rows, values } = column;
        let (rows, values) = match (Form::of(then), Form::of(now)) {
            (Form::Sealed, Form::Sealed) => (rows, values),
            (Form::Sealed, Form::Turned(class)) => {
                let opened = self.open(table, id, now, &values)?;
                (rows, self.turn_whole(class, now, strings_of(now.ty, &opened)))
            }
            (Form::Sealed, Form::Open) => {
                let opened = self.open(table, id, now, &values)?;
                let (rows, values) = typed(now.ty, rows, opened);
                let (rows, values) = self.without_cards(now, rows, values);
                (rows, self.turn_inside(now, values, &mut Vec::new()))
            }
            (_, Form::Sealed) => (rows, self.encrypt(table, id, values)),
            (_, Form::Turned(class)) => (rows, self.turn_whole(class, now, values)),
            (Form::Turned(_), Form::Open) if !holds_text(now.ty) => (Vec::new(), values),
            (Form::Turned(_) | Form::Open, Form::Open) => (rows, values),
        };
        // Values of a field that can hold none of them went with their rows.
        let values = if rows.is_empty() { Values::Bools(Vec::new()) } else { values };
        Ok(Column { field: id, rows, values })
    }

    /// Whether two lists of sealed values of a field hold the same; says nothing else of them.
    ///
    /// # Errors
    /// If a value does not open.
    pub fn is_same(
        &self,
        table: &Table,
        id: FieldId,
        one: &[Box<[u8]>],
        other: &[Box<[u8]>],
    ) -> Result<bool, SealError> {
        let field = table.schema.fields().get(id.0 as usize).ok_or(SealError::Misfit)?;
        let open =
            |sealed: &[Box<[u8]>]| self.open(table, id, field, &Values::Bytes(sealed.to_vec()));
        Ok(one.len() == other.len() && open(one)? == open(other)?)
    }

    /// The sealed values of a column as they were before.
    pub(super) fn open(
        &self,
        table: &Table,
        id: FieldId,
        field: &Field,
        values: &Values,
    ) -> Result<Vec<Json>, SealError> {
        let unreadable = || SealError::Unreadable(field.name.as_str().to_owned());
        let Values::Bytes(sealed) = values else { return Err(SealError::Misfit) };
        let cipher: ValueCipher = self.ring.value_cipher(table.id, id);
        let open = |bytes: &[u8]| {
            let plain = cipher.open(bytes).map_err(|_| unreadable())?;
            serde_json::from_slice(&plain).map_err(|_| unreadable())
        };
        sealed.iter().map(|bytes| open(bytes)).collect()
    }

    /// Takes card numbers out of numbers that are to be open, as they are refused on the way in.
    fn without_cards(&self, field: &Field, rows: Vec<u32>, values: Values) -> (Vec<u32>, Values) {
        let is_number = matches!(field.ty, FieldType::Long | FieldType::Double);
        if !is_number || !self.classifier.hints(field.name.as_str()).card {
            return (rows, values);
        }
        let keep: Vec<bool> = (0..values.len())
            .map(|place| text_of(&values, place, field.ty))
            .map(|text| text.is_none_or(|text| !self.classifier.is_card(&text)))
            .collect();
        let mut kept = keep.iter();
        let mut next = || *kept.next().expect("as many as values");
        let values = match values {
            Values::Longs(mut longs) => {
                longs.retain(|_| next());
                Values::Longs(longs)
            }
            Values::Doubles(mut doubles) => {
                doubles.retain(|_| next());
                Values::Doubles(doubles)
            }
            others => return (rows, others),
        };
        let rows = rows.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(row, _)| row);
        (rows.collect(), values)
    }
}

fn holds_text(ty: FieldType) -> bool {
    matches!(ty, FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint)
}

/// Opened values as the texts that pseudonyms are made from.
fn strings_of(ty: FieldType, opened: &[Json]) -> Values {
    let mut builder = StringsBuilder::default();
    for value in opened {
        let text = match (value, ty) {
            (Json::String(text), _) => text.clone(),
            (Json::Number(number), FieldType::Long | FieldType::Date) => {
                let longs = Values::Longs(vec![number.as_i64().unwrap_or_default()]);
                text_of(&longs, 0, ty).unwrap_or_default()
            }
            (Json::Number(number), _) => {
                let doubles = Values::Doubles(vec![number.as_f64().unwrap_or_default()]);
                text_of(&doubles, 0, ty).unwrap_or_default()
            }
            (other, _) => other.to_string(),
        };
        let id = builder.distinct(&text);
        builder.strings.ids.push(id);
    }
    Values::Strings(builder.strings)
}

/// Opened values as values of the field's type, without those that are none of it.
fn typed(ty: FieldType, rows: Vec<u32>, opened: Vec<Json>) -> (Vec<u32>, Values) {
    let pairs = || rows.iter().copied().zip(&opened);
    match ty {
        FieldType::Long | FieldType::Date => {
            let (rows, longs) = pairs().filter_map(|(row, v)| Some((row, v.as_i64()?))).unzip();
            (rows, Values::Longs(longs))
        }
        FieldType::Double => {
            let (rows, doubles) = pairs().filter_map(|(row, v)| Some((row, v.as_f64()?))).unzip();
            (rows, Values::Doubles(doubles))
        }
        FieldType::Boolean => {
            let (rows, bools) = pairs().filter_map(|(row, v)| Some((row, v.as_bool()?))).unzip();
            (rows, Values::Bools(bools))
        }
        FieldType::Keyword | FieldType::Text | FieldType::Ip | FieldType::GeoPoint => {
            let values = strings_of(ty, &opened);
            (rows, values)
        }
    }
}
