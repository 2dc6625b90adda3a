//! Which rows of a table a grant is about: simple conditions that must all hold.

use crate::pseudonym::Renewal;
use std::collections::BTreeSet;
use std::fmt;

/// Conditions that must all hold. Without any: every row.
///
/// Invariant: sorted, and no condition follows from another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowFilter(Vec<Condition>);

/// One condition on one field: at least one of its values passes the test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The path of the field.
    pub field: String,
    /// What one of its values has to be.
    pub test: Test,
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// One of these.
    Among(BTreeSet<Literal>),
    /// Between these, ends included; without an end as far as it goes.
    Between {
        /// Lower end.
        from: Option<Literal>,
        /// Upper end.
        to: Option<Literal>,
    },
}

/// A value in a condition, as it is stored: dates in milliseconds, persons as pseudonyms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Literal {
    /// A keyword or pseudonym.
    Text(String),
    /// A whole number, or a date in milliseconds.
    Number(i64),
    /// True or false.
    Bool(bool),
}

impl fmt::Debug for Literal {
    /// The type only: values never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Literal::Text(_) => "Text(…)",
            Literal::Number(_) => "Number(…)",
            Literal::Bool(_) => "Bool(…)",
        })
    }
}

impl fmt::Display for Literal {
    /// The value: for the people who decide on a grant, never for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => f.pad(text),
            Literal::Number(number) => fmt::Display::fmt(number, f),
            Literal::Bool(truth) => fmt::Display::fmt(truth, f),
        }
    }
}

impl Literal {
    fn is_comparable(&self, other: &Literal) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether both are of one type and this one is not above.
    fn is_at_most(&self, other: &Literal) -> bool {
        self.is_comparable(other) && self <= other
    }
}

impl RowFilter {
    /// Every row.
    pub fn all() -> RowFilter {
        RowFilter::default()
    }

    /// The rows for which all of `conditions` hold.
    pub fn of(mut conditions: Vec<Condition>) -> RowFilter {
        conditions.sort();
        conditions.dedup();
        let follows = |one: &Condition| {
            // Of two that follow from each other the first stays.
            conditions.iter().any(|other| {
                one != other && one.covers(other) && (!other.covers(one) || other < one)
            })
        };
        RowFilter(conditions.iter().filter(|one| !follows(one)).cloned().collect())
    }

    /// The conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether it lets every row through.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every row of `other` certainly is among the rows of this one. Says no where only
    /// the data could tell.
    pub fn covers(&self, other: &RowFilter) -> bool {
        self.0.iter().all(|own| other.0.iter().any(|other| own.covers(other)))
    }

    /// The rows in both.
    pub fn meet(&self, other: &RowFilter) -> RowFilter {
        // Two conditions on one field are not one condition on the values in both: a field may
        // have many values, and each condition may be met by another one.
        RowFilter::of(self.0.iter().chain(&other.0).cloned().collect())
    }
}

/// What a filter names while the epoch of pseudonyms changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewing {
    /// Persons by the old pseudonym and by the new one: before the store has the new ones.
    Both,
    /// By the new one alone: when nothing has the old ones any more.
    New,
}

impl RowFilter {
    /// The same persons by what they are called; `None` if nothing changes. Doing it twice does
    /// what doing it once does.
    pub(crate) fn renewed(&self, renewal: &Renewal, own: &[&str], how: Renewing) -> Option<Self> {
        let conditions: Vec<Condition> = self
            .0
            .iter()
            .map(|condition| match &condition.test {
                Test::Among(values) => Condition {
                    field: condition.field.clone(),
                    test: Test::Among(renewed_values(values, renewal, own, how)),
                },
                Test::Between { .. } => condition.clone(),
            })
            .collect();
        let renewed = RowFilter::of(conditions);
        (renewed != *self).then_some(renewed)
    }
}

fn renewed_values(
    values: &BTreeSet<Literal>,
    renewal: &Renewal,
    own: &[&str],
    how: Renewing,
) -> BTreeSet<Literal> {
    let next = |value: &Literal| match value {
        Literal::Text(text) => renewal.text(text, own).map(Literal::Text),
        Literal::Number(_) | Literal::Bool(_) => None,
    };
    let pairs: Vec<(&Literal, Option<Literal>)> =
        values.iter().map(|value| (value, next(value))).collect();
    // What is the next one of another value is of the new epoch already.
    let is_new = |value: &Literal| pairs.iter().any(|(_, next)| next.as_ref() == Some(value));
    let is_old = |(value, next): &(&Literal, Option<Literal>)| match (how, next) {
        (_, None) => false,
        (Renewing::Both, Some(_)) => !is_new(value),
        (Renewing::New, Some(next)) => values.contains(next),
    };
    let (old, others): (Vec<_>, Vec<_>) = pairs.iter().partition(|pair| is_old(pair));
    let mut all: BTreeSet<Literal> =
        others.into_iter().map(|(value, _)| (*value).clone()).collect();
    all.extend(old.iter().filter_map(|(_, next)| next.clone()));
    // Without room for both, rows are missing until the epoch begins, and none is too many.
    if how == Renewing::Both && all.len() + old.len() <= VALUES_MAX {
        all.extend(old.iter().map(|(value, _)| (*value).clone()));
    }
    all
}

impl Condition {
    fn covers(&self, other: &Condition) -> bool {
        self.field == other.field && self.test.covers(&other.test)
    }
}

impl Test {
    /// Whether whatever passes `other` passes this.
    fn covers(&self, other: &Test) -> bool {
        match (self, other) {
            (_, Test::Among(others)) if others.is_empty() => true,
            (Test::Among(own), Test::Among(others)) => others.is_subset(own),
            (Test::Among(_), Test::Between { .. }) => false,
            (Test::Between { from, to }, Test::Among(others)) => others.iter().all(|other| {
                from.as_ref().is_none_or(|from| from.is_at_most(other))
                    && to.as_ref().is_none_or(|to| other.is_at_most(to))
            }),
            (Test::Between { from, to }, Test::Between { from: other_from, to: other_to }) => {
                let starts = from.as_ref().is_none_or(|from| {
                    other_from.as_ref().is_some_and(|other| from.is_at_most(other))
                });
                let ends = to
                    .as_ref()
                    .is_none_or(|to| other_to.as_ref().is_some_and(|other| other.is_at_most(to)));
                starts && ends
            }
        }
    }

    /// What is wrong with it, in words; `None`: nothing.
    pub(super) fn fault(&self) -> Option<&'static str> {
        match self {
            Test::Among(values) if values.is_empty() => Some("names no value"),
            Test::Among(values) if values.len() > VALUES_MAX => Some("names too many values"),
            Test::Between { from: Some(from), to: Some(to) } if !from.is_comparable(to) => {
                Some("has two ends of different types")
            }
            Test::Between { from: Some(from), to: Some(to) } if from > to => {
                Some("ends before it begins")
            }
            _ => None,
        }
    }
}

/// The most values that one condition names; while pseudonyms are exchanged, those of two epochs.
const VALUES_MAX: usize = 2000;

impl fmt::Display for RowFilter {
    /// In words, with the values: for the people who decide on a grant, never for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.pad("all rows");
        }
        let parts: Vec<String> = self.0.iter().map(Condition::to_string).collect();
        f.pad(&parts.join(" and "))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match &self.test {
            Test::Among(values) => {
                let values: Vec<String> = values.iter().map(Literal::to_string).collect();
                write!(f, "{field} in [{}]", values.join(", "))
            }
            Test::Between { from: None, to: None } => write!(f, "{field} has a value"),
            Test::Between { from: Some(from), to: None } => write!(f, "{field} >= {from}"),
            Test::Between { from: None, to: Some(to) } => write!(f, "{field} <= {to}"),
            Test::Between { from: Some(from), to: Some(to) } => {
                write!(f, "{field} from {from} to {to}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(field: &str, values: &[&str]) -> Condition {
        let values = values.iter().map(|value| Literal::Text((*value).to_owned())).collect();
        Condition { field: field.into(), test: Test::Among(values) }
    }

    fn between(from: Option<i64>, to: Option<i64>) -> Condition {
        let test = Test::Between { from: from.map(Literal::Number), to: to.map(Literal::Number) };
        Condition { field: "n".into(), test }
    }

    #[test]
    fn more_conditions_are_fewer_rows() {
        let eu = RowFilter::of(vec![among("region", &["eu"])]);
        let both = RowFilter::of(vec![among("region", &["eu", "us"])]);
        let narrow = both.meet(&RowFilter::of(vec![between(Some(1), None)]));
        assert!(RowFilter::all().covers(&eu) && !eu.covers(&RowFilter::all()));
        assert!(both.covers(&eu) && !eu.covers(&both));
        assert!(both.covers(&narrow) && !eu.covers(&narrow));
        assert_eq!(narrow.to_string(), "n >= 1 and region in [eu, us]");
        assert!(!format!("{eu:?}").contains("eu\""), "no value in a log");
    }

    #[test]
    fn a_condition_that_follows_is_left_out() {
        let filter = RowFilter::of(vec![among("r", &["a", "b"]), among("r", &["a"])]);
        assert_eq!(filter.conditions(), [among("r", &["a"])]);
        // A row with the values a and b meets both; so both stay.
        let filter = RowFilter::of(vec![among("r", &["a"]), among("r", &["b"])]);
        assert_eq!(filter.conditions().len(), 2);
    }

    #[test]
    fn persons_are_named_in_both_epochs_then_in_the_new_one() {
        use crate::keys::{Family, KeyRing};
        use crate::pseudonym::Pseudonyms;
        let ring = KeyRing::in_memory();
        let old = Pseudonyms::new(&ring);
        ring.rotate(Family::Pseudonym, model::Timestamp(1)).unwrap();
        let new = Pseudonyms::new(&ring);
        let renewal = Renewal::between(&ring, 1, 2).unwrap();
        let of = |pseudonyms: &[&Pseudonyms]| {
            let values: Vec<String> = pseudonyms
                .iter()
                .flat_map(|epoch| [epoch.of("user", "ada"), epoch.of("user", "bob")])
                .chain(["eu".to_owned()])
                .collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            RowFilter::of(vec![among("who", &values)])
        };
        let renew = |filter: &RowFilter, how| filter.renewed(&renewal, &[], how);
        let both = renew(&of(&[&old]), Renewing::Both).unwrap();
        assert_eq!(both, of(&[&old, &new]));
        assert_eq!(renew(&both, Renewing::Both), None, "a second time, after a crash");
        assert_eq!(renew(&both, Renewing::New), Some(of(&[&new])));
        assert_eq!(renew(&of(&[&new]), Renewing::New), None);
        assert_eq!(renew(&RowFilter::of(vec![between(Some(1), None)]), Renewing::Both), None);
    }

    #[test]
    fn ranges() {
        let one = |condition: Condition| RowFilter::of(vec![condition]);
        let wide = one(between(Some(0), Some(9)));
        assert!(wide.covers(&one(between(Some(3), Some(9)))));
        assert!(!wide.covers(&one(between(Some(3), None))));
        assert!(one(between(None, None)).covers(&wide));
        let numbers = |numbers: &[i64]| {
            let values = numbers.iter().map(|number| Literal::Number(*number)).collect();
            one(Condition { field: "n".into(), test: Test::Among(values) })
        };
        assert!(wide.covers(&numbers(&[0, 9])) && !wide.covers(&numbers(&[0, 10])));
        assert!(!wide.covers(&one(Condition { field: "n".into(), ..among("n", &["5"]) })));
        assert!(between(Some(2), Some(1)).test.fault().is_some());
        assert!(among("r", &[]).test.fault().is_some());
    }
}
