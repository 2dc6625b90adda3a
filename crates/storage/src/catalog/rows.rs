use super::CatalogError;
use protection::ValueCipher;
use protection::keys::{KeyRing, MacKey};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PURPOSE: &str = "catalog";
/// "CLER".
const APPLICATION_ID: u32 = 0x434c_4552;
const VERSION: u32 = 1;
const DIGEST_KEY: &[u8] = b"catalog:1:digest";

/// What kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Counter = 1,
    Table = 2,
    Segment = 3,
    Deletes = 4,
    Flushed = 5,
    Record = 6,
    Marks = 7,
}

impl Section {
    fn name_of(number: i64) -> &'static str {
        match number {
            1 => "counter",
            2 => "table",
            3 => "segment",
            4 => "deletes",
            5 => "flushed",
            6 => "record",
            7 => "marks",
            _ => "unknown",
        }
    }
}

/// A number that only grows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    NextTable = 1,
    NextSegment = 2,
    LogReleased = 3,
    Epoch = 4,
    NextEpoch = 5,
}

/// A row that was opened.
pub(super) struct Row {
    section: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Seals, opens and sums the rows of one catalog.
pub(super) struct Rows {
    path: PathBuf,
    cipher: ValueCipher,
    /// Hides the names of records.
    names: MacKey,
    digest: MacKey,
}

/// The sum of the keyed hashes of all rows, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u64; 4]);

impl Digest {
    fn lanes(hash: [u8; 32]) -> [u64; 4] {
        std::array::from_fn(|lane| {
            let bytes = hash[lane * 8..(lane + 1) * 8].try_into();
            u64::from_le_bytes(bytes.expect("the slice has eight bytes"))
        })
    }

    fn add(&mut self, hash: [u8; 32]) {
        for (sum, lane) in self.0.iter_mut().zip(Digest::lanes(hash)) {
            *sum = sum.wrapping_add(lane);
        }
    }

    fn remove(&mut self, hash: [u8; 32]) {
        for (sum, lane) in self.0.iter_mut().zip(Digest::lanes(hash)) {
            *sum = sum.wrapping_sub(lane);
        }
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (part, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            part.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }
}

impl Rows {
    pub(super) fn new(path: &Path, keys: &KeyRing) -> Rows {
        Rows {
            path: path.to_owned(),
            cipher: keys.record_cipher(PURPOSE),
            names: keys.mac_key("catalog-names"),
            digest: keys.mac_key("catalog-digest"),
        }
    }

    /// Opens the file, or makes it, and takes hold of it.
    pub(super) fn open_file(&self) -> Result<Connection, CatalogError> {
        self.make_file().map_err(|source| CatalogError::Io { path: self.path.clone(), source })?;
        let mut connection = Connection::open(&self.path).map_err(|error| self.database(error))?;
        self.prepare(&mut connection).map_err(|error| self.database(error))?;
        let number = |pragma| {
            connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
                .map_err(|error| self.database(error))
        };
        let (application, version) = (number("application_id")?, number("user_version")?);
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| self.database(error))?;
        match (application, version) {
            (0, 0) if tables == 0 => self.make_schema(&mut connection)?,
            (id, version) if id == i64::from(APPLICATION_ID) && version > i64::from(VERSION) => {
                let version = u32::try_from(version).unwrap_or(u32::MAX);
                return Err(CatalogError::TooNew { path: self.path.clone(), version });
            }
            (id, version) if id == i64::from(APPLICATION_ID) && version == i64::from(VERSION) => {}
            _ => return Err(CatalogError::NotCatalog { path: self.path.clone() }),
        }
        Ok(connection)
    }

    /// An empty file is an empty database; made here so that only its owner can read it.
    fn make_file(&self) -> io::Result<()> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(file) => {
                file.sync_all()?;
                fs::File::open(crate::disk::folder_of(&self.path))?.sync_all()
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn prepare(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update_and_check(None, "journal_mode", "TRUNCATE", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        connection.pragma_update(None, "cell_size_check", "ON")?;
        // In exclusive mode the first write lock is kept until the connection is closed.
        connection.transaction_with_behavior(TransactionBehavior::Exclusive)?.commit()
    }

    fn make_schema(&self, connection: &mut Connection) -> Result<(), CatalogError> {
        let digest = self.seal(DIGEST_KEY, &Digest::default().to_bytes());
        let make = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch(
                "CREATE TABLE sealed_row (section INTEGER NOT NULL, key BLOB NOT NULL,
                     value BLOB NOT NULL, PRIMARY KEY (section, key)) WITHOUT ROWID;
                 CREATE TABLE digest (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL);",
            )?;
            transaction.execute("INSERT INTO digest (id, value) VALUES (1, ?1)", [digest])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()
        };
        make().map_err(|error| self.database(error))
    }

    /// Opens every row and compares their sum with the digest.
    pub(super) fn verify(&self, connection: &mut Connection) -> Result<(), CatalogError> {
        let check: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.database(error))?;
        if check != "ok" {
            return Err(CatalogError::Structure { path: self.path.clone() });
        }
        let mut sum = Digest::default();
        let mut before = None;
        let visit = |section: i64, key: Vec<u8>, sealed: Vec<u8>| {
            sum.add(self.hash(section, &key, &sealed));
            let place = Some((section, key.clone()));
            self.open(section, key, &sealed)?;
            // A row in the wrong place of the tree would be scanned but not found.
            if place <= before {
                return Err(CatalogError::Structure { path: self.path.clone() });
            }
            before = place;
            Ok(())
        };
        self.each_row(connection, "SELECT section, key, value FROM sealed_row", &[], visit)?;
        if self.read_digest(connection)? != sum {
            return Err(CatalogError::RowsChanged { path: self.path.clone() });
        }
        Ok(())
    }

    /// All rows of a section whose key starts with `prefix`, in the order of their keys.
    pub(super) fn list(
        &self,
        connection: &Connection,
        section: Section,
        prefix: &[u8],
    ) -> Result<Vec<Row>, CatalogError> {
        let mut rows = Vec::new();
        let mut last = prefix.to_vec();
        last.resize(40, 0xff);
        let section = section as i64;
        self.each_row(
            connection,
            "SELECT section, key, value FROM sealed_row
             WHERE section = ?1 AND key BETWEEN ?2 AND ?3 ORDER BY key",
            &[&section, &prefix, &last],
            |section, key, sealed| {
                rows.push(self.open(section, key, &sealed)?);
                Ok(())
            },
        )?;
        Ok(rows)
    }

    /// The value of a counter; `None` if it was never set.
    pub(super) fn counter(
        &self,
        connection: &Connection,
        counter: Counter,
    ) -> Result<Option<u64>, CatalogError> {
        let found = self.list(connection, Section::Counter, &[counter as u8])?;
        found.first().map(|row| self.value_u64(row)).transpose()
    }

    /// Starts a transaction.
    pub(super) fn begin<'c>(
        &'c self,
        connection: &'c mut Connection,
    ) -> Result<Change<'c>, CatalogError> {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.database(error))?;
        let digest = self.read_digest(&transaction)?;
        Ok(Change { rows: self, transaction, digest })
    }

    /// The key of a record: its first 16 bytes are the same for all of a kind.
    pub(super) fn record_key(&self, kind: &str, id: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let kind_bytes = (kind.len() as u64).to_le_bytes();
        let of_kind = self.names.sign_parts(&[b"kind:", kind.as_bytes()]);
        let of_both = self.names.sign_parts(&[b"id:", &kind_bytes, kind.as_bytes(), id.as_bytes()]);
        key[..16].copy_from_slice(&of_kind[..16]);
        key[16..].copy_from_slice(&of_both[..16]);
        key
    }

    /// A key of four bytes.
    pub(super) fn key_u32(&self, row: &Row) -> Result<u32, CatalogError> {
        let bytes = row.key.as_slice().try_into().map_err(|_| self.damaged(row))?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A key of eight bytes.
    pub(super) fn key_u64(&self, row: &Row) -> Result<u64, CatalogError> {
        let bytes = row.key.as_slice().try_into().map_err(|_| self.damaged(row))?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// A value of eight bytes.
    pub(super) fn value_u64(&self, row: &Row) -> Result<u64, CatalogError> {
        let bytes = row.value.as_slice().try_into().map_err(|_| self.damaged(row))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The error that names a row.
    pub(super) fn damaged(&self, row: &Row) -> CatalogError {
        self.damaged_at(row.section, &row.key)
    }

    fn damaged_at(&self, section: i64, key: &[u8]) -> CatalogError {
        let key = match *key {
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).to_string(),
            [a, b, c, d, e, f, g, h] => {
                format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        CatalogError::Damaged { path: self.path.clone(), section: Section::name_of(section), key }
    }

    fn each_row(
        &self,
        connection: &Connection,
        query: &str,
        parameters: &[&dyn rusqlite::ToSql],
        mut visit: impl FnMut(i64, Vec<u8>, Vec<u8>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let database = |error| self.database(error);
        let mut statement = connection.prepare_cached(query).map_err(database)?;
        let mut found = statement.query(parameters).map_err(database)?;
        while let Some(row) = found.next().map_err(database)? {
            let section = row.get(0).map_err(database)?;
            let key = row.get(1).map_err(database)?;
            visit(section, key, row.get(2).map_err(database)?)?;
        }
        Ok(())
    }

    fn read_digest(&self, connection: &Connection) -> Result<Digest, CatalogError> {
        let sealed: Option<Vec<u8>> = connection
            .query_row("SELECT value FROM digest WHERE id = 1", [], |row| row.get(0))
            .optional()
            .map_err(|error| self.database(error))?;
        sealed
            .and_then(|sealed| self.cipher.open_bound(DIGEST_KEY, &sealed).ok())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(|bytes| Digest(Digest::lanes(bytes)))
            .ok_or_else(|| CatalogError::Damaged {
                path: self.path.clone(),
                section: "digest",
                key: "1".to_owned(),
            })
    }

    fn seal(&self, bound: &[u8], value: &[u8]) -> Vec<u8> {
        self.cipher.seal_bound(bound, value)
    }

    fn open(&self, section: i64, key: Vec<u8>, sealed: &[u8]) -> Result<Row, CatalogError> {
        match self.cipher.open_bound(&place(section, &key), sealed) {
            Ok(value) => Ok(Row { section, key, value }),
            Err(_) => Err(self.damaged_at(section, &key)),
        }
    }

    fn hash(&self, section: i64, key: &[u8], sealed: &[u8]) -> [u8; 32] {
        let key_bytes = (key.len() as u64).to_le_bytes();
        self.digest.sign_parts(&[&section.to_le_bytes(), &key_bytes, key, sealed])
    }

    /// Copies the file as it is now, without what SQLite left of older states, and syncs it.
    pub(super) fn copy_to(&self, connection: &Connection, to: &Path) -> Result<(), CatalogError> {
        let name = to.to_string_lossy().into_owned();
        connection
            .execute("VACUUM INTO ?1", params![name])
            .map_err(|error| self.database(error))?;
        let sync = || fs::File::open(to)?.sync_all();
        sync().map_err(|source| CatalogError::Io { path: to.to_owned(), source })
    }

    fn database(&self, source: rusqlite::Error) -> CatalogError {
        let path = self.path.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                CatalogError::InUse { path }
            }
            Some(ErrorCode::NotADatabase) => CatalogError::NotCatalog { path },
            Some(ErrorCode::DatabaseCorrupt) => CatalogError::Structure { path },
            _ => CatalogError::Database { path, source },
        }
    }
}

/// What is authenticated with a row: where it stands.
fn place(section: i64, key: &[u8]) -> Vec<u8> {
    let mut place = b"catalog:1:row:".to_vec();
    place.extend_from_slice(&section.to_le_bytes());
    place.extend_from_slice(key);
    place
}

/// One transaction; undone if it is dropped.
pub(super) struct Change<'c> {
    rows: &'c Rows,
    transaction: Transaction<'c>,
    digest: Digest,
}

impl Change<'_> {
    /// The opened value of a row.
    pub(super) fn get(
        &self,
        section: Section,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, CatalogError> {
        let section = section as i64;
        match self.sealed(section, key)? {
            Some(sealed) => Ok(Some(self.rows.open(section, key.to_vec(), &sealed)?.value)),
            None => Ok(None),
        }
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, section: Section, key: &[u8]) -> Result<bool, CatalogError> {
        Ok(self.sealed(section as i64, key)?.is_some())
    }

    /// All rows of a section.
    pub(super) fn list(&self, section: Section) -> Result<Vec<Row>, CatalogError> {
        self.rows.list(&self.transaction, section, &[])
    }

    /// Adds or replaces a row.
    pub(super) fn put(
        &mut self,
        section: Section,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), CatalogError> {
        let section = section as i64;
        if let Some(before) = self.sealed(section, key)? {
            self.digest.remove(self.rows.hash(section, key, &before));
        }
        let sealed = self.rows.seal(&place(section, key), value);
        self.digest.add(self.rows.hash(section, key, &sealed));
        self.execute(
            "INSERT INTO sealed_row (section, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (section, key) DO UPDATE SET value = excluded.value",
            params![section, key, sealed],
        )
    }

    /// Removes a row; false if there was none.
    pub(super) fn delete(&mut self, section: Section, key: &[u8]) -> Result<bool, CatalogError> {
        let section = section as i64;
        let Some(before) = self.sealed(section, key)? else { return Ok(false) };
        self.digest.remove(self.rows.hash(section, key, &before));
        self.execute(
            "DELETE FROM sealed_row WHERE section = ?1 AND key = ?2",
            params![section, key],
        )?;
        Ok(true)
    }

    /// The value of a counter.
    pub(super) fn counter(&self, counter: Counter) -> Result<Option<u64>, CatalogError> {
        self.rows.counter(&self.transaction, counter)
    }

    /// Sets a counter.
    pub(super) fn put_counter(&mut self, counter: Counter, value: u64) -> Result<(), CatalogError> {
        self.put(Section::Counter, &[counter as u8], &value.to_le_bytes())
    }

    /// The error that names a row.
    pub(super) fn damaged(&self, section: Section, key: &[u8]) -> CatalogError {
        self.rows.damaged_at(section as i64, key)
    }

    /// Makes everything durable at once.
    pub(super) fn commit(self) -> Result<(), CatalogError> {
        let digest = self.rows.seal(DIGEST_KEY, &self.digest.to_bytes());
        self.execute("UPDATE digest SET value = ?1 WHERE id = 1", params![digest])?;
        let rows = self.rows;
        self.transaction.commit().map_err(|error| rows.database(error))
    }

    fn sealed(&self, section: i64, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.transaction
            .prepare_cached("SELECT value FROM sealed_row WHERE section = ?1 AND key = ?2")
            .and_then(|mut statement| {
                statement.query_row(params![section, key], |row| row.get(0)).optional()
            })
            .map_err(|error| self.rows.database(error))
    }

    fn execute(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), CatalogError> {
        self.transaction
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
            .map_err(|error| self.rows.database(error))
    }
}
