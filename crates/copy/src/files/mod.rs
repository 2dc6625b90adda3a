//! Files as a source: a folder of this machine or a bucket, with NDJSON, CSV and Parquet, also
//! packed.
//!
//! A table is a folder, a file, or a pattern such as `events-*.ndjson`. Each file is a lane of its
//! own, and its mark says how many bytes (of Parquet: rows) of it are stored. A file that is there
//! whole is read once; plain lines that are added to its end are read when they come; a file that
//! changed in any other way is named and not read again: give it a new name.

mod csv_rows;
mod follow;
mod form;
mod lines;
mod mark;
mod parquet_rows;
mod reader;
mod stored;

#[cfg(test)]
mod tests;

pub(crate) use csv_rows::text_type;
pub use csv_rows::{Written, is_number, is_whole};
pub use form::{Contents, Packing};
pub use lines::{Line, LineReader};
pub(crate) use parquet_rows::text_of;
pub use parquet_rows::{NumberedDocument, ParquetDocuments};
pub(crate) use stored::is_loopback;
pub use stored::{BucketKey, Place};

use crate::document::seen_columns;
use crate::settings;
use crate::{
    CopiedRows, Follow, Layout, Marks, Piece, Position, Range, Refusal, Snapshot, Source,
    SourceColumn, SourceError, SourceTable, Wanted,
};
use follow::FollowedFiles;
use mark::Mark;
use model::{Clock, SystemClock, Timestamp};
use reader::{Stopped, Task};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use stored::{Listed, Shelf};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

/// Records that are looked at to tell numbers from text.
const CSV_SAMPLE: usize = 1_000;
/// Documents that are looked at to see which members there are.
const DOCUMENT_SAMPLE: usize = 200;
/// A file of a folder is whole when nobody wrote to it for so long, in milliseconds.
const SETTLED_MS: i64 = 5_000;

/// The `source.files` part of a copy file: a folder, or a bucket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    folder: Option<String>,
    bucket: Option<String>,
    #[serde(default)]
    prefix: String,
    region: Option<String>,
    endpoint: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    patterns: Vec<String>,
}

/// Opens the source of a copy file; `secret` is the secret half of the bucket's key.
pub(crate) fn open(
    settings: Settings,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<FilesSource, String> {
    let key = match (settings.key_id, secret) {
        (None, None) => None,
        (Some(id), Some(secret)) => Some(BucketKey { id, secret: settings::text(&secret)? }),
        // A file is checked without its secret.
        (Some(_), None) => None,
        (None, Some(_)) => return Err("say whose the `secret` is: `key_id`".to_owned()),
    };
    let place = match (settings.folder, settings.bucket) {
        (Some(folder), None) => Place::Folder(folder.into()),
        (None, Some(bucket)) => Place::Bucket {
            bucket,
            prefix: settings.prefix,
            region: settings.region,
            endpoint: settings.endpoint,
        },
        _ => return Err("say where the files are: `folder` or `bucket`".to_owned()),
    };
    Ok(FilesSource::new(place, settings.patterns, key, Arc::new(SystemClock)))
}

/// A folder or a bucket.
pub struct FilesSource {
    place: Place,
    /// Tables that are no folder and no file: patterns.
    patterns: Vec<String>,
    key: Option<BucketKey>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for FilesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilesSource").field(&self.place).finish()
    }
}

impl FilesSource {
    /// Files at `place`; a bucket needs a key. `patterns` are tables beside the folders and files
    /// there are, such as `events-*.ndjson`.
    pub fn new(
        place: Place,
        patterns: Vec<String>,
        key: Option<BucketKey>,
        clock: Arc<dyn Clock>,
    ) -> FilesSource {
        FilesSource { place, patterns, key, clock }
    }

    fn shelf(&self) -> Result<Shelf, SourceError> {
        Shelf::open(&self.place, self.key.as_ref())
    }
}

#[async_trait::async_trait]
impl Source for FilesSource {
    async fn describe(&self) -> Result<Vec<SourceTable>, SourceError> {
        let shelf = self.shelf()?;
        let files = shelf.list().await?;
        let mut tables = Vec::new();
        let patterns = self.patterns.iter().filter(|of| files.iter().any(|f| belongs(of, &f.name)));
        for name in table_names(&files).into_iter().chain(patterns.cloned()) {
            tables.push(self.describe_table(&shelf, &files, &name).await?);
        }
        Ok(tables)
    }

    async fn sample(
        &self,
        table: &SourceTable,
        rows: usize,
    ) -> Result<(Arc<Layout>, CopiedRows), SourceError> {
        let shelf = self.shelf()?;
        let files = of_table(&shelf.list().await?, &table.name);
        let layout = match table.documents {
            true => Layout::documents(),
            false => Layout::columns(table.columns.clone()),
        };
        // The middle one: the first may be of a time when much was different.
        let Some(file) = files.get(files.len() / 2) else {
            return Ok((Arc::clone(&layout), CopiedRows::new(layout.width())));
        };
        let types: Arc<[SourceColumn]> = table.columns.clone().into();
        let task = task(&shelf, file, &wanted(&table.name), types, true, Mark::default());
        let name = table.name.clone();
        let piece = blocking(move || first_rows(&task))
            .await?
            .map_err(|stopped| failure(&name, stopped))?;
        let Some(piece) = piece else {
            return Ok((Arc::clone(&layout), CopiedRows::new(layout.width())));
        };
        Ok((piece.layout, head(&piece.rows, rows)))
    }

    async fn snapshot(
        &self,
        tables: &[Wanted],
        before: &[Range],
    ) -> Result<Box<dyn Snapshot>, SourceError> {
        let shelf = self.shelf()?;
        let files = shelf.list().await?;
        let types = csv_types(&shelf, &files, tables).await?;
        let mut ranges = before.to_vec();
        if ranges.is_empty() {
            for table in tables {
                let files = of_table(&files, &table.table);
                // Of a file that lines are added to all there are now: a new snapshot in which it
                // was missing would take its rows away until following gives them again.
                let now = self.clock.now();
                let readable =
                    files.iter().filter(|file| grows(file) || is_settled(&shelf, file, now));
                ranges.extend(readable.map(|file| Range {
                    table: table.table.clone(),
                    lane: file.name.clone(),
                    bounds: file.bytes.to_string(),
                    rows: file.bytes / 200,
                }));
            }
        }
        let tables = tables.iter().map(|table| (table.table.clone(), table.clone())).collect();
        let clock = Arc::clone(&self.clock);
        Ok(Box::new(FilesSnapshot { shelf, files, tables, types, ranges, clock }))
    }

    async fn follow(
        &self,
        tables: &[Wanted],
        _from: &Position,
        marks: &Marks,
    ) -> Result<Box<dyn Follow>, SourceError> {
        let shelf = self.shelf()?;
        let types = csv_types(&shelf, &shelf.list().await?, tables).await?;
        Ok(Box::new(FollowedFiles::start(shelf, tables, types, marks, Arc::clone(&self.clock))))
    }
}

impl FilesSource {
    async fn describe_table(
        &self,
        shelf: &Shelf,
        files: &[Listed],
        name: &str,
    ) -> Result<SourceTable, SourceError> {
        let files = of_table(files, name);
        let first = files.first().expect("a table is named after a file");
        let documents = first.contents == Contents::Ndjson;
        if files.iter().any(|file| (file.contents == Contents::Ndjson) != documents) {
            return Err(SourceError::Refused(format!(
                "`{name}` holds NDJSON beside files with columns: give each a folder of its own"
            )));
        }
        let no_types: Arc<[SourceColumn]> = Arc::new([]);
        let task = task(shelf, first, &wanted(name), no_types, true, Mark::default());
        let contents = first.contents;
        let columns = blocking(move || match contents {
            Contents::Parquet => reader::parquet_columns(&task.file),
            Contents::Csv => reader::csv_sample(&task, CSV_SAMPLE),
            Contents::Ndjson => Ok(match first_rows(&task)? {
                Some(piece) => seen_columns(&head(&piece.rows, DOCUMENT_SAMPLE)),
                None => Vec::new(),
            }),
        });
        let columns = columns.await?.map_err(|stopped| failure(name, stopped))?;
        Ok(SourceTable { name: name.to_owned(), columns, key: Vec::new(), documents, rows: None })
    }
}

struct FilesSnapshot {
    shelf: Shelf,
    files: Vec<Listed>,
    tables: BTreeMap<String, Wanted>,
    types: BTreeMap<String, Arc<[SourceColumn]>>,
    ranges: Vec<Range>,
    clock: Arc<dyn Clock>,
}

#[async_trait::async_trait]
impl Snapshot for FilesSnapshot {
    fn start(&self) -> Position {
        // Where following goes on is said by the marks of the files.
        Position::new(&[])
    }

    fn ranges(&self) -> Vec<Range> {
        self.ranges.clone()
    }

    async fn read(
        &self,
        range: &Range,
        after: Option<&Position>,
        out: &Sender<Piece>,
    ) -> Result<(), SourceError> {
        let Some(wanted) = self.tables.get(&range.table) else { return Ok(()) };
        let from = after.and_then(Mark::from_position).unwrap_or_default();
        let Some(file) = self.files.iter().find(|file| file.name == range.lane) else {
            let reason = "it is gone".to_owned();
            return refuse_file(&range.table, &range.lane, reason, out).await;
        };
        if is_done(file, from) {
            return Ok(());
        }
        let types = self.types.get(&range.table).cloned().unwrap_or_default();
        let settled = is_settled(&self.shelf, file, self.clock.now());
        let task = task(&self.shelf, file, wanted, types, settled, from);
        let to = out.clone();
        let read = blocking(move || {
            reader::read(&task, &mut |piece| to.blocking_send(piece).map_err(|_| Stopped::Closed))
        });
        match read.await? {
            Ok(_) | Err(Stopped::Closed) => Ok(()),
            Err(Stopped::Source(error)) => Err(error),
            Err(Stopped::Bad(reason)) => refuse_file(&range.table, &range.lane, reason, out).await,
        }
    }
}

/// Names a file that cannot be read; the others are.
async fn refuse_file(
    table: &str,
    file: &str,
    reason: String,
    out: &Sender<Piece>,
) -> Result<(), SourceError> {
    // Nobody listening is the listener's business.
    let _ = out.send(refusal(table, file, reason)).await;
    Ok(())
}

fn refusal(table: &str, file: &str, reason: String) -> Piece {
    Piece {
        table: table.to_owned(),
        lane: file.into(),
        layout: Layout::documents(),
        rows: CopiedRows::new(2),
        refused: vec![Refusal { at: file.to_owned(), reason }],
        position: None,
    }
}

/// Runs what blocks away from the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        SourceError::Broken("reading a file ended in a panic; please report it".into())
    })
}

fn failure(name: &str, stopped: Stopped) -> SourceError {
    match stopped {
        Stopped::Source(error) => error,
        Stopped::Bad(reason) => SourceError::Refused(format!("a file of `{name}`: {reason}")),
        Stopped::Closed => SourceError::Broken("nobody takes the rows".to_owned()),
    }
}

fn task(
    shelf: &Shelf,
    file: &Listed,
    wanted: &Wanted,
    csv_types: Arc<[SourceColumn]>,
    is_settled: bool,
    from: Mark,
) -> Task {
    Task {
        file: shelf.file(file, &Handle::current()),
        name: file.name.as_str().into(),
        bytes: file.bytes,
        contents: file.contents,
        is_settled,
        from,
        wanted: wanted.clone(),
        csv_types,
    }
}

/// The first piece of a file, if it has rows.
fn first_rows(task: &Task) -> Result<Option<Piece>, Stopped> {
    let mut first = None;
    let read = reader::read(task, &mut |piece| match piece.rows.is_empty() {
        true => Ok(()),
        false => {
            first = Some(piece);
            Err(Stopped::Closed)
        }
    });
    match read {
        Ok(_) | Err(Stopped::Closed) => Ok(first),
        Err(stopped) => Err(stopped),
    }
}

/// At most `count` rows, spread over all of them.
pub(crate) fn head(rows: &CopiedRows, count: usize) -> CopiedRows {
    let step = rows.len().div_ceil(count.max(1)).max(1);
    let mut some = CopiedRows::new(rows.width());
    for row in (0..rows.len()).step_by(step) {
        some.start(rows.op(row));
        for &cell in rows.row(row) {
            match (cell, rows.text(cell)) {
                (crate::Cell::Json(..), Some(json)) => some.push_json(json),
                (_, Some(text)) => some.push_text(text),
                (cell, None) => some.push(cell),
            }
        }
    }
    some
}

fn wanted(table: &str) -> Wanted {
    let (left_out, planned) = (BTreeSet::new(), BTreeSet::new());
    Wanted { table: table.to_owned(), key: Vec::new(), left_out, planned }
}

/// Types of the CSV columns of each table, by its first file.
async fn csv_types(
    shelf: &Shelf,
    files: &[Listed],
    tables: &[Wanted],
) -> Result<BTreeMap<String, Arc<[SourceColumn]>>, SourceError> {
    let mut types = BTreeMap::new();
    for table in tables {
        let files = of_table(files, &table.table);
        let Some(first) = files.iter().find(|file| file.contents == Contents::Csv) else {
            continue;
        };
        let task = task(shelf, first, table, Arc::new([]), true, Mark::default());
        let sample = blocking(move || reader::csv_sample(&task, CSV_SAMPLE)).await?;
        match sample {
            Ok(columns) => drop(types.insert(table.table.clone(), columns.into())),
            // A bad first file is named when it is read; the others' values go as text.
            Err(Stopped::Source(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(types)
}

/// The tables there seem to be: each folder at the top, and each file that is in none.
fn table_names(files: &[Listed]) -> BTreeSet<String> {
    let name = |file: &Listed| file.name.split('/').next().unwrap_or_default().to_owned();
    files.iter().map(name).collect()
}

/// The files of a table: below a folder, one file, or all that a pattern fits.
fn of_table(files: &[Listed], table: &str) -> Vec<Listed> {
    files.iter().filter(|file| belongs(table, &file.name)).cloned().collect()
}

fn belongs(table: &str, file: &str) -> bool {
    let table = table.trim_end_matches('/');
    table == "."
        || file == table
        || file.strip_prefix(table).is_some_and(|rest| rest.starts_with('/'))
        || (table.contains('*') && fits(table.as_bytes(), file.as_bytes()))
}

/// Whether `*` (anything but `/`) of a pattern can be filled so that it is the text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star = None;
    while place < text.len() {
        if at < pattern.len() && pattern[at] == b'*' {
            star = Some((at, place));
            at += 1;
        } else if at < pattern.len() && pattern[at] == text[place] {
            at += 1;
            place += 1;
        } else {
            // The last star takes one more.
            match star {
                Some((star_at, taken)) if text[taken] != b'/' => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    place = taken + 1;
                }
                _ => return false,
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Whether nobody writes to a file any more.
fn is_settled(shelf: &Shelf, file: &Listed, now: Timestamp) -> bool {
    shelf.is_atomic || now.0.saturating_sub(file.written_ms) >= SETTLED_MS
}

/// Whether all of a file is stored.
fn is_done(file: &Listed, mark: Mark) -> bool {
    file.bytes == 0 || mark.whole == file.bytes
}

/// From where a file goes on, or why it cannot.
fn go_on(file: &Listed, mark: Mark) -> Result<Mark, String> {
    let changed = "it changed after it was read: give what is new another name";
    match mark.whole {
        0 if grows(file) && mark.offset > file.bytes => Err(changed.to_owned()),
        0 => Ok(mark),
        whole if grows(file) && whole < file.bytes => Ok(Mark { whole: 0, ..mark }),
        _ => Err(changed.to_owned()),
    }
}

/// Whether lines may be added to a file.
fn grows(file: &Listed) -> bool {
    file.contents != Contents::Parquet && Packing::of_name(&file.name).1 == Packing::Plain
}
