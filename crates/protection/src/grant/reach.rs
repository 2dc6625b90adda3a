//! What a person reaches: the answer to "who can read this", cell by cell.

use super::{Action, Classes, Grant, GrantId, Policy, Tables, Terms};
use crate::caller::Role;
use model::{Class, TableName, Timestamp};
use std::fmt;

/// One grant in the hands of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which grant.
    pub id: GrantId,
    /// The role that carries it; `None`: it is given by name.
    pub role: Option<Role>,
    /// Its terms; it ends with the membership of the role at the latest.
    pub grant: Grant,
}

/// How one person reaches the fields of one class in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Each says what may be done, and on which terms; none follows from another.
    pub ways: Vec<Way>,
}

impl Reach {
    /// The strongest action, on whatever terms; `None`: nothing is reached.
    pub fn action(&self) -> Option<Action> {
        self.ways.iter().map(|way| way.grant.action).max()
    }
}

impl fmt::Display for Reach {
    /// `-`, or the ways in words, with the values of row filters: for who may see grants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ways.is_empty() {
            return f.pad("-");
        }
        for (place, way) in self.ways.iter().enumerate() {
            let terms = Terms::with_values(&way.grant).to_string();
            // The class is that of the cell.
            let terms = terms.strip_prefix(&format!(", {}", way.grant.classes)).unwrap_or(&terms);
            let comma = if place == 0 { "" } else { "; " };
            write!(f, "{comma}{}{terms}", way.grant.action)?;
        }
        Ok(())
    }
}

impl Policy {
    /// Every grant that `person` holds at `now` or will hold later, with the ends of memberships.
    pub(super) fn ways(&self, person: &str, now: Timestamp) -> Vec<Way> {
        let Some(member) = self.members.get(person).filter(|member| !member.disabled) else {
            return Vec::new();
        };
        let by_role = member.roles.iter().flat_map(|(role, end)| {
            self.grants_of_role(*role).map(|(id, grant)| Way {
                id,
                role: Some(*role),
                grant: clipped(grant, *end, now),
            })
        });
        let by_name = self.grants_of_person(person).map(|(id, grant)| Way {
            id,
            role: None,
            grant: clipped(grant, None, now),
        });
        by_role.chain(by_name).filter(|way| !way.grant.is_over(now)).collect()
    }

    /// How `person` reaches the fields of `class` in `table` at `now`, with any of the person's
    /// credentials.
    pub fn reach(&self, person: &str, table: &TableName, class: Class, now: Timestamp) -> Reach {
        let cell = |way: Way| {
            let grant = &way.grant;
            let reaches = grant.action.is_reading()
                && grant.is_in_force(now)
                && grant.tables.has(table)
                && grant.classes.has(class);
            reaches.then(|| Way {
                grant: Grant {
                    tables: Tables::Named(table.clone()),
                    classes: Classes::from_iter([class]),
                    ..way.grant
                },
                ..way
            })
        };
        let ways: Vec<Way> = self.ways(person, now).into_iter().filter_map(cell).collect();
        let follows = |place: usize| {
            ways.iter().enumerate().any(|(other_place, other)| {
                let (one, other) = (&ways[place].grant, &other.grant);
                other_place != place
                    && other.terms_cover(one)
                    && (!one.terms_cover(other) || other_place < place)
            })
        };
        let kept = (0..ways.len()).filter(|place| !follows(*place));
        Reach { ways: kept.map(|place| ways[place].clone()).collect() }
    }
}

/// The terms of `grant` for a holder until `end`, seen from `now` on: what lies behind is over.
pub(crate) fn clipped(grant: &Grant, end: Option<Timestamp>, now: Timestamp) -> Grant {
    Grant {
        from: grant.from.filter(|from| *from > now),
        until: grant.until.into_iter().chain(end).min(),
        ..grant.clone()
    }
}

/// Who reaches what: a row for each person and table, a cell for each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachMatrix {
    /// By person, then table.
    pub rows: Vec<MatrixRow>,
}

/// What one person reaches in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// Who.
    pub person: String,
    /// Where.
    pub table: TableName,
    /// One for each class, from the mildest.
    pub cells: [Reach; 4],
}

impl ReachMatrix {
    /// The reach of `people` in `tables` at `now`.
    pub fn of<'a>(
        policy: &Policy,
        people: impl IntoIterator<Item = &'a str>,
        tables: &[TableName],
        now: Timestamp,
    ) -> ReachMatrix {
        let rows = people.into_iter().flat_map(|person| {
            tables.iter().map(move |table| MatrixRow {
                person: person.to_owned(),
                table: table.clone(),
                cells: Class::ALL.map(|class| policy.reach(person, table, class, now)),
            })
        });
        ReachMatrix { rows: rows.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Member, Who};

    #[test]
    fn a_cell_says_the_strongest_and_its_terms() {
        let table = TableName::parse("events").unwrap();
        let mut policy = Policy::standard().with_member("ada", &[Role::Analyst, Role::Engineer]);
        let mut grant = Grant::new(
            Who::Person("ada".into()),
            Tables::Prefix("ev".into()),
            Action::Read,
            Classes::up_to(Class::Special),
        );
        grant.until = Some(Timestamp(10));
        policy.add_grant(grant);
        let cell = |class, now| policy.reach("ada", &table, class, Timestamp(now)).to_string();
        assert_eq!(cell(Class::Open, 0), "read", "one of two roles is enough to say");
        assert_eq!(
            cell(Class::Special, 0),
            "aggregate, groups of at least 20; read, until 1970-01-01T00:00:00.010Z"
        );
        assert_eq!(cell(Class::Special, 10), "aggregate, groups of at least 20");
        assert_eq!(cell(Class::Secret, 0), "-");
        assert_eq!(policy.reach("bob", &table, Class::Open, Timestamp(0)).action(), None);
        policy.set_member("ada", Some(Member { disabled: true, ..Member::default() }));
        let matrix = ReachMatrix::of(&policy, ["ada"], &[table], Timestamp(0));
        assert!(matrix.rows[0].cells.iter().all(|reach| reach.ways.is_empty()));
    }
}
