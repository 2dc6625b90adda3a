use crate::{BulkOptions, Engine, EraseRequest, Settings, Unlock};
use protection::caller::{Caller, Credential, Role};
use protection::keys::{Family, KeyRing};
use protection::{Pseudonyms, RecordStore};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery staple";
const PEOPLE: u64 = 40;
const AT: &str = "2026-11-20T08:00:00Z";

struct House {
    engine: Engine,
    engineer: Caller,
    analyst: Caller,
    guardian: Caller,
    admin: Caller,
}

fn settings(dir: &Path) -> Settings {
    Settings::new(&dir.join("data"), Unlock::KeyFile(dir.join("outside").join("key")))
}

fn open(dir: &Path) -> House {
    let is_new = !dir.join("data").try_exists().unwrap();
    if is_new {
        std::fs::create_dir(dir.join("outside")).unwrap();
        Engine::init(&settings(dir)).unwrap();
    }
    let engine = Engine::open(&settings(dir)).unwrap();
    if is_new {
        let people: [(&str, &str, &[Role]); 4] = [
            ("eve", PASSWORD, &[Role::Engineer]),
            ("ann", PASSWORD, &[Role::Analyst]),
            ("grace", PASSWORD, &[Role::Guardian]),
            ("adm", PASSWORD, &[Role::Administrator]),
        ];
        engine.directory.bootstrap(&people).unwrap();
    }
    let log_in = |name| {
        let credential = Credential::Password { name, password: PASSWORD, network: None };
        engine.authenticate(credential, None).unwrap()
    };
    let (engineer, analyst) = (log_in("eve"), log_in("ann"));
    let (guardian, admin) = (log_in("grace"), log_in("adm"));
    House { engine, engineer, analyst, guardian, admin }
}

fn email(number: u64) -> String {
    format!("person{number}@example.org")
}

impl House {
    fn write(&self, table: &str, id: &str, row: &Json) {
        let lines = format!("{}\n{row}\n", json!({ "index": { "_id": id } }));
        let options = BulkOptions::default();
        let answer = self.engine.bulk(&self.engineer, Some(table), lines.as_bytes(), &options);
        let answer = answer.unwrap();
        assert!(!answer.errors, "{:?}", answer.items);
    }

    /// Accounts, what they bought, and lines of a log that name them, over segments and buffers.
    fn fill(&self) {
        for number in 0..PEOPLE {
            let email = email(number);
            self.write("users", &email, &json!({ "email": email, "plan": "free" }));
            self.write(
                "orders",
                &format!("o{number}"),
                &json!({ "email": email, "amount": 5, "at": AT }),
            );
            let text = format!("mail to {email} bounced");
            self.write("lines", &format!("l{number}"), &json!({ "message": text }));
            if number % 10 == 3 {
                self.engine.flush().unwrap();
            }
        }
    }

    fn sql(&self, text: &str) -> Json {
        let answer = self.engine.sql(&self.analyst, text, &[]).unwrap();
        json!(answer.get().rows)
    }

    /// What must be the same at every moment.
    fn look(&self) {
        let joined = "SELECT count(*), count(DISTINCT u.email) FROM users u \
                      JOIN orders o ON u.email = o.email";
        assert_eq!(self.sql(joined), json!([[PEOPLE, PEOPLE]]));
        let distinct = "SELECT count(DISTINCT email) FROM orders";
        assert_eq!(self.sql(distinct), json!([[PEOPLE]]));
        let one = format!("SELECT count(*) FROM orders WHERE email = '{}'", email(7));
        assert_eq!(self.sql(&one), json!([[1]]));
        let count = |table: &str, query: Json| {
            let body = json!({ "query": query });
            let answer = self.engine.count(&self.analyst, table, &body, &[]).unwrap();
            answer.get()["count"].as_u64().unwrap()
        };
        assert_eq!(count("users", json!({ "term": { "email": email(9) } })), 1);
        assert_eq!(count("lines", json!({ "match_phrase": { "message": email(9) } })), 1);
        let found = self.engine.get_document(&self.analyst, "users", &email(11), &[], &[]).unwrap();
        assert_eq!(found.get()["found"], true);
    }

    fn pseudonym(&self, number: u64) -> String {
        self.engine.pseudonyms.of("email", &email(number))
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while self.engine.rotation(&self.admin).unwrap()["state"] != "done" {
            assert!(Instant::now() < deadline, "{}", self.engine.rotation(&self.admin).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn joins_counts_and_look_ups_hold_at_every_moment_of_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let house = open(dir.path());
    house.fill();
    house.look();
    let before: Vec<String> = (0..PEOPLE).map(|number| house.pseudonym(number)).collect();
    let yaml = format!(
        "measures:\n  - name: hers\n    table: orders\n    time: at\n    agg: count\n    filter: {{email.keyword: \"{}\"}}\n\
         metrics:\n  - name: hers\n    type: simple\n    measure: hers\n",
        before[7]
    );
    house.engine.apply_metrics(&house.engineer, &yaml).unwrap();
    let refused = house.engine.rotate_pseudonyms(&house.analyst).unwrap_err();
    assert_eq!(refused.status, 403);

    let (done, looks, written) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                house.look();
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            // Updates that carry over what is stored, and the same people again.
            let mut number = 0;
            while !done.load(Ordering::Acquire) {
                let person = number % PEOPLE;
                let body = json!({ "doc": { "plan": format!("plan {number}") } }).to_string();
                let options = crate::WriteOptions::default();
                let id = email(person);
                let updated = house.engine.update_document(
                    &house.engineer,
                    "users",
                    &id,
                    body.as_bytes(),
                    &options,
                );
                assert_eq!(updated.unwrap().result, Some(crate::WriteResult::Updated));
                let order = json!({ "email": email(person), "amount": number, "at": AT });
                house.write("orders", &format!("o{person}"), &order);
                number += 1;
                written.store(number, Ordering::Relaxed);
            }
        });
        for round in 1..=3 {
            let begun = house.engine.rotate_pseudonyms(&house.admin).unwrap();
            assert!(begun["epoch"] == round || begun["epoch"] == round + 1, "{begun}");
            if let Err(again) = house.engine.rotate_pseudonyms(&house.admin) {
                assert_eq!(again.status, 409);
                house.wait();
            } else {
                panic!("two rotations at once");
            }
            assert_eq!(house.engine.rotation(&house.admin).unwrap()["epoch"], round + 1);
        }
        done.store(true, Ordering::Release);
    });
    assert!(looks.load(Ordering::Relaxed) > 3 && written.load(Ordering::Relaxed) > 3);
    house.look();

    // Nothing of the old epochs is left, nor a key of theirs.
    for (number, old) in before.iter().enumerate() {
        assert_ne!(*old, house.pseudonym(number as u64));
        assert_eq!(house.engine.store.files_with(&[old]).unwrap(), [""; 0]);
    }
    for kind in ["metric_file", "erasure"] {
        for (_, record) in house.engine.store.catalog().list(kind).unwrap() {
            let text = String::from_utf8_lossy(&record).into_owned();
            assert!(before.iter().all(|old| !text.contains(old)), "{text}");
        }
    }
    let whole =
        json!({ "grain": "all", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z" });
    let answer = house.engine.query_metric(&house.analyst, "hers", &whole).unwrap();
    let last = answer.get()["rows"][0].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last, json!(1), "{}", answer.get());
    let key = Unlock::KeyFile(dir.path().join("outside").join("key"));
    let data = dir.path().join("data");
    let ring = KeyRing::open(&data.join("keyring"), &key, &data).unwrap();
    let living: Vec<u32> =
        ring.generations(Family::Pseudonym).iter().map(|key| key.number).collect();
    assert_eq!(living, [4], "the file of the ring has the last one alone");
    drop(ring);

    drop(house);
    let house = open(dir.path());
    house.look();
    let records = house.engine.audit.read(&protection::audit::AuditFilter {
        kinds: vec![protection::audit::EventKind::Rotation],
        limit: 100,
        ..Default::default()
    });
    let said: Vec<String> =
        records.unwrap().iter().map(|record| record.event.outcome.clone()).collect();
    assert_eq!(said.iter().filter(|outcome| *outcome == "begun").count(), 3, "{said:?}");
    assert_eq!(said.iter().filter(|outcome| *outcome == "key destroyed").count(), 3);
}

#[test]
fn an_erasure_during_a_rotation_reaches_both_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let house = open(dir.path());
    house.fill();
    house.engine.flush().unwrap();
    let person = email(5);
    let old = house.pseudonym(5);
    std::thread::scope(|scope| {
        scope.spawn(|| house.engine.rotate_pseudonyms(&house.admin).unwrap());
        scope.spawn(|| {
            let mut request = EraseRequest::of(&person);
            request.now = true;
            request.verify = true;
            let erased = house.engine.erase(&house.guardian, &request).unwrap();
            assert_eq!((&erased["rows"].as_u64(), &erased["state"]), (&Some(3), &json!("done")));
        });
    });
    house.wait();
    let new = house.pseudonym(5);
    assert_ne!(old, new);
    assert_eq!(house.engine.store.files_with(&[&old, &new]).unwrap(), [""; 0]);
    assert_eq!(house.sql("SELECT count(*) FROM users"), json!([[PEOPLE - 1]]));
    assert_eq!(house.sql("SELECT count(*) FROM lines"), json!([[PEOPLE - 1]]));
}

#[test]
fn a_grant_for_rows_of_a_person_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let house = open(dir.path());
    let person = house.pseudonym(3);
    let edits = json!([
        { "drop_role": { "person": "ann", "role": "analyst" } },
        { "grant": { "who": "person:ann", "tables": "orders", "action": "read",
                     "classes": ["open", "personal"],
                     "rows": [{ "field": "email", "in": [person] }] } },
    ]);
    let body = json!({ "edits": edits, "why": "her own customer" });
    let done = house.engine.propose(&house.admin, &body).unwrap();
    assert_eq!(done["applied"], json!(true), "{done}");
    house.fill();
    // What she had before ended with her role.
    let credential = Credential::Password { name: "ann", password: PASSWORD, network: None };
    let house = House { analyst: house.engine.authenticate(credential, None).unwrap(), ..house };
    let count = |house: &House| {
        let answer = house.engine.count(&house.analyst, "orders", &json!({}), &[]).unwrap();
        answer.get()["count"].as_u64().unwrap()
    };
    assert_eq!(count(&house), 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                assert_eq!(count(&house), 1, "at every moment");
            }
        });
        house.engine.rotate_pseudonyms(&house.admin).unwrap();
        house.wait();
        done.store(true, Ordering::Release);
    });
    let policy = house.engine.policies.current();
    let named: Vec<String> = policy.grants().values().map(|grant| grant.rows.to_string()).collect();
    assert!(named.iter().any(|rows| rows.contains(&house.pseudonym(3))), "{named:?}");
    assert!(!named.iter().any(|rows| rows.contains(&person)), "{named:?}");
}

#[test]
fn a_crash_before_the_catalog_knows_leaves_a_key_that_the_next_rotation_takes() {
    let dir = tempfile::tempdir().unwrap();
    let house = open(dir.path());
    house.fill();
    let now = house.engine.now();
    assert_eq!(house.engine.keys.rotate(Family::Pseudonym, now).unwrap(), 2);
    drop(house);
    let house = open(dir.path());
    house.look();
    let status = house.engine.rotation(&house.admin).unwrap();
    assert_eq!((&status["state"], &status["epoch"]), (&json!("done"), &json!(1)));
    house.engine.rotate_pseudonyms(&house.admin).unwrap();
    house.wait();
    let keys = house.engine.keys.generations(Family::Pseudonym);
    assert_eq!(keys.iter().map(|key| key.number).collect::<Vec<_>>(), [2]);
    let classifier = protection::classify::Classifier::standard();
    assert!(Pseudonyms::of_epoch(&house.engine.keys, &classifier, 1).is_none());
    house.look();
}
