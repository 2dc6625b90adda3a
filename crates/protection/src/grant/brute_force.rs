//! The question "is this a tightening" against brute force: a small world in which everything
//! that anybody could ever do is written down point by point.
//!
//! A point is a caller (a person with some of that person's roles), a table, a class, an action, a
//! row, a moment, a network, a size of group, a purpose and a measure of the day. The world says
//! whether a policy allows a point by the meaning of the words, not by the order of grants.

#![expect(clippy::print_stdout, reason = "the number of needless approvals is a figure")]

use super::difference::Difference;
use super::*;
use model::Class;
use std::collections::HashMap;
use std::net::IpAddr;

/// xorshift64*: the same edits in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())].clone()
    }
}

const PEOPLE: [&str; 2] = ["ada", "bob"];
const ROLES: [Role; 2] = [Role::Analyst, Role::Guardian];
const TABLES: [&str; 3] = ["events", "logs-a", "logs-b"];
const ACTIONS: [Action; 5] =
    [Action::Count, Action::Aggregate, Action::Read, Action::Export, Action::Approve];
const CLASSES: [Class; 3] = [Class::Open, Class::Personal, Class::Special];
/// Rows as their values of `region`: one, another one, both.
const ROWS: [&[&str]; 3] = [&["eu"], &["us"], &["eu", "us"]];
const NOW: Timestamp = Timestamp(10);
/// Moments from now on.
const TIMES: [i64; 3] = [10, 20, 30];
const ADDRESSES: [Option<&str>; 3] = [Some("192.0.2.1"), Some("192.0.2.200"), None];
const GROUPS: [u32; 2] = [5, 20];
const PURPOSES: [&str; 3] = ["", "fraud", "else"];
/// The n-th row of the day.
const MEASURES: [u64; 2] = [1, 100];

/// The conditions of one point that hang on terms, in one number: 3 rows × 3 times × 3 addresses
/// × 2 groups × 3 purposes × 2 measures.
const TERMS: usize = 3 * 3 * 3 * 2 * 3 * 2;
const WORDS: usize = TERMS.div_ceil(64);
/// Person × (one role alone, or both) × table × class × action.
const PLACES: usize = 2 * 3 * 3 * 3 * 5;

type Bits = [u64; WORDS];
type Points = Vec<Bits>;

/// The terms of grants seen so far, for grouped actions and for the others.
type Known = HashMap<Grant, [Bits; 2]>;

fn terms_of(grant: &Grant, grouped: bool) -> Bits {
    let networks = |address: Option<&str>| match &grant.networks {
        Networks::Anywhere => true,
        Networks::Among(list) => {
            let address: Option<IpAddr> = address.map(|text| text.parse().unwrap());
            address.is_some_and(|address| list.iter().any(|network| network.has(address)))
        }
    };
    let rows = ROWS.map(|row| row_passes(&grant.rows, row));
    let times = TIMES.map(|time| {
        grant.from.is_none_or(|from| from.0 <= time)
            && grant.until.is_none_or(|until| time < until.0)
    });
    let addresses = ADDRESSES.map(networks);
    // Where rows are read there is no group.
    let groups = GROUPS.map(|group| !grouped || group >= grant.least_group);
    let purposes = PURPOSES.map(|purpose| match &grant.purpose {
        Purpose::NotAsked => true,
        Purpose::Stated => !purpose.is_empty(),
        Purpose::OneOf(words) => words.contains(purpose),
    });
    let measures = MEASURES.map(|measure| grant.quota.rows.is_none_or(|rows| measure <= rows));
    let mut bits = [0; WORDS];
    let mut place = 0;
    for row in rows {
        for time in times {
            for address in addresses {
                for group in groups {
                    for purpose in purposes {
                        for measure in measures {
                            if row && time && address && group && purpose && measure {
                                bits[place / 64] |= 1 << (place % 64);
                            }
                            place += 1;
                        }
                    }
                }
            }
        }
    }
    bits
}

fn row_passes(filter: &RowFilter, regions: &[&str]) -> bool {
    filter.conditions().iter().all(|condition| {
        regions.iter().any(|region| match &condition.test {
            Test::Among(values) => values.contains(&Literal::Text((*region).to_owned())),
            Test::Between { from, to } => {
                let region = Literal::Text((*region).to_owned());
                from.as_ref().is_none_or(|from| *from <= region)
                    && to.as_ref().is_none_or(|to| region <= *to)
            }
        })
    })
}

/// Everything that `policy` allows.
fn points_of(policy: &Policy, known: &mut Known) -> Points {
    let mut points = vec![[0; WORDS]; PLACES];
    let held = PEOPLE.map(|person| TIMES.map(|time| policy.roles_of(person, Timestamp(time))));
    for grant in policy.grants().values() {
        let terms = *known
            .entry(grant.clone())
            .or_insert_with(|| [false, true].map(|grouped| terms_of(grant, grouped)));
        let mut place = 0;
        for (person, held) in PEOPLE.into_iter().zip(&held) {
            // Credentials: a key with the first role, a key with the second, a log-in with both.
            for carried in [&ROLES[..1], &ROLES[1..], &ROLES[..]] {
                let masks = [0, 1, 2].map(|time: usize| match &grant.who {
                    _ if !policy.is_enabled(person) => false,
                    Who::Person(name) => name == person,
                    Who::Role(role) => carried.contains(role) && held[time].contains(role),
                });
                let moments = moments(masks);
                if moments == [0; WORDS] {
                    place += TABLES.len() * CLASSES.len() * ACTIONS.len();
                    continue;
                }
                let terms = terms.map(|terms| and(terms, moments));
                for table in TABLES {
                    for class in CLASSES {
                        for action in ACTIONS {
                            let here = match &grant.tables {
                                Tables::All => true,
                                Tables::Prefix(prefix) => table.starts_with(prefix.as_str()),
                                Tables::Named(name) => name.as_str() == table,
                            };
                            let reads = action != Action::Approve;
                            let does = match grant.action {
                                Action::Approve => !reads,
                                most => reads && action <= most && grant.classes.has(class),
                            };
                            if here && does {
                                let grouped = matches!(action, Action::Count | Action::Aggregate);
                                let terms = &terms[usize::from(grouped)];
                                (0..WORDS).for_each(|word| points[place][word] |= terms[word]);
                            }
                            place += 1;
                        }
                    }
                }
            }
        }
    }
    points
}

fn and(mut one: Bits, other: Bits) -> Bits {
    (0..WORDS).for_each(|word| one[word] &= other[word]);
    one
}

/// The points at the moments at which the holder holds the grant.
fn moments(held: [bool; 3]) -> Bits {
    const AFTER_TIME: usize = 3 * 2 * 3 * 2;
    let mut bits = [0; WORDS];
    if held == [true; 3] {
        return [u64::MAX; WORDS];
    }
    for bit in (0..TERMS).filter(|bit| held[bit / AFTER_TIME % 3]) {
        bits[bit / 64] |= 1 << (bit % 64);
    }
    bits
}

fn is_within(new: &Points, old: &Points) -> bool {
    new.iter().zip(old).all(|(new, old)| new.iter().zip(old).all(|(new, old)| new & !old == 0))
}

fn random_grant(random: &mut Random) -> Grant {
    let who = match random.below(4) {
        0 | 1 => Who::Role(random.of(&ROLES)),
        _ => Who::Person(random.of(&PEOPLE).to_owned()),
    };
    let name = |name: &str| Tables::Named(TableName::parse(name).unwrap());
    let tables = match random.below(5) {
        0 | 1 => Tables::All,
        2 => Tables::Prefix("logs-".into()),
        3 => name("events"),
        _ => name("logs-a"),
    };
    let action = random.of(&ACTIONS);
    let mut grant = Grant::new(who, tables, action, Classes::NONE);
    if action.is_reading() {
        let max = random.of(&CLASSES);
        grant.classes =
            if random.one_in(4) { [max].into_iter().collect() } else { Classes::up_to(max) };
        grant.rows = random_rows(random);
        if !action.covers(Action::Read) {
            grant.least_group = random.of(&[1, 5, 20, 50]);
        }
        if random.one_in(4) {
            grant.quota.rows = Some(random.of(&[10, 100, 1000]));
        }
    }
    if random.one_in(4) {
        let nets = ["192.0.2.0/24", "192.0.2.0/25", "192.0.2.128/25"];
        let count = 1 + random.below(2);
        let nets = (0..count).map(|_| random.of(&nets).parse().unwrap()).collect();
        grant.networks = Networks::among(nets);
    }
    grant.purpose = match random.below(8) {
        0 => Purpose::Stated,
        1 => Purpose::OneOf(["fraud".to_owned()].into()),
        2 => Purpose::OneOf(["fraud".to_owned(), "else".to_owned()].into()),
        _ => Purpose::NotAsked,
    };
    if random.one_in(4) {
        grant.from = Some(Timestamp(random.of(&[5, 10, 20])));
    }
    if random.one_in(3) {
        grant.until = Some(Timestamp(random.of(&[21, 31, 40])));
    }
    grant
}

fn random_rows(random: &mut Random) -> RowFilter {
    let text = |text: &str| Literal::Text(text.to_owned());
    let condition = |random: &mut Random| Condition {
        field: "region".into(),
        test: match random.below(4) {
            0 => Test::Among([text("eu")].into()),
            1 => Test::Among([text("us")].into()),
            2 => Test::Among([text("eu"), text("us")].into()),
            _ => Test::Between { from: Some(text("f")), to: None },
        },
    };
    let count = random.below(4).saturating_sub(1);
    RowFilter::of((0..count).map(|_| condition(random)).collect())
}

fn random_member(random: &mut Random) -> Member {
    let mut member = Member { disabled: random.one_in(8), ..Member::default() };
    for role in ROLES {
        if random.one_in(2) {
            let end = random.one_in(4).then(|| Timestamp(random.of(&[8, 21, 31])));
            member.roles.insert(role, end);
        }
    }
    member
}

fn random_policy(random: &mut Random) -> Policy {
    let mut policy = Policy::standard();
    let standard: Vec<GrantId> = policy.grants().keys().copied().collect();
    for id in standard {
        policy.remove_grant(id);
    }
    for _ in 0..2 + random.below(4) {
        policy.add_grant(random_grant(random));
    }
    for person in PEOPLE {
        policy.set_member(person, Some(random_member(random)));
    }
    policy
}

/// Changes something; often a little, so that tightenings are not rare.
fn edit(policy: &mut Policy, random: &mut Random) {
    let ids: Vec<GrantId> = policy.grants().keys().copied().collect();
    match random.below(8) {
        0 => {
            policy.add_grant(random_grant(random));
        }
        1 => {
            policy.remove_grant(random.of(&ids));
        }
        2 => policy.set_member(random.of(&PEOPLE), Some(random_member(random))),
        3 => {
            // Gives a person what a role has, or the other way round.
            let mut grant = policy.grants()[&random.of(&ids)].clone();
            grant.who = random_grant(random).who;
            policy.add_grant(grant);
        }
        _ => {
            let id = random.of(&ids);
            let mut grant = policy.grants()[&id].clone();
            let other = random_grant(random);
            match random.below(8) {
                0 => grant.tables = other.tables,
                1 if grant.action.is_reading() => grant.rows = grant.rows.meet(&other.rows),
                2 if grant.action.is_reading() => grant.rows = other.rows,
                3 => grant.networks = other.networks,
                4 => grant.purpose = other.purpose,
                5 => grant.until = other.until,
                6 => grant.from = other.from,
                _ if grant.action.is_reading() && other.action.is_reading() => {
                    grant.classes = other.classes;
                    grant.quota = other.quota;
                    grant.action = other.action;
                    grant.least_group = other.least_group;
                }
                _ => {}
            }
            policy.remove_grant(id);
            policy.add_grant(grant);
        }
    }
}

#[test]
fn no_widening_is_taken_for_a_tightening() {
    const EDITS: usize = 100_000;
    let mut random = Random(0x00C1_E2E5_7021);
    let (mut widenings, mut tightenings, mut needless) = (0, 0, 0);
    let mut edits = 0;
    let mut known = Known::new();
    while edits < EDITS {
        let old = random_policy(&mut random);
        let before = points_of(&old, &mut known);
        for _ in 0..25 {
            let mut new = old.clone();
            for _ in 0..1 + random.below(2) {
                edit(&mut new, &mut random);
            }
            assert!(new.grants().values().all(|grant| grant.check().is_ok()));
            let widens = !is_within(&points_of(&new, &mut known), &before);
            let waits = !Difference::between(&old, &new, NOW).is_tightening();
            assert!(waits || !widens, "a widening is taken for a tightening:\n{old:#?}\n{new:#?}");
            match (widens, waits) {
                (true, _) => widenings += 1,
                (false, false) => tightenings += 1,
                (false, true) => needless += 1,
            }
            edits += 1;
        }
    }
    println!(
        "{edits} edits: {widenings} widenings, all waited; {tightenings} tightenings at once; \
         {needless} needless approvals ({:.1} % of what widens nothing)",
        f64::from(needless) * 100.0 / f64::from(needless + tightenings)
    );
    assert!(widenings > 20_000 && tightenings > 20_000, "the edits are of both kinds");
    assert!(needless * 3 < tightenings, "most tightenings are seen");
}
