use crate::Op;
use std::fmt;

/// One value of a row that is copied from elsewhere. Text lies in the [`CopiedRows`] it belongs to.
#[derive(Clone, Copy, PartialEq)]
pub enum Cell {
    /// There is none.
    Null,
    /// The source did not say, and it is what it was: a long value that an update left alone.
    Unchanged,
    /// True or false.
    Bool(bool),
    /// An integer.
    Long(i64),
    /// A float; never NaN or infinite.
    Double(f64),
    /// A moment in milliseconds since 1970 in UTC.
    Date(i64),
    /// Text: where it starts and ends.
    Text(u32, u32),
    /// JSON (an object, an array or a value): where its text starts and ends.
    Json(u32, u32),
}

/// Rows of one table on their way in, row after row, all text in one piece.
///
/// Every row has [`CopiedRows::width`] cells in the order of the columns of its piece.
///
/// ```
/// use model::{Cell, CopiedRows, Op};
/// let mut rows = CopiedRows::new(2);
/// rows.start(Op::Put);
/// rows.push(Cell::Long(7));
/// rows.push_text("A19");
/// assert_eq!((rows.len(), rows.text(rows.row(0)[1])), (1, Some("A19")));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct CopiedRows {
    width: usize,
    ops: Vec<Op>,
    cells: Vec<Cell>,
    text: String,
    /// Rows that go on under another key, in order.
    moved: Vec<u32>,
}

impl CopiedRows {
    /// No rows yet, of `width` cells each.
    pub fn new(width: usize) -> CopiedRows {
        CopiedRows { width, ..CopiedRows::default() }
    }

    /// Cells in each row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Cell>() + self.ops.len()
    }

    /// Begins a row; its cells are pushed next. For a deletion only cells of the key count.
    pub fn start(&mut self, op: Op) {
        debug_assert_eq!(self.cells.len(), self.ops.len() * self.width, "the row before is whole");
        self.ops.push(op);
    }

    /// Begins a row that got another key: what it leaves unchanged is that of the row before it, which
    /// is the deletion under its old key.
    pub fn start_moved(&mut self) {
        debug_assert_eq!(self.ops.last(), Some(&Op::Delete), "the old key goes first");
        self.start(Op::Put);
        self.moved.push(u32::try_from(self.ops.len() - 1).expect("a piece has few rows"));
    }

    /// Whether a row was begun by [`CopiedRows::start_moved`].
    pub fn is_moved(&self, row: usize) -> bool {
        !self.moved.is_empty() && self.moved.binary_search(&(row as u32)).is_ok()
    }

    /// Adds a cell that is no text.
    pub fn push(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    /// Adds a text.
    pub fn push_text(&mut self, text: &str) {
        let (start, end) = self.keep(text);
        self.cells.push(Cell::Text(start, end));
    }

    /// Adds JSON, which the caller knows to be whole.
    pub fn push_json(&mut self, json: &str) {
        let (start, end) = self.keep(json);
        self.cells.push(Cell::Json(start, end));
    }

    /// Whether the last row has all of its cells.
    pub fn is_whole(&self) -> bool {
        self.cells.len() == self.ops.len() * self.width
    }

    /// Takes the last row back, as far as it was pushed.
    pub fn forget_last(&mut self) {
        if self.ops.pop().is_some() {
            self.cells.truncate(self.ops.len() * self.width);
            self.moved.pop_if(|row| *row as usize >= self.ops.len());
        }
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.cells.clear();
        self.text.clear();
        self.moved.clear();
    }

    /// What is to happen to a row.
    pub fn op(&self, row: usize) -> Op {
        self.ops[row]
    }

    /// The cells of a row.
    pub fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.width..(row + 1) * self.width]
    }

    /// The text of a cell of these rows: text or JSON.
    pub fn text(&self, cell: Cell) -> Option<&str> {
        match cell {
            Cell::Text(start, end) | Cell::Json(start, end) => {
                Some(&self.text[start as usize..end as usize])
            }
            _ => None,
        }
    }

    fn keep(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len();
        self.text.push_str(text);
        let place = |at: usize| u32::try_from(at).expect("a piece holds less than 4 GiB");
        (place(start), place(self.text.len()))
    }
}

impl fmt::Debug for CopiedRows {
    /// Counts only: values never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopiedRows({} rows of {})", self.len(), self.width)
    }
}

impl fmt::Debug for Cell {
    /// Says the type only: values never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cell::Null => "Null",
            Cell::Unchanged => "Unchanged",
            Cell::Bool(_) => "Bool(…)",
            Cell::Long(_) => "Long(…)",
            Cell::Double(_) => "Double(…)",
            Cell::Date(_) => "Date(…)",
            Cell::Text(..) => "Text(…)",
            Cell::Json(..) => "Json(…)",
        })
    }
}
