use super::*;
use model::{FieldName, ManualClock, Op, Row, Schema, TableId, TableKind, TableName};

struct House {
    sealer: Sealer,
    pseudonyms: Arc<Pseudonyms>,
    ring: Arc<KeyRing>,
}

impl House {
    fn new() -> House {
        let ring = Arc::new(KeyRing::in_memory());
        let pseudonyms = Arc::new(Pseudonyms::new(&ring));
        let sealer = Sealer::new(
            Arc::clone(&ring),
            Arc::clone(&pseudonyms),
            Arc::new(Classifier::standard()),
            Arc::new(ManualClock::at(Timestamp(5))),
        );
        House { sealer, pseudonyms, ring }
    }

    fn seal(
        &self,
        table: &mut Table,
        columns: Vec<(&str, FieldType, Values)>,
    ) -> Result<SealOutcome, SealError> {
        let rows = columns.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0);
        let mut batch = Batch { rows: rows_of(&vec![None; rows]), ..Batch::default() };
        for (name, ty, values) in columns {
            let field = table.schema.push(Field::new(FieldName::parse(name).unwrap(), ty, "x"));
            let rows = (0..values.len() as u32).collect();
            batch.columns.push(Column { field, rows, values });
        }
        self.sealer.seal(table, batch)
    }
}

fn rows_of(ids: &[Option<&str>]) -> Vec<Row> {
    ids.iter().map(|id| Row { id: id.map(Into::into), op: Op::Put, shape: None }).collect()
}

fn table(intake: Intake) -> Table {
    Table {
        id: TableId(3),
        name: TableName::parse("events").unwrap(),
        kind: TableKind::Events,
        intake,
        time_field: Some("@timestamp".into()),
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::default(),
    }
}

fn strings(values: &[&str]) -> Values {
    let mut builder = StringsBuilder::default();
    for value in values {
        let id = builder.distinct(value);
        builder.strings.ids.push(id);
    }
    Values::Strings(builder.strings)
}

fn texts(values: &Values) -> Vec<&str> {
    let Values::Strings(strings) = values else { panic!("no strings") };
    (0..strings.ids.len()).map(|place| strings.get(place)).collect()
}

#[test]
fn each_class_is_sealed_in_its_own_way() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let outcome = house
        .seal(
            &mut table,
            vec![
                (
                    "client_ip",
                    FieldType::Ip,
                    strings(&["83.149.9.216", "10.0.0.1", "83.149.9.216"]),
                ),
                (
                    "message",
                    FieldType::Text,
                    strings(&["hit from 83.149.9.216", "fine", "key AKIAIOSFODNN7EXAMPLE"]),
                ),
                ("password", FieldType::Keyword, strings(&["a", "b", "a"])),
                ("user_id", FieldType::Long, Values::Longs(vec![42, 7, 42])),
                ("weight_kg", FieldType::Double, Values::Doubles(vec![72.5, 80.0, 72.5])),
                ("bytes", FieldType::Long, Values::Longs(vec![1, 2, 3])),
                ("model", FieldType::Keyword, strings(&["plug", "bulb", "plug"])),
            ],
        )
        .unwrap();
    let columns = &outcome.batch.batch().columns;
    let ip = house.pseudonyms.of("ip", "83.149.9.216");
    assert_eq!(texts(&columns[0].values), [&ip, &house.pseudonyms.of("ip", "10.0.0.1"), &ip]);
    let key = house.pseudonyms.tag("aws", "AKIAIOSFODNN7EXAMPLE");
    assert_eq!(
        texts(&columns[1].values),
        [&format!("hit from {ip}"), "fine", &format!("key {key}")]
    );
    assert_eq!(texts(&columns[2].values)[0], house.pseudonyms.tag("password", "a"));
    assert_eq!(texts(&columns[3].values)[0], house.pseudonyms.of("user", "42"));
    let Values::Bytes(sealed) = &columns[4].values else { panic!("special values are sealed") };
    let cipher = house.ring.value_cipher(table.id, columns[4].field);
    assert_eq!(cipher.open(&sealed[0]).unwrap(), b"72.5");
    assert_ne!(sealed[0], sealed[2], "equal values do not look equal");
    assert!(columns[5].values == Values::Longs(vec![1, 2, 3]));
    assert_eq!(texts(&columns[6].values), ["plug", "bulb", "plug"]);

    assert_eq!(outcome.newly_ruled.len(), 8, "the companion of the address, too");
    let password = table.schema.find("password").unwrap().0;
    let message = table.schema.find("message").unwrap().0;
    assert_eq!(outcome.secrets_seen, [(message, "aws", 1), (password, "password", 3)]);
    let ruling = table.schema.find("client_ip").unwrap().1.ruling().cloned().unwrap();
    assert_eq!((ruling.by.as_str(), ruling.at), (Ruling::CLASSIFIER, Timestamp(5)));
}

#[test]
fn sealing_what_is_sealed_changes_nothing() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let columns = vec![
        ("email", FieldType::Keyword, strings(&["ada@example.org", ""])),
        (
            "message",
            FieldType::Text,
            strings(&["user=ada from 1.2.3.4 password=x", "Invalid user ada from 1.2.3.4"]),
        ),
        ("api_key", FieldType::Keyword, strings(&["k", "l"])),
        ("heart_rate", FieldType::Long, Values::Longs(vec![60, 61])),
    ];
    let once = house.seal(&mut table, columns).unwrap().batch;
    let again = house.sealer.seal(&mut table, once.batch().clone()).unwrap();
    assert!(again.batch.batch() == once.batch());
    assert!(again.newly_ruled.is_empty());
    assert_eq!(texts(&once.batch().columns[0].values)[1], "", "the empty string says nothing");
}

#[test]
fn no_value_is_left_in_the_clear() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let values =
        ["ada@example.org", "+49 171 1234567", "Ada Lovelace", "hunter2secret", "55.25,13.405"];
    let outcome = house
        .seal(
            &mut table,
            vec![
                ("email", FieldType::Keyword, strings(&values[..1])),
                ("phone", FieldType::Keyword, strings(&values[1..2])),
                ("full_name", FieldType::Text, strings(&values[2..3])),
                (
                    "note",
                    FieldType::Text,
                    strings(&["password=hunter2secret mail ada@example.org call +49 171 1234567"]),
                ),
                ("gps", FieldType::GeoPoint, strings(&values[4..])),
            ],
        )
        .unwrap();
    let mut bytes = Vec::new();
    outcome.batch.encode(&mut bytes);
    for value in values {
        assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "{value}");
    }
    let back = SealedBatch::decode(&bytes).unwrap();
    assert!(back.batch() == outcome.batch.batch());
}

#[test]
fn values_that_become_the_same_are_kept_once() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let mails = strings(&["Ada@example.org", "ada@example.org"]);
    let notes = strings(&["to Ada@example.org", "to ada@example.org"]);
    let outcome = house
        .seal(
            &mut table,
            vec![("email", FieldType::Keyword, mails), ("note", FieldType::Text, notes)],
        )
        .unwrap();
    for column in &outcome.batch.batch().columns {
        let Values::Strings(strings) = &column.values else { panic!("no strings") };
        assert_eq!((strings.distinct_len(), &strings.ids[..]), (1, &[0, 0][..]));
    }
}

#[test]
fn a_closed_table_withholds_what_no_rule_knows() {
    let house = House::new();
    let mut table = table(Intake::Closed);
    let columns = || {
        vec![
            ("@timestamp", FieldType::Date, Values::Longs(vec![1])),
            ("status", FieldType::Keyword, strings(&["ok"])),
            ("email", FieldType::Keyword, strings(&["ada@example.org"])),
            ("remark", FieldType::Text, strings(&["tall, likes \"tea\""])),
        ]
    };
    let outcome = house.seal(&mut table, columns()).unwrap();
    let field = |name: &str| table.schema.find(name).unwrap().1.clone();
    assert_eq!(field("@timestamp").class, Some(Class::Open));
    assert_eq!(field("status").class, Some(Class::Open));
    assert_eq!(field("email").class, Some(Class::Personal));
    assert!(field("remark").withheld && field("remark").class.is_none());
    let remark = &outcome.batch.batch().columns[3];
    let Values::Bytes(sealed) = &remark.values else { panic!("withheld values are sealed") };
    let cipher = house.ring.value_cipher(table.id, remark.field);
    assert_eq!(cipher.open(&sealed[0]).unwrap(), br#""tall, likes \"tea\"""#);
    let again = house.seal(&mut table, columns()).unwrap();
    assert!(again.newly_ruled.is_empty(), "a guardian's turn now");
}

#[test]
fn a_name_that_is_a_value_is_refused_with_its_rows() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let columns = vec![
        ("model", FieldType::Keyword, strings(&["plug", "bulb"])),
        ("seen.ada@example.org", FieldType::Long, Values::Longs(vec![1])),
    ];
    let error = house.seal(&mut table, columns).unwrap_err();
    let SealError::Refused(refused) = &error else { panic!("{error}") };
    assert_eq!(refused, &[RefusedField { row: 0, reason: RefusedReason::NameIsValue("email") }]);
    assert!(!format!("{error} {error:?} {}", refused[0].reason).contains("ada"));
    assert!(table.schema.fields().iter().all(|field| field.class.is_none()), "nothing was ruled");
    assert_eq!(house.sealer.name_as_value("user.email"), None);
    assert_eq!(house.sealer.name_as_value("10.0.0.1"), Some("ip"));
}

#[test]
fn a_shape_hides_no_value() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let mut batch = Batch { rows: rows_of(&[None, None]), ..Batch::default() };
    batch.shapes = vec![r#"{"password":"v"}"#.into(), r#"{"ada@example.org":{}}"#.into()];
    batch.rows[0].shape = Some(0);
    batch.rows[1].shape = Some(1);
    let Err(SealError::Refused(refused)) = house.sealer.seal(&mut table, batch) else {
        panic!("sealed")
    };
    assert_eq!(refused, [RefusedField { row: 1, reason: RefusedReason::NameIsValue("email") }]);
}

#[test]
fn ids_are_turned_like_in_look_ups() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let batch = Batch {
        rows: rows_of(&[Some("ada@example.org"), Some("plain-1"), None]),
        ..Batch::default()
    };
    let sealed = house.sealer.seal(&mut table, batch).unwrap().batch;
    let ids: Vec<Option<&str>> = sealed.batch().rows.iter().map(|row| row.id.as_deref()).collect();
    let turned = house.pseudonyms.of("email", "ada@example.org");
    assert_eq!(ids, [Some(turned.as_str()), Some("plain-1"), None]);
    assert_eq!(house.sealer.row_id(&table.name, "ADA@example.org"), turned);
    assert_eq!(house.sealer.row_id(&table.name, &turned), turned);
    let generated = GeneratedId(model::Seq(7)).to_string();
    assert_eq!(house.sealer.row_id(&table.name, &generated), generated);
}

#[test]
fn the_ids_of_a_table_of_persons_are_those_persons() {
    let house = House::new();
    let users = TableName::parse("app-users").unwrap();
    let id = house.sealer.row_id(&users, "usr-000017");
    let mut events = table(Intake::Classified);
    let values = strings(&["usr-000017"]);
    let outcome = house.seal(&mut events, vec![("user_id", FieldType::Keyword, values)]).unwrap();
    let Values::Strings(stored) = &outcome.batch.batch().columns[0].values else { panic!() };
    assert_eq!(stored.get(0), id, "an id and a field of the same person can be joined");
    assert_eq!(house.sealer.row_id(&users, &id), id);
    let orders = TableName::parse("orders").unwrap();
    assert_eq!(house.sealer.row_id(&orders, "ord-1"), "ord-1");
}

#[test]
fn card_numbers_do_not_hide_among_numbers() {
    let house = House::new();
    let mut classified = table(Intake::Classified);
    let cards = || Values::Longs(vec![4_111_111_111_111_111]);
    let outcome = house.seal(&mut classified, vec![("card", FieldType::Long, cards())]).unwrap();
    let turned = house.pseudonyms.of("card", "4111 1111 1111 1111");
    assert_eq!(texts(&outcome.batch.batch().columns[0].values), [turned]);

    let mut ruled = table(Intake::Classified);
    house.seal(&mut ruled, vec![("card", FieldType::Long, Values::Longs(vec![3]))]).unwrap();
    let Err(SealError::Refused(refused)) =
        house.seal(&mut ruled, vec![("card", FieldType::Long, cards())])
    else {
        panic!("sealed")
    };
    assert_eq!(refused[0].reason, RefusedReason::CardInNumbers);
    let counts = house.seal(&mut ruled, vec![("count", FieldType::Long, cards())]).unwrap();
    assert!(
        counts.batch.batch().columns[0].values == cards(),
        "under other names numbers are numbers"
    );
}

#[test]
fn a_batch_that_does_not_fit_is_named() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    let column = Column { field: FieldId(9), rows: vec![0], values: Values::Longs(vec![1]) };
    let batch = Batch { rows: rows_of(&[None]), columns: vec![column], ..Batch::default() };
    assert!(matches!(house.sealer.seal(&mut table, batch), Err(SealError::Misfit)));
}

#[test]
fn debug_shows_counts_only() {
    let house = House::new();
    let columns = vec![("model", FieldType::Keyword, strings(&["plug"]))];
    let outcome = house.seal(&mut table(Intake::Classified), columns).unwrap();
    assert!(format!("{outcome:?}").contains("SealedBatch(1 rows, 1 columns)"));
    assert!(!format!("{outcome:?}{:?}", house.sealer).contains("plug"));
}

/// The table with a ruling of a person on its only field.
fn ruled(table: &Table, class: Option<Class>, kind: &str) -> Table {
    let mut table = table.clone();
    let ruling = Ruling {
        by: "grace".into(),
        at: Timestamp(9),
        reason: "because".into(),
        class,
        kind: kind.into(),
        rules: 0,
    };
    table.schema.rule(FieldId(0), ruling);
    table
}

/// How a column is stored, in words.
fn told(house: &House, table: &Table, values: &Values) -> String {
    let cipher = house.ring.value_cipher(table.id, FieldId(0));
    let one = |place: usize| match values {
        Values::Strings(strings) => match strings.get(place).split_once(':') {
            Some((kind, _)) if is_pseudonym(strings.get(place)) => format!("<{kind}>"),
            Some((before, _)) => format!("{before}:…"),
            None => strings.get(place).to_owned(),
        },
        Values::Longs(longs) => longs[place].to_string(),
        Values::Bytes(sealed) => {
            let plain = String::from_utf8(cipher.open(&sealed[place]).unwrap()).unwrap();
            let turned = is_pseudonym(plain.trim_matches('"'));
            format!("[{}]", if turned { plain[1..].split(':').next().unwrap() } else { &plain })
        }
        _ => panic!("no such values here"),
    };
    // The code of a pseudonym differs from ring to ring.
    let cut = |text: String| match text.split_once("ip:") {
        Some((before, _)) => format!("{before}ip:…"),
        None => text,
    };
    (0..values.len()).map(one).map(cut).collect::<Vec<_>>().join(", ")
}

/// Every change of class, and what becomes of stored values.
#[test]
fn stored_values_follow_a_ruling() {
    let house = House::new();
    let states = [
        ("withheld", None, ""),
        ("open", Some(Class::Open), ""),
        ("personal", Some(Class::Personal), "user"),
        ("special", Some(Class::Special), "body"),
        ("secret", Some(Class::Secret), "password"),
    ];
    let mut out = String::new();
    for (ty, values) in [
        (FieldType::Keyword, strings(&["ada", "from 10.0.0.1 on"])),
        (FieldType::Long, Values::Longs(vec![72, -1])),
    ] {
        for (before, class, kind) in states {
            let mut table = table(Intake::Classified);
            table.schema.push(Field::new(FieldName::parse("remark").unwrap(), ty, "x"));
            let table = ruled(&table, class, kind);
            let column = Column { field: FieldId(0), rows: vec![0, 1], values: values.clone() };
            let raw =
                Batch { rows: rows_of(&[None; 2]), columns: vec![column], ..Batch::default() };
            let sealed = house.sealer.seal(&mut table.clone(), raw.clone()).unwrap().batch;
            for (after, class, kind) in states.into_iter().filter(|(after, ..)| *after != before) {
                let now = ruled(&table, class, kind);
                let stored = sealed.batch().clone();
                let rules = table.schema.rules();
                let rewritten = house.sealer.rewrite(&now, rules, stored).unwrap();
                assert_eq!(rewritten.batch.rules(), rules + 1);
                let columns = &rewritten.batch.batch().columns;
                let shown = columns.first().map_or("none".to_owned(), |column| {
                    assert_eq!(column.rows, [0, 1]);
                    told(&house, &now, &column.values)
                });
                use std::fmt::Write;
                writeln!(out, "{ty:?} {before} -> {after}: {shown}").unwrap();
                assert_eq!(rewritten.dropped, if columns.is_empty() { 2 } else { 0 });

                // What still has its values becomes what a write of today would be.
                let fresh = house.sealer.seal(&mut now.clone(), raw.clone()).unwrap().batch;
                if matches!(before, "withheld" | "special") {
                    let fresh = told(&house, &now, &fresh.batch().columns[0].values);
                    assert_eq!(shown, fresh, "{before} -> {after}");
                }
                // And what is there already stays.
                let again = house.sealer.rewrite(&now, now.schema.rules(), fresh.into_batch());
                assert_eq!(again.unwrap().dropped, 0);
            }
        }
    }
    expect_test::expect![[r#"
        Keyword withheld -> open: ada, from ip:…
        Keyword withheld -> personal: <user>, <user>
        Keyword withheld -> special: ["ada"], ["from 10.0.0.1 on"]
        Keyword withheld -> secret: <secret-password>, <secret-password>
        Keyword open -> withheld: ["ada"], ["from ip:…
        Keyword open -> personal: <user>, <user>
        Keyword open -> special: ["ada"], ["from ip:…
        Keyword open -> secret: <secret-password>, <secret-password>
        Keyword personal -> withheld: [user], [user]
        Keyword personal -> open: <user>, <user>
        Keyword personal -> special: [user], [user]
        Keyword personal -> secret: <secret-password>, <secret-password>
        Keyword special -> withheld: ["ada"], ["from 10.0.0.1 on"]
        Keyword special -> open: ada, from ip:…
        Keyword special -> personal: <user>, <user>
        Keyword special -> secret: <secret-password>, <secret-password>
        Keyword secret -> withheld: [secret-password], [secret-password]
        Keyword secret -> open: <secret-password>, <secret-password>
        Keyword secret -> personal: <secret-password>, <secret-password>
        Keyword secret -> special: [secret-password], [secret-password]
        Long withheld -> open: 72, -1
        Long withheld -> personal: <user>, <user>
        Long withheld -> special: [72], [-1]
        Long withheld -> secret: <secret-password>, <secret-password>
        Long open -> withheld: [72], [-1]
        Long open -> personal: <user>, <user>
        Long open -> special: [72], [-1]
        Long open -> secret: <secret-password>, <secret-password>
        Long personal -> withheld: [user], [user]
        Long personal -> open: none
        Long personal -> special: [user], [user]
        Long personal -> secret: <secret-password>, <secret-password>
        Long special -> withheld: [72], [-1]
        Long special -> open: 72, -1
        Long special -> personal: <user>, <user>
        Long special -> secret: <secret-password>, <secret-password>
        Long secret -> withheld: [secret-password], [secret-password]
        Long secret -> open: none
        Long secret -> personal: <secret-password>, <secret-password>
        Long secret -> special: [secret-password], [secret-password]
    "#]]
    .assert_eq(&out);
}

#[test]
fn what_was_sealed_elsewhere_is_named_and_not_guessed() {
    let house = House::new();
    let mut table = table(Intake::Classified);
    table.schema.push(Field::new(FieldName::parse("remark").unwrap(), FieldType::Keyword, "x"));
    let table = ruled(&table, None, "");
    let now = ruled(&table, Some(Class::Open), "");
    let sealed = house.ring.value_cipher(TableId(99), FieldId(0)).seal(b"\"x\"");
    let stored = |sealed| Batch {
        rows: rows_of(&[None]),
        columns: vec![Column {
            field: FieldId(0),
            rows: vec![0],
            values: Values::Bytes(vec![sealed]),
        }],
        ..Batch::default()
    };
    let error = house.sealer.rewrite(&now, 0, stored(sealed)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a sealed value of field remark cannot be opened; restore the table from a backup"
    );
    let no_json = house.ring.value_cipher(table.id, FieldId(0)).seal(b"x");
    assert!(house.sealer.rewrite(&now, 0, stored(no_json)).is_err());
}

#[test]
fn a_proposal_shows_shapes_and_no_value() {
    let house = House::new();
    let mut table = table(Intake::Closed);
    let values = strings(&["ada@example.org", "bob@example.org", "ada@example.org"]);
    let columns = vec![("reach", FieldType::Keyword, values.clone())];
    let id =
        table.schema.push(Field::new(FieldName::parse("reach").unwrap(), FieldType::Keyword, "x"));
    let table_before = table.clone();
    let withheld = ruled(&table_before, None, "");
    table = withheld;
    let sealed = house.seal(&mut table, columns).unwrap().batch;
    let column = sealed.batch().columns.iter().find(|column| column.field == id).unwrap();
    assert!(matches!(column.values, Values::Bytes(_)));
    let proposal = house.sealer.propose(&table, column).unwrap();
    assert_eq!((proposal.class, proposal.kind.as_str()), (Class::Personal, "email"));
    let shape = Shape { shape: "aaa@aaaaaaa.aaa".into(), values: 3 };
    assert_eq!((proposal.shapes.as_slice(), proposal.sampled), (&[shape][..], 3));
    assert!(!format!("{proposal:?}").contains("example"));
}
