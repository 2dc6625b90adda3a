use crate::error::EngineError;
use protection::Sealer;

/// Longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 200;
/// Longest value of a person, in bytes.
const PERSON_BYTES_MAX: usize = 1_000;

/// Whom to forget, and where.
#[derive(Clone)]
pub struct EraseRequest {
    /// The real value: an e-mail address, an id, a phone. Kept nowhere.
    pub person: String,
    /// In these tables; empty: in all.
    pub tables: Vec<String>,
    /// Only rows that bear the value in this field.
    pub field: Option<String>,
    /// Personal fields of the found rows whose pseudonyms stand for the same person, such as the
    /// device's id: rows that bear those go too.
    pub also: Vec<String>,
    /// Within this time no file holds the rows any more, in milliseconds.
    pub deadline_ms: i64,
    /// Return when that is so.
    pub now: bool,
    /// Read every file afterwards and name those that still hold a trace.
    pub verify: bool,
    /// Only count.
    pub dry_run: bool,
    /// What the request is called elsewhere, such as the number of a ticket. Not the person's name.
    pub reference: String,
}

impl EraseRequest {
    /// 72 hours.
    pub const DEADLINE_MS: i64 = 72 * 60 * 60 * 1000;

    /// An erasure of `person` everywhere, within the usual time.
    pub fn of(person: &str) -> EraseRequest {
        EraseRequest {
            person: person.to_owned(),
            tables: Vec::new(),
            field: None,
            also: Vec::new(),
            deadline_ms: EraseRequest::DEADLINE_MS,
            now: false,
            verify: false,
            dry_run: false,
            reference: String::new(),
        }
    }

    pub(super) fn check(&self, sealer: &Sealer) -> Result<(), EngineError> {
        let person = self.person.trim();
        if person.is_empty() || person.len() > PERSON_BYTES_MAX {
            let reason = "an erasure needs the e-mail address or id of a person";
            return Err(EngineError::illegal_argument(reason));
        }
        if self.deadline_ms <= 0 {
            return Err(EngineError::illegal_argument("the deadline lies in the future"));
        }
        if self.reference.len() > REFERENCE_BYTES_MAX
            || sealer.name_as_value(&self.reference).is_some()
        {
            let reason = format!(
                "the reference has up to {REFERENCE_BYTES_MAX} bytes and is no personal value"
            );
            return Err(EngineError::illegal_argument(reason));
        }
        Ok(())
    }
}

impl std::fmt::Debug for EraseRequest {
    /// Without the person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EraseRequest({} tables, now {})", self.tables.len(), self.now)
    }
}
