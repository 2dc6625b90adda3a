use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::error::Error;

/// Small sealed records: accounts, keys, metrics and their like, by kind and id.
///
/// Values are plaintext here; the store seals them before they touch a disk. `put` and `delete`
/// return when the change is durable. Called from any thread; a call may block on the disk.
pub trait RecordStore: Send + Sync {
    /// All records of a kind as (id, value), in the order of their ids.
    ///
    /// # Errors
    /// If the store cannot be read, or a record is damaged.
    fn list(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError>;

    /// Writes or replaces one record.
    ///
    /// # Errors
    /// If it cannot be made durable; the old record is then still there.
    fn put(&self, kind: &str, id: &str, value: &[u8]) -> Result<(), RecordError>;

    /// Removes one record; no error if there is none.
    ///
    /// # Errors
    /// If that cannot be made durable.
    fn delete(&self, kind: &str, id: &str) -> Result<(), RecordError>;
}

/// Why a record was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The store under it failed.
    #[error("the catalog of records is unavailable; check the disk of the data folder")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A record does not read as what its kind says.
    #[error("a record of kind `{kind}` is damaged; restore the catalog from a backup")]
    Damaged {
        /// Which kind.
        kind: String,
    },
}

/// Records in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    records: Mutex<BTreeMap<(String, String), Vec<u8>>>,
}

impl MemoryRecords {
    /// An empty store.
    pub fn new() -> MemoryRecords {
        MemoryRecords::default()
    }
}

impl RecordStore for MemoryRecords {
    fn list(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        let records = self.records.lock();
        Ok(records
            .range((kind.to_owned(), String::new())..)
            .take_while(|((found, _), _)| found == kind)
            .map(|((_, id), value)| (id.clone(), value.clone()))
            .collect())
    }

    fn put(&self, kind: &str, id: &str, value: &[u8]) -> Result<(), RecordError> {
        self.records.lock().insert((kind.to_owned(), id.to_owned()), value.to_vec());
        Ok(())
    }

    fn delete(&self, kind: &str, id: &str) -> Result<(), RecordError> {
        self.records.lock().remove(&(kind.to_owned(), id.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_do_not_mix() {
        let store = MemoryRecords::new();
        store.put("person", "ada", b"1").unwrap();
        store.put("person", "bob", b"2").unwrap();
        store.put("personal", "ada", b"3").unwrap();
        store.delete("person", "bob").unwrap();
        store.delete("person", "nobody").unwrap();
        assert_eq!(store.list("person").unwrap(), [("ada".to_owned(), b"1".to_vec())]);
        assert_eq!(store.list("other").unwrap(), []);
    }
}
