//! Keys of buckets.

use super::super::columns::Cell;
use crate::{Group, GroupBy};
use model::Value;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use storage::Filter;

use super::super::zone::Zone;
use super::calendar::Calendar;

/// The key of a bucket in one group; ordered within its type, missing first.
#[derive(Clone)]
pub(super) enum Key {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
}

/// The keys of a bucket and of all buckets around it, from the outermost.
pub(super) type Path = Vec<Key>;

impl Key {
    pub(super) fn of(cell: Cell) -> Key {
        match cell {
            Cell::Null | Cell::List(_) => Key::Null,
            Cell::Bool(flag) => Key::Bool(flag),
            Cell::Long(number) => Key::Long(number),
            // -0.0 and 0.0 are one bucket.
            Cell::Double(number) => Key::Double(number + 0.0),
            Cell::Text(text) => Key::Text(text),
        }
    }

    pub(super) fn of_value(value: &Value) -> Key {
        match value {
            Value::Str(text) => Key::Text(text.clone()),
            Value::Long(number) => Key::Long(*number),
            Value::Double(number) => Key::Double(*number + 0.0),
            Value::Bool(flag) => Key::Bool(*flag),
        }
    }

    pub(super) fn to_value(&self) -> Option<Value> {
        Some(match self {
            Key::Null => return None,
            Key::Bool(flag) => Value::Bool(*flag),
            Key::Long(number) => Value::Long(*number),
            Key::Double(number) => Value::Double(*number),
            Key::Text(text) => Value::Str(text.clone()),
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Null => 0,
            Key::Bool(_) => 1,
            Key::Long(_) => 2,
            Key::Double(_) => 3,
            Key::Text(_) => 4,
        }
    }

    /// The place of a range or filter.
    pub(super) fn place(&self) -> Option<usize> {
        match self {
            Key::Long(place) => usize::try_from(*place).ok(),
            _ => None,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Bool(left), Key::Bool(right)) => left.cmp(right),
            (Key::Long(left), Key::Long(right)) => left.cmp(right),
            (Key::Double(left), Key::Double(right)) => left.total_cmp(right),
            (Key::Long(left), Key::Double(right)) => (*left as f64).total_cmp(right),
            (Key::Double(left), Key::Long(right)) => left.total_cmp(&(*right as f64)),
            (Key::Text(left), Key::Text(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Null => 0_u8.hash(state),
            Key::Bool(flag) => flag.hash(state),
            // Equal numbers hash alike whatever their type.
            Key::Long(number) => (*number as f64).to_bits().hash(state),
            Key::Double(number) => number.to_bits().hash(state),
            Key::Text(text) => text.hash(state),
        }
    }
}

/// The rows of one bucket of a group.
pub(super) fn bucket_filter(group: &Group, key: &Key) -> Filter {
    match (&group.by, key) {
        (GroupBy::Terms(field), key) => match key.to_value() {
            Some(value) => Filter::Term(field.clone(), value),
            None => Filter::Exists(field.clone()).negate(),
        },
        (GroupBy::Date { field, .. } | GroupBy::Number { field, .. }, Key::Null) => {
            Filter::Exists(field.clone()).negate()
        }
        (GroupBy::Date { field, interval, time_zone, offset_ms }, Key::Long(start)) => {
            let zone = Zone::Named(*time_zone);
            let calendar = Calendar { interval: *interval, zone, offset_ms: *offset_ms };
            let to = match calendar.next(*start) {
                Some(next) => Bound::Excluded(Value::Long(next)),
                None => Bound::Unbounded,
            };
            Filter::Range { field: field.clone(), from: Bound::Included(Value::Long(*start)), to }
        }
        (GroupBy::Number { field, interval, .. }, Key::Double(start)) => Filter::Range {
            field: field.clone(),
            from: Bound::Included(Value::Double(*start)),
            to: Bound::Excluded(Value::Double(*start + *interval)),
        },
        (GroupBy::Ranges { field, ranges }, key) => {
            match key.place().and_then(|place| ranges.get(place)) {
                Some((from, to)) => Filter::Range {
                    field: field.clone(),
                    from: from
                        .map_or(Bound::Unbounded, |from| Bound::Included(Value::Double(from))),
                    to: to.map_or(Bound::Unbounded, |to| Bound::Excluded(Value::Double(to))),
                },
                None => Filter::Nothing,
            }
        }
        (GroupBy::Filters(filters), key) => {
            key.place().and_then(|place| filters.get(place)).cloned().unwrap_or(Filter::Nothing)
        }
        _ => Filter::Nothing,
    }
}
