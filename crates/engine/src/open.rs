//! Making a data folder, opening it, closing it.

use crate::alert::Alerts;
use crate::alias::Aliases;
use crate::backup::Backups;
use crate::cursor::Cursors;
use crate::erase::{RunningSteward, Steward};
use crate::error::{EngineError, chain};
use crate::herald::Herald;
use crate::latest_time::LatestTime;
use crate::metric::Metrics;
use crate::rotate::{Declared, Rotator, RunningRotator};
use crate::saved::SavedObjects;
use crate::vitals::{AskSpace, IngestCounter};
use model::{Clock, SteadyClock, TableId};
use parking_lot::{Mutex, RwLock};
use protection::audit::{AuditError, AuditLog, Event, EventKind};
use protection::caller::{Directory, DirectoryError};
use protection::change::Changes;
use protection::classify::Classifier;
use protection::grant::{Policies, Setting};
use protection::keys::{KeyError, KeyRing, Unlock};
use protection::notice::Notices;
use protection::outside::Outside;
use protection::{Canaries, Guard, Pseudonyms, RecordError, RecordStore, Sealer};
use query::TileSmith;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use storage::disk::{Disk, RealDisk};
use storage::{Store, StoreError, StoreSettings};

/// How an engine is opened.
#[derive(Debug)]
pub struct Settings {
    /// The data folder.
    pub dir: PathBuf,
    /// What opens the key ring.
    pub unlock: Unlock,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The disk for log and segments; the catalog, the ring and the audit are on the real one.
    pub disk: Arc<dyn Disk>,
    /// How services outside are asked, such as an identity provider; `None`: they are not.
    pub outside: Option<Arc<dyn Outside>>,
    /// Rows after which a table's buffer becomes a segment; `None`: the store's own measure.
    pub flush_rows: Option<usize>,
    /// How the system is asked for the room on the disk; `None`: it is not.
    pub ask_space: Option<AskSpace>,
}

impl Settings {
    /// The settings of a server: the computer's clock, which never goes back here, and its disk.
    pub fn new(dir: &Path, unlock: Unlock) -> Settings {
        Settings {
            dir: dir.to_owned(),
            unlock,
            clock: Arc::new(SteadyClock::start()),
            disk: Arc::new(RealDisk),
            outside: None,
            flush_rows: None,
            ask_space: None,
        }
    }

    fn ring_file(&self) -> PathBuf {
        self.dir.join("keyring")
    }
}

/// Why a data folder was not made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no data folder, or it was never initialised.
    #[error("{} is no data folder; make one with `clerestory init --dir {}`", .0.display(), .0.display())]
    NotInitialised(PathBuf),
    /// The folder is initialised already.
    #[error("{} is initialised already", .0.display())]
    Initialised(PathBuf),
    /// The key ring could not be opened.
    #[error("cannot open the key ring")]
    Keys(#[from] KeyError),
    /// Log, catalog or segments could not be opened.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// The audit record could not be opened.
    #[error("cannot open the audit record")]
    Audit(#[from] AuditError),
    /// People and keys could not be read.
    #[error("cannot read people and keys")]
    Directory(#[from] DirectoryError),
    /// Small records could not be read.
    #[error("cannot read a record of the catalog")]
    Records(#[from] RecordError),
    /// The folder cannot be used.
    #[error("cannot use the data folder")]
    Io(#[from] std::io::Error),
    /// The declared metrics could not be read.
    #[error("cannot read the declared metrics: {0}")]
    Metrics(String),
    /// The saved objects could not be read.
    #[error("cannot read what people saved: {0}")]
    Saved(String),
}

impl OpenError {
    /// Whether another process has the folder open.
    pub fn is_in_use(&self) -> bool {
        use storage::catalog::CatalogError;
        matches!(self, OpenError::Store(StoreError::Catalog(CatalogError::InUse { .. })))
    }
}

/// A node: the store, its doors, and who may go through them.
pub struct Engine {
    pub(crate) dir: PathBuf,
    pub(crate) ask_space: Option<AskSpace>,
    pub(crate) ingest: IngestCounter,
    pub(crate) store: Arc<Store>,
    pub(crate) steward: RunningSteward,
    pub(crate) rotator: RunningRotator,
    pub(crate) backups: Arc<Backups>,
    pub(crate) keys: Arc<KeyRing>,
    /// Held by whoever moves files to a new key.
    pub(crate) moving_files: Mutex<()>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) pseudonyms: Arc<Pseudonyms>,
    pub(crate) directory: Directory,
    pub(crate) policies: Arc<Policies>,
    pub(crate) changes: Changes,
    /// Stopped before the record that it listens to is closed.
    pub(crate) herald: Herald,
    pub(crate) notices: Arc<Notices>,
    pub(crate) canaries: Arc<Canaries>,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) audit: Arc<AuditLog>,
    /// The version of the policy whose folders the audit record is in.
    pub(crate) audit_follows: AtomicU64,
    pub(crate) guard: Guard,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) aliases: Aliases,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<RwLock<Metrics>>,
    pub(crate) tiles: Arc<TileSmith>,
    pub(crate) saved: Arc<RwLock<SavedObjects>>,
    pub(crate) alerts: Arc<RwLock<Alerts>>,
    /// Held by whoever looks at an alert or declares one.
    pub(crate) alert_turn: Mutex<()>,
    /// Where people reach this node, as far as anybody said.
    pub(crate) own_url: RwLock<Option<String>>,
    /// One lock for each table whose fields grow, so that two requests do not lose one.
    pub(crate) schema_locks: Mutex<HashMap<TableId, Arc<Mutex<()>>>>,
}

impl Engine {
    /// Makes a data folder with a fresh key ring and returns the code with which the first
    /// administrator enrols, once.
    ///
    /// # Errors
    /// If the folder is initialised already, the key file lies inside it, or the disk fails.
    pub fn init(settings: &Settings) -> Result<String, OpenError> {
        std::fs::create_dir_all(&settings.dir)?;
        if settings.ring_file().try_exists()? {
            return Err(OpenError::Initialised(settings.dir.clone()));
        }
        let now = settings.clock.now();
        KeyRing::create(&settings.ring_file(), &settings.unlock, &settings.dir, now)?;
        let engine = Engine::open(settings)?;
        Ok(engine.directory.enrolment_code()?)
    }

    /// Opens a data folder and brings back what its log holds.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub fn open(settings: &Settings) -> Result<Engine, OpenError> {
        if !settings.ring_file().try_exists()? {
            return Err(OpenError::NotInitialised(settings.dir.clone()));
        }
        let keys = Arc::new(KeyRing::open(&settings.ring_file(), &settings.unlock, &settings.dir)?);
        let clock = Arc::clone(&settings.clock);
        let classifier = Arc::new(Classifier::standard());
        let pseudonyms = Arc::new(Pseudonyms::with_classifier(&keys, &classifier));
        let sealer = Arc::new(Sealer::new(
            Arc::clone(&keys),
            Arc::clone(&pseudonyms),
            Arc::clone(&classifier),
            Arc::clone(&clock),
        ));
        let mut store = StoreSettings::new(
            &settings.dir,
            Arc::clone(&settings.disk),
            Arc::clone(&keys),
            Arc::clone(&clock),
        );
        store.sealer = Arc::clone(&sealer);
        store.flush_rows = settings.flush_rows.unwrap_or(store.flush_rows);
        let store = Arc::new(Store::open(store)?);
        let records: Arc<dyn RecordStore> = Arc::clone(store.catalog()) as Arc<dyn RecordStore>;
        let directory = Directory::open(records, Arc::clone(&keys), Arc::clone(&clock))?;
        if let Some(outside) = &settings.outside {
            directory.ask_outside(Arc::clone(outside));
        }
        let policies = Arc::clone(directory.policies());
        policies.classify_with(&classifier);
        let audit_follows = AtomicU64::new(policies.version());
        let copies = policies.current().settings().entries(Setting::AuditSinks);
        let copies: Vec<PathBuf> = copies.into_iter().map(PathBuf::from).collect();
        let audit = Arc::new(AuditLog::open_with_copies(
            &settings.dir.join("audit"),
            &copies,
            Arc::clone(&keys),
            Arc::clone(&clock),
        )?);
        // Whatever the clock says: it was later already.
        clock.not_before(audit.latest_at_start());
        let records = || Arc::clone(store.catalog()) as Arc<dyn RecordStore>;
        let latest = LatestTime::open(records(), Arc::clone(&clock))?;
        let notices = Arc::new(Notices::open(
            records(),
            Arc::clone(&policies),
            Arc::clone(&keys),
            Arc::clone(&clock),
        )?);
        let canaries = Arc::new(Canaries::open(records())?);
        let guard =
            Guard::open(Arc::clone(&audit), Arc::clone(&policies), records(), Arc::clone(&clock))?
                .alarming(Arc::clone(&canaries), Arc::clone(&notices));
        let changes = Changes::open(
            Arc::clone(&policies),
            Arc::clone(&audit),
            records(),
            Arc::clone(&clock),
            Arc::clone(&notices),
        )?;
        // Whatever the catalog says: where rows are, founding is over.
        if policies.is_founding() && holds_rows(&store)? {
            policies.end_founding()?;
        }
        let alerts = Arc::new(RwLock::new(Alerts::load(&**store.catalog())?));
        let metrics = Metrics::load(&**store.catalog()).map_err(OpenError::Metrics)?;
        let metrics = Arc::new(RwLock::new(metrics));
        let tiles = Arc::new(TileSmith::new({
            let (metrics, pseudonyms) = (Arc::clone(&metrics), Arc::clone(&pseudonyms));
            move |table| metrics.read().tiles(table, &pseudonyms)
        }));
        store.make_tiles_with(Arc::clone(&tiles) as Arc<dyn storage::TileMaker>);
        let saved = SavedObjects::load(&**store.catalog()).map_err(OpenError::Saved)?;
        let aliases = Aliases::load(&**store.catalog())?;
        let saved = Arc::new(RwLock::new(saved));
        let outside = settings.outside.clone();
        let herald = Herald::start(Arc::clone(&notices), outside, Arc::clone(&audit), latest)?;
        audit.append_durable(&Event::new(EventKind::Started))?;
        let backups = Arc::new(Backups::new(
            &settings.dir,
            Arc::clone(&store),
            Arc::clone(&keys),
            Arc::clone(&audit),
            Arc::clone(&clock),
        ));
        let steward = Steward::start(
            Arc::clone(&backups),
            Arc::clone(&store),
            Arc::clone(&sealer),
            Arc::clone(&keys),
            Arc::clone(&audit),
            Arc::clone(&clock),
        )?;
        let rotator = Rotator::start(
            Arc::clone(&store),
            Arc::clone(&keys),
            Arc::clone(&policies),
            Arc::clone(&audit),
            Arc::clone(&clock),
            Declared {
                metrics: Arc::clone(&metrics),
                saved: Arc::clone(&saved),
                alerts: Arc::clone(&alerts),
                tiles: Arc::clone(&tiles),
            },
            Arc::clone(&backups),
        )?;
        Ok(Engine {
            dir: settings.dir.clone(),
            ask_space: settings.ask_space,
            ingest: IngestCounter::start(clock.now()),
            store,
            steward,
            rotator,
            backups,
            keys,
            moving_files: Mutex::default(),
            sealer,
            pseudonyms,
            directory,
            policies,
            changes,
            herald,
            notices,
            canaries,
            classifier,
            audit,
            audit_follows,
            guard,
            cursors: Arc::default(),
            aliases,
            clock,
            metrics,
            saved,
            alerts,
            alert_turn: Mutex::default(),
            own_url: RwLock::default(),
            tiles,
            schema_locks: Mutex::default(),
        })
    }

    /// Records an event that is no read, such as a log-in.
    ///
    /// # Errors
    /// If the record cannot be made durable.
    pub fn record(&self, event: &Event) -> Result<(), EngineError> {
        self.audit.append_durable(event).map(|_| ()).map_err(|error| {
            tracing::error!(cause = chain(&error), "audit record not written");
            EngineError::unavailable("the audit record cannot be written; free its disk")
        })
    }

    /// Writes all buffers into segments and merges what is to be merged.
    ///
    /// # Errors
    /// If the disk fails; nothing is lost.
    pub fn flush(&self) -> Result<(), EngineError> {
        Ok(self.store.flush()?)
    }

    /// Merges segments until there is nothing to merge.
    ///
    /// # Errors
    /// If the disk fails; nothing is lost.
    pub fn compact(&self) -> Result<(), EngineError> {
        Ok(self.store.compact()?)
    }

    /// Stops in good order. Rows in the buffer come back from the log at the next start.
    pub fn close(&self) {
        if let Err(error) = self.guard.settle() {
            tracing::warn!(cause = chain(&error), "counts of quotas are a little too high now");
        }
        self.steward.stop();
        self.herald.stop();
        self.rotator.stop();
        self.store.close();
        if let Err(error) = self.audit.append_durable(&Event::new(EventKind::Stopped)) {
            tracing::error!(cause = chain(&error), "audit record not written");
        }
    }
}

fn holds_rows(store: &Store) -> Result<bool, StoreError> {
    for table in store.tables() {
        if store.stats(table.id)?.rows > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
