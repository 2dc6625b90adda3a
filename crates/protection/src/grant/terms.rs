//! How much a day, and what for.

use std::collections::BTreeSet;
use std::fmt;

/// How much may come out in a day (UTC); `None`: without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quota {
    /// Rows given out.
    pub rows: Option<u64>,
    /// Bytes given out, about.
    pub bytes: Option<u64>,
    /// Questions asked.
    pub queries: Option<u64>,
}

impl Quota {
    /// No limit.
    pub const NONE: Quota = Quota { rows: None, bytes: None, queries: None };

    /// Whether it never is below `other`.
    pub fn covers(&self, other: &Quota) -> bool {
        let covers = |own: Option<u64>, other: Option<u64>| {
            own.is_none_or(|own| other.is_some_and(|other| other <= own))
        };
        covers(self.rows, other.rows)
            && covers(self.bytes, other.bytes)
            && covers(self.queries, other.queries)
    }

    /// The smaller of each.
    pub fn meet(&self, other: &Quota) -> Quota {
        let smaller = |own: Option<u64>, other: Option<u64>| own.into_iter().chain(other).min();
        Quota {
            rows: smaller(self.rows, other.rows),
            bytes: smaller(self.bytes, other.bytes),
            queries: smaller(self.queries, other.queries),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [(self.rows, "rows"), (self.bytes, "bytes"), (self.queries, "queries")];
        let limits: Vec<String> = limits
            .into_iter()
            .filter_map(|(limit, what)| limit.map(|limit| format!("{limit} {what}")))
            .collect();
        f.pad(&if limits.is_empty() { "no quota".to_owned() } else { limits.join(", ") + " a day" })
    }
}

/// What a caller has to say about what the answer is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Nothing.
    #[default]
    NotAsked,
    /// Something.
    Stated,
    /// One of these, word for word.
    OneOf(BTreeSet<String>),
}

impl Purpose {
    /// Whether the words of the caller will do.
    pub fn allows(&self, stated: &str) -> bool {
        match self {
            Purpose::NotAsked => true,
            Purpose::Stated => !stated.trim().is_empty(),
            Purpose::OneOf(purposes) => purposes.contains(stated.trim()),
        }
    }

    /// Whether whatever satisfies `other` satisfies this.
    pub fn covers(&self, other: &Purpose) -> bool {
        match (self, other) {
            (Purpose::NotAsked, _) | (Purpose::Stated, Purpose::Stated | Purpose::OneOf(_)) => true,
            (Purpose::OneOf(own), Purpose::OneOf(others)) => others.is_subset(own),
            _ => false,
        }
    }

    /// What satisfies both; `None`: nothing does.
    pub fn meet(&self, other: &Purpose) -> Option<Purpose> {
        match (self, other) {
            (Purpose::OneOf(own), Purpose::OneOf(others)) => {
                let both: BTreeSet<String> = own.intersection(others).cloned().collect();
                (!both.is_empty()).then_some(Purpose::OneOf(both))
            }
            _ if self.covers(other) => Some(other.clone()),
            _ => Some(self.clone()),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Purpose::NotAsked => f.pad("no purpose asked"),
            Purpose::Stated => f.pad("a stated purpose"),
            Purpose::OneOf(purposes) => {
                let purposes: Vec<&str> = purposes.iter().map(String::as_str).collect();
                f.pad(&format!("for {}", purposes.join(" or ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        let rows = |rows| Quota { rows: Some(rows), ..Quota::NONE };
        assert!(Quota::NONE.covers(&rows(5)) && !rows(5).covers(&Quota::NONE));
        assert!(rows(5).covers(&rows(4)) && !rows(4).covers(&rows(5)));
        let both = rows(5).meet(&Quota { queries: Some(2), ..rows(9) });
        assert_eq!(both.to_string(), "5 rows, 2 queries a day");
    }

    #[test]
    fn purposes() {
        let one_of =
            |words: &[&str]| Purpose::OneOf(words.iter().map(|word| (*word).to_owned()).collect());
        assert!(Purpose::Stated.allows("x") && !Purpose::Stated.allows("  "));
        assert!(one_of(&["fraud"]).allows(" fraud ") && !one_of(&["fraud"]).allows("frau"));
        assert_eq!(one_of(&["a", "b"]).meet(&one_of(&["b", "c"])), Some(one_of(&["b"])));
        assert_eq!(one_of(&["a"]).meet(&one_of(&["b"])), None);
        assert_eq!(Purpose::Stated.meet(&one_of(&["a"])), Some(one_of(&["a"])));
        assert_eq!(Purpose::Stated.meet(&Purpose::NotAsked), Some(Purpose::Stated));
    }
}
