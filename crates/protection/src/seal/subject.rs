//! A person, as the store knows one: by pseudonyms, in whole values, inside texts and under seals.

use super::{SealError, SealedBatch, Sealer};
use crate::classify::kind;
use model::{Batch, Column, FieldId, Op, Row, Table};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// What stands for a person. Holds the value that somebody typed only as long as it lives.
pub struct Subject {
    /// As it was typed, and in lower case.
    value: Zeroizing<String>,
    lower: Zeroizing<String>,
    pseudonyms: BTreeSet<String>,
}

impl Subject {
    /// All pseudonyms that stand for the person.
    pub fn pseudonyms(&self) -> impl Iterator<Item = &str> {
        self.pseudonyms.iter().map(String::as_str)
    }

    /// The value that was typed.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Adds a pseudonym that stands for the same person.
    pub fn add(&mut self, pseudonym: &str) {
        self.pseudonyms.insert(pseudonym.to_owned());
    }

    /// Whether `text`, as it is stored, holds a pseudonym of the person, or is the value itself.
    pub fn is_in(&self, text: &str) -> bool {
        text == *self.value || self.pseudonyms.iter().any(|pseudonym| text.contains(pseudonym))
    }

    /// Shorter values stand in the middle of too many others.
    const INSIDE_BYTES_MIN: usize = 4;

    fn is_in_clear(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let inside =
            self.lower.len() >= Self::INSIDE_BYTES_MIN && text.contains(self.lower.as_str());
        inside || text == *self.lower
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({} pseudonyms)", self.pseudonyms.len())
    }
}

impl Sealer {
    /// Who `value` is: an e-mail address, an account's or device's id, a phone, whatever was typed.
    /// It is turned as values of every kind are turned: those that the classifier knows, and
    /// `kinds`, those that people gave to fields.
    pub fn subject<'k>(&self, value: &str, kinds: impl Iterator<Item = &'k str>) -> Subject {
        let value = value.trim();
        let mut pseudonyms: BTreeSet<String> = kind::all()
            .into_iter()
            .chain(kinds)
            .filter(|kind| !kind.is_empty())
            .map(|kind| self.pseudonyms.of(kind, value))
            .collect();
        if crate::is_pseudonym(value) {
            pseudonyms = BTreeSet::from([value.to_owned()]);
        }
        Subject {
            value: Zeroizing::new(value.to_owned()),
            lower: Zeroizing::new(value.to_lowercase()),
            pseudonyms,
        }
    }

    /// Which sealed values of a column speak of `subject`: they are opened, looked at and closed.
    ///
    /// # Errors
    /// If one does not open.
    pub fn speak_of(
        &self,
        table: &Table,
        sealed: &Column,
        subject: &Subject,
    ) -> Result<Vec<bool>, SealError> {
        let field = table.schema.fields().get(sealed.field.0 as usize).ok_or(SealError::Misfit)?;
        let opened = self.open(table, sealed.field, field, &sealed.values)?;
        let speaks = |value: &Json| match value {
            Json::String(text) => {
                subject.is_in_clear(text)
                    || subject.is_in(text)
                    || subject.is_in(&self.pseudonyms.query_text(text))
            }
            other => {
                let text = other.to_string();
                text == *subject.value
            }
        };
        Ok(opened.iter().map(speaks).collect())
    }

    /// A batch that deletes the rows with these `_id`s, which are as they are stored. Between
    /// reading them and writing this the epoch must not change.
    pub fn deletions(&self, table: &Table, ids: &[String]) -> SealedBatch {
        let row = |id: &String| Row { id: Some(id.as_str().into()), op: Op::Delete, shape: None };
        let batch = Batch { rows: ids.iter().map(row).collect(), ..Batch::default() };
        SealedBatch { batch, rules: table.schema.rules(), epoch: self.pseudonyms.epoch() }
    }

    /// The pseudonyms that stored values of a field hold: those of one more field of a person.
    pub fn pseudonyms_in(batch: &Batch, field: FieldId) -> Vec<String> {
        let mut found = Vec::new();
        for column in batch.columns.iter().filter(|column| column.field == field) {
            if let model::Values::Strings(strings) = &column.values {
                found.extend(strings.iter_distinct().filter(|text| text.contains(':')));
            }
        }
        found.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Classifier;
    use crate::keys::KeyRing;
    use crate::pseudonym::Pseudonyms;
    use model::{ManualClock, Timestamp};
    use std::sync::Arc;

    #[test]
    fn a_person_is_known_by_every_kind_and_inside_texts() {
        let ring = Arc::new(KeyRing::in_memory());
        let pseudonyms = Arc::new(Pseudonyms::new(&ring));
        let clock = Arc::new(ManualClock::at(Timestamp(1)));
        let classifier = Arc::new(Classifier::standard());
        let sealer = Sealer::new(ring, Arc::clone(&pseudonyms), classifier, clock);
        let subject = sealer.subject(" Ada@Example.org ", ["contact"].into_iter());
        let email = pseudonyms.of("email", "ada@example.org");
        assert!(subject.is_in(&email) && subject.is_in(&format!("mail to {email} sent")));
        assert!(subject.is_in(&pseudonyms.of("contact", "Ada@Example.org")));
        assert!(!subject.is_in(&pseudonyms.of("email", "bob@example.org")));
        assert!(subject.is_in_clear("write to ada@EXAMPLE.org now"));
        let shown = format!("{subject:?}");
        assert!(shown.starts_with("Subject(") && !shown.contains("xample"));

        let by_pseudonym = sealer.subject(&email, std::iter::empty());
        assert_eq!(by_pseudonym.pseudonyms().collect::<Vec<_>>(), [email.as_str()]);
        let short = sealer.subject("al", std::iter::empty());
        assert!(short.is_in_clear("AL") && !short.is_in_clear("also"));
    }
}
