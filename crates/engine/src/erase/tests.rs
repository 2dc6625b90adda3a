use super::*;
use crate::{BulkOptions, Settings, Unlock};
use model::{Clock, ManualClock, Timestamp, Values};
use protection::RecordStore;
use protection::caller::{Credential, Role};
use std::path::Path;
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 60 * 60 * 1000;
const ADA: &str = "ada.quillmoor@example.org";

struct House {
    engine: Engine,
    engineer: Caller,
    analyst: Caller,
    guardian: Caller,
}

fn settings(dir: &Path, clock: &Arc<ManualClock>) -> Settings {
    let key = Unlock::KeyFile(dir.join("outside").join("key"));
    let mut settings = Settings::new(&dir.join("data"), key);
    settings.clock = Arc::clone(clock) as Arc<dyn Clock>;
    settings
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> House {
    let settings = settings(dir, clock);
    let is_new = !dir.join("data").try_exists().unwrap();
    if is_new {
        std::fs::create_dir(dir.join("outside")).unwrap();
        Engine::init(&settings).unwrap();
    }
    let engine = Engine::open(&settings).unwrap();
    let password = "correct horse battery staple";
    if is_new {
        let people: [(&str, &str, &[Role]); 3] = [
            ("eve", password, &[Role::Engineer]),
            ("ann", password, &[Role::Analyst]),
            ("grace", password, &[Role::Guardian]),
        ];
        engine.directory.bootstrap(&people).unwrap();
    }
    let log_in = |name| {
        let credential = Credential::Password { name, password, network: None };
        engine.authenticate(credential, None).unwrap()
    };
    let (engineer, analyst, guardian) = (log_in("eve"), log_in("ann"), log_in("grace"));
    House { engine, engineer, analyst, guardian }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)))
}

impl House {
    fn write(&self, table: &str, rows: &[(&str, Json)]) {
        let lines: String = rows
            .iter()
            .map(|(id, row)| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{row}\n"))
            .collect();
        let options = BulkOptions::default();
        let answer = self.engine.bulk(&self.engineer, Some(table), lines.as_bytes(), &options);
        let answer = answer.unwrap();
        assert!(!answer.errors, "{:?}", answer.items);
    }

    /// Ada and Bob, in segments and buffers, in fields, ids, texts and under seals.
    fn filled(self) -> House {
        let closed = json!({ "settings": { "index.clerestory.intake": "closed" } });
        self.engine.create_table(&self.engineer, "copied", &closed).unwrap();
        for round in 0..2 {
            for (person, email) in [("ada", ADA), ("bob", "bob@example.org")] {
                let id = format!("{person}-{round}");
                self.write("users", &[(&id, json!({ "email": email, "device_id": person }))]);
                let text = format!("mail to {email} bounced in round {round}");
                self.write("lines", &[(&id, json!({ "message": text, "n": round }))]);
                self.write("moves", &[(&id, json!({ "device_id": person, "n": round }))]);
                let remark = format!("asked for {email}, tall");
                self.write("copied", &[(&id, json!({ "scrawl": remark }))]);
            }
            if round == 0 {
                self.engine.flush().unwrap();
            }
        }
        // An older version of a row of hers lies dead in a segment.
        self.write("users", &[("ada-0", json!({ "email": ADA, "device_id": "ada", "v": 2 }))]);
        self
    }

    fn rows(&self, table: &str) -> u64 {
        let table = self.engine.store.table(table).unwrap();
        self.engine.store.stats(table.id).unwrap().rows
    }

    fn erase(&self, change: impl FnOnce(&mut EraseRequest)) -> Json {
        let mut request = EraseRequest::of(ADA);
        change(&mut request);
        self.engine.erase(&self.guardian, &request).unwrap()
    }

    /// Every file is decrypted and read, every seal opened, every record of the catalog looked at.
    fn assert_nothing_left(&self) {
        let subject = self.engine.sealer.subject(ADA, std::iter::empty());
        let texts: Vec<&str> = subject.pseudonyms().chain([ADA]).collect();
        assert_eq!(self.engine.store.files_with(&texts).unwrap(), [""; 0]);
        for table in self.engine.store.tables() {
            let wanted = Wanted {
                sealer: &self.engine.sealer,
                subject: &subject,
                field: None,
                id: self.engine.sealer.row_id(&table.name, ADA),
            };
            assert_eq!(self.engine.store.rows_with(table.id, &wanted).unwrap().ids, [""; 0]);
            for field in table.schema.fields() {
                let name = field.name.as_str();
                let (batches, _) = self.engine.store.sample(table.id, name, 10_000).unwrap();
                for column in batches.iter().flat_map(|batch| &batch.columns) {
                    if matches!(column.values, Values::Bytes(_)) {
                        let found = self.engine.sealer.speak_of(&table, column, &subject).unwrap();
                        assert!(!found.contains(&true), "{} {name}", table.name);
                    }
                }
            }
        }
        let records = self.engine.store.catalog().list("erasure").unwrap();
        for (_, bytes) in records {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(texts.iter().all(|needle| !text.contains(needle)), "{text}");
        }
    }
}

#[test]
fn a_person_is_out_of_every_file_and_others_stay() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = open(dir.path(), &clock).filled();
    let texts = [ADA];
    assert!(house.engine.store.files_with(&texts).unwrap().is_empty(), "only pseudonyms are there");
    let preview = house.erase(|request| request.dry_run = true);
    assert_eq!(preview["rows"], 6, "{preview}");
    assert_eq!(house.rows("users"), 4);

    let done = house.erase(|request| {
        request.now = true;
        request.verify = true;
        request.also = vec!["device_id".into()];
        request.reference = "ticket 4711".into();
    });
    assert_eq!(done["files_with_traces"], json!([]), "{done}");
    assert_eq!((&done["state"], &done["rows"]), (&json!("done"), &json!(8)));
    for table in ["users", "lines", "moves", "copied"] {
        assert_eq!(house.rows(table), 2, "Bob stays in {table}");
    }
    house.assert_nothing_left();
    let bob = json!({ "query": { "term": { "email": "bob@example.org" } } });
    let found = house.engine.count(&house.analyst, "users", &bob, &[]).unwrap().into_inner();
    assert_eq!(found["count"], 2);

    // The receipt is signed by the ring and names records of the audit.
    let signed = &done["signed"];
    let text = signed["signed_text"].as_str().unwrap();
    let signature: Vec<u8> = (0..128)
        .step_by(2)
        .map(|at| {
            u8::from_str_radix(&signed["signature"].as_str().unwrap()[at..at + 2], 16).unwrap()
        })
        .collect();
    let key = house.engine.keys.verifying_key();
    assert!(key.verifies(&steward::signed(text), &signature));
    assert!(!key.verifies(&steward::signed(&text.replace('8', "9")), &signature));
    assert_eq!(signed["receipt"]["in_time"], true);
    assert_eq!(signed["receipt"]["audit_records"].as_array().unwrap().len(), 2);

    // And holds after a restart.
    drop(house);
    let house = open(dir.path(), &clock);
    house.assert_nothing_left();
    let list = house.engine.erasures(&house.guardian).unwrap();
    assert_eq!(list[0]["reference"], "ticket 4711");
    assert_eq!(house.engine.erasures(&house.analyst).unwrap_err().status, 403);
}

#[test]
fn reads_see_nothing_at_once_and_the_files_follow_in_time_also_over_a_restart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = open(dir.path(), &clock).filled();
    let begun = house.erase(|_| {});
    assert_eq!(begun["state"], "deleted, files follow");
    let ada = json!({ "query": { "term": { "email": ADA } } });
    let found = house.engine.count(&house.analyst, "users", &ada, &[]).unwrap().into_inner();
    assert_eq!(found["count"], 0);
    let subject = house.engine.sealer.subject(ADA, std::iter::empty());
    let texts: Vec<&str> = subject.pseudonyms().collect();
    assert!(!house.engine.store.files_with(&texts).unwrap().is_empty(), "not yet");
    drop(house);

    clock.advance(37 * HOUR_MS);
    let house = open(dir.path(), &clock);
    let deadline = Instant::now() + Duration::from_secs(30);
    let id = begun["id"].as_str().unwrap();
    while house.engine.erasure(&house.guardian, id).unwrap()["state"] != "done" {
        assert!(Instant::now() < deadline, "the steward does nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
    house.assert_nothing_left();
}

#[test]
fn a_crash_between_the_promise_and_the_deletion_is_made_good() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = open(dir.path(), &clock).filled();
    let tables = house.engine.store.tables();
    let subject = house.engine.sealer.subject(ADA, std::iter::empty());
    let request = EraseRequest::of(ADA);
    let found = house.engine.find_person(&tables, &request, &subject).unwrap();
    let erasure = Erasure {
        requested_at: clock.now().0,
        deadline: clock.now().0 + 1,
        tables: found.iter().map(|(table, rows)| TableErasure::new(table, rows)).collect(),
        ..Erasure::default()
    };
    let id = house.engine.steward.begin(&erasure).unwrap();
    assert_eq!(house.rows("users"), 4, "nothing is deleted");
    house.engine.steward.finish(&id, Missing::IsNamed).unwrap();
    assert_eq!(house.rows("users"), 2);
    house.assert_nothing_left();
}

#[test]
fn an_erasure_can_be_kept_to_a_table_or_a_field() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = open(dir.path(), &clock).filled();
    house.erase(|request| {
        request.tables = vec!["lines".into()];
        request.now = true;
    });
    assert_eq!((house.rows("lines"), house.rows("users")), (2, 4));
    let refused = |change: &dyn Fn(&mut EraseRequest)| {
        let mut request = EraseRequest::of(ADA);
        change(&mut request);
        house.engine.erase(&house.guardian, &request).unwrap_err().status
    };
    assert_eq!(refused(&|request| request.tables = vec!["none".into()]), 404);
    assert_eq!(refused(&|request| request.person = " ".into()), 400);
    assert_eq!(refused(&|request| request.reference = ADA.into()), 400);
    assert_eq!(refused(&|request| request.deadline_ms = 0), 400);
    for caller in [&house.analyst, &house.engineer] {
        assert_eq!(house.engine.erase(caller, &EraseRequest::of(ADA)).unwrap_err().status, 403);
    }
}
