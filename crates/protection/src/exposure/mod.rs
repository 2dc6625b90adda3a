//! Who was exposed: who could read fields of a class, and who did, by time.
//!
//! * *Could read* ([`could_read`]) comes from the history of the policy and of the rulings: for
//!   every account the times in which some grant reached a field of the class.
//! * *Did read* ([`DidRead`]) comes from the audit record: every read that touched such a field,
//!   with the documents that went out. A read without an end counts as one of everything.
//!
//! Both are exact: times are those at which a policy, a grant, a membership or a ruling changed;
//! documents are counted by their numbers, each once. Nothing here knows a value.
//!
//! A field belongs to the question if it has the class now or had it, or a stricter one, at any
//! time: whoever ruled a personal field open, by mistake or not, exposed personal data.

mod could;
mod did;
#[cfg(test)]
mod tests;

pub use could::{CouldRead, PolicyPast, Reached, could_read};
pub use did::{DidRead, Reader, Readings};

use model::{Class, TableName, Timestamp};

/// What is asked.
#[derive(Clone, Debug)]
pub struct ExposureQuestion {
    /// Of which table.
    pub table: TableName,
    /// Its fields of the class in question, with their past: see [`fields_of`].
    pub fields: Vec<FieldPast>,
    /// From when on.
    pub from: Timestamp,
    /// Until when; not included.
    pub to: Timestamp,
}

/// A field and the classes that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPast {
    /// Its path.
    pub name: String,
    /// From when on which class, oldest first; `None` while it was withheld. The first one also
    /// counts for all time before.
    pub classes: Vec<(Timestamp, Option<Class>)>,
}

impl FieldPast {
    /// The class at a moment.
    pub fn class_at(&self, at: Timestamp) -> Option<Class> {
        let after = self.classes.partition_point(|(since, _)| *since <= at);
        self.classes.get(after.saturating_sub(1)).and_then(|(_, class)| *class)
    }

    /// The strictest class that it ever had.
    pub fn strictest(&self) -> Option<Class> {
        self.classes.iter().filter_map(|(_, class)| *class).max()
    }

    /// The times between `from` and `to` in which the class did not change.
    fn periods(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp, Class)> {
        let mut edges = vec![from];
        edges.extend(self.classes.iter().map(|(at, _)| *at).filter(|at| *at > from && *at < to));
        edges.push(to);
        let period = |edge: &[Timestamp]| Some((edge[0], edge[1], self.class_at(edge[0])?));
        edges.windows(2).filter_map(period).collect()
    }
}

/// The fields among `all` that belong to a question about `class`.
pub fn fields_of(all: Vec<FieldPast>, class: Class) -> Vec<FieldPast> {
    all.into_iter().filter(|field| field.strictest() == Some(class)).collect()
}
