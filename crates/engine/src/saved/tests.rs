use super::*;
use crate::{Settings, Unlock};
use protection::audit::AuditFilter;
use protection::caller::{Credential, Role};
use serde_json::json;
use std::path::Path;

const PASSWORD: &str = "correct horse battery staple";

struct House {
    engine: Engine,
    dir: tempfile::TempDir,
}

fn open(dir: &Path) -> Engine {
    let settings =
        Settings::new(&dir.join("data"), Unlock::KeyFile(dir.join("outside").join("key")));
    if !dir.join("data").try_exists().unwrap() {
        std::fs::create_dir(dir.join("outside")).unwrap();
        Engine::init(&settings).unwrap();
    }
    Engine::open(&settings).unwrap()
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let people: [(&str, &str, &[Role]); 3] = [
        ("ann", PASSWORD, &[Role::Analyst]),
        ("eve", PASSWORD, &[Role::Engineer]),
        ("ada", PASSWORD, &[Role::Administrator]),
    ];
    engine.bootstrap(&people).unwrap();
    House { engine, dir }
}

fn log_in(engine: &Engine, name: &str) -> Caller {
    let credential = Credential::Password { name, password: PASSWORD, network: None };
    engine.authenticate(credential, None).unwrap()
}

fn board(name: &str, is_shared: bool) -> NewSaved {
    let body = json!({ "panels": [{ "metric": "activations", "width": 6 }] });
    NewSaved { name: name.to_owned(), description: String::new(), is_shared, body }
}

fn search(q: &str) -> NewSaved {
    let body = json!({ "params": [["table", "events"], ["q", q]] });
    NewSaved { name: "mine".to_owned(), description: String::new(), is_shared: false, body }
}

fn status<T>(done: Result<T, EngineError>) -> u16 {
    done.err().map_or(200, |error| error.status)
}

#[test]
fn what_is_private_is_seen_by_its_owner_alone() {
    let House { engine, dir: _dir } = house();
    let (ann, eve) = (log_in(&engine, "ann"), log_in(&engine, "eve"));
    let kind = SavedKind::Dashboard;
    let mine = engine.save(&ann, kind, &board("mine", false)).unwrap();
    let ours = engine.save(&ann, kind, &board("Ours", true)).unwrap();
    let names = |caller: &Caller| -> Vec<String> {
        engine.saved(caller, kind).unwrap().into_iter().map(|saved| saved.name).collect()
    };
    assert_eq!(names(&ann), ["mine", "Ours"]);
    assert_eq!(names(&eve), ["Ours"]);
    assert_eq!(status(engine.saved_object(&eve, kind, &mine.id, None)), 404);
    assert_eq!(status(engine.saved_object(&eve, kind, "nothing", None)), 404);
    assert_eq!(status(engine.saved_object(&eve, SavedKind::Search, &ours.id, None)), 404);
    assert_eq!(engine.saved_object(&eve, kind, &ours.id, None).unwrap().owner, "ann");
    // To another the private one is not there at all, whatever is tried.
    assert_eq!(status(engine.save_again(&eve, kind, &mine.id, 1, &board("x", true))), 404);
    assert_eq!(status(engine.delete_saved(&eve, kind, &mine.id)), 404);
    assert_eq!(status(engine.save_again(&eve, kind, &ours.id, 1, &board("x", true))), 403);
    assert_eq!(status(engine.delete_saved(&eve, kind, &ours.id)), 403);
    let ada = log_in(&engine, "ada");
    assert_eq!(status(engine.saved(&ada, kind)), 403, "no data, no questions");
    assert_eq!(status(engine.save(&ada, kind, &board("x", true))), 403);
}

#[test]
fn versions_are_kept_across_a_restart_and_a_stale_save_is_refused() {
    let House { engine, dir } = house();
    let ann = log_in(&engine, "ann");
    let kind = SavedKind::Dashboard;
    let first = engine.save(&ann, kind, &board("one", false)).unwrap();
    let second = engine.save_again(&ann, kind, &first.id, 1, &board("two", true)).unwrap();
    assert_eq!((second.version, second.is_shared), (2, true));
    assert_eq!(status(engine.save_again(&ann, kind, &first.id, 1, &board("late", true))), 409);
    engine.close();
    drop(engine);
    let engine = open(dir.path());
    let ann = log_in(&engine, "ann");
    let newest = engine.saved_object(&ann, kind, &first.id, None).unwrap();
    assert_eq!((newest.name.as_str(), newest.history.len()), ("two", 2));
    assert_eq!(engine.saved_object(&ann, kind, &first.id, Some(1)).unwrap().name, "one");
    assert_eq!(status(engine.saved_object(&ann, kind, &first.id, Some(3))), 404);
    engine.delete_saved(&ann, kind, &first.id).unwrap();
    assert_eq!(status(engine.saved_object(&ann, kind, &first.id, None)), 404);
    let filter = AuditFilter { kinds: vec![EventKind::SavedRemoved], ..AuditFilter::default() };
    let records = engine.audit.read(&filter).unwrap();
    assert_eq!(records.len(), 1);
    engine.close();
    drop(engine);
    let engine = open(dir.path());
    let ann = log_in(&engine, "ann");
    assert!(engine.saved(&ann, kind).unwrap().is_empty());
}

#[test]
fn what_was_typed_is_turned_before_it_is_kept() {
    let House { engine, dir: _dir } = house();
    let ann = log_in(&engine, "ann");
    let pseudonym = engine.pseudonyms.query_text("ada@example.org");
    let kept = |q: &str| {
        let saved = engine.save(&ann, SavedKind::Search, &search(q)).unwrap();
        saved.body["params"][1][1].as_str().unwrap().to_owned()
    };
    assert_eq!(
        kept("kind:connect_failed AND firmware:4.3.0"),
        "kind:connect_failed AND firmware:4.3.0"
    );
    assert_eq!(kept("email:ada@example.org AND x"), format!("email:\"{pseudonym}\" AND x"));
    assert_eq!(kept("email:\"ada@example.org\""), format!("email:\"{pseudonym}\""));
    assert_eq!(kept("\"a b\" ada@example.org"), format!("\"a b\" \"{pseudonym}\""));
    assert_eq!(kept(&format!("email:\"{pseudonym}\"")), format!("email:\"{pseudonym}\""));
    let body = json!({ "panels": [{ "metric": "m", "title": "t", "where": [["email", "ada@example.org"]] }] });
    let board = NewSaved { body, ..board("b", true) };
    let saved = engine.save(&ann, SavedKind::Dashboard, &board).unwrap();
    assert_eq!(saved.body["panels"][0]["where"][0][1], json!(pseudonym));
    let named = NewSaved { name: "ada@example.org".to_owned(), ..search("x") };
    let error = engine.save(&ann, SavedKind::Search, &named).unwrap_err();
    assert!(error.status == 400 && !error.reason.contains("ada@"), "{}", error.reason);
}

#[test]
fn content_that_is_not_what_its_kind_asks_for_is_refused() {
    let House { engine, dir: _dir } = house();
    let ann = log_in(&engine, "ann");
    let refused = |kind: SavedKind, body: Json| {
        let wanted = NewSaved { body, ..board("b", true) };
        let error = engine.save(&ann, kind, &wanted).unwrap_err();
        assert_eq!(error.status, 400);
        error.reason
    };
    let panel = |more: Json| json!({ "panels": [more] });
    for body in [
        json!([]),
        json!({ "panels": 1 }),
        json!({ "pannels": [] }),
        panel(json!({})),
        panel(json!({ "metric": "" })),
        panel(json!({ "metric": "m", "width": 5 })),
        panel(json!({ "metric": "m", "chart": "pie" })),
        panel(json!({ "metric": "m", "compare": "never" })),
        panel(json!({ "metric": "m", "title": "x".repeat(401) })),
        panel(json!({ "search": "abc", "show": "all" })),
        json!({ "panels": vec![json!({ "metric": "m" }); 25] }),
        json!({ "variables": [{ "name": "" }] }),
    ] {
        refused(SavedKind::Dashboard, body);
    }
    for body in [
        json!({}),
        json!({ "params": [["q"]] }),
        json!({ "params": [["q", 1]] }),
        json!({ "params": [["q", "x", "y"]] }),
        json!({ "page": "audit", "params": [] }),
        json!({ "params": vec![["a", "b"]; 61] }),
    ] {
        refused(SavedKind::Search, body);
    }
    let large = vec![json!(["q", "word ".repeat(400)]); 20];
    assert!(refused(SavedKind::Search, json!({ "params": large })).contains("bytes"));
    let nameless = board("  ", true);
    assert_eq!(status(engine.save(&ann, SavedKind::Dashboard, &nameless)), 400);
}

#[test]
fn a_long_history_forgets_its_oldest_versions() {
    let House { engine, dir: _dir } = house();
    let ann = log_in(&engine, "ann");
    let kind = SavedKind::Dashboard;
    let id = engine.save(&ann, kind, &board("b", false)).unwrap().id;
    for base in 1..55 {
        engine.save_again(&ann, kind, &id, base, &board("b", false)).unwrap();
    }
    let saved = engine.saved_object(&ann, kind, &id, None).unwrap();
    assert_eq!((saved.version, saved.history.len()), (55, 50));
    assert_eq!(status(engine.saved_object(&ann, kind, &id, Some(5))), 404);
}
