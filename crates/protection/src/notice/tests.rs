use super::*;
use crate::grant::{Policies, Policy, Setting, SettingValue};
use crate::keys::KeyRing;
use crate::records::{MemoryRecords, RecordError, RecordStore};
use model::{Clock, ManualClock};
use std::sync::Arc;
use std::time::Duration;

const START: Timestamp = Timestamp(1_790_000_000_000);

struct House {
    records: Arc<MemoryRecords>,
    policies: Arc<Policies>,
    keys: Arc<KeyRing>,
    clock: Arc<ManualClock>,
}

impl House {
    fn new() -> House {
        House {
            records: Arc::new(MemoryRecords::new()),
            policies: Arc::new(Policies::fixed(Policy::standard())),
            keys: Arc::new(KeyRing::in_memory()),
            clock: Arc::new(ManualClock::at(START)),
        }
    }

    fn open(&self) -> Notices {
        Notices::open(
            Arc::<MemoryRecords>::clone(&self.records) as Arc<dyn RecordStore>,
            Arc::clone(&self.policies),
            Arc::clone(&self.keys),
            Arc::<ManualClock>::clone(&self.clock) as Arc<dyn Clock>,
        )
        .unwrap()
    }

    fn tell(&self, entries: &[String]) {
        let value = SettingValue::Set(entries.iter().cloned().collect());
        let done: Result<_, RecordError> = self.policies.update("test", START, |policy| {
            policy.settings_mut().set(Setting::Notify, value).unwrap();
            Ok(())
        });
        done.unwrap();
    }
}

#[test]
fn a_notice_waits_for_each_target_and_survives() {
    let house = House::new();
    house.tell(&["a=slack:http://127.0.0.1:1/x".into(), "b=slack:http://127.0.0.1:2/x".into()]);
    let notices = house.open();
    assert!(notices.raise(NoticeKind::Quota, "ana", "used up".into()).unwrap());
    assert_eq!(notices.to_send().len(), 2);
    notices.failed(1, "a", "no answer from 127.0.0.1:1").unwrap();
    notices.sent(1, "b").unwrap();
    let again = house.open();
    assert_eq!(again.list(9), notices.list(9));
    let left = again.to_send();
    assert_eq!((left.len(), left[0].1.as_str()), (1, "a"));
    assert_eq!(again.find(1).unwrap().delivered_at(), None);
    again.sent(1, "a").unwrap();
    assert_eq!(again.find(1).unwrap().delivered_at(), Some(START));
    // A target that comes later is not told of the past.
    house.tell(&["c=slack:http://127.0.0.1:3/x".into()]);
    assert!(again.to_send().is_empty());
    again.raise(NoticeKind::Test, "", "test".into()).unwrap();
    assert_eq!(again.to_send()[0].1, "c");
    again.gone(2, "c").unwrap();
    assert!(again.to_send().is_empty());
}

#[test]
fn equal_notices_of_an_hour_are_one_that_counts() {
    let house = House::new();
    let notices = house.open();
    for number in 0..9 {
        let is_new = notices.raise(NoticeKind::Canary, "ana", "read".into()).unwrap();
        assert_eq!(is_new, number == 0);
    }
    notices.raise(NoticeKind::Canary, "bob", "read".into()).unwrap();
    assert_eq!(notices.list(9).iter().map(|one| one.times).collect::<Vec<_>>(), [1, 9]);
    assert_eq!(house.open().list(9)[1].times, 8, "written at each power of two");
    house.clock.advance(60 * 60 * 1000);
    assert!(notices.raise(NoticeKind::Canary, "ana", "read".into()).unwrap());
    for number in 1..=2 {
        notices.raise_change(NoticeKind::Waiting, ChangeId(number), "waits".into()).unwrap();
    }
    assert_eq!(notices.list(9).len(), 5);
}

#[test]
fn pauses_grow_to_an_hour_and_end_after_days() {
    let seconds: Vec<u64> = [1, 2, 3, 9, 11, 80].map(|tries| pause(tries).as_secs()).to_vec();
    assert_eq!(seconds, [5, 10, 20, 1280, 3600, 3600]);
    let all: Duration = (1..Sending::TRIES_MAX).map(pause).sum();
    assert!(all > Duration::from_secs(2 * 86_400) && all < Duration::from_secs(4 * 86_400));
}

#[test]
fn a_webhook_is_signed_and_shows_no_secret() {
    let house = House::new();
    let notices = house.open();
    assert!(matches!(notices.keep_secret("short"), Err(SecretError::Form)));
    let secret = "plJ3nmyCDGBKInavdOK15jsl";
    let mark = notices.keep_secret(secret).unwrap();
    assert_eq!(notices.keep_secret(secret).unwrap(), mark, "the same again is the same");
    assert!(!format!("{:?}", house.records).contains(secret), "it is sealed");
    let target = Target::parse(&format!("w=webhook:https://h.example/x secret={mark}")).unwrap();
    notices.raise(NoticeKind::Canary, "ana", "ana read".into()).unwrap();
    let notice = notices.find(1).unwrap();
    let Some(Message::Http(request)) = notices.message(&notice, &target).unwrap() else { panic!() };
    let header = |name: &str| {
        let found = request.headers.iter().find(|(key, _)| *key == name);
        found.unwrap().1.as_str().to_owned()
    };
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    assert_eq!(header("webhook-signature"), signature_of(secret, &id, &seconds, &request.body));
    assert_eq!(seconds, "1790000000");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((body["kind"].as_str(), body["text"].as_str()), (Some("canary"), Some("ana read")));
    // A secret that is not there is not replaced by none.
    let other = Target { secret: Some("0123456789abcdef".into()), ..target };
    assert!(notices.message(&notice, &other).unwrap().is_none());
}

#[test]
fn the_signature_is_that_of_the_standard() {
    // Made with: printf '%s' 'msg_1.1674087231.{"a":1}' | openssl dgst -sha256 -hmac SECRET -binary | base64
    assert_eq!(
        signature_of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", "1674087231", br#"{"a":1}"#),
        SIGNED
    );
}

const SIGNED: &str = "v1,L4M/b34XOjfFu9Za0rAjxN9E9U7Qs6B/rzW51PjROTc=";

#[test]
fn a_secret_that_nobody_names_is_forgotten() {
    let house = House::new();
    let notices = house.open();
    let used = notices.keep_secret("a secret that is used").unwrap();
    notices.keep_secret("a secret that is not used").unwrap();
    house.tell(&[format!("c=slack:https://h.example/x secret={used}")]);
    house.clock.advance(8 * 24 * 60 * 60 * 1000);
    notices.keep_secret("another, to have a look").unwrap();
    let kept = house.records.list("target_secret").unwrap();
    assert_eq!(kept.len(), 2);
    let target = notices.targets().remove(0);
    notices.raise(NoticeKind::Test, "", "test".into()).unwrap();
    let notice = notices.find(1).unwrap();
    let Some(Message::Http(request)) = notices.message(&notice, &target).unwrap() else { panic!() };
    assert_eq!(request.url, "https://h.example/x/a secret that is used");
    assert!(!format!("{target:?}").contains("that is used"));
}
