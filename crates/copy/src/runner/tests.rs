use super::*;
use crate::copies::Copies;
use crate::{CopiedRows, Lag, Layout, SourceColumn, SourceTable, Wanted};
use engine::{Caller, Credential, Engine, Role, Settings, Unlock};
use model::Op;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const PASSWORD: &str = "correct horse battery staple";
/// Rows of a piece of the flood.
const PIECE_ROWS: u64 = 200;

#[test]
fn pauses_grow_up_to_a_minute() {
    let pauses: Vec<u64> = (1..=9).map(|tries| pause_after(tries).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
}

/// Gives rows as fast as they are taken, and notes how many were given and not stored.
#[derive(Default)]
struct Flood {
    given: AtomicU64,
    waiting_max: AtomicU64,
    copy: OnceLock<Arc<Copy>>,
    /// So many pieces in each of four ranges, then as many by following.
    pieces: u64,
}

impl Flood {
    fn layout() -> Arc<Layout> {
        let column = SourceColumn {
            name: "n".to_owned(),
            ty: crate::ColumnType::Long,
            native: "bigint".to_owned(),
        };
        Arc::new(Layout { columns: vec![column], documents: false })
    }

    fn piece(lane: &str, layout: &Arc<Layout>, first: u64) -> Piece {
        let mut rows = CopiedRows::new(1);
        for n in first..first + PIECE_ROWS {
            rows.start(Op::Put);
            rows.push(crate::Cell::Long(n as i64));
        }
        Piece {
            table: "flood".to_owned(),
            lane: lane.into(),
            layout: Arc::clone(layout),
            rows,
            refused: Vec::new(),
            position: Some(Position::new(&first.to_be_bytes())),
        }
    }

    /// A piece left the source.
    fn note(&self) {
        let given = self.given.fetch_add(PIECE_ROWS, Ordering::Relaxed) + PIECE_ROWS;
        let stored = self.copy.get().map_or(0, |copy| copy.live.lock().rows);
        self.waiting_max.fetch_max(given.saturating_sub(stored), Ordering::Relaxed);
    }
}

/// The flood as a source: shared with the test that looks at it.
struct Flowing(Arc<Flood>);

#[async_trait::async_trait]
impl Source for Flowing {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let columns = Flood::layout().columns.clone();
        let name = "flood".to_owned();
        let key = vec!["n".to_owned()];
        Ok(vec![SourceTable { name, columns, key, documents: false, rows: None }])
    }

    async fn sample(
        &self,
        _table: &SourceTable,
        _rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        Ok((Flood::layout(), CopiedRows::new(1)))
    }

    async fn snapshot(
        &self,
        _tables: &[Wanted],
        _before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        Ok(Box::new(Flowing(Arc::clone(&self.0))))
    }

    async fn follow(
        &self,
        _tables: &[Wanted],
        _from: &Position,
        _marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        Ok(Box::new(Changes { flood: Arc::clone(&self.0), layout: Flood::layout(), next: 0 }))
    }
}

#[async_trait::async_trait]
impl Snapshot for Flowing {
    fn start(&self) -> Position {
        Position::new(&[0])
    }

    fn ranges(&self) -> Vec<Range> {
        let range = |lane: u64| Range {
            table: "flood".to_owned(),
            lane: lane.to_string(),
            bounds: String::new(),
            rows: self.0.pieces * PIECE_ROWS,
        };
        (0..4).map(range).collect()
    }

    async fn read(
        &self,
        range: &Range,
        _after: Option<&Position>,
        out: &mpsc::Sender<Piece>,
    ) -> Result<(), SourceError> {
        let (layout, lane) = (Flood::layout(), range.lane.parse::<u64>().unwrap());
        for number in 0..self.0.pieces {
            let first = (lane * self.0.pieces + number) * PIECE_ROWS;
            if out.send(Flood::piece(&range.lane, &layout, first)).await.is_err() {
                break;
            }
            self.0.note();
        }
        Ok(())
    }
}

struct Changes {
    flood: Arc<Flood>,
    layout: Arc<Layout>,
    next: u64,
}

#[async_trait::async_trait]
impl Follow for Changes {
    async fn next(&mut self) -> Result<Event, SourceError> {
        let number = self.next;
        if number == self.flood.pieces {
            // The end of the flood: everything before it is stored when this is asked for again.
            self.next += 1;
            return Ok(Event::Reached(Position::new(&number.to_be_bytes())));
        }
        if number > self.flood.pieces {
            return Err(SourceError::Refused("the flood is over".to_owned()));
        }
        self.next += 1;
        let first = (4 * self.flood.pieces + number) * PIECE_ROWS;
        self.flood.note();
        Ok(Event::Rows(Flood::piece("", &self.layout, first)))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn lag(&self) -> Lag {
        Lag::default()
    }
}

struct House {
    engine: Arc<Engine>,
    copies: Copies,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings::new(&folder.path().join("data"), Unlock::KeyFile(folder.path().join("key")));
    Engine::init(&settings).unwrap();
    let engine = Arc::new(Engine::open(&settings).unwrap());
    engine
        .bootstrap(&[("eve", PASSWORD, &[Role::Engineer]), ("gus", PASSWORD, &[Role::Guardian])])
        .unwrap();
    let copies = Copies::open(&engine).unwrap();
    House { engine, copies, _folder: folder }
}

fn log_in(engine: &Engine, name: &str) -> Caller {
    let credential = Credential::Password { name, password: PASSWORD, network: None };
    engine.authenticate(credential, None).unwrap()
}

/// A signed copy of the flood, started by nobody: the test carries it out itself.
fn signed(house: &House) -> Arc<Copy> {
    let yaml = "copy: flood\nsource: { files: { folder: /nowhere } }\ntables:\n  flood:\n    \
                to: flood\n    key: [n]\n    columns:\n      n: { class: open, type: long, \
                purpose: quality, until: 2099-12-31 }\n";
    house.copies.propose(&log_in(&house.engine, "eve"), yaml).unwrap();
    house.copies.sign(&log_in(&house.engine, "gus"), "flood", 1).unwrap();
    let copy = house.copies.find("flood").unwrap();
    copy.change(|run| run.started_by = "eve".to_owned()).unwrap();
    copy
}

/// A source that is faster than the store waits for it: what was read and is not stored yet does not
/// grow with the table.
#[test]
fn a_source_that_is_faster_than_the_store_waits() {
    let house = house();
    let copy = signed(&house);
    let flood = Arc::new(Flood { pieces: 250, ..Flood::default() });
    flood.copy.set(Arc::clone(&copy)).ok().unwrap();
    let source: Arc<dyn Source> = Arc::new(Flowing(Arc::clone(&flood)));
    let waited = |most: u64| {
        let waited = flood.waiting_max.swap(0, Ordering::Relaxed);
        assert!(waited > PIECE_ROWS, "the source was never ahead: the test is blind");
        assert!(waited <= most * PIECE_ROWS, "{} pieces are kept", waited / PIECE_ROWS);
    };
    let runtime = crate::testing::runtime();
    let mut run = runtime.block_on(async {
        let version = copy.version_to_run().unwrap();
        let file = Arc::new(CopyFile::parse(&version.yaml).unwrap());
        let described = source.describe().await.unwrap();
        let storing = {
            let (copy, file) = (Arc::clone(&copy), Arc::clone(&file));
            blocking(move || Storing::begin(&copy, &file, &described))
        };
        let storing = Arc::new(storing.await.unwrap().unwrap());
        Run { copy: Arc::clone(&copy), file, source, storing }
    });
    runtime.block_on(run.read_all()).unwrap();
    let rows = |house: &House| house.engine.copied_rows("flood").unwrap();
    assert_eq!(rows(&house), 1_000 * PIECE_ROWS);
    // For each reader those in the channel, one that is given and one that is stored.
    waited(READERS as u64 * (PIECES_WAITING as u64 + 2));
    let ended = runtime.block_on(run.follow());
    assert!(matches!(ended, Err(Trouble::Pause(_))), "{ended:?}");
    assert_eq!(rows(&house), 1_250 * PIECE_ROWS);
    // Changes are stored together, so many at once.
    waited(64);
}
