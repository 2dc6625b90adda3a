//! The nouns that every other crate of Clerestory talks about: classes, fields, tables, batches
//! of columns, ids and the clock.
//!
//! * A [`Table`] has a [`Schema`]: an append-only list of [`Field`]s, each with a [`FieldType`]
//!   and a [`Class`].
//! * Documents arrive as JSON and become a [`Batch`]: columns of values, sparse and
//!   multi-valued, each distinct string once. A batch is *raw* until `protection` seals it.
//! * [`Clock`] is where time comes from, so that tests own it.
//!
//! ```
//! use model::{Class, FieldName};
//! assert!(Class::Personal < Class::Special);
//! assert_eq!(FieldName::parse("user.email").unwrap().as_str(), "user.email");
//! assert!(FieldName::parse("user..email").is_err());
//! ```
//!
//! What never happens here: no input or output, no cryptography, nothing that can be serialised.

mod batch;
mod class;
mod clock;
mod copied;
mod field;
mod id;
mod table;
mod value;

pub use batch::{Batch, Column, Op, Row, Strings, Values};
pub use class::{Class, UnknownClass};
pub use clock::{Clock, ManualClock, SteadyClock, SystemClock, Timestamp};
pub use copied::{Cell, CopiedRows};
pub use field::{Field, FieldName, FieldNameError, FieldType, Ruling, StoredType};
pub use id::{FieldId, GeneratedId, IdError, SegmentId, Seq, TableId};
pub use table::{Intake, Schema, SortOrder, Table, TableKind, TableName, TableNameError};
pub use value::Value;
