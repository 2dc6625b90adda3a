#![expect(clippy::disallowed_methods, reason = "files are moved and looked for as by a person")]

use super::make::all_files;
use super::set::Set;
use super::*;
use crate::{BulkOptions, EraseRequest, Settings, Unlock};
use model::{ManualClock, Seq};
use protection::caller::{Credential, Role};
use std::fs;

const PASSWORD: &str = "correct horse battery staple";
const ADA: &str = "ada.quillmoor@example.org";
const HOUR_MS: i64 = 60 * 60 * 1000;

struct House {
    engine: Engine,
    guardian: Caller,
    admin: Caller,
}

fn settings(dir: &Path, data: &str, clock: &Arc<ManualClock>) -> Settings {
    let key = Unlock::KeyFile(dir.join("outside").join("key"));
    let mut settings = Settings::new(&dir.join(data), key);
    settings.clock = Arc::clone(clock) as Arc<dyn Clock>;
    settings
}

fn log_in(engine: &Engine, name: &str) -> Result<Caller, protection::caller::AuthError> {
    let credential = Credential::Password { name, password: PASSWORD, network: None };
    engine.authenticate(credential, None)
}

fn house(dir: &Path, clock: &Arc<ManualClock>) -> House {
    fs::create_dir(dir.join("outside")).unwrap();
    Engine::init(&settings(dir, "data", clock)).unwrap();
    let engine = Engine::open(&settings(dir, "data", clock)).unwrap();
    let people: [(&str, &str, &[Role]); 5] = [
        ("eve", PASSWORD, &[Role::Engineer]),
        ("ann", PASSWORD, &[Role::Analyst]),
        ("grace", PASSWORD, &[Role::Guardian]),
        ("adm", PASSWORD, &[Role::Administrator]),
        ("old", PASSWORD, &[Role::Administrator]),
    ];
    engine.directory.bootstrap(&people).unwrap();
    let (guardian, admin) = (log_in(&engine, "grace").unwrap(), log_in(&engine, "adm").unwrap());
    let house = House { engine, guardian, admin };
    let edits = json!([{ "setting": { "name": "backup_targets", "value": [to(dir)] } }]);
    let body = json!({ "edits": edits, "why": "set-up" });
    let done = house.engine.propose(&house.admin, &body).unwrap();
    assert_eq!(done["applied"], true, "{done}");
    house
}

fn to(dir: &Path) -> String {
    dir.join("backup").to_string_lossy().into_owned()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemNow::now()))
}

/// Records carry the clock of the computer while a folder is restored, so tests begin there.
struct SystemNow;

impl SystemNow {
    fn now() -> Timestamp {
        model::SystemClock.now()
    }
}

impl House {
    fn write(&self, person: &str, round: u32) {
        let engineer = log_in(&self.engine, "eve").unwrap();
        let row = json!({ "email": person, "message": format!("mail to {person}"), "n": round });
        let id = format!("{}-{round}", person.split('@').next().unwrap());
        let lines = format!("{}\n{row}\n", json!({ "index": { "_id": id } }));
        let options = BulkOptions::default();
        let done = self.engine.bulk(&engineer, Some("mails"), lines.as_bytes(), &options).unwrap();
        assert!(!done.errors, "{:?}", done.items);
    }

    fn back_up(&self, dir: &Path) -> Json {
        self.engine.back_up(&self.admin, &to(dir), None).unwrap()
    }
}

fn restored(
    dir: &Path,
    data: &str,
    set: Option<u64>,
    clock: &Arc<ManualClock>,
) -> (Restored, Engine) {
    let settings = settings(dir, data, clock);
    let restored = restore(&RestoreSettings {
        from: dir.join("backup"),
        set,
        dir: settings.dir.clone(),
        unlock: settings.unlock.clone(),
    });
    (restored.unwrap(), Engine::open(&settings).unwrap())
}

#[test]
fn what_did_not_change_is_copied_once_and_every_set_comes_back() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    let first = house.back_up(dir);
    assert_eq!((&first["set"], &first["segments"]), (&json!(1), &json!(1)), "{first}");
    clock.advance(HOUR_MS);
    house.write("bob@example.org", 1);
    // In the buffer and the log, and in the backup.
    let second = house.back_up(dir);
    assert_eq!((&second["set"], &second["segments"]), (&json!(2), &json!(2)), "{second}");
    house.write("bob@example.org", 2);
    let copied: Vec<u64> = ["first", "second"]
        .iter()
        .zip([&first, &second])
        .map(|(_, made)| made["bytes_copied"].as_u64().unwrap())
        .collect();
    let segments = |made: &Json| made["bytes"].as_u64().unwrap();
    assert!(copied[1] < segments(&second), "the first segment is not copied again: {copied:?}");
    let listed = house.engine.known_backups(&house.admin).unwrap();
    assert_eq!((&listed[0]["folder"], &listed[0]["set"]), (&json!(to(dir)), &json!(2)));
    let before = house.engine.audit.len();
    drop(house);

    for (set, bobs) in [(Some(1), 0), (None, 1)] {
        let data = format!("restored-{bobs}");
        let (restored, engine) = restored(dir, &data, set, &clock);
        assert_eq!(restored.segments, bobs + 1);
        assert!(restored.audit_records > 0 && restored.audit_records <= before);
        let guardian = log_in(&engine, "grace").unwrap();
        let rows = engine.store.stats(engine.store.table("mails").unwrap().id).unwrap().rows;
        assert_eq!(rows, bobs + 1);
        assert!(engine.audit.len() > restored.audit_records, "the record goes on");
        drop(guardian);
        engine.close();
        drop(engine);
        let unlock = settings(dir, &data, &clock).unlock;
        let found =
            crate::verify_audit(&dir.join(&data), &unlock, &crate::AuditEvidence::default());
        assert_eq!(found.unwrap().problem, None);
    }
}

#[test]
fn only_a_named_folder_outside_the_data_of_this_node() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = house(dir.path(), &clock);
    house.write(ADA, 1);
    let refused = |caller: &Caller, to: &str| {
        let error = house.engine.back_up(caller, to, None).unwrap_err();
        (error.status, error.reason)
    };
    let elsewhere = dir.path().join("elsewhere").to_string_lossy().into_owned();
    let (status, reason) = refused(&house.admin, &elsewhere);
    assert!(status == 403 && reason.contains("change set backup_targets"), "{reason}");
    assert_eq!(refused(&house.guardian, &to(dir.path())).0, 403, "not hers");
    assert!(!dir.path().join("elsewhere").exists() && !dir.path().join("backup").exists());

    // Rows are there, so a folder takes two people from now on.
    let name = |folder: &Path| {
        let value = json!([to(dir.path()), folder.to_string_lossy()]);
        let edits = json!([{ "setting": { "name": "backup_targets", "value": value } }]);
        let body = json!({ "edits": edits, "why": "another disk" });
        house.engine.propose(&house.admin, &body).unwrap()
    };
    assert_eq!(name(&dir.path().join("elsewhere"))["applied"], false);
    assert_eq!(refused(&house.admin, &elsewhere).0, 403);

    let set = |folder: &Path| {
        let value = protection::grant::SettingValue::Set([folder.to_string_lossy().into()].into());
        let now = house.engine.clock.now();
        let founding = house.engine.policies.set_in_founding(Setting::BackupTargets, value, now);
        assert!(founding.is_err(), "founding is over");
    };
    set(&dir.path().join("elsewhere"));

    fs::create_dir(dir.path().join("backup")).unwrap();
    fs::write(dir.path().join("backup").join("letter"), "dear").unwrap();
    let (status, reason) = refused(&house.admin, &to(dir.path()));
    assert!(status == 400 && reason.contains("something else than a backup"), "{reason}");
    fs::remove_file(dir.path().join("backup").join("letter")).unwrap();
    house.back_up(dir.path());
    let mark = dir.path().join("backup").join("clerestory-backup");
    let text = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, text.replace(&house.engine.keys.id(), &"0".repeat(32))).unwrap();
    let (status, reason) = refused(&house.admin, &to(dir.path()));
    assert!(status == 400 && reason.contains("another node"), "{reason}");
}

#[test]
fn the_data_folder_and_its_backup_do_not_lie_in_each_other() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let house = house(dir.path(), &clock);
    let inside = dir.path().join("data").join("..").join("data").join("backup");
    let value = json!([inside.to_string_lossy()]);
    let edits = json!([{ "setting": { "name": "backup_targets", "value": value } }]);
    house.engine.propose(&house.admin, &json!({ "edits": edits, "why": "set-up" })).unwrap();
    let refused = house.engine.back_up(&house.admin, &inside.to_string_lossy(), None).unwrap_err();
    assert!(refused.status == 400 && refused.reason.contains("outside"), "{}", refused.reason);
}

#[test]
fn who_was_taken_out_gains_nothing_by_an_old_backup() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    let session = house.engine.start_session(&house.guardian, None).unwrap();
    house.back_up(dir);
    clock.advance(1000);
    house.engine.disable_person(&house.admin, "old").unwrap();
    clock.advance(1000);
    house.back_up(dir);
    drop(house);

    let (restored, engine) = restored(dir, "restored", Some(1), &clock);
    assert!(restored.credentials_forgotten > 0, "{restored:?}");
    assert_eq!(restored.disabled, ["ann", "eve", "old"]);
    for name in ["ann", "eve", "old"] {
        assert!(log_in(&engine, name).is_err(), "{name}");
    }
    let session = Credential::Session(session.as_str());
    assert!(engine.authenticate(session, None).is_err(), "a session of before");
    let (admin, guardian) = (log_in(&engine, "adm").unwrap(), log_in(&engine, "grace").unwrap());
    let body = json!({ "edits": [{ "enable": { "person": "ann" } }], "why": "she is ours" });
    let proposed = engine.propose(&admin, &body).unwrap();
    assert_eq!(proposed["applied"], false, "it takes two people: {proposed}");
    let said = engine.audit.read(&protection::audit::AuditFilter {
        kinds: vec![EventKind::Restored],
        ..Default::default()
    });
    assert_eq!(said.unwrap().len(), 1);
    drop(guardian);

    // Numbers of rows do not come twice: what the record knows of rows that are gone stays theirs.
    let flushed = engine.store.catalog().flushed().unwrap();
    assert!(flushed.iter().all(|(_, seq)| *seq > Seq(1 << 40)), "{flushed:?}");
}

#[test]
fn an_erasure_reaches_the_backups_and_says_which_it_did_not() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    house.write("bob@example.org", 1);
    house.back_up(dir);
    clock.advance(HOUR_MS);
    house.write(ADA, 2);
    house.back_up(dir);
    clock.advance(HOUR_MS);
    let old = house.engine.pseudonyms.of("email", ADA);

    let mut request = EraseRequest::of(ADA);
    request.now = true;
    request.verify = true;
    let done = house.engine.erase(&house.guardian, &request).unwrap();
    assert_eq!(done["files_with_traces"], json!([]), "{done}");
    let backups = &done["signed"]["receipt"]["backups"];
    assert_eq!(*backups, json!([{ "folder": to(dir), "reached": true, "why_not": null }]));
    assert_eq!(set::numbers(&dir.join("backup")).unwrap(), [3], "no set of before is left");

    // Every file of the backup belongs to the set that is left, or to the record, and none of them
    // has her: what comes back is read to the last byte.
    let (kept, _) = Set::read_unproven(&set::folder_of(&dir.join("backup"), 3)).unwrap();
    let named: Vec<&str> = kept.segments.iter().map(|file| file.kept_as.as_str()).collect();
    for path in all_files(&dir.join("backup")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        let is_there = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!is_there(ADA) && !is_there(&old), "{}", path.display());
        if path.parent().unwrap().ends_with("segments") {
            assert!(named.contains(&name.as_str()), "{name} is of no set");
        }
        assert!(!name.ends_with(".part"), "{name}");
    }
    let (_, engine) = restored(dir, "restored", None, &clock);
    assert_eq!(engine.store.files_with(&[&old, ADA]).unwrap(), [""; 0]);
    let guardian = log_in(&engine, "grace").unwrap();
    let mut again = EraseRequest::of(ADA);
    again.dry_run = true;
    assert_eq!(engine.erase(&guardian, &again).unwrap()["rows"], 0);
    engine.close();
    drop(engine);

    // A disk that is not plugged in is named, and cleaned by the next backup that finds it.
    house.write("bob@example.org", 2);
    house.back_up(dir);
    fs::rename(dir.join("backup"), dir.join("unplugged")).unwrap();
    let mut request = EraseRequest::of("bob@example.org");
    request.now = true;
    let done = house.engine.erase(&house.guardian, &request).unwrap();
    let backups = &done["signed"]["receipt"]["backups"];
    assert_eq!(
        (&backups[0]["reached"], &backups[0]["why_not"]),
        (&json!(false), &json!("the folder is not there"))
    );
    assert!(!dir.join("backup").exists(), "none is made in its place");
    fs::rename(dir.join("unplugged"), dir.join("backup")).unwrap();
    clock.advance(1000);
    let made = house.back_up(dir);
    assert_eq!(made["sets"], json!([made["set"]]), "sets from before the erasure went");
}

#[test]
fn a_due_erasure_waits_for_a_backup_until_the_deadline() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    house.back_up(dir);
    fs::rename(dir.join("backup"), dir.join("unplugged")).unwrap();
    let begun = house.engine.erase(&house.guardian, &EraseRequest::of(ADA)).unwrap();
    let id = begun["id"].as_str().unwrap();
    let finish = || house.engine.steward.finish_waiting(id);
    clock.advance(40 * HOUR_MS);
    let waits = finish().unwrap_err();
    assert!(waits.reason.contains("a backup is not reached"), "{}", waits.reason);
    clock.advance(32 * HOUR_MS);
    finish().unwrap();
    let done = house.engine.erasure(&house.guardian, id).unwrap();
    assert_eq!(done["signed"]["receipt"]["backups"][0]["reached"], false);
}

#[test]
fn what_was_changed_in_a_backup_is_named_and_not_restored() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    house.back_up(dir);
    drop(house);
    let backup = dir.join("backup");
    let settings = settings(dir, "restored", &clock);
    let attempt = || {
        let restored = restore(&RestoreSettings {
            from: backup.clone(),
            set: None,
            dir: settings.dir.clone(),
            unlock: settings.unlock.clone(),
        });
        let error = restored.map(|_| ()).unwrap_err();
        assert!(!settings.dir.exists(), "no data folder is left: {error}");
        assert!(!dir.join("restored.restoring").exists(), "nor half of one");
        chain(&error)
    };
    assert!(check_backup(&backup, None, &settings.unlock).is_ok());
    let files = all_files(&backup);
    assert!(files.len() > 8, "{files:?}");
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read(&path).unwrap();
        if name == "key-place" || whole.is_empty() {
            continue;
        }
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = attempt();
        assert!(!error.is_empty(), "{name}");
        assert!(check_backup(&backup, None, &settings.unlock).is_err(), "{name} passes the check");
        fs::remove_file(&path).unwrap();
        attempt();
        fs::write(&path, &whole).unwrap();
    }
    assert!(check_backup(&backup, None, &settings.unlock).is_ok());
    let other = Unlock::KeyFile(dir.join("outside").join("other"));
    fs::write(dir.join("outside").join("other"), "0".repeat(64)).unwrap();
    let wrong = check_backup(&backup, None, &other).unwrap_err();
    assert!(matches!(wrong, RestoreError::Keys(_)), "{wrong:?}");
    let none = check_backup(&backup, Some(9), &settings.unlock).unwrap_err();
    assert_eq!(none.to_string(), "the backup has no set 9; it has 1");
    let no_backup = check_backup(&dir.join("outside"), None, &settings.unlock).unwrap_err();
    assert!(matches!(no_backup, RestoreError::NoBackup(_)));
}

#[test]
fn sets_from_before_and_after_a_file_key_was_exchanged_both_come_back() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    house.write(ADA, 1);
    house.back_up(dir);
    assert_eq!(house.engine.rotate_file_key(&house.admin).unwrap(), 2);
    assert_eq!(house.engine.move_files().unwrap(), 0);
    house.back_up(dir);
    house.engine.destroy_file_key(&house.admin, 1).unwrap();
    house.back_up(dir);
    let unlock = settings(dir, "x", &clock).unlock;
    for set in 1..=3 {
        let found = check_backup(&dir.join("backup"), Some(set), &unlock).unwrap();
        assert_eq!(found.segments, 1, "set {set}");
    }
}

#[test]
fn half_a_set_is_none_and_old_ones_go() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let dir = dir.path();
    let house = house(dir, &clock);
    let backup = dir.join("backup");
    for round in 0..3 {
        house.write(ADA, round);
        house.back_up(dir);
        clock.advance(1000);
        // What a crash leaves in the midst of the next one.
        let part = backup.join("sets").join("00000099.part");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("catalog.db"), "half").unwrap();
        fs::write(backup.join("segments").join("0000000000000063.segment.part"), "half").unwrap();
        assert!(check_backup(&backup, None, &settings(dir, "x", &clock).unlock).is_ok());
    }
    let made = house.engine.back_up(&house.admin, &to(dir), Some(2)).unwrap();
    assert_eq!(made["sets"], json!([3, 4]));
    assert!(all_files(&backup).iter().all(|path| !path.to_string_lossy().contains(".part")));
    for set in [3, 4] {
        assert!(check_backup(&backup, Some(set), &settings(dir, "x", &clock).unlock).is_ok());
    }
}
