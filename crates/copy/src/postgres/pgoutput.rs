//! The messages of PostgreSQL's output plugin `pgoutput`, protocol versions 1 and 2.
//!
//! In version 1 a transaction comes when it is committed, whatever its size; until then the server
//! keeps it, on its disk where it is large. In version 2 a large one is streamed: it comes in parts
//! while it still runs, between the parts come others, and at the end its commit, or its abort.
//! Messages inside of a part name the transaction, or the subtransaction, that they belong to.
//!
//! Source: PostgreSQL manual, "Logical Replication Message Formats".

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Begin {
        /// Where its commit stands.
        commit: u64,
        /// Microseconds since 2000.
        at: i64,
    },
    Commit {
        /// Behind the commit.
        end: u64,
        at: i64,
    },
    Relation(RelationMessage),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<(Old, Tuple<'a>)>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: (Old, Tuple<'a>),
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// A part of a streamed transaction begins; up to [`Message::StreamStop`] all belongs to it.
    StreamStart {
        transaction: u32,
        is_first: bool,
    },
    StreamStop,
    /// A streamed transaction is committed.
    StreamCommit {
        transaction: u32,
        /// Where its commit stands: the same as [`Message::Begin`] says of one that is not streamed.
        commit: u64,
        /// Behind the commit.
        end: u64,
        /// Microseconds since 2000.
        at: i64,
    },
    /// A streamed transaction, or a part of it (a subtransaction), is rolled back.
    StreamAbort {
        transaction: u32,
        part: u32,
    },
    /// A type, an origin, a message of the application: of no use here.
    Other,
}

/// What an old tuple holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// Columns of the replica identity; the others are null.
    Key,
    /// All of the row.
    Full,
}

/// A table as rows after this message have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationMessage {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// `d`, `f`, `i`, `n`.
    pub(crate) identity: char,
    pub(crate) columns: Vec<RelationColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationColumn {
    pub(crate) in_identity: bool,
    pub(crate) name: String,
    pub(crate) ty: u32,
    pub(crate) modifier: i32,
}

/// The values of a row, not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple<'a> {
    pub(crate) columns: usize,
    bytes: &'a [u8],
}

/// A value of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TupleValue<'a> {
    Null,
    /// It lies outside of the row and was not touched.
    Unchanged,
    Text(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Reads a message; `None` if it is cut or unknown.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (&kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        Some(match kind {
            b'B' => Message::Begin { commit: long(rest)? as u64, at: long(rest)? },
            b'C' => {
                byte(rest)?;
                long(rest)?;
                Message::Commit { end: long(rest)? as u64, at: long(rest)? }
            }
            b'R' => Message::Relation(relation(rest)?),
            b'I' => {
                let relation = int(rest)? as u32;
                (byte(rest)? == b'N').then_some(())?;
                Message::Insert { relation, new: tuple(rest)? }
            }
            b'U' => {
                let relation = int(rest)? as u32;
                let mut kind = byte(rest)?;
                let mut old = None;
                if kind != b'N' {
                    old = Some((old_kind(kind)?, tuple(rest)?));
                    kind = byte(rest)?;
                }
                (kind == b'N').then_some(())?;
                Message::Update { relation, old, new: tuple(rest)? }
            }
            b'D' => {
                let relation = int(rest)? as u32;
                let kind = byte(rest)?;
                Message::Delete { relation, old: (old_kind(kind)?, tuple(rest)?) }
            }
            b'T' => {
                let count = int(rest)?;
                byte(rest)?;
                let relations: Option<Vec<u32>> =
                    (0..count).map(|_| int(rest).map(|id| id as u32)).collect();
                Message::Truncate { relations: relations? }
            }
            b'S' => {
                let transaction = int(rest)? as u32;
                Message::StreamStart { transaction, is_first: byte(rest)? == 1 }
            }
            b'E' => Message::StreamStop,
            b'c' => {
                let transaction = int(rest)? as u32;
                byte(rest)?;
                let (commit, end) = (long(rest)? as u64, long(rest)? as u64);
                Message::StreamCommit { transaction, commit, end, at: long(rest)? }
            }
            b'A' => {
                Message::StreamAbort { transaction: int(rest)? as u32, part: int(rest)? as u32 }
            }
            b'Y' | b'O' | b'M' => Message::Other,
            _ => return None,
        })
    }
}

/// The (sub)transaction of a message inside of a part of a streamed one, and the message as it is
/// outside: its kind, and what follows. `None` if it is cut.
pub(crate) fn inside_stream(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_at_checked(1)?;
    let (transaction, rest) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*transaction), kind, rest))
}

impl<'a> Tuple<'a> {
    /// The values in the order of the columns.
    pub(crate) fn values(&self) -> impl Iterator<Item = TupleValue<'a>> + use<'a> {
        let mut rest = self.bytes;
        (0..self.columns).map_while(move |_| value(&mut rest))
    }
}

fn value<'a>(rest: &mut &'a [u8]) -> Option<TupleValue<'a>> {
    Some(match byte(rest)? {
        b'n' => TupleValue::Null,
        b'u' => TupleValue::Unchanged,
        b't' => {
            let length = usize::try_from(int(rest)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            TupleValue::Text(text)
        }
        _ => return None,
    })
}

/// Walks over a tuple once, so that what is left out of it later is known to be whole.
fn tuple<'a>(rest: &mut &'a [u8]) -> Option<Tuple<'a>> {
    let columns = usize::try_from(short(rest)?).ok()?;
    let bytes = *rest;
    for _ in 0..columns {
        value(rest)?;
    }
    Some(Tuple { columns, bytes: &bytes[..bytes.len() - rest.len()] })
}

fn relation(rest: &mut &[u8]) -> Option<RelationMessage> {
    let id = int(rest)? as u32;
    let schema = text(rest)?;
    let name = text(rest)?;
    let schema = if schema.is_empty() { "pg_catalog" } else { &schema };
    let name = format!("{schema}.{name}");
    let identity = char::from(byte(rest)?);
    let columns: Option<Vec<RelationColumn>> = (0..short(rest)?)
        .map(|_| {
            Some(RelationColumn {
                in_identity: byte(rest)? & 1 == 1,
                name: text(rest)?,
                ty: int(rest)? as u32,
                modifier: int(rest)?,
            })
        })
        .collect();
    Some(RelationMessage { id, name, identity, columns: columns? })
}

fn old_kind(kind: u8) -> Option<Old> {
    match kind {
        b'K' => Some(Old::Key),
        b'O' => Some(Old::Full),
        _ => None,
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

fn short(rest: &mut &[u8]) -> Option<i16> {
    let (bytes, after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    Some(i16::from_be_bytes(*bytes))
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let (bytes, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(i64::from_be_bytes(*bytes))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|&byte| byte == 0)?;
    let text = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 1..];
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Vec<u8> {
        let mut bytes = vec![b'U', 0, 0, 0, 9, b'K', 0, 2, b't', 0, 0, 0, 1, b'7', b'n'];
        bytes.extend([b'N', 0, 2, b't', 0, 0, 0, 1, b'8', b'u']);
        bytes
    }

    #[test]
    fn an_update_of_a_key_is_read() {
        let bytes = update();
        let Some(Message::Update { relation: 9, old: Some((Old::Key, old)), new }) =
            Message::read(&bytes)
        else {
            panic!("it is an update")
        };
        let values: Vec<TupleValue<'_>> = old.values().collect();
        assert_eq!(values, [TupleValue::Text(b"7"), TupleValue::Null]);
        let values: Vec<TupleValue<'_>> = new.values().collect();
        assert_eq!(values, [TupleValue::Text(b"8"), TupleValue::Unchanged]);
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = update();
        for end in 0..bytes.len() {
            assert_eq!(Message::read(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_message_inside_of_a_stream_is_the_same_behind_its_transaction() {
        let mut inside = update();
        inside.splice(1..1, [0, 0, 3, 7]);
        let (transaction, kind, rest) = inside_stream(&inside).unwrap();
        assert_eq!(transaction, 775);
        assert_eq!([kind, rest].concat(), update());
        assert_eq!(inside_stream(&inside[..4]), None);
    }

    #[test]
    fn streamed_transactions_begin_and_end() {
        let read = |bytes: &[u8]| format!("{:?}", Message::read(bytes));
        assert_eq!(
            read(&[b'S', 0, 0, 0, 9, 1]),
            "Some(StreamStart { transaction: 9, is_first: true })"
        );
        assert_eq!(read(b"E"), "Some(StreamStop)");
        assert_eq!(
            read(&[b'A', 0, 0, 0, 9, 0, 0, 0, 10]),
            "Some(StreamAbort { transaction: 9, part: 10 })"
        );
        let mut commit = vec![b'c', 0, 0, 0, 9, 0];
        commit.extend(5_u64.to_be_bytes());
        commit.extend(6_u64.to_be_bytes());
        commit.extend(7_i64.to_be_bytes());
        assert_eq!(
            read(&commit),
            "Some(StreamCommit { transaction: 9, commit: 5, end: 6, at: 7 })"
        );
        assert_eq!(read(&commit[..20]), "None");
    }

    #[test]
    fn a_table_is_read() {
        let mut bytes = vec![b'R', 0, 0, 0, 9];
        bytes.extend(b"public\0devices\0d");
        bytes.extend([0, 1, 1]);
        bytes.extend(b"id\0");
        bytes.extend([0, 0, 0, 20, 255, 255, 255, 255]);
        let Some(Message::Relation(relation)) = Message::read(&bytes) else {
            panic!("it is a relation")
        };
        assert_eq!((relation.name.as_str(), relation.identity), ("public.devices", 'd'));
        let column = &relation.columns[0];
        assert!(column.in_identity && column.name == "id" && column.ty == 20);
    }
}
