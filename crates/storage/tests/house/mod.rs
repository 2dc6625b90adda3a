//! A store with its keys, sealer and guard, as the engine puts them together.

#![expect(dead_code, reason = "each test binary uses a part of it")]

use model::{
    Batch, Class, Clock, Column, Field, FieldId, FieldName, FieldType, Intake, ManualClock, Op,
    Row, Ruling, Schema, Strings, Table, TableId, TableKind, TableName, Timestamp, Values,
};
use protection::audit::AuditLog;
use protection::caller::{Caller, Credential, Directory, Role};
use protection::classify::Classifier;
use protection::grant::Action;
use protection::keys::KeyRing;
use protection::{
    FieldUse, Guard, MemoryRecords, Permit, Pseudonyms, ReadIntent, SealedBatch, Sealer, Use,
};
use std::path::Path;
use std::sync::Arc;
use storage::disk::Disk;
use storage::{
    Filter, ReadError, Selection, Snapshot, Store, StoreError, StoreSettings, TileMaker, View,
};

pub(crate) const START: i64 = 1_700_000_000_000;

pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) office: Arc<Office>,
}

/// What stays the same when a store is opened again, and takes its time to make.
pub(crate) struct Office {
    keys: Arc<KeyRing>,
    clock: Arc<ManualClock>,
    pub(crate) sealer: Arc<Sealer>,
    guard: Guard,
    caller: Caller,
    _audit: tempfile::TempDir,
}

/// A folder in memory where there is one: these tests cut their own disk, not the machine's.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

impl Office {
    pub(crate) fn new(keys: Arc<KeyRing>) -> Arc<Office> {
        let clock = Arc::new(ManualClock::at(Timestamp(START)));
        let audit_dir = folder();
        let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let audit =
            AuditLog::open(audit_dir.path(), Arc::clone(&keys), Arc::clone(&as_clock)).unwrap();
        let directory = Directory::open_with(
            Arc::new(MemoryRecords::new()),
            &keys,
            Arc::clone(&as_clock),
            protection::keys::PassphraseCost::TEST,
        )
        .unwrap();
        directory.bootstrap(&[("ada", "a long password", &[Role::Analyst])]).unwrap();
        let caller = directory
            .authenticate(Credential::Password {
                name: "ada",
                password: "a long password",
                network: None,
            })
            .unwrap();
        let sealer = Sealer::new(
            Arc::clone(&keys),
            Arc::new(Pseudonyms::new(&keys)),
            Arc::new(Classifier::standard()),
            Arc::clone(&as_clock),
        );
        let guard = Guard::new(Arc::new(audit), Arc::clone(directory.policies()), as_clock);
        let sealer = Arc::new(sealer);
        Arc::new(Office { keys, clock, sealer, guard, caller, _audit: audit_dir })
    }
}

impl House {
    /// Opens the store in `dir`; `keys` from an earlier one to open it again.
    pub(crate) fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        keys: Arc<KeyRing>,
    ) -> Result<House, StoreError> {
        House::open_for(&Office::new(keys), dir, disk, false)
    }

    /// Opens the store with what an earlier one used; `background`: with its own threads.
    pub(crate) fn open_for(
        office: &Arc<Office>,
        dir: &Path,
        disk: Arc<dyn Disk>,
        background: bool,
    ) -> Result<House, StoreError> {
        House::open_with(office, dir, disk, |settings| settings.background = background)
    }

    /// The same with other settings than a test's usual ones.
    pub(crate) fn open_with(
        office: &Arc<Office>,
        dir: &Path,
        disk: Arc<dyn Disk>,
        set: impl FnOnce(&mut StoreSettings),
    ) -> Result<House, StoreError> {
        let (keys, clock) = (Arc::clone(&office.keys), Arc::clone(&office.clock));
        let mut settings =
            StoreSettings::new(dir, disk, Arc::clone(&keys), Arc::clone(&clock) as Arc<dyn Clock>);
        settings.background = false;
        settings.flush_rows = 1_000_000;
        settings.sealer = Arc::clone(&office.sealer);
        set(&mut settings);
        let store = Store::open(settings)?;
        Ok(House { store, keys, clock, office: Arc::clone(office) })
    }

    pub(crate) fn seal(&self, table: &Table, batch: Batch) -> SealedBatch {
        self.office.sealer.seal(&mut table.clone(), batch).unwrap().batch
    }

    pub(crate) fn permit(&self, table: &Arc<Table>) -> Permit {
        let intent = ReadIntent {
            action: Action::Read,
            tables: vec![Arc::clone(table)],
            shape: "test".to_owned(),
            fields: vec![(table.id, FieldUse { field: "*".to_owned(), how: Use::Output })],
        };
        self.office.guard.authorise(&self.office.caller, intent).unwrap()
    }

    pub(crate) fn snapshot(&self, table: &Arc<Table>) -> Snapshot {
        self.store.snapshot(&[table.id], &self.permit(table)).unwrap()
    }

    pub(crate) fn count(&self, table: &Arc<Table>, filter: &Filter) -> u64 {
        self.snapshot(table).views().iter().map(|view| view.count(filter).unwrap()).sum()
    }

    /// How many views have a tile of this key; each says what the rows say.
    pub(crate) fn tiled(&self, table: &Arc<Table>, key: &str) -> usize {
        let snapshot = self.snapshot(table);
        let has_one = |view: &&Arc<View>| match view.tile(key) {
            Some(bytes) => {
                assert_eq!(bytes, Summing::sum(view).unwrap(), "the tile of other rows");
                true
            }
            None => false,
        };
        snapshot.views().iter().filter(has_one).count()
    }

    /// Every document as (`_id`, version, JSON), sorted by id.
    pub(crate) fn documents(&self, table: &Arc<Table>) -> Vec<Document> {
        self.try_documents(table).unwrap()
    }

    /// The same where reading may fail.
    pub(crate) fn try_documents(&self, table: &Arc<Table>) -> Result<Vec<Document>, StoreError> {
        let mut all = Vec::new();
        for view in self.store.snapshot(&[table.id], &self.permit(table))?.views() {
            let selection = view.select(&Filter::All)?;
            let rows = rows_of(&selection);
            let documents = view.documents(&rows, &|_| true)?;
            let ids = view.ids(&rows)?;
            let versions = view.versions(&rows)?;
            all.extend(ids.into_iter().zip(versions).zip(documents).map(|((i, v), d)| (i, v, d)));
        }
        all.sort();
        Ok(all)
    }
}

/// Makes tiles that are easy to check: the sum of `n`, under whatever keys are wanted.
pub(crate) struct Summing(pub(crate) Arc<[String]>);

impl Summing {
    pub(crate) fn of(keys: &[&str]) -> Arc<Summing> {
        Arc::new(Summing(keys.iter().map(|&key| key.to_owned()).collect()))
    }

    /// What the tile of a view should be.
    pub(crate) fn sum(view: &View) -> Result<Vec<u8>, ReadError> {
        let Some(storage::Column::Long(column)) = view.column("n")? else { return Ok(Vec::new()) };
        let (mut rows, mut values, mut sum) = (Vec::new(), Vec::new(), 0);
        for block in view.select(&Filter::All)?.blocks() {
            column.all(block, &mut rows, &mut values);
            sum += values.iter().sum::<i64>();
        }
        Ok(format!("the sum is {sum}").into_bytes())
    }
}

impl TileMaker for Summing {
    fn wanted(&self, _: &Arc<Table>) -> Arc<[String]> {
        Arc::clone(&self.0)
    }

    fn make(&self, view: &Arc<View>, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let sum = Summing::sum(view)?;
        Ok(keys.iter().map(|key| (key != "worthless").then(|| sum.clone())).collect())
    }
}

/// A document's `_id`, version and JSON.
pub(crate) type Document = (String, u64, String);

pub(crate) fn rows_of(selection: &Selection) -> Vec<u32> {
    let blocks = selection.blocks();
    blocks.flat_map(|block| (0..block.len()).map(move |place| block.row(place))).collect()
}

/// An error with all its causes, as a log line shows it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A table with `@timestamp`, `kind` (keyword), `message` (text), `n` (long), `x` (double).
pub(crate) fn events_table() -> Table {
    let field = |name: &str, ty, es_type: &str| {
        let mut field = Field::new(FieldName::parse(name).unwrap(), ty, es_type);
        field.class = Some(Class::Open);
        field
    };
    Table {
        id: TableId(0),
        name: TableName::parse("events").unwrap(),
        kind: TableKind::Events,
        intake: Intake::Classified,
        time_field: Some("@timestamp".to_owned()),
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::from_fields(vec![
            field("@timestamp", FieldType::Date, "date"),
            field("kind", FieldType::Keyword, "keyword"),
            field("message", FieldType::Text, "text"),
            field("n", FieldType::Long, "long"),
            field("x", FieldType::Double, "double"),
        ]),
    }
}

/// The table once a person gave a field this class; personal values are of kind `user`.
pub(crate) fn ruled(table: &Table, field: &str, class: Class) -> Table {
    let mut table = table.clone();
    let (id, _) = table.schema.find(field).unwrap();
    let ruling = Ruling {
        by: "grace".to_owned(),
        at: Timestamp(START),
        reason: "a test".to_owned(),
        class: Some(class),
        kind: if class == Class::Open { String::new() } else { "user".to_owned() },
        rules: 0,
    };
    table.schema.rule(id, ruling);
    table
}

/// One row of [`events_table`]; an `id` makes it an update of that id.
pub(crate) struct Event<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) at: i64,
    pub(crate) kind: &'a str,
    pub(crate) message: &'a str,
    pub(crate) n: i64,
}

pub(crate) fn batch(events: &[Event<'_>]) -> Batch {
    let mut batch = Batch::default();
    let mut kinds = Strings::default();
    let mut messages = Strings::default();
    for event in events {
        batch.rows.push(Row { id: event.id.map(Into::into), op: Op::Put, shape: None });
        for (strings, text) in [(&mut kinds, event.kind), (&mut messages, event.message)] {
            let known = strings.iter_distinct().position(|known| known == text);
            let id = known.map_or_else(|| strings.push_distinct(text), |known| known as u32);
            strings.ids.push(id);
        }
    }
    let rows: Vec<u32> = (0..events.len() as u32).collect();
    let column = |field, values| Column { field: FieldId(field), rows: rows.clone(), values };
    batch.columns = vec![
        column(0, Values::Longs(events.iter().map(|event| event.at).collect())),
        column(1, Values::Strings(kinds)),
        column(2, Values::Strings(messages)),
        column(3, Values::Longs(events.iter().map(|event| event.n).collect())),
        column(4, Values::Doubles(events.iter().map(|event| event.n as f64 / 2.0).collect())),
    ];
    batch
}

pub(crate) fn delete(ids: &[&str]) -> Batch {
    let rows = ids.iter().map(|&id| Row { id: Some(id.into()), op: Op::Delete, shape: None });
    Batch { rows: rows.collect(), ..Batch::default() }
}
