//! What tests of sources share: servers that end with the test, and a target that keeps rows and
//! marks as the store does.

use crate::{
    Cell, CopiedRows, Event, Follow, Layout, Marks, Piece, Position, Refusal, Snapshot, Wanted,
};
use model::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server on loopback; ends with the test.
#[derive(Debug)]
pub(crate) struct Server(Option<Child>);

impl Server {
    pub(crate) fn start(command: &mut Command) -> Server {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Server(Some(child.expect("the server starts")))
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens.
pub(crate) fn wait_for(port: u16) {
    let until = Instant::now() + Duration::from_secs(120);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A program of the system; without it the test says that it was skipped, or fails where everything
/// has to be there.
#[expect(clippy::print_stdout, reason = "says what is skipped")]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment what is installed"
)]
pub(crate) fn program(name: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var("CLERESTORY_CLIENTS_REQUIRED").is_err(), "{name} is missing");
        println!("SKIPPED {test}: {name} is missing; `.ci/run` installs it");
    }
    found
}

/// What `.ci/run` says where it is, by a variable of the environment.
#[expect(clippy::print_stdout, reason = "says what is skipped")]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment what is installed"
)]
pub(crate) fn installed(variable: &str, test: &str) -> Option<PathBuf> {
    let found = std::env::var(variable).ok().map(PathBuf::from);
    if found.is_none() {
        assert!(std::env::var("CLERESTORY_CLIENTS_REQUIRED").is_err(), "{variable} is not set");
        println!("SKIPPED {test}: {variable} is not set; `.ci/run` sets it");
    }
    found
}

pub(crate) fn wanted(table: &str, key: &[&str]) -> Wanted {
    Wanted {
        table: table.to_owned(),
        key: key.iter().map(|&name| name.to_owned()).collect(),
        left_out: BTreeSet::new(),
        planned: BTreeSet::new(),
    }
}

/// Rows and marks of one table, written together as the store does.
#[derive(Default)]
pub(crate) struct Target {
    /// By key; rows without one under their number.
    pub(crate) rows: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) marks: Marks,
    pub(crate) reached: Option<Position>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) told: Vec<String>,
    pub(crate) pieces: usize,
    /// Rows as they came, also those that came twice.
    pub(crate) given: usize,
    unnamed: u64,
}

impl Target {
    pub(crate) fn take(&mut self, piece: Piece, key: &[&str]) {
        self.pieces += 1;
        self.given += piece.rows.len();
        self.refused.extend(piece.refused);
        for row in 0..piece.rows.len() {
            let cells = cells(&piece.layout, &piece.rows, row);
            let id = match piece.layout.documents {
                true => cells.get("_id").cloned(),
                false if key.is_empty() => None,
                false => {
                    Some(key.iter().map(|name| cells[*name].clone()).collect::<Vec<_>>().join("|"))
                }
            };
            let id = id.unwrap_or_else(|| {
                self.unnamed += 1;
                format!("#{:09}", self.unnamed)
            });
            match piece.rows.op(row) {
                Op::Delete => drop(self.rows.remove(&id)),
                Op::Put => {
                    let before = self.rows.remove(&id).unwrap_or_default();
                    let unchanged = |name: &String, value: String| match value.as_str() {
                        "\0unchanged" => before.get(name).cloned().unwrap_or_default(),
                        _ => value,
                    };
                    let now = cells.into_iter().map(|(n, v)| (n.clone(), unchanged(&n, v)));
                    self.rows.insert(id, now.collect());
                }
            }
        }
        if let Some(position) = piece.position {
            self.marks.raise(&piece.table, &piece.lane, position);
        }
    }

    /// Reads all ranges of a snapshot, one after the other.
    pub(crate) async fn read_all(&mut self, snapshot: &dyn Snapshot, key: &[&str]) {
        self.reached.get_or_insert(snapshot.start());
        for range in snapshot.ranges() {
            let (out, mut pieces) = tokio::sync::mpsc::channel(1);
            let after = self.marks.get(&range.table, &range.lane).cloned();
            let read = async move { snapshot.read(&range, after.as_ref(), &out).await };
            let take = async {
                while let Some(piece) = pieces.recv().await {
                    self.take(piece, key);
                }
            };
            let (read, ()) = tokio::join!(read, take);
            read.unwrap();
        }
    }

    /// Follows until `enough` says so, acknowledging what was reached.
    pub(crate) async fn follow_until(
        &mut self,
        follow: &mut dyn Follow,
        key: &[&str],
        mut enough: impl FnMut(&Target) -> bool,
    ) {
        let until = Instant::now() + Duration::from_secs(60);
        while !enough(self) {
            assert!(Instant::now() < until, "{} rows after a minute", self.rows.len());
            match follow.next().await.unwrap() {
                Event::Rows(piece) => self.take(piece, key),
                Event::Truncate { table, lane, position } => {
                    self.rows.clear();
                    self.marks.raise(&table, &lane, position);
                }
                Event::Schema { what, .. } => self.told.push(what),
                Event::Reached(position) => {
                    follow.stored(&position).await.unwrap();
                    follow.acknowledge(&position).await.unwrap();
                    self.reached = Some(position);
                }
                Event::Idle => {}
            }
        }
    }
}

/// A row as text: a name and a value for each cell.
pub(crate) fn cells(layout: &Layout, rows: &CopiedRows, row: usize) -> BTreeMap<String, String> {
    let cells = rows.row(row);
    if layout.documents {
        let mut named = BTreeMap::new();
        if let Some(id) = rows.text(cells[0]) {
            named.insert("_id".to_owned(), id.to_owned());
        }
        named.insert("_source".to_owned(), rows.text(cells[1]).unwrap_or_default().to_owned());
        return named;
    }
    let named = layout.columns.iter().zip(cells);
    named.map(|(column, &cell)| (column.name.clone(), text(rows, cell))).collect()
}

fn text(rows: &CopiedRows, cell: Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Unchanged => "\0unchanged".to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Long(value) | Cell::Date(value) => value.to_string(),
        Cell::Double(value) => value.to_string(),
        Cell::Text(..) | Cell::Json(..) => rows.text(cell).unwrap_or_default().to_owned(),
    }
}

/// A runtime as the copier has one.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Numbers that look random and are the same in every run.
pub(crate) fn noise(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}
