//! A node with people in it, for tests of this crate.

use crate::{BulkOptions, Engine, Settings, Unlock};
use model::{Clock, ManualClock, Timestamp};
use protection::caller::{Caller, Credential, Role};
use serde_json::{Value as Json, json};
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery staple";

/// Eve is an engineer, grace a guardian, adm an administrator; bob and ann are analysts.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) engineer: Caller,
    pub(crate) guardian: Caller,
    pub(crate) admin: Caller,
    pub(crate) clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl House {
    pub(crate) fn open() -> House {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let key = Unlock::KeyFile(dir.path().join("outside").join("key"));
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let mut settings = Settings::new(&dir.path().join("data"), key);
        settings.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        Engine::init(&settings).unwrap();
        let engine = Engine::open(&settings).unwrap();
        let people: [(&str, &str, &[Role]); 5] = [
            ("eve", PASSWORD, &[Role::Engineer]),
            ("grace", PASSWORD, &[Role::Guardian]),
            ("adm", PASSWORD, &[Role::Administrator]),
            ("bob", PASSWORD, &[Role::Analyst]),
            ("ann", PASSWORD, &[Role::Analyst]),
        ];
        engine.bootstrap(&people).unwrap();
        let [engineer, guardian, admin] = ["eve", "grace", "adm"].map(|name| {
            let credential = Credential::Password { name, password: PASSWORD, network: None };
            engine.authenticate(credential, None).unwrap()
        });
        House { engine, engineer, guardian, admin, clock, _dir: dir }
    }

    pub(crate) fn log_in(&self, name: &str) -> Caller {
        let credential = Credential::Password { name, password: PASSWORD, network: None };
        self.engine.authenticate(credential, None).unwrap()
    }

    /// Writes rows with an `_id` each.
    pub(crate) fn write(&self, table: &str, rows: &[Json]) {
        let mut lines = String::new();
        for row in rows {
            let mut row = row.clone();
            let id = row.as_object_mut().unwrap().remove("_id").unwrap();
            lines.push_str(&format!("{}\n{row}\n", json!({ "index": { "_id": id } })));
        }
        let options = BulkOptions::default();
        let done = self.engine.bulk(&self.engineer, Some(table), lines.as_bytes(), &options);
        let done = done.unwrap();
        assert!(!done.errors, "{:?}", done.items);
    }

    /// Changes who may do what; it has to be in force at once.
    #[track_caller]
    pub(crate) fn propose(&self, edits: &Json) {
        let body = json!({ "edits": edits, "why": "a test" });
        let done = self.engine.propose(&self.admin, &body).unwrap();
        assert_eq!(done["applied"], json!(true), "{done}");
    }

    /// The numbers of the grants to one person.
    pub(crate) fn grants_of(&self, person: &str) -> Vec<u64> {
        let shown = self.engine.grants(&self.admin).unwrap();
        let who = json!(format!("person:{person}"));
        let grants = shown["grants"].as_array().unwrap().iter();
        grants
            .filter(|grant| grant["who"] == who)
            .map(|grant| grant["id"].as_u64().unwrap())
            .collect()
    }
}
