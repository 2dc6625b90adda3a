//! What people are told, here and outside.

use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::{Action, Setting, SettingValue};
use protection::notice::{Notice, NoticeKind, SecretError, Target};
use serde_json::{Map, Value as Json, json};

const NOTICES_SHOWN: usize = 50;

impl Engine {
    /// What people are told, newest first: broken glass, changes that wait, alarms; for those with
    /// a say, or who audit, also the alarms and where each notice went. `targets` are those that the
    /// policy names now.
    ///
    /// # Errors
    /// If the credential has ended.
    pub fn notices(&self, by: &Caller) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        let sees_all = self.sees_policy(by, now);
        let notices = self.notices_json(by)?;
        if !sees_all {
            return Ok(json!({ "notices": notices }));
        }
        let targets = self.notices.targets().iter().map(target_json).collect::<Vec<Json>>();
        Ok(json!({ "notices": notices, "targets": targets }))
    }

    pub(crate) fn notices_json(&self, by: &Caller) -> Result<Vec<Json>, EngineError> {
        let now = self.alive(by)?;
        let sees_all = self.sees_policy(by, now);
        let notices = self.notices.list(usize::MAX);
        let seen = notices.iter().filter(|notice| sees_all || notice.kind.is_for_everybody());
        Ok(seen.take(NOTICES_SHOWN).map(|notice| notice_json(notice, sees_all)).collect())
    }

    /// One notice.
    ///
    /// # Errors
    /// 404 if there is none that the caller may see.
    pub fn notice(&self, by: &Caller, id: u64) -> Result<Json, EngineError> {
        let now = self.alive(by)?;
        let sees_all = self.sees_policy(by, now);
        let notice = self.notices.find(id);
        let notice = notice.filter(|notice| sees_all || notice.kind.is_for_everybody());
        let none = || {
            let reason = format!("there is no notice {id}");
            EngineError::new(404, "resource_not_found_exception", reason)
        };
        Ok(notice_json(&notice.ok_or_else(none)?, sees_all))
    }

    /// Sends a notice to every target, to see whether it arrives; gives the notice.
    ///
    /// # Errors
    /// If the caller has no say, there is no target, or it cannot be written down.
    pub fn test_notice(&self, by: &Caller) -> Result<Json, EngineError> {
        let now = self.with_a_say(by)?;
        if self.notices.targets().is_empty() {
            return Err(EngineError::illegal_argument(format!(
                "nobody outside is told yet; name somebody: clerestory change set {} …",
                Setting::Notify.as_str()
            )));
        }
        let text = format!("{} asks whether this arrives", by.name());
        // A name of its own, so that it is never taken for an earlier one.
        let about = format!("{} {}", now.0, self.notices.list(1).first().map_or(0, |one| one.id));
        self.notices
            .raise(NoticeKind::Test, &about, text)
            .map_err(|error| EngineError::unavailable(error.to_string()))?;
        let raised = self.notices.list(usize::MAX).into_iter().find(|notice| notice.about == about);
        raised
            .map(|notice| notice_json(&notice, true))
            .ok_or_else(|| EngineError::internal("a notice that was raised is not there"))
    }

    /// Whether the targets that somebody proposes name secrets that are kept: without theirs nobody
    /// would hear anything.
    ///
    /// # Errors
    /// 400 with the target whose secret is not there.
    pub(crate) fn check_targets(&self, value: &SettingValue) -> Result<(), EngineError> {
        let SettingValue::Set(entries) = value else { return Ok(()) };
        // What is no target at all is said by the setting.
        for target in entries.iter().filter_map(|entry| Target::parse(entry).ok()) {
            let Some(mark) = &target.secret else { continue };
            let is_kept = self.notices.has_secret(mark);
            if !is_kept.map_err(|error| EngineError::unavailable(error.to_string()))? {
                return Err(EngineError::illegal_argument(format!(
                    "the secret of the target [{}] is not there; leave it first, and name the mark \
                     that comes back: clerestory notice secret --file F",
                    target.name
                )));
            }
        }
        Ok(())
    }

    /// Keeps a secret of a target: what signs a webhook, the end of a Slack address, the password
    /// of a mail server. Gives the mark by which a target names it; until two people agreed on such
    /// a target it serves nothing.
    ///
    /// # Errors
    /// If the caller has no say, it is too short, or it cannot be recorded or kept.
    pub fn keep_target_secret(&self, by: &Caller, secret: &str) -> Result<Json, EngineError> {
        self.with_a_say(by)?;
        self.record(&Event {
            policy: self.policies.version(),
            shape: "a secret for a target of notices".to_owned(),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::PolicyChanged, by)
        })?;
        let mark = self.notices.keep_secret(secret).map_err(|error| match error {
            SecretError::Records(error) => EngineError::unavailable(error.to_string()),
            error => EngineError::illegal_argument(error.to_string()),
        })?;
        Ok(json!({ "mark": mark }))
    }

    fn with_a_say(&self, by: &Caller) -> Result<Timestamp, EngineError> {
        let now = self.alive(by)?;
        let has_a_say = by.may(Action::ManagePeople, now) || by.may(Action::Approve, now);
        match has_a_say {
            true => Ok(now),
            false => Err(EngineError::forbidden("this is for an administrator or guardian")),
        }
    }
}

fn target_json(target: &Target) -> Json {
    json!({ "name": target.name, "kind": target.kind.to_string(), "host": target.host() })
}

fn notice_json(notice: &Notice, with_targets: bool) -> Json {
    let mut shown = json!({
        "id": notice.id,
        "at": notice.at.to_rfc3339(),
        "kind": notice.kind.as_str(),
        "change": notice.change.map(|change| change.0),
        "text": notice.text,
        "times": notice.times,
        "delivered_at": notice.delivered_at().map(Timestamp::to_rfc3339),
    });
    if with_targets {
        let targets: Map<String, Json> = notice
            .targets
            .iter()
            .map(|(name, sending)| {
                let far = json!({
                    "sent_at": sending.sent_at.map(Timestamp::to_rfc3339),
                    "tries": sending.tries,
                    "trouble": sending.trouble,
                });
                (name.clone(), far)
            })
            .collect();
        shown["targets"] = Json::Object(targets);
    }
    shown
}
