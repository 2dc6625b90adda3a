//! How alerts are, for people and programs.

use super::decide::Phase;
use super::rule::Rule;
use super::store::{self, Alerts, Status, StoredEvent};
use super::{no_alert, time};
use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use protection::caller::Caller;
use query::metrics::{self, MetricPlan, MetricQuery};
use serde_json::{Value as Json, json};

impl Engine {
    /// All alerts, by name: how they are declared, and how they are. Who sees only some rows of what
    /// an alert of somebody else looks at is not told how it is.
    ///
    /// # Errors
    /// If the caller may not ask for numbers.
    pub fn alerts(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let alerts = self.alerts.read();
        let names = alerts.names().into_iter();
        let shown = names.map(|name| self.describe_alert(caller, &alerts, &name));
        Ok(json!({ "alerts": shown.collect::<Vec<Json>>() }))
    }

    /// One alert: also its YAML, history, and the question that it asks of its metric. Its author
    /// sees the groups with what was measured, and the events; others ask the metric themselves.
    ///
    /// # Errors
    /// 404 if there is none of this name.
    pub fn alert(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let alerts = self.alerts.read();
        let (file, rule) = alerts.find(name).ok_or_else(|| no_alert(name))?;
        let history: Vec<Json> = alerts
            .history(name)
            .map(|file| {
                let what = if file.rules.is_empty() { "removed" } else { "applied" };
                json!({ "by": file.by, "at": file.at.to_rfc3339(), "what": what })
            })
            .collect();
        let mut shown = self.describe_alert(caller, &alerts, name);
        let end = rule.end(self.clock.wall().0);
        shown["yaml"] = json!(file.yaml);
        shown["history"] = json!(history);
        shown["question"] = rule.question(end - rule.history_ms, end);
        shown["sql"] = self.alert_plan(caller, rule).map_or(Json::Null, |plan| json!(plan.sql()));
        if file.by == caller.name() {
            let status = alerts.status.get(name).cloned().unwrap_or_default();
            shown["groups_of"] = json!(rule.by);
            shown["groups_now"] = groups_json(&status);
            shown["events"] = status.events.iter().rev().map(event_json).collect();
        }
        Ok(shown)
    }

    /// The question of an alert, planned for this caller.
    fn alert_plan(&self, caller: &Caller, rule: &Rule) -> Option<MetricPlan> {
        let end = rule.end(self.clock.wall().0);
        let question = rule.question(end - rule.history_ms, end);
        let query = MetricQuery::from_json(&question, self.clock.wall()).ok()?;
        let metrics = self.metrics.read();
        let model = metrics.model_of(&rule.metric)?;
        let known = self.known_tables(caller);
        metrics::plan(model, &rule.metric, &query, &known, &self.pseudonyms).ok()
    }

    /// Whether the caller may know that an alert of somebody else fires: who sees only some rows is
    /// not told what all of them say.
    fn sees_alert_state(&self, caller: &Caller, author: &str, rule: &Rule) -> bool {
        if caller.name() == author {
            return true;
        }
        let policy = self.policies.current();
        let now = self.clock.now();
        self.alert_plan(caller, rule).is_some_and(|plan| {
            let mut tables = plan.tables().iter();
            tables.all(|table| !policy.sees_only_some_rows(caller, &table.name, now))
        })
    }

    fn describe_alert(&self, caller: &Caller, alerts: &Alerts, name: &str) -> Json {
        let Some((file, rule)) = alerts.find(name) else { return Json::Null };
        let sees_state = self.sees_alert_state(caller, &file.by, rule);
        let status = alerts.status.get(name).cloned().unwrap_or_default();
        let (firing, pending) = (since(&status, "firing"), since(&status, "pending"));
        let state = match (status.stopped, status.evaluated_at) {
            _ if !sees_state => "hidden",
            (true, _) => "stopped",
            (_, None) => "new",
            _ if !firing.is_empty() => "firing",
            _ if !pending.is_empty() => "pending",
            _ => "quiet",
        };
        let since = match state {
            "firing" => firing.iter().copied().min(),
            "pending" => pending.iter().copied().min(),
            "stopped" => status.evaluated_at,
            "quiet" => status.events.last().map(|event| event.at),
            _ => None,
        };
        let since = (state != "hidden").then(|| since.unwrap_or(file.at.0));
        let now = self.clock.now().0;
        let silence = alerts.silences.get(name).filter(|silence| now < silence.until);
        json!({
            "name": rule.name,
            "label": rule.label,
            "metric": rule.metric,
            "grain": rule.grain.as_str(),
            "by": rule.by,
            "condition": rule.condition_text(),
            "rule": rule.written(),
            "for_ms": rule.for_ms,
            "every_ms": rule.every_ms,
            "notify": rule.notify,
            "author": file.by,
            "applied_at": file.at.to_rfc3339(),
            "state": state,
            "since": since.map(time),
            "firing": sees_state.then_some(firing.len()),
            "pending": sees_state.then_some(pending.len()),
            "groups": sees_state.then_some(status.groups.len()),
            // What was read as the author is the author's to see.
            "worst": (caller.name() == file.by).then(|| worst(&status)).flatten(),
            "evaluated_at": status.evaluated_at.map(time),
            "trouble": status.trouble.filter(|_| sees_state),
            "silence": silence.map(|silence| json!({
                "until": time(silence.until), "by": silence.by, "why": silence.why,
            })),
        })
    }
}

/// Since when each group is in the phase of this name.
fn since(status: &Status, phase: &str) -> Vec<i64> {
    let phases = status.groups.values().map(|state| store::word(state.phase));
    phases.filter(|(word, _)| *word == phase).filter_map(|(_, since)| since).collect()
}

/// The group that is furthest from what was expected, of those that fire if any does.
fn worst(status: &Status) -> Option<Json> {
    let fires = |phase: Phase| matches!(phase, Phase::Firing(_));
    let some_fire = status.groups.values().any(|state| fires(state.phase));
    let measured = status.groups.iter().filter(|(_, state)| !some_fire || fires(state.phase));
    let measured = measured.filter_map(|(group, state)| Some((group, state.value?, state)));
    let distance = |value: f64, expected: Option<f64>| (value - expected.unwrap_or(0.0)).abs();
    let worst = measured.max_by(|(_, a, of_a), (_, b, of_b)| {
        distance(*a, of_a.expected).total_cmp(&distance(*b, of_b.expected))
    });
    let (group, value, state) = worst?;
    Some(json!({ "group": group, "value": value, "expected": state.expected }))
}

fn groups_json(status: &Status) -> Json {
    let groups = status.groups.iter().map(|(group, state)| {
        let (phase, since) = store::word(state.phase);
        json!({
            "group": group,
            "state": phase,
            "since": since.map(time),
            "value": state.value,
            "expected": state.expected,
        })
    });
    groups.collect()
}

fn event_json(event: &StoredEvent) -> Json {
    json!({
        "at": Timestamp(event.at).to_rfc3339(),
        "group": event.group,
        "event": if event.fires { "fires" } else { "well" },
        "value": event.value,
        "expected": event.expected,
        "silenced": event.silenced,
    })
}
