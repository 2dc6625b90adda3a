//! Alerts: told when a declared metric is not where it should be.
//!
//! An alert is declared in YAML, kept with its author and history ([`Engine::apply_alerts`]), and
//! looked at in the background ([`AlertClock`]) as its author: every look is an ordinary question
//! to the metric, with the author's grants at that moment, and recorded. An author who lost the
//! right is not replaced by anybody: the alert says so, tells it, and reads no more.
//!
//! What decides is a pure function ([`decide`]): state, series and rule in, state and events out.
//! The state is durable before the next look. What leaves the house are notices that name the alert
//! and count groups; a group's name and its numbers are for those who may ask the metric.

mod chart;
mod clock;
mod decide;
mod evaluate;
mod rule;
mod show;
mod store;

#[cfg(test)]
mod tests;

pub use clock::AlertClock;
pub(crate) use store::Alerts;

use crate::Engine;
use crate::error::EngineError;
use decide::{AlertEvent, Phase};
use model::Timestamp;
use protection::RecordStore;
use protection::audit::{Event, EventKind};
use protection::caller::Caller;
use protection::grant::Action;
use rule::Rule;
use serde_json::{Value as Json, json};
use store::{Applied, Silence, Status};

/// A silence lasts at most so long.
const SILENCE_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1000;

impl Engine {
    /// Says at which address people reach the pages of this node, such as
    /// `https://clerestory.example.org`: it stands in what they are told.
    pub fn is_reached_at(&self, url: &str) {
        *self.own_url.write() = Some(url.trim_end_matches('/').to_owned());
    }

    /// Declares the alerts of a YAML file, with the caller as their author. Alerts of the same name
    /// are replaced, whoever declared them; what they were stays in the history.
    ///
    /// # Errors
    /// 400 with the first mistake; 403 without the right to declare metrics or to ask for these.
    pub fn apply_alerts(&self, caller: &Caller, yaml: &str) -> Result<Json, EngineError> {
        self.may_declare_alerts(caller)?;
        let rules = rule::parse(yaml)
            .map_err(|error| EngineError::new(400, "parsing_exception", error.to_string()))?;
        for rule in &rules {
            self.check_rule(caller, rule)?;
        }
        let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        let file = Applied {
            by: caller.name().to_owned(),
            roles: caller.roles().to_vec(),
            at: self.clock.now(),
            yaml: yaml.to_owned(),
            rules,
            removes: Vec::new(),
        };
        self.add_alert_file(caller, "applied", &names, file)?;
        Ok(json!({ "acknowledged": true, "alerts": names }))
    }

    /// Takes an alert away; its history stays.
    ///
    /// # Errors
    /// 404 if there is none; 403 if it is another's and the caller has no say.
    pub fn remove_alert(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_change_alert(caller, name)?;
        let file = Applied {
            by: caller.name().to_owned(),
            roles: caller.roles().to_vec(),
            at: self.clock.now(),
            yaml: String::new(),
            rules: Vec::new(),
            removes: vec![name.to_owned()],
        };
        self.add_alert_file(caller, "removed", &[name.to_owned()], file)?;
        Ok(json!({ "acknowledged": true }))
    }

    fn add_alert_file(
        &self,
        caller: &Caller,
        what: &str,
        names: &[String],
        file: Applied,
    ) -> Result<(), EngineError> {
        let _turn = self.alert_turn.lock();
        self.record_alert(caller, what, &names.join(", "))?;
        let records: &dyn RecordStore = &**self.store.catalog();
        let mut alerts = self.alerts.write();
        alerts.add(records, file).map_err(unavailable)?;
        // What is declared anew begins anew, and what stopped may read again.
        for name in names {
            alerts.keep(records, name, Status::default()).map_err(unavailable)?;
        }
        Ok(())
    }

    /// Has an alert tell nobody until `until`; the state goes on. `None` ends the silence.
    ///
    /// # Errors
    /// 404 if there is none; 403 if it is another's and the caller has no say; 400 without a reason
    /// or if it would last longer than 30 days.
    pub fn silence_alert(
        &self,
        caller: &Caller,
        name: &str,
        until: Option<Timestamp>,
        why: &str,
    ) -> Result<Json, EngineError> {
        self.may_change_alert(caller, name)?;
        let now = self.clock.now();
        let is_fine = |until: Timestamp| until > now && until.0 - now.0 <= SILENCE_MS_MAX;
        if until.is_some_and(|until| !is_fine(until)) || why.trim().is_empty() || why.len() > 1_000
        {
            return Err(EngineError::illegal_argument(
                "a silence has a reason, and an end within 30 days",
            ));
        }
        let what =
            until.map_or("silence ended".to_owned(), |until| format!("silenced until {until}"));
        self.record_alert(caller, &format!("{what}: {why}"), name)?;
        let silence = until.map(|until| Silence {
            until: until.0,
            by: caller.name().to_owned(),
            why: why.trim().to_owned(),
        });
        let records: &dyn RecordStore = &**self.store.catalog();
        self.alerts.write().silence(records, name, silence).map_err(unavailable)?;
        // An administrator has a say over alerts, and does not see what they say.
        match self.may_ask(caller) {
            Ok(()) => self.alert(caller, name),
            Err(_) => Ok(json!({ "acknowledged": true })),
        }
    }

    /// What the alert would have told between `from` and `to`, looked at after each interval, as
    /// the caller: one question to the metric, nothing is changed, nobody is told.
    ///
    /// # Errors
    /// 404 if there is no such alert; what the metric says to the caller; 400 for more intervals
    /// than can be walked through.
    pub fn try_alert(
        &self,
        caller: &Caller,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let rule = self.alerts.read().find(name).map(|(_, rule)| rule.clone());
        let rule = rule.ok_or_else(|| no_alert(name))?;
        let events = self.walk_alert(caller, &rule, from.0, to.0)?;
        let told: Vec<Json> = events.iter().map(told_json).collect();
        Ok(json!({ "alert": name, "events": told }))
    }

    /// Looks at an alert now, as its author, as if it was due.
    ///
    /// # Errors
    /// 404 if there is none; 403 if it is another's.
    pub fn evaluate_alert_now(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let author = self.alerts.read().find(name).map(|(file, _)| file.by.clone());
        if author.ok_or_else(|| no_alert(name))? != caller.name() {
            return Err(EngineError::forbidden("only its author has an alert look now"));
        }
        self.evaluate_alert(name)?;
        self.alert(caller, name)
    }

    /// Whether the metric is there and answers such a question to the caller.
    fn check_rule(&self, caller: &Caller, rule: &Rule) -> Result<(), EngineError> {
        let wrong = |error: EngineError| EngineError {
            reason: format!("alert [{}]: {}", rule.name, error.reason),
            ..error
        };
        if let Some(named) = &rule.notify {
            let known: Vec<String> =
                self.notices.targets().into_iter().map(|target| target.name).collect();
            if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
                let reason = format!(
                    "alert [{}]: there is no target [{unknown}]; see: clerestory notice list",
                    rule.name
                );
                return Err(EngineError::illegal_argument(reason));
            }
        }
        let end = rule.end(self.clock.wall().0);
        let start = end - rule.grain.step_ms();
        self.query_metric(caller, &rule.metric, &rule.question(start, end)).map_err(wrong)?;
        Ok(())
    }

    /// To whom alerts can be told: the targets that the policy names now, by name and kind.
    ///
    /// # Errors
    /// If the caller may not declare alerts.
    pub fn alert_targets(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_declare_alerts(caller)?;
        let targets = self.notices.targets().into_iter();
        let shown =
            targets.map(|target| json!({ "name": target.name, "kind": target.kind.to_string() }));
        Ok(json!({ "targets": shown.collect::<Vec<Json>>() }))
    }

    fn may_declare_alerts(&self, caller: &Caller) -> Result<(), EngineError> {
        match self.may_at_all(caller, Action::DefineMetric) {
            true => Ok(()),
            false => Err(EngineError::forbidden("your roles do not let you declare alerts")),
        }
    }

    fn may_change_alert(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        let now = self.alive(caller)?;
        let author = self.alerts.read().find(name).map(|(file, _)| file.by.clone());
        let author = author.ok_or_else(|| no_alert(name))?;
        let has_a_say = caller.may(Action::ManagePeople, now) || caller.may(Action::Approve, now);
        if author == caller.name() || has_a_say {
            return Ok(());
        }
        let reason = format!("this alert is of {author}; ask them, a guardian or an administrator");
        Err(EngineError::forbidden(reason))
    }

    fn record_alert(&self, caller: &Caller, what: &str, names: &str) -> Result<(), EngineError> {
        self.record(&Event {
            policy: self.policies.version(),
            action: Some(Action::DefineMetric),
            shape: what.to_owned(),
            subject: names.to_owned(),
            outcome: "allowed".to_owned(),
            ..Event::by(EventKind::AlertChanged, caller)
        })
    }
}

fn no_alert(name: &str) -> EngineError {
    let reason =
        format!("there is no alert [{name}]; `clerestory alert list` names those there are");
    EngineError::new(404, "resource_not_found_exception", reason)
}

fn unavailable(error: protection::RecordError) -> EngineError {
    EngineError::unavailable(error.to_string())
}

fn time(at: i64) -> String {
    Timestamp(at).to_rfc3339()
}

fn told_json(event: &AlertEvent) -> Json {
    json!({
        "at": time(event.at),
        "group": event.group,
        "event": if event.fires { "fires" } else { "well" },
        "value": event.value,
        "expected": event.expected,
    })
}

/// How many groups fire.
fn firing(groups: &decide::State) -> usize {
    groups.values().filter(|state| matches!(state.phase, Phase::Firing(_))).count()
}
