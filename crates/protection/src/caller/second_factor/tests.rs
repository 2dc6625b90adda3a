use super::super::totp::code_for;
use super::super::webauthn::authenticator::SoftKey;
use super::*;
use crate::caller::{Credential, Role};
use crate::keys::PassphraseCost;
use crate::records::MemoryRecords;
use model::{Clock, ManualClock};
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery";
const MINUTE: i64 = 60_000;

struct House {
    records: Arc<MemoryRecords>,
    ring: KeyRing,
    clock: Arc<ManualClock>,
    directory: Directory,
}

fn house() -> House {
    let records = Arc::new(MemoryRecords::new());
    let ring = KeyRing::in_memory();
    let clock = Arc::new(ManualClock::at(Timestamp(1_795_000_000_000)));
    let directory = open(&records, &ring, &clock);
    directory
        .bootstrap(&[
            ("gus", PASSWORD, &[Role::Guardian]),
            ("adm", PASSWORD, &[Role::Administrator]),
        ])
        .unwrap();
    House { records, ring, clock, directory }
}

fn open(records: &Arc<MemoryRecords>, ring: &KeyRing, clock: &Arc<ManualClock>) -> Directory {
    let records: Arc<dyn RecordStore> = Arc::<MemoryRecords>::clone(records);
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    Directory::open_with(records, ring, clock, PassphraseCost::TEST).unwrap()
}

fn origin() -> WebOrigin {
    WebOrigin::of("data.example.org", true).unwrap()
}

impl House {
    fn restart(self) -> House {
        let directory = open(&self.records, &self.ring, &self.clock);
        House { directory, ..self }
    }

    fn by_password(&self, name: &str) -> Result<Caller, AuthError> {
        let credential = Credential::Password { name, password: PASSWORD, network: None };
        self.directory.authenticate(credential)
    }

    fn log_in(&self, factor: FactorAnswer<'_>) -> Result<Caller, AuthError> {
        self.directory.authenticate(Credential::WithFactor {
            name: "gus",
            password: PASSWORD,
            factor,
            network: None,
        })
    }

    /// Sets an app up for gus; gives its secret and the recovery codes.
    fn enrol(&self) -> (String, Vec<Zeroizing<String>>) {
        let gus = self.by_password("gus").unwrap();
        let enrolment = self.directory.begin_totp(&gus, None).unwrap();
        let secret = enrolment.secret.as_str().to_owned();
        let code = self.code(&secret);
        let recovery = self.directory.confirm_totp(&gus, &code).unwrap();
        (secret, recovery)
    }

    fn code(&self, secret: &str) -> String {
        code_for(secret, self.clock.now())
    }

    /// Registers a key for gus, who has no second factor yet.
    fn register(&self) -> SoftKey {
        let gus = self.by_password("gus").unwrap();
        let options = self.directory.begin_key(&gus, None, &origin()).unwrap();
        let options = &options["publicKey"];
        assert_eq!(options["rp"]["id"], "data.example.org");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        let key = SoftKey::new("ES256", "data.example.org", "https://data.example.org");
        let answer = key.create(options["challenge"].as_str().unwrap());
        self.directory.finish_key(&gus, "blue key", &answer, &origin()).unwrap();
        key
    }
}

fn challenge(options: &Value) -> &str {
    options["publicKey"]["challenge"].as_str().unwrap()
}

#[test]
fn a_password_alone_opens_nothing_any_more() {
    let house = house();
    assert!(house.by_password("gus").is_ok());
    let (secret, recovery) = house.enrol();
    // The password was right a moment ago, and is remembered: that must not count.
    assert!(matches!(house.by_password("gus"), Err(AuthError::FactorNeeded)));
    assert!(house.by_password("adm").is_ok(), "others are as before");
    let house = house.restart();
    assert!(matches!(house.by_password("gus"), Err(AuthError::FactorNeeded)));

    house.clock.advance(MINUTE);
    let code = house.code(&secret);
    let caller = house.log_in(FactorAnswer::Code(&code)).unwrap();
    assert_eq!(caller.credential(), "password+factor");
    assert!(house.directory.start_session(&caller).is_ok());
    let again = house.log_in(FactorAnswer::Code(&code));
    assert!(matches!(again, Err(AuthError::Invalid)), "a code counts once");
    assert!(matches!(house.log_in(FactorAnswer::Code("000000")), Err(AuthError::Invalid)));

    let lower = recovery[3].to_lowercase();
    assert!(house.log_in(FactorAnswer::Code(&lower)).is_ok());
    assert!(house.log_in(FactorAnswer::Code(&lower)).is_err(), "a recovery code counts once");
    let house = house.restart();
    assert!(house.log_in(FactorAnswer::Code(&recovery[3])).is_err());
    assert!(house.log_in(FactorAnswer::Code(&code)).is_err(), "also after a restart");
    assert!(house.log_in(FactorAnswer::Code(&recovery[0])).is_ok());
}

#[test]
fn the_records_hold_no_secret_of_an_app() {
    let house = house();
    let (secret, recovery) = house.enrol();
    for (_, bytes) in house.records.list(SECOND_FACTOR).unwrap() {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(&secret) && !text.contains(recovery[0].as_str()), "{text}");
    }
}

#[test]
fn guessing_codes_is_slowed_down() {
    let house = house();
    house.enrol();
    for _ in 0..5 {
        assert!(matches!(house.log_in(FactorAnswer::Code("000000")), Err(AuthError::Invalid)));
    }
    let held_up = house.log_in(FactorAnswer::Code("000000"));
    assert!(matches!(held_up, Err(AuthError::Throttled { .. })), "{held_up:?}");
    // A right password without a code is no guess.
    house.clock.advance(MINUTE);
    for _ in 0..10 {
        assert!(matches!(house.by_password("gus"), Err(AuthError::FactorNeeded)));
    }
}

#[test]
fn a_proof_of_presence_is_about_one_thing_and_counts_once() {
    let house = house();
    let gus = house.by_password("gus").unwrap();
    let prove = |house: &House, about: &str, code: &str| {
        house.directory.prove_presence(&gus, about, FactorAnswer::Code(code))
    };
    let none = prove(&house, "change 7", "123456").unwrap_err().to_string();
    assert!(none.contains("clerestory user totp enrol"), "{none}");
    let (secret, recovery) = house.enrol();
    house.clock.advance(MINUTE);
    let code = house.code(&secret);
    let proof = prove(&house, "change 7", &code).unwrap();
    assert!(proof.covers("gus", "change 7", house.clock.now()));
    assert!(!proof.covers("gus", "change 8", house.clock.now()));
    assert!(matches!(prove(&house, "change 7", &code), Err(FactorError::Code)));
    let paper = prove(&house, "change 7", &recovery[0]);
    assert!(matches!(paper, Err(FactorError::Code)), "paper lets in and approves nothing");
    house.clock.advance(MINUTE);
    for _ in 0..3 {
        assert!(matches!(prove(&house, "x", "000000"), Err(FactorError::Code)));
    }
    assert!(matches!(prove(&house, "x", "000000"), Err(FactorError::Throttled(_))));
}

#[test]
fn a_key_registers_logs_in_and_proves_presence() {
    let house = house();
    let mut key = house.register();
    assert!(matches!(house.by_password("gus"), Err(AuthError::FactorNeeded)));
    let ask = |password: &str| house.directory.ask_key_to_log_in("gus", password, None, &origin());
    assert!(matches!(ask("wrong password"), Err(AuthError::Invalid)));
    let nobody = house.directory.ask_key_to_log_in("adm", PASSWORD, None, &origin());
    assert!(matches!(nobody, Err(AuthError::Invalid)), "no key, the same answer");
    let options = ask(PASSWORD).unwrap();
    assert_eq!(options["publicKey"]["allowCredentials"][0]["type"], "public-key");
    let answer = key.get(challenge(&options));
    let shown = FactorAnswer::Key { answer: &answer, origin: &origin() };
    let gus = house.log_in(shown).unwrap();
    assert!(house.log_in(shown).is_err(), "answered once");

    let options = house.directory.ask_key(&gus, Some("change 7"), &origin()).unwrap();
    let answer = key.get(challenge(&options));
    let shown = FactorAnswer::Key { answer: &answer, origin: &origin() };
    let other = house.directory.prove_presence(&gus, "change 8", shown);
    assert!(matches!(other, Err(FactorError::Key(WebAuthnError::Challenge))), "{other:?}");
    let again = house.directory.prove_presence(&gus, "change 7", shown);
    assert!(again.is_err(), "the question was used up");
    let options = house.directory.ask_key(&gus, Some("change 7"), &origin()).unwrap();
    let answer = key.get(challenge(&options));
    let shown = FactorAnswer::Key { answer: &answer, origin: &origin() };
    let proof = house.directory.prove_presence(&gus, "change 7", shown).unwrap();
    assert_eq!((proof.person(), proof.method()), ("gus", PresenceMethod::WebAuthn));

    // A question for presence does not log in, and an old one nothing.
    let options = house.directory.ask_key(&gus, Some("change 7"), &origin()).unwrap();
    let answer = key.get(challenge(&options));
    assert!(house.log_in(FactorAnswer::Key { answer: &answer, origin: &origin() }).is_err());
    let options = ask(PASSWORD).unwrap();
    let answer = key.get(challenge(&options));
    house.clock.advance(ASKED_MS);
    assert!(house.log_in(FactorAnswer::Key { answer: &answer, origin: &origin() }).is_err());
}

#[test]
fn a_copied_key_is_noticed_also_after_a_restart() {
    let house = house();
    let mut key = house.register();
    let ask = |house: &House| {
        house.directory.ask_key_to_log_in("gus", PASSWORD, None, &origin()).unwrap()
    };
    let answer = key.get(challenge(&ask(&house)));
    house.log_in(FactorAnswer::Key { answer: &answer, origin: &origin() }).unwrap();
    let house = house.restart();
    key.counter = 1;
    let answer = key.get(challenge(&ask(&house)));
    let copied = house.log_in(FactorAnswer::Key { answer: &answer, origin: &origin() });
    assert!(matches!(copied, Err(AuthError::Invalid)), "its counter went back");
}

#[test]
fn a_session_left_open_changes_no_factor() {
    let house = house();
    let gus = house.by_password("gus").unwrap();
    let token = house.directory.start_session(&gus).unwrap();
    house.clock.advance(11 * MINUTE);
    let left_open = || house.directory.authenticate(Credential::Session(token.as_str())).unwrap();
    let refused = house.directory.begin_totp(&left_open(), None).unwrap_err();
    assert!(matches!(refused, FactorError::NotFresh), "{refused}");
    assert!(house.directory.begin_key(&left_open(), None, &origin()).is_err());

    let (secret, _) = house.enrol();
    house.clock.advance(MINUTE);
    let refused = house.directory.begin_key(&left_open(), None, &origin()).unwrap_err();
    assert!(matches!(refused, FactorError::NeedsPresence), "{refused}");
    let code = house.code(&secret);
    let present = Some(FactorAnswer::Code(&code));
    assert!(house.directory.begin_key(&left_open(), present, &origin()).is_ok());
    assert!(house.directory.remove_totp(&left_open(), present).is_err(), "used");
    house.clock.advance(MINUTE);
    let code = house.code(&secret);
    house.directory.remove_totp(&left_open(), Some(FactorAnswer::Code(&code))).unwrap();
    assert!(house.by_password("gus").is_ok());
    let none = house.directory.remove_key(&house.by_password("gus").unwrap(), "x", None);
    assert!(matches!(none, Err(FactorError::NoKey)));
}

#[test]
fn programs_have_no_second_factor() {
    let house = house();
    let gus = house.by_password("gus").unwrap();
    let key = house.directory.create_api_key(&gus, "k", &[Role::Guardian], None).unwrap();
    let program = house.directory.authenticate(Credential::ApiKey(&key.encoded)).unwrap();
    assert!(matches!(house.directory.factors(&program), Err(FactorError::NotAPerson)));
    assert!(matches!(house.directory.begin_totp(&program, None), Err(FactorError::NotAPerson)));
    let code = FactorAnswer::Code("123456");
    let proof = house.directory.prove_presence(&program, "x", code);
    assert!(matches!(proof, Err(FactorError::NotAPerson)));
}

#[test]
fn an_administrator_who_resets_an_account_does_not_approve_with_it() {
    let house = house();
    let adm = house.by_password("adm").unwrap();
    let (secret, _) = house.enrol();
    house.clock.advance(MINUTE);
    let code = house.code(&secret);
    let session = house.log_in(FactorAnswer::Code(&code)).unwrap();
    let token = house.directory.start_session(&session).unwrap();
    let missing = house.directory.reset_factors(&adm, "nobody");
    assert!(matches!(missing, Err(DirectoryError::NoPerson(_))));
    let gus = house.log_in(FactorAnswer::Code("x"));
    assert!(gus.is_err());
    assert!(matches!(
        house.directory.reset_factors(&session, "adm"),
        Err(DirectoryError::NotAllowed)
    ));
    house.directory.reset_factors(&adm, "gus").unwrap();
    let ended = house.directory.authenticate(Credential::Session(token.as_str()));
    assert!(ended.is_err(), "sessions end");
    // Whoever it is now, can log in and set an app up, and approves nothing for a day.
    let (secret, _) = house.enrol();
    house.clock.advance(MINUTE);
    let gus = house.log_in(FactorAnswer::Code(&house.code(&secret))).unwrap();
    house.clock.advance(MINUTE);
    let prove =
        |code: String| house.directory.prove_presence(&gus, "change 7", FactorAnswer::Code(&code));
    let refused = prove(house.code(&secret)).unwrap_err();
    assert!(matches!(refused, FactorError::Reset(_)), "{refused}");
    assert!(house.directory.factors(&gus).unwrap().approves_from.is_some());
    house.clock.advance(24 * 60 * MINUTE);
    assert!(prove(house.code(&secret)).is_ok());

    // The same after another's password was set.
    house.directory.set_password(&adm, "gus", "another long password").unwrap();
    assert!(house.directory.reset_at_for_test("gus").is_some());
}

#[test]
fn at_most_twenty_keys_with_proper_names() {
    let house = house();
    let gus = house.by_password("gus").unwrap();
    let key = SoftKey::new("EdDSA", "data.example.org", "https://data.example.org");
    let options = house.directory.begin_key(&gus, None, &origin()).unwrap();
    let answer = key.create(challenge(&options));
    for name in ["", "a\nb", &"x".repeat(101)] {
        let refused = house.directory.finish_key(&gus, name, &answer, &origin());
        assert!(matches!(refused, Err(FactorError::KeyName)), "{name:?}");
    }
    house.directory.finish_key(&gus, "one", &answer, &origin()).unwrap();
    let twice = house.directory.finish_key(&gus, "one", &answer, &origin());
    assert!(matches!(twice, Err(FactorError::Key(WebAuthnError::Challenge))));
    let summary = house.directory.factors(&gus).unwrap();
    assert_eq!(summary.keys.len(), 1);
    assert!(!summary.totp && summary.recovery_codes == 0 && summary.approves_from.is_none());
}

impl Directory {
    fn reset_at_for_test(&self, name: &str) -> Option<i64> {
        self.factors.of.read().get(name).and_then(|own| own.reset_at)
    }
}
