//! What an alert would see and do over a stretch of time, for people who look at it.
//!
//! Asked and walked through as whoever looks: the numbers, the bounds and where it fires are those
//! of the rows that exist for them. What was told to others is in nobody's chart.

use super::decide::{Group, Phase, State, Usual, usual};
use super::no_alert;
use super::rule::{Condition, Rule};
use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use protection::caller::Caller;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// So many intervals before those that are shown are walked through as well, so that what fires
/// since then is known to fire.
const BEFORE_MAX: i64 = 200;
/// More groups in one chart cannot be told apart; those that fire come first.
const GROUPS_MAX: usize = 24;

/// One group over the intervals that are shown; each list has an entry for each of them.
#[derive(Default)]
struct Drawn {
    values: Vec<Option<f64>>,
    usual: Vec<Usual>,
    fires: Vec<bool>,
}

impl Engine {
    /// The numbers of an alert's question from `from` to `to`, as the caller may see them: for each
    /// group what was measured, what was expected, between what it may lie, and where the alert
    /// fires by its rule. One question to the metric; nothing is changed, nobody is told.
    ///
    /// # Errors
    /// 404 if there is no such alert; what the metric says to the caller; 400 for more intervals
    /// than can be walked through.
    pub fn alert_chart(
        &self,
        caller: &Caller,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let (rule, told) = {
            let alerts = self.alerts.read();
            let (file, rule) = alerts.find(name).ok_or_else(|| no_alert(name))?;
            let status = alerts.status.get(name).filter(|_| file.by == caller.name());
            (rule.clone(), status.map(|status| status.groups.clone()).unwrap_or_default())
        };
        self.draw_alert(caller, &rule, &told, from.0, to.0)
    }

    /// The same of an alert that is not declared: the first one of a YAML file.
    ///
    /// # Errors
    /// As [`Engine::alert_chart`], and 400 with the first mistake of the file.
    pub fn preview_alert(
        &self,
        caller: &Caller,
        yaml: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Json, EngineError> {
        self.may_ask(caller)?;
        let rules = super::rule::parse(yaml)
            .map_err(|error| EngineError::new(400, "parsing_exception", error.to_string()))?;
        let rule = rules.first().ok_or_else(|| EngineError::internal("a file has an alert"))?;
        self.draw_alert(caller, rule, &State::new(), from.0, to.0)
    }

    fn draw_alert(
        &self,
        caller: &Caller,
        rule: &Rule,
        told: &State,
        from: i64,
        to: i64,
    ) -> Result<Json, EngineError> {
        let step = rule.grain.step_ms();
        // An interval that has begun is shown with its end, but none that lies ahead.
        let (first, last) = (from.div_euclid(step) * step, (to - 1).div_euclid(step) * step + step);
        let last = last.min(rule.end(self.clock.wall().0));
        let before = ((last - first) / step).clamp(0, BEFORE_MAX) * step;
        let times: Vec<i64> = (first..last).step_by(step as usize).collect();
        let mut groups: BTreeMap<Group, Drawn> = BTreeMap::new();
        let mut sql = Json::Null;
        if !times.is_empty() {
            sql = self.walk(caller, rule, first - before, last, &mut |seen| {
                if seen.start < first {
                    return;
                }
                let place = ((seen.start - first) / step) as usize;
                for (group, points) in &seen.series.0 {
                    let drawn = groups.entry(group.clone()).or_default();
                    drawn.values.resize(times.len(), None);
                    drawn.usual.resize(times.len(), Usual::default());
                    drawn.fires.resize(times.len(), false);
                    if let Some(point) = points.last().filter(|point| point.start == seen.start) {
                        drawn.values[place] = point.value;
                        drawn.usual[place] = usual(rule, seen.before.get(group), points);
                    }
                    let phase = seen.after.get(group).map(|state| state.phase);
                    drawn.fires[place] = matches!(phase, Some(Phase::Firing(_)));
                }
            })?;
        }
        note_told(rule, told, &times, &mut groups);
        Ok(chart_json(rule, &times, groups, &sql))
    }
}

/// What fires by what was told to the author fires, also where the walk began too late to see it.
fn note_told(rule: &Rule, told: &State, times: &[i64], groups: &mut BTreeMap<Group, Drawn>) {
    for (group, state) in told {
        let (Phase::Firing(since), Some(drawn)) = (state.phase, groups.get_mut(group)) else {
            continue;
        };
        let first = rule.end(since) - rule.grain.step_ms();
        for (fires, start) in drawn.fires.iter_mut().zip(times) {
            *fires |= *start >= first;
        }
    }
}

fn chart_json(rule: &Rule, times: &[i64], groups: BTreeMap<Group, Drawn>, sql: &Json) -> Json {
    let mut groups: Vec<(Group, Drawn)> = groups.into_iter().collect();
    let most = |drawn: &Drawn| drawn.values.iter().flatten().copied().fold(f64::MIN, f64::max);
    groups.sort_by(|(_, a), (_, b)| {
        let fires = |drawn: &Drawn| drawn.fires.contains(&true);
        fires(b).cmp(&fires(a)).then(most(b).total_cmp(&most(a)))
    });
    let left_out = groups.len().saturating_sub(GROUPS_MAX);
    groups.truncate(GROUPS_MAX);
    let (threshold, clear) = match &rule.when {
        Condition::Threshold { at, clear, .. } => (Some(*at), Some(*clear)),
        _ => (None, None),
    };
    let side = |drawn: &Drawn, of: fn(&Usual) -> Option<f64>| {
        drawn.usual.iter().map(of).collect::<Vec<Option<f64>>>()
    };
    let series = groups.iter().map(|(group, drawn)| {
        json!({
            "group": group,
            "values": drawn.values,
            "expected": side(drawn, |usual| usual.expected),
            "least": side(drawn, |usual| usual.least),
            "most": side(drawn, |usual| usual.most),
            "spans": spans(rule.grain.step_ms(), times, drawn),
        })
    });
    json!({
        "metric": rule.metric,
        "rule": rule.written(),
        "threshold": threshold,
        "clear": clear,
        "times": times,
        "series": series.collect::<Vec<Json>>(),
        "left_out": left_out,
        "sql": sql,
    })
}

/// From when until when a group fires, with what was measured and expected as it began.
fn spans(step: i64, times: &[i64], drawn: &Drawn) -> Vec<Json> {
    let mut spans = Vec::new();
    let mut place = 0;
    while place < times.len() {
        let length = drawn.fires[place..].iter().take_while(|fires| **fires).count();
        if length > 0 {
            let end = place + length;
            spans.push(json!({
                "from": times[place],
                "to": times[end - 1] + step,
                "is_over": end < times.len(),
                "value": drawn.values[place],
                "expected": drawn.usual[place].expected,
            }));
        }
        place += length.max(1);
    }
    spans
}
