use super::*;
use crate::keys::{KeyRing, PassphraseCost};
use crate::records::{MemoryRecords, RecordStore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Clock, ManualClock};
use std::sync::atomic::AtomicBool;

const PASSWORD: &str = "correct horse battery";
const HOUR: i64 = 3_600_000;

/// Records that can be made to fail.
#[derive(Default)]
struct Records {
    inner: MemoryRecords,
    broken: AtomicBool,
}

impl Records {
    fn check(&self) -> Result<(), RecordError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(RecordError::Unavailable("no disk".into()));
        }
        Ok(())
    }
}

impl RecordStore for Records {
    fn list(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        self.check().and_then(|()| self.inner.list(kind))
    }
    fn put(&self, kind: &str, id: &str, value: &[u8]) -> Result<(), RecordError> {
        self.check().and_then(|()| self.inner.put(kind, id, value))
    }
    fn delete(&self, kind: &str, id: &str) -> Result<(), RecordError> {
        self.check().and_then(|()| self.inner.delete(kind, id))
    }
}

struct House {
    records: Arc<Records>,
    ring: KeyRing,
    clock: Arc<ManualClock>,
    directory: Directory,
}

fn empty_house() -> House {
    let records = Arc::new(Records::default());
    let ring = KeyRing::in_memory();
    let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
    let directory = open(&records, &ring, &clock);
    House { records, ring, clock, directory }
}

fn open(records: &Arc<Records>, ring: &KeyRing, clock: &Arc<ManualClock>) -> Directory {
    let records: Arc<dyn RecordStore> = Arc::<Records>::clone(records);
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Directory::open_with(records, ring, clock, PassphraseCost::TEST).unwrap()
}

/// One person per role, called by its first letters: ana, eng, gua, adm.
fn house() -> House {
    let house = empty_house();
    house
        .directory
        .bootstrap(&[
            ("ana", PASSWORD, &[Role::Analyst]),
            ("eng", PASSWORD, &[Role::Engineer, Role::Analyst]),
            ("gua", PASSWORD, &[Role::Guardian]),
            ("adm", PASSWORD, &[Role::Administrator]),
        ])
        .unwrap();
    house
}

impl House {
    fn restart(self) -> House {
        let directory = open(&self.records, &self.ring, &self.clock);
        House { directory, ..self }
    }

    fn login(&self, name: &str) -> Caller {
        self.try_login(name, PASSWORD).unwrap()
    }

    fn try_login(&self, name: &str, password: &str) -> Result<Caller, AuthError> {
        self.directory.authenticate(Credential::Password { name, password, network: None })
    }

    fn later(&self) -> Timestamp {
        Timestamp(self.clock.now().0 + HOUR)
    }
}

#[test]
fn a_password_lets_its_person_in() {
    let house = house().restart();
    let caller = house.login("eng");
    assert_eq!(caller.name(), "eng");
    assert_eq!(caller.roles(), [Role::Analyst, Role::Engineer]);
    assert_eq!(caller.credential(), "password");
    assert!(caller.is_person() && caller.expires().is_none());
    assert!(
        caller.may(Action::Write, house.clock.now())
            && !caller.may(Action::ManagePeople, house.clock.now())
    );
}

#[test]
fn nobody_learns_which_accounts_exist() {
    let house = house();
    let adm = house.login("adm");
    house.directory.disable_person(&adm, "gua").unwrap();
    let said =
        |name: &str, password: &str| house.try_login(name, password).unwrap_err().to_string();
    let wrong = said("ana", "wrong password");
    assert_eq!(said("nobody", PASSWORD), wrong);
    assert_eq!(said("gua", PASSWORD), wrong);
    assert_eq!(said("", ""), wrong);
    assert!(!wrong.contains("ana"));
}

#[test]
fn guessing_is_slowed_down_for_names_that_exist_or_not() {
    for name in ["ana", "nobody"] {
        let house = house();
        for _ in 0..5 {
            assert!(matches!(house.try_login(name, "guess"), Err(AuthError::Invalid)));
        }
        let throttled = house.try_login(name, PASSWORD).unwrap_err();
        assert!(matches!(throttled, AuthError::Throttled { retry_after_ms: 1000 }), "{throttled}");
        assert!(throttled.to_string().contains("try again in 1 s"));
        house.clock.advance(1000);
        assert!(matches!(house.try_login(name, "guess"), Err(AuthError::Invalid)));
        assert!(matches!(
            house.try_login(name, "guess"),
            Err(AuthError::Throttled { retry_after_ms: 2000 })
        ));
    }
}

#[test]
fn guessing_from_one_network_is_slowed_down_over_all_names() {
    let house = house();
    let network = Some("192.0.2.7".parse().unwrap());
    let guess = |name: &str| {
        house.directory.authenticate(Credential::Password { name, password: "guess", network })
    };
    for number in 0..20 {
        assert!(matches!(guess(&format!("name{number}")), Err(AuthError::Invalid)));
    }
    assert!(matches!(guess("another"), Err(AuthError::Throttled { .. })));
    assert!(house.try_login("ana", PASSWORD).is_ok(), "others are not held up");
}

#[test]
fn who_was_right_a_moment_ago_is_not_locked_out_by_others() {
    let house = house();
    house.login("ana");
    for _ in 0..6 {
        let _ = house.try_login("ana", "guess");
    }
    assert!(house.try_login("ana", PASSWORD).is_ok());
    house.clock.advance(61_000);
    assert!(house.try_login("ana", PASSWORD).is_ok(), "the pause is over as well");
}

#[test]
fn a_new_password_ends_what_the_old_one_opened() {
    let house = house();
    let ana = house.login("ana");
    let session = house.directory.start_session(&ana).unwrap();
    let key = house.directory.create_api_key(&ana, "k", &[Role::Analyst], None).unwrap();
    house.directory.set_password(&ana, "ana", "another good one").unwrap();
    assert!(ana.is_expired(house.clock.now()), "requests under way too");
    assert!(matches!(house.try_login("ana", PASSWORD), Err(AuthError::Invalid)));
    let by_session = Credential::Session(session.as_str());
    assert!(matches!(house.directory.authenticate(by_session), Err(AuthError::Invalid)));
    assert!(house.directory.authenticate(Credential::ApiKey(&key.encoded)).is_ok());
    let house = house.restart();
    assert!(house.try_login("ana", "another good one").is_ok());
    assert!(matches!(house.try_login("ana", PASSWORD), Err(AuthError::Invalid)));
}

#[test]
fn people_are_managed_by_administrators_only() {
    let house = house();
    let directory = &house.directory;
    for name in ["ana", "eng", "gua"] {
        let by = house.login(name);
        let refused = directory.create_person(&by, "eve", PASSWORD);
        assert!(matches!(refused, Err(DirectoryError::NotAllowed)));
        assert!(matches!(directory.people(&by), Err(DirectoryError::NotAllowed)));
        assert!(matches!(directory.disable_person(&by, "adm"), Err(DirectoryError::NotAllowed)));
        let refused = directory.set_password(&by, "adm", "a new password");
        assert!(matches!(refused, Err(DirectoryError::NotAllowed)));
    }
    let adm = house.login("adm");
    directory.create_person(&adm, "eve@example.org", PASSWORD).unwrap();
    assert!(house.login("eve@example.org").roles().is_empty(), "a role is a change of its own");
    directory.set_password(&adm, "ana", "set by somebody").unwrap();
    assert!(house.try_login("ana", "set by somebody").is_ok());
    let names: Vec<_> = directory.people(&adm).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["adm", "ana", "eng", "eve@example.org", "gua"]);
}

#[test]
fn an_administrator_does_not_become_somebody_else_alone() {
    let house = house();
    house.directory.policies().end_founding().unwrap();
    let adm = house.login("adm");
    let set = |name: &str| house.directory.set_password(&adm, name, "set by somebody");
    assert!(matches!(set("ana"), Err(DirectoryError::ResetTakesTwo(_))));
    house.directory.disable_person(&adm, "ana").unwrap();
    assert!(set("ana").is_err(), "nor before it is let in again");
    house.directory.create_person(&adm, "eve", PASSWORD).unwrap();
    set("eve").unwrap();
    house.directory.allow_reset("gua", "adm").unwrap();
    let house = house.restart();
    let adm = house.login("adm");
    let set = |name: &str| house.directory.set_password(&adm, name, "set by somebody");
    assert!(set("eng").is_err(), "allowed for another");
    set("gua").unwrap();
    assert!(set("gua").is_err(), "once");
    house.directory.allow_reset("gua", "adm").unwrap();
    house.clock.advance(24 * HOUR);
    let adm = house.login("adm");
    let late = house.directory.set_password(&adm, "gua", "set by somebody");
    assert!(matches!(late, Err(DirectoryError::ResetTakesTwo(_))));
}

#[test]
fn what_an_administrator_can_get_wrong() {
    let house = house();
    let adm = house.login("adm");
    let create = |name: &str, password: &str| {
        house.directory.create_person(&adm, name, password).unwrap_err().to_string()
    };
    assert!(create("ana", PASSWORD).contains("already"));
    for name in ["", "Eve", "e e", "eve\n", "ève", &"e".repeat(65)] {
        assert!(create(name, PASSWORD).contains("account name"), "{name:?}");
    }
    assert!(create("eve", "short").contains("10 to 1024"));
    assert!(create("eve", "steve-the-great").contains("account's name"));
    let said = |done: Result<(), DirectoryError>| done.unwrap_err().to_string();
    assert!(said(house.directory.disable_person(&adm, "eve")).contains("no account `eve`"));
    assert!(said(house.directory.disable_person(&adm, "adm")).contains("last administrator"));
    assert!(said(house.directory.set_password(&adm, "eve", PASSWORD)).contains("no account"));
    assert!(said(house.directory.set_password(&adm, "ana", "short")).contains("10 to 1024"));
    assert!("chief".parse::<Role>().unwrap_err().to_string().contains("analyst, engineer"));
}

#[test]
fn disabling_takes_effect_at_once_and_lasts() {
    let house = house();
    let (adm, eng) = (house.login("adm"), house.login("eng"));
    let session = house.directory.start_session(&eng).unwrap();
    let key = house.directory.create_api_key(&eng, "load", &[Role::Engineer], None).unwrap();
    let by_key = house.directory.authenticate(Credential::ApiKey(&key.encoded)).unwrap();
    house.directory.disable_person(&adm, "eng").unwrap();
    let now = house.clock.now();
    assert!(eng.is_expired(now) && by_key.is_expired(now), "requests under way too");
    let refused = house.directory.create_api_key(&eng, "k", &[Role::Analyst], None);
    assert!(matches!(refused, Err(DirectoryError::CallerExpired)));
    let house = house.restart();
    assert!(house.try_login("eng", PASSWORD).is_err());
    let shown = [Credential::ApiKey(&key.encoded), Credential::Session(session.as_str())];
    for credential in shown {
        assert!(matches!(house.directory.authenticate(credential), Err(AuthError::Invalid)));
    }
    assert!(house.directory.people(&house.login("adm")).unwrap()[2].disabled);
}

#[test]
fn a_key_is_taken_in_all_forms_that_clients_send() {
    let house = house();
    let eng = house.login("eng");
    let made = house
        .directory
        .create_api_key(&eng, "nightly load", &[Role::Engineer], Some(house.later()))
        .unwrap();
    assert!(made.secret.starts_with("cls_") && made.secret.len() == 47);
    let pair = format!("{}:{}", made.id, *made.secret);
    assert_eq!(*made.encoded, STANDARD.encode(&pair));
    assert_eq!(format!("{made:?}"), format!("NewApiKey({})", made.id));
    let house = house.restart();
    let forms = [
        Credential::ApiKey(&made.encoded),
        Credential::ApiKey(&pair),
        Credential::Bearer(&made.encoded),
    ];
    for credential in forms {
        let caller = house.directory.authenticate(credential).unwrap();
        assert_eq!(caller.name(), "eng");
        assert_eq!(caller.roles(), [Role::Engineer], "not all of its owner's");
        assert_eq!(caller.credential(), format!("key:{}", made.id));
        assert!(!caller.is_person());
    }
    let stored = house.records.inner.list("api_key").unwrap();
    let stored = String::from_utf8(stored[0].1.clone()).unwrap();
    assert!(!stored.contains(made.secret.as_str()), "only a keyed hash is stored");
}

#[test]
fn a_wrong_key_lets_nobody_in() {
    let house = house();
    let eng = house.login("eng");
    let made = house.directory.create_api_key(&eng, "k", &[Role::Engineer], None).unwrap();
    let wrong = format!("{}:cls_{}", made.id, "A".repeat(43));
    let swapped = format!("{}:{}", "A".repeat(20), *made.secret);
    let long = "A".repeat(100_000);
    for text in ["", ":", "a", "é", "====", "YQ==", &wrong, &swapped, &made.id, &long, "/w=="] {
        for credential in
            [Credential::ApiKey(text), Credential::Bearer(text), Credential::Session(text)]
        {
            assert!(matches!(house.directory.authenticate(credential), Err(AuthError::Invalid)));
        }
    }
}

#[test]
fn a_key_expires() {
    let house = house();
    let eng = house.login("eng");
    let made =
        house.directory.create_api_key(&eng, "k", &[Role::Engineer], Some(house.later())).unwrap();
    let caller = house.directory.authenticate(Credential::ApiKey(&made.encoded)).unwrap();
    house.clock.advance(HOUR);
    assert!(caller.is_expired(house.clock.now()));
    let refused = house.directory.authenticate(Credential::ApiKey(&made.encoded)).unwrap_err();
    assert!(matches!(refused, AuthError::Expired), "{refused}");
    let past = Some(house.clock.now());
    let refused = house.directory.create_api_key(&eng, "k", &[Role::Engineer], past);
    assert!(matches!(refused, Err(DirectoryError::EndInPast)));
}

#[test]
fn a_key_is_revoked_at_once_with_the_keys_it_made() {
    let house = house();
    let eng = house.login("eng");
    let directory = &house.directory;
    let parent =
        directory.create_api_key(&eng, "parent", &[Role::Engineer], Some(house.later())).unwrap();
    let by_parent = directory.authenticate(Credential::ApiKey(&parent.encoded)).unwrap();
    let child = directory.create_api_key(&by_parent, "child", &[Role::Engineer], None).unwrap();
    assert_eq!(child.expires, parent.expires, "never longer than what made it");
    let by_child = directory.authenticate(Credential::ApiKey(&child.encoded)).unwrap();

    let ana = house.login("ana");
    assert!(matches!(directory.revoke_api_key(&ana, &parent.id), Err(DirectoryError::NoKey)));
    assert!(matches!(directory.revoke_api_key(&eng, "none"), Err(DirectoryError::NoKey)));
    assert!(directory.api_keys(&ana).unwrap().is_empty());
    assert_eq!(directory.api_keys(&eng).unwrap().len(), 2);

    directory.revoke_api_key(&house.login("adm"), &parent.id).unwrap();
    assert!(by_parent.is_expired(house.clock.now()) && by_child.is_expired(house.clock.now()));
    let house = house.restart();
    for key in [&parent, &child] {
        let refused = house.directory.authenticate(Credential::ApiKey(&key.encoded));
        assert!(matches!(refused, Err(AuthError::Revoked)));
    }
    let listed = house.directory.api_keys(&house.login("adm")).unwrap();
    assert!(listed.iter().all(|key| key.revoked_at.is_some()));
}

#[test]
fn a_key_never_has_more_than_its_maker() {
    let house = house();
    let ana = house.login("ana");
    let create = |name: &str, roles: &[Role]| {
        house.directory.create_api_key(&ana, name, roles, None).map(|_| ()).unwrap_err().to_string()
    };
    assert!(create("k", &[Role::Analyst, Role::Guardian]).contains("guardian"));
    assert!(create("k", &[]).contains("at least one role"));
    for name in ["", "a\u{0}b", &"k".repeat(257)] {
        assert!(create(name, &[Role::Analyst]).contains("name of a key"));
    }
    let key = house.directory.create_api_key(&ana, "k", &[Role::Analyst], None).unwrap();
    let by_key = house.directory.authenticate(Credential::ApiKey(&key.encoded)).unwrap();
    let refused = house.directory.set_password(&by_key, "ana", "a new password");
    assert!(matches!(refused, Err(DirectoryError::NotAllowed)), "a key cannot take the account");
    assert!(matches!(house.directory.start_session(&by_key), Err(DirectoryError::NeedsPassword)));
}

#[test]
fn a_session_ends_when_idle_and_when_old() {
    let house = house();
    let ana = house.login("ana");
    let token = house.directory.start_session(&ana).unwrap();
    assert_eq!(format!("{token:?}"), "SessionToken(…)");
    let ask = |house: &House| house.directory.authenticate(Credential::Session(token.as_str()));
    for _ in 0..20 {
        house.clock.advance(8 * HOUR - 1);
        let caller = ask(&house).unwrap();
        assert!(caller.credential().starts_with("session:") && caller.is_person());
        assert!(!token.as_str().contains(&caller.credential()[8..]));
    }
    assert!(matches!(
        house.directory.start_session(&ask(&house).unwrap()),
        Err(DirectoryError::NeedsPassword)
    ));
    let house = house.restart();
    assert!(ask(&house).is_ok(), "and it outlives a restart");
    assert!(house.directory.authenticate(Credential::Bearer(token.as_str())).is_ok());
    house.clock.advance(8 * HOUR);
    assert!(matches!(ask(&house), Err(AuthError::Expired)), "idle");

    let token = house.directory.start_session(&house.login("ana")).unwrap();
    for _ in 0..23 {
        house.clock.advance(7 * HOUR);
        house.directory.authenticate(Credential::Session(token.as_str())).unwrap();
    }
    house.clock.advance(7 * HOUR);
    let refused = house.directory.authenticate(Credential::Session(token.as_str()));
    assert!(matches!(refused, Err(AuthError::Expired)), "seven days");
}

#[test]
fn a_session_is_ended_and_they_are_not_endless() {
    let house = house();
    let ana = house.login("ana");
    let tokens: Vec<_> = (0..51)
        .map(|_| {
            house.clock.advance(1);
            house.directory.start_session(&ana).unwrap()
        })
        .collect();
    let ask = |token: &SessionToken| {
        house.directory.authenticate(Credential::Session(token.as_str())).map(|_| ())
    };
    assert!(matches!(ask(&tokens[0]), Err(AuthError::Invalid)), "the oldest made room");
    let caller = house.directory.authenticate(Credential::Session(tokens[50].as_str())).unwrap();
    house.directory.end_session(tokens[50].as_str()).unwrap();
    assert!(caller.is_expired(house.clock.now()));
    assert!(matches!(ask(&tokens[50]), Err(AuthError::Invalid)));
    house.directory.end_session("nonsense").unwrap();
    assert_eq!(house.records.inner.list("session").unwrap().len(), 49);
}

#[test]
fn the_first_administrator_enrols_once() {
    let house = empty_house();
    let old = house.directory.enrolment_code().unwrap();
    let code = house.directory.enrolment_code().unwrap();
    assert_eq!(code.len(), 23);
    let house = house.restart();
    let enrol = |code: &str, name: &str, password: &str| {
        house.directory.enrol(code, name, password).map_err(|error| error.to_string())
    };
    assert!(enrol(&old, "ada", PASSWORD).unwrap_err().contains("not valid"), "replaced");
    assert!(enrol("", "ada", PASSWORD).unwrap_err().contains("not valid"));
    assert!(enrol(&code, "Ada", PASSWORD).unwrap_err().contains("account name"));
    assert!(enrol(&code, "ada", "short").unwrap_err().contains("10 to 1024"));
    let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
    enrol(&typed, "ada", PASSWORD).unwrap();
    assert_eq!(house.login("ada").roles(), [Role::Administrator]);
    assert!(enrol(&code, "eve", PASSWORD).unwrap_err().contains("not valid"), "used");
    assert!(matches!(house.directory.enrolment_code(), Err(DirectoryError::AlreadyEnrolled)));
    let again = house.directory.bootstrap(&[("eve", PASSWORD, &[Role::Guardian])]);
    assert!(matches!(again, Err(DirectoryError::AlreadyEnrolled)));
    assert!(house.records.inner.list("enrolment").unwrap().is_empty());
}

#[test]
fn codes_age_and_cannot_be_guessed() {
    let house = empty_house();
    let code = house.directory.enrolment_code().unwrap();
    house.clock.advance(24 * HOUR);
    let refused = house.directory.enrol(&code, "ada", PASSWORD);
    assert!(matches!(refused, Err(DirectoryError::Code)));
    let code = house.directory.enrolment_code().unwrap();
    for _ in 0..4 {
        assert!(house.directory.enrol("guess", "ada", PASSWORD).is_err());
    }
    let refused = house.directory.enrol(&code, "ada", PASSWORD);
    assert!(matches!(refused, Err(DirectoryError::Throttled { .. })));
    house.clock.advance(1000);
    house.directory.enrol(&code, "ada", PASSWORD).unwrap();
}

#[test]
fn a_broken_store_changes_nothing_but_takes_back() {
    let house = house();
    let (adm, eng) = (house.login("adm"), house.login("eng"));
    let key = house.directory.create_api_key(&eng, "k", &[Role::Engineer], None).unwrap();
    house.records.broken.store(true, Ordering::SeqCst);
    let refused = house.directory.create_person(&adm, "eve", PASSWORD);
    assert!(matches!(refused, Err(DirectoryError::Records(_))));
    assert!(house.directory.create_api_key(&eng, "k2", &[Role::Engineer], None).is_err());
    assert!(house.directory.start_session(&eng).is_err());
    assert!(house.directory.set_password(&adm, "ana", "a new password").is_err());
    assert!(house.try_login("ana", PASSWORD).is_ok());
    assert!(house.directory.revoke_api_key(&eng, &key.id).is_err());
    let refused = house.directory.authenticate(Credential::ApiKey(&key.encoded));
    assert!(matches!(refused, Err(AuthError::Revoked)), "tightening does not wait for the disk");
    assert!(house.directory.disable_person(&adm, "gua").is_err());
    assert!(house.try_login("gua", PASSWORD).is_err());
    house.records.broken.store(false, Ordering::SeqCst);
    house.directory.revoke_api_key(&eng, &key.id).unwrap();
    house.directory.disable_person(&adm, "gua").unwrap();
    let house = house.restart();
    assert!(house.try_login("gua", PASSWORD).is_err());
    assert_eq!(house.directory.people(&house.login("adm")).unwrap().len(), 4, "no eve");
}

#[test]
fn damaged_records_stop_the_start_and_say_so() {
    let house = house();
    house.records.inner.put("api_key", "x", b"{}").unwrap();
    let records: Arc<dyn RecordStore> = Arc::<Records>::clone(&house.records);
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&house.clock);
    let error = Directory::open_with(records, &house.ring, clock, PassphraseCost::TEST);
    assert!(error.unwrap_err().to_string().contains("`api_key` is damaged"));
}

#[test]
fn many_log_in_at_once() {
    let house = house();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..20 {
                    house.login("ana");
                }
            });
        }
    });
}

#[test]
fn nothing_secret_is_shown() {
    let house = house();
    house.login("ana");
    let shown = format!("{:?} {:?}", house.directory, Credential::Bearer("cls_secret"));
    assert!(!shown.contains(PASSWORD) && !shown.contains("cls_secret"));
}
