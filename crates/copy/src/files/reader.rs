//! Reads one file, from where it is stored to its end, in pieces.

use super::csv_rows;
use super::form::{Contents, Packing};
use super::lines::LineReader;
use super::mark::Mark;
use super::parquet_rows;
use super::stored::StoredFile;
use crate::document::Ids;
use crate::{CopiedRows, Layout, Piece, Refusal, SourceColumn, SourceError, Wanted};
use csv::StringRecord;
use model::Op;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// A piece has about so many rows,
const PIECE_ROWS: usize = 8_192;
/// or so many bytes.
const PIECE_BYTES: usize = 4 << 20;
/// Lines that are skipped alone are kept up to this number in one piece.
const PIECE_REFUSED: usize = 1_000;

/// One file to read.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) file: StoredFile,
    /// Below the place; the lane.
    pub(super) name: Arc<str>,
    pub(super) bytes: u64,
    pub(super) contents: Contents,
    /// Nobody writes to it any more: its last line counts even without a line feed.
    pub(super) is_settled: bool,
    /// Up to where it is stored.
    pub(super) from: Mark,
    pub(super) wanted: Wanted,
    /// Types of CSV columns, by the sample of the table.
    pub(super) csv_types: Arc<[SourceColumn]>,
}

/// Why reading of a file ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It cannot be reached.
    Source(SourceError),
    /// It is not what its name says; others may be read.
    Bad(String),
    /// Nobody takes pieces any more.
    Closed,
}

/// Reads to the end; gives up to where. Blocks: for threads that may.
pub(super) fn read(
    task: &Task,
    give: &mut dyn FnMut(Piece) -> Result<(), Stopped>,
) -> Result<Mark, Stopped> {
    match task.contents {
        Contents::Ndjson => read_lines(task, give),
        Contents::Csv => read_csv(task, give),
        Contents::Parquet => read_parquet(task, give),
    }
}

/// Rows that were read and not given yet.
struct Pending<'t, 'g> {
    task: &'t Task,
    layout: Arc<Layout>,
    rows: CopiedRows,
    refused: Vec<Refusal>,
    give: &'g mut dyn FnMut(Piece) -> Result<(), Stopped>,
}

impl Pending<'_, '_> {
    fn new<'t, 'g>(
        task: &'t Task,
        layout: Arc<Layout>,
        give: &'g mut dyn FnMut(Piece) -> Result<(), Stopped>,
    ) -> Pending<'t, 'g> {
        let rows = CopiedRows::new(layout.width());
        Pending { task, layout, rows, refused: Vec::new(), give }
    }

    fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        let at = format!("{}:{line}", self.task.name);
        self.refused.push(Refusal { at, reason: reason.into() });
    }

    /// Takes a record of CSV, unless it is known to be none.
    fn take(
        &mut self,
        record: &StringRecord,
        refused: Option<String>,
        line: u64,
        columns: &[SourceColumn],
        places: &[usize],
    ) {
        if let Some(reason) = refused {
            return self.refuse(line, reason);
        }
        self.rows.start(Op::Put);
        csv_rows::push(record, columns, places, &mut self.rows);
    }

    /// Gives what there is if it is enough for a piece. Called before a row is added: so the last
    /// piece of a file has rows and says that it is the last.
    fn make_room(&mut self, mark: Mark) -> Result<(), Stopped> {
        let is_full = self.rows.len() >= PIECE_ROWS
            || self.rows.bytes() >= PIECE_BYTES
            || self.refused.len() >= PIECE_REFUSED;
        if is_full { self.give(mark) } else { Ok(()) }
    }

    fn give(&mut self, mark: Mark) -> Result<(), Stopped> {
        let rows = std::mem::replace(&mut self.rows, CopiedRows::new(self.layout.width()));
        (self.give)(Piece {
            table: self.task.wanted.table.clone(),
            lane: Arc::clone(&self.task.name),
            layout: Arc::clone(&self.layout),
            rows,
            refused: std::mem::take(&mut self.refused),
            position: Some(mark.to_position()),
        })
    }

    /// Gives what is left, and where the file is whole that it is.
    fn finish(mut self, mark: Mark) -> Result<Mark, Stopped> {
        let is_empty = self.rows.is_empty() && self.refused.is_empty();
        if !is_empty || (mark.whole != 0 && mark != self.task.from) {
            self.give(mark)?;
        }
        Ok(mark)
    }
}

fn broken(error: &io::Error) -> Stopped {
    // What object storage said is inside; anything else is the file's own fault.
    match error.get_ref().and_then(|inner| inner.downcast_ref::<SourceError>()) {
        Some(SourceError::Refused(text)) => Stopped::Source(SourceError::Refused(text.clone())),
        Some(other) => Stopped::Source(SourceError::Unreachable(other.to_string())),
        None => Stopped::Bad("it is cut short or not packed as its name says".to_owned()),
    }
}

/// The file from byte `offset` of its unpacked form on.
fn unpacked(task: &Task, offset: u64) -> Result<Box<dyn Read + Send>, Stopped> {
    let (_, packing) = Packing::of_name(&task.name);
    if packing == Packing::Plain {
        return Ok(Box::new(task.file.from(offset)));
    }
    let mut input = packing.unpack(task.file.from(0)).map_err(|error| broken(&error))?;
    let skipped = io::copy(&mut input.by_ref().take(offset), &mut io::sink());
    if skipped.map_err(|error| broken(&error))? < offset {
        return Err(Stopped::Bad("it is shorter than what was already read of it".to_owned()));
    }
    Ok(input)
}

fn read_lines(
    task: &Task,
    give: &mut dyn FnMut(Piece) -> Result<(), Stopped>,
) -> Result<Mark, Stopped> {
    let input = BufReader::with_capacity(1 << 18, unpacked(task, task.from.offset)?);
    let mut lines = LineReader::new(input, task.from.offset, task.from.line);
    let mut pending = Pending::new(task, Layout::documents(), give);
    let mut ids = Ids::new(&task.wanted.key);
    let mut mark = Mark { whole: 0, ..task.from };
    while let Some(line) = lines.next_line().map_err(|error| broken(&error))? {
        if !line.ended && !task.is_settled {
            // Somebody is writing it: the rest comes later.
            return pending.finish(mark);
        }
        pending.make_room(mark)?;
        let number = line.number;
        match line.text.map(|text| (text, ids.check(text))) {
            None => pending.refuse(number, "longer than 64 MiB"),
            Some(([], _)) => {}
            Some((text, Ok(()))) => {
                pending.rows.start(Op::Put);
                ids.push(&mut pending.rows);
                // `check` saw that it is UTF-8 and one object.
                pending.rows.push_json(std::str::from_utf8(text).unwrap_or("{}"));
            }
            Some((_, Err(reason))) => pending.refuse(number, reason),
        }
        mark = Mark { offset: lines.offset(), line: lines.number(), whole: 0 };
    }
    pending.finish(Mark { whole: task.bytes, ..mark })
}

/// The names of the columns, and where the first record begins.
fn header(task: &Task) -> Result<(Vec<String>, csv::Position), Stopped> {
    let mut reader = csv::ReaderBuilder::new().from_reader(unpacked(task, 0)?);
    let names = reader.headers().map_err(|error| csv_broken(&error))?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    csv_rows::check_names(&names).map_err(Stopped::Bad)?;
    Ok((names, reader.position().clone()))
}

fn csv_broken(error: &csv::Error) -> Stopped {
    match error.kind() {
        csv::ErrorKind::Io(error) => broken(error),
        _ => Stopped::Bad("its first line is no line of CSV in UTF-8".to_owned()),
    }
}

fn read_csv(
    task: &Task,
    give: &mut dyn FnMut(Piece) -> Result<(), Stopped>,
) -> Result<Mark, Stopped> {
    let (names, first) = header(task)?;
    let columns = csv_columns(&names, &task.csv_types);
    let kept = |column: &&SourceColumn| !task.wanted.left_out.contains(&column.name);
    let (places, columns): (Vec<usize>, Vec<SourceColumn>) = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| kept(column))
        .map(|(p, c)| (p, c.clone()))
        .unzip();
    let start = task.from.offset.max(first.byte());
    let start_line = task.from.line.max(first.line().saturating_sub(1));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(unpacked(task, start)?);
    let mut pending = Pending::new(task, Layout::columns(columns.clone()), give);
    let mut mark = Mark { offset: start, line: start_line, whole: 0 };
    let (mut record, mut held) = (StringRecord::new(), StringRecord::new());
    // A record is taken when the next one was seen: the last of a file that somebody is writing may
    // be half of one.
    let mut taken: Option<Option<String>> = None;
    let mut next = mark;
    loop {
        let read = match reader.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) if record.len() != names.len() => {
                let (has, named) = (record.len(), names.len());
                Some(Some(format!("has {has} values, the first line names {named}")))
            }
            Ok(true) => Some(None),
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Utf8 { .. } => Some(Some("is no UTF-8".to_owned())),
                csv::ErrorKind::Io(error) => return Err(broken(&error)),
                _ => return Err(Stopped::Bad("it is no CSV".to_owned())),
            },
        };
        if read.is_none() && !task.is_settled {
            return pending.finish(mark);
        }
        if let Some(refused) = taken.take() {
            pending.make_room(mark)?;
            pending.take(&held, refused, mark.line + 1, &columns, &places);
            mark = next;
        }
        let Some(refused) = read else {
            return pending.finish(Mark { whole: task.bytes, ..mark });
        };
        taken = Some(refused);
        std::mem::swap(&mut record, &mut held);
        next = Mark {
            offset: start + reader.position().byte(),
            line: start_line + reader.position().line() - 1,
            whole: 0,
        };
    }
}

/// Types by the table's sample; a column that was not in it is text.
fn csv_columns(names: &[String], types: &[SourceColumn]) -> Vec<SourceColumn> {
    let column = |name: &String| {
        types.iter().find(|column| column.name == *name).cloned().unwrap_or(SourceColumn {
            name: name.clone(),
            ty: crate::ColumnType::Keyword,
            native: "text".to_owned(),
        })
    };
    names.iter().map(column).collect()
}

/// Names and a sample of a CSV file, for the types of its columns.
pub(super) fn csv_sample(task: &Task, records: usize) -> Result<Vec<SourceColumn>, Stopped> {
    let (names, _) = header(task)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(unpacked(task, 0)?);
    let sample: Vec<StringRecord> = reader.records().filter_map(Result::ok).take(records).collect();
    Ok(csv_rows::columns(&names, &sample))
}

/// The columns of a Parquet file.
pub(super) fn parquet_columns(file: &StoredFile) -> Result<Vec<SourceColumn>, Stopped> {
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file.clone());
    let builder = builder.map_err(|error| parquet_broken(&error))?;
    Ok(parquet_rows::columns(builder.schema()))
}

fn parquet_broken(error: &parquet::errors::ParquetError) -> Stopped {
    use parquet::errors::ParquetError;
    if let ParquetError::External(inner) = error
        && let Some(error) = inner.downcast_ref::<io::Error>()
    {
        return broken(error);
    }
    Stopped::Bad("it is no whole Parquet file, or has a type that cannot be read".to_owned())
}

fn read_parquet(
    task: &Task,
    give: &mut dyn FnMut(Piece) -> Result<(), Stopped>,
) -> Result<Mark, Stopped> {
    let first = task.from.offset;
    let batches = parquet_rows::open(task.file.clone(), first, &task.wanted.left_out);
    let batches = batches.map_err(|error| parquet_broken(&error))?;
    let layout =
        Layout::columns(parquet_rows::columns(&arrow::array::RecordBatchReader::schema(&batches)));
    let mut pending = Pending::new(task, Arc::clone(&layout), give);
    let mut mark = Mark { offset: first, line: first, whole: 0 };
    for batch in batches {
        let batch = batch.map_err(|_| Stopped::Bad("a row group cannot be decoded".to_owned()))?;
        let columns = parquet_rows::Columns::of(&batch).map_err(|error| parquet_broken(&error))?;
        for row in 0..batch.num_rows() {
            pending.make_room(mark)?;
            pending.rows.start(Op::Put);
            if let Err(place) = columns.push(row, &mut pending.rows) {
                pending.rows.forget_last();
                let name = layout.columns.get(place).map_or("", |column| column.name.as_str());
                pending
                    .refuse(mark.line + 1, format!("column `{name}` has a value beyond our types"));
            }
            mark = Mark { offset: mark.offset + 1, line: mark.line + 1, whole: 0 };
        }
    }
    pending.finish(Mark { whole: task.bytes, ..mark })
}
