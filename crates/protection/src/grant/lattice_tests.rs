//! The laws of the lattice, over everything a grant can say.

use super::*;
use model::Class;
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(super) fn any_rows() -> impl Strategy<Value = RowFilter> {
    let condition = prop_oneof![
        prop::collection::btree_set(prop_oneof![Just("eu"), Just("us")], 1..3).prop_map(|values| {
            let values = values.into_iter().map(|value| Literal::Text(value.to_owned()));
            Condition { field: "region".into(), test: Test::Among(values.collect()) }
        }),
        (prop::option::of(0..2i64), prop::option::of(2..4i64)).prop_map(|(from, to)| {
            let (from, to) = (from.map(Literal::Number), to.map(Literal::Number));
            Condition { field: "n".into(), test: Test::Between { from, to } }
        }),
        prop::collection::btree_set(0..4i64, 1..3).prop_map(|values| Condition {
            field: "n".into(),
            test: Test::Among(values.into_iter().map(Literal::Number).collect()),
        }),
    ];
    prop::collection::vec(condition, 0..3).prop_map(RowFilter::of)
}

fn any_networks() -> impl Strategy<Value = Networks> {
    let network = prop_oneof![
        Just("192.0.2.0/24"),
        Just("192.0.2.0/25"),
        Just("192.0.2.128/25"),
        Just("::/0"),
    ];
    let among = |texts: BTreeSet<&str>| {
        Networks::among(texts.into_iter().map(|text| text.parse().unwrap()).collect())
    };
    prop_oneof![
        Just(Networks::Anywhere),
        prop::collection::btree_set(network, 1..3).prop_map(among),
    ]
}

fn any_purpose() -> impl Strategy<Value = Purpose> {
    let purposes = prop::collection::btree_set(prop_oneof![Just("fraud"), Just("support")], 1..3);
    prop_oneof![
        Just(Purpose::NotAsked),
        Just(Purpose::Stated),
        purposes.prop_map(|words| Purpose::OneOf(words.into_iter().map(str::to_owned).collect())),
    ]
}

pub(super) fn any_tables() -> impl Strategy<Value = Tables> {
    let table = |name: &str| Tables::Named(TableName::parse(name).unwrap());
    prop_oneof![
        Just(Tables::All),
        Just(Tables::Prefix("log".into())),
        Just(Tables::Prefix("logs-a".into())),
        Just(table("logs-app")),
        Just(table("events")),
    ]
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let who = prop_oneof![Just(Who::Role(Role::Analyst)), Just(Who::Person("ada".into()))];
    let action = (0..Action::ALL.len()).prop_map(|at| Action::ALL[at]);
    let classes = prop::collection::vec((0..4usize).prop_map(|at| Class::ALL[at]), 1..4);
    let limit = || prop::option::of(1..3u64);
    let quota = (limit(), limit(), limit()).prop_map(|(rows, bytes, queries)| Quota {
        rows,
        bytes,
        queries,
    });
    let ends = (prop::option::of(0..2i64), prop::option::of(2..4i64));
    let terms = (any_rows(), 1..3u32, quota, any_networks(), any_purpose(), ends);
    (who, any_tables(), action, classes, terms).prop_map(
        |(who, tables, action, classes, (rows, least_group, quota, networks, purpose, ends))| {
            let reads = action.is_reading();
            let groups = reads && !action.covers(Action::Read);
            Grant {
                who,
                tables,
                action,
                classes: if reads { classes.into_iter().collect() } else { Classes::NONE },
                rows: if reads { rows } else { RowFilter::all() },
                least_group: if groups { least_group } else { 1 },
                quota: if reads { quota } else { Quota::NONE },
                networks,
                purpose,
                from: ends.0.map(Timestamp),
                until: ends.1.map(Timestamp),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn grants_are_a_partial_order_with_meets(
        one in any_grant(), two in any_grant(), three in any_grant()
    ) {
        prop_assert_eq!(one.check(), Ok(()));
        prop_assert!(one.covers(&one));
        if one.covers(&two) && two.covers(&one) {
            prop_assert_eq!(&one, &two);
        }
        if one.covers(&two) && two.covers(&three) {
            prop_assert!(one.covers(&three));
        }
        prop_assert_eq!(one.meet(&two), two.meet(&one));
        match one.meet(&two) {
            Some(meet) => {
                // A meet with read of two grants to count keeps the larger group.
                prop_assert!(one.covers(&meet) && two.covers(&meet));
                if one.covers(&three) && two.covers(&three) {
                    prop_assert!(meet.covers(&three));
                }
            }
            None => prop_assert!(!(one.covers(&three) && two.covers(&three))),
        }
    }

    #[test]
    fn every_grant_is_read_back(grant in any_grant()) {
        let text = serde_json::to_string(&GrantForm::from(&grant)).unwrap();
        let form: GrantForm = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(form.to_grant().unwrap(), grant);
    }
}

#[test]
fn an_expiring_grant_never_covers_a_lasting_one() {
    let classes = Classes::up_to(Class::Personal);
    let lasting = Grant::new(Who::Role(Role::Analyst), Tables::All, Action::Read, classes);
    let expiring = Grant { until: Some(Timestamp(5)), ..lasting.clone() };
    assert!(lasting.covers(&expiring) && !expiring.covers(&lasting));
}
