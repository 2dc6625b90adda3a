//! Stored rows under the pseudonyms of another epoch: what a rotation does to their values.

use super::{SealError, Sealer, StringsBuilder};
use crate::cipher::ValueCipher;
use crate::pseudonym::Renewal;
use model::{Batch, Field, FieldId, Strings, Table, Values};
use serde_json::Value as Json;

impl Sealer {
    /// Renews every pseudonym and tag of stored rows: whole values, inside texts, in `_id`s, and
    /// under seals, which are opened for it and sealed again only where there was one.
    ///
    /// Only for rows that a store reads back from where it put them, and puts in their place.
    ///
    /// # Errors
    /// If a sealed value does not open.
    pub fn renew(
        &self,
        table: &Table,
        renewal: &Renewal,
        batch: &mut Batch,
    ) -> Result<(), SealError> {
        for id in batch.rows.iter_mut().filter_map(|row| row.id.as_mut()) {
            if let Some(renewed) = renewal.text(id, &[]) {
                *id = renewed.into_boxed_str();
            }
        }
        for column in &mut batch.columns {
            let field =
                table.schema.fields().get(column.field.0 as usize).ok_or(SealError::Misfit)?;
            let own = own_kinds(field);
            match &mut column.values {
                Values::Strings(strings) => renew_strings(renewal, &own, strings),
                Values::Bytes(sealed) => {
                    self.renew_sealed(table, column.field, renewal, &own, sealed)?;
                }
                Values::Longs(_) | Values::Doubles(_) | Values::Bools(_) => {}
            }
        }
        Ok(())
    }

    fn renew_sealed(
        &self,
        table: &Table,
        id: FieldId,
        renewal: &Renewal,
        own: &[&str],
        sealed: &mut [Box<[u8]>],
    ) -> Result<(), SealError> {
        let field = table.schema.field(id);
        let unreadable = || SealError::Unreadable(field.name.as_str().to_owned());
        let cipher: ValueCipher = self.ring.value_cipher(table.id, id);
        for value in sealed {
            let plain = cipher.open(value).map_err(|_| unreadable())?;
            let json: Json = serde_json::from_slice(&plain).map_err(|_| unreadable())?;
            if let Json::String(text) = json
                && let Some(renewed) = renewal.text(&text, own)
            {
                *value = cipher.seal(Json::String(renewed).to_string().as_bytes());
            }
        }
        Ok(())
    }
}

/// The kinds that values of a field may have and only its rulings know.
fn own_kinds(field: &Field) -> Vec<&str> {
    let ruled = field.rulings.iter().map(|ruling| ruling.kind.as_str());
    let mut kinds: Vec<&str> =
        ruled.chain([field.kind.as_str()]).filter(|kind| !kind.is_empty()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn renew_strings(renewal: &Renewal, own: &[&str], strings: &mut Strings) {
    let renewed: Vec<Option<String>> =
        strings.iter_distinct().map(|text| renewal.text(text, own)).collect();
    if renewed.iter().all(Option::is_none) {
        return;
    }
    let mut builder = StringsBuilder::with_capacity(strings);
    let numbers: Vec<u32> = strings
        .iter_distinct()
        .zip(&renewed)
        .map(|(text, renewed)| builder.distinct(renewed.as_deref().unwrap_or(text)))
        .collect();
    builder.strings.ids = strings.ids.iter().map(|&id| numbers[id as usize]).collect();
    *strings = builder.strings;
}
