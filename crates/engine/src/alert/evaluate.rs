//! Looking at an alert: ask as its author, decide, keep, tell.

use super::decide::{AlertEvent, Point, Series, State, decide};
use super::rule::Rule;
use super::store::{Applied, EVENTS_KEPT, Status, StoredEvent};
use super::{firing, no_alert, unavailable};
use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use protection::RecordStore;
use protection::caller::Caller;
use protection::notice::NoticeKind;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// So many intervals are walked through at once.
const WALK_MAX: i64 = 5_000;

impl Engine {
    /// Looks at every alert whose time has come. What fails is kept with the alert, and logged.
    pub(crate) fn evaluate_due_alerts(&self) {
        let now = self.clock.now().0;
        let due: Vec<String> = {
            let alerts = self.alerts.read();
            let is_due = |name: &String| {
                let status = alerts.status.get(name);
                let every = alerts.find(name).map_or(i64::MAX, |(_, rule)| rule.every_ms);
                status.is_none_or(|status| {
                    let last = status.evaluated_at.unwrap_or(i64::MIN);
                    // A clock that was set back does not keep an alert from looking.
                    !status.stopped && (now.saturating_sub(last) >= every || now < last)
                })
            };
            alerts.names().into_iter().filter(is_due).collect()
        };
        for name in due {
            if let Err(error) = self.evaluate_alert(&name) {
                tracing::error!(alert = name, %error, detail = error.detail, "alert not looked at");
            }
        }
    }

    /// Looks at one alert, as its author.
    ///
    /// # Errors
    /// If there is none, or what follows cannot be kept; nobody was told then, or will be again.
    pub(super) fn evaluate_alert(&self, name: &str) -> Result<(), EngineError> {
        let _turn = self.alert_turn.lock();
        let (file, rule, before) = {
            let alerts = self.alerts.read();
            let (file, rule) = alerts.find(name).ok_or_else(|| no_alert(name))?;
            let status = alerts.status.get(name).cloned().unwrap_or_default();
            (std::sync::Arc::clone(file), rule.clone(), status)
        };
        let now = self.clock.now().0;
        let evaluated = Status { evaluated_at: Some(now), trouble: None, ..before.clone() };
        let end = rule.end(self.clock.wall().0);
        let asked = self
            .author_of(&file, &rule)
            .and_then(|author| self.series(&author, &rule, end - rule.history_ms, end));
        let status = match asked {
            Ok(series) => self.follow(&rule, evaluated, &series)?,
            Err(error) => self.trouble(&rule, &file, evaluated, &error)?,
        };
        let records: &dyn RecordStore = &**self.store.catalog();
        self.alerts.write().keep(records, name, status).map_err(unavailable)
    }

    /// The author at work, with the roles of when the alert was declared.
    fn author_of(&self, file: &Applied, rule: &Rule) -> Result<Caller, EngineError> {
        let caller =
            self.directory.on_duty_as(&file.by, &file.roles, &format!("alert:{}", rule.name));
        let caller = caller.ok_or_else(|| {
            EngineError::forbidden(format!(
                "{} may not be asked for any more, or lost a role that the alert reads with",
                file.by
            ))
        })?;
        Ok(caller.for_purpose(&format!("alert {}", rule.name)))
    }

    /// What follows from what was measured; tells it.
    fn follow(&self, rule: &Rule, before: Status, series: &Series) -> Result<Status, EngineError> {
        let wall = self.clock.wall().0;
        let (groups, events) = decide(rule, &before.groups, series, wall);
        let now = self.clock.now().0;
        let is_silenced = {
            let alerts = self.alerts.read();
            alerts.silences.get(&rule.name).is_some_and(|silence| now < silence.until)
        };
        if !is_silenced {
            // Before the state is kept: after a crash between, it is told once more.
            self.tell(rule, &groups, &events, rule.end(wall))?;
        }
        let mut status = Status { groups, ..before };
        status.events.extend(events.into_iter().map(|event| StoredEvent {
            at: event.at,
            group: event.group,
            fires: event.fires,
            value: event.value,
            expected: event.expected,
            silenced: is_silenced,
        }));
        let beyond = status.events.len().saturating_sub(EVENTS_KEPT);
        status.events.drain(..beyond);
        Ok(status)
    }

    /// One notice for all groups that began to fire, and one for all that are well again. Counts
    /// them, and names none: a group's name is a value.
    fn tell(
        &self,
        rule: &Rule,
        groups: &State,
        events: &[AlertEvent],
        end: i64,
    ) -> Result<(), EngineError> {
        let (name, label) = (&rule.name, &rule.label);
        let of = match rule.by.as_slice() {
            [] => String::new(),
            by => format!(" of {} groups ({})", groups.len(), by.join(", ")),
        };
        let (now_firing, see) = (firing(groups), self.where_to_see(name));
        for fires in [true, false] {
            let count = events.iter().filter(|event| event.fires == fires).count();
            if count == 0 {
                continue;
            }
            let text = match fires {
                true => format!(
                    "alert {name} fires ({label}): {count} new, {now_firing}{of}. It fires when {}. \
                     {see}",
                    rule.condition_text()
                ),
                false => format!(
                    "alert {name} ({label}): {count} well again, {now_firing}{of} still firing. {see}"
                ),
            };
            let about = format!("{name} {end} {}", if fires { "fires" } else { "well" });
            self.notices
                .raise_to(NoticeKind::Alert, &about, text, rule.notify.as_ref())
                .map_err(unavailable)?;
        }
        Ok(())
    }

    /// Where somebody who is told finds the chart and the question.
    fn where_to_see(&self, name: &str) -> String {
        let node = self.own_url.read().clone();
        let page = format!("{}/_ui/alerts/{name}", node.as_deref().unwrap_or_default());
        format!("See: {page} or clerestory alert show {name}")
    }

    /// What follows from not having been answered. Who may not read does not try again.
    fn trouble(
        &self,
        rule: &Rule,
        file: &Applied,
        before: Status,
        error: &EngineError,
    ) -> Result<Status, EngineError> {
        let stops = matches!(error.status, 400 | 401 | 403 | 404);
        let name = &rule.name;
        tracing::warn!(alert = name, %error, stops, "an alert is not answered");
        if stops {
            let text = format!(
                "alert {name} looks no more: its question as {} is refused. Somebody who may ask it \
                 declares it anew. {}",
                file.by,
                self.where_to_see(name)
            );
            let about = format!("{name} stopped");
            self.notices
                .raise_to(NoticeKind::Alert, &about, text, rule.notify.as_ref())
                .map_err(unavailable)?;
        }
        Ok(Status { trouble: Some(error.reason.clone()), stopped: stops, ..before })
    }

    /// What the metric says to `caller` of the intervals from `start` to `end`.
    fn series(
        &self,
        caller: &Caller,
        rule: &Rule,
        start: i64,
        end: i64,
    ) -> Result<Series, EngineError> {
        let answer = self.query_metric(caller, &rule.metric, &rule.question(start, end))?;
        let answer = answer.into_inner();
        read_series(&answer, rule.by.len()).ok_or_else(of_another_form)
    }

    /// The events of a walk through the intervals from `from` to `to`, as time does.
    pub(super) fn walk_alert(
        &self,
        caller: &Caller,
        rule: &Rule,
        from: i64,
        to: i64,
    ) -> Result<Vec<AlertEvent>, EngineError> {
        let step = rule.grain.step_ms();
        let (first, last) = (from.div_euclid(step) * step, to.div_euclid(step) * step);
        if last <= first {
            return Err(too_long());
        }
        let mut told = Vec::new();
        self.walk(caller, rule, first, last, &mut |seen| told.extend_from_slice(seen.events))?;
        Ok(told)
    }

    /// Walks through the intervals from `first` to `last`, as time does, and shows each; gives the
    /// one question that it took, in SQL.
    pub(super) fn walk(
        &self,
        caller: &Caller,
        rule: &Rule,
        first: i64,
        last: i64,
        show: &mut dyn FnMut(&Seen<'_>),
    ) -> Result<Json, EngineError> {
        let step = rule.grain.step_ms();
        if (last - first) / step > WALK_MAX {
            return Err(too_long());
        }
        let answer =
            self.query_metric(caller, &rule.metric, &rule.question(first - rule.history_ms, last))?;
        let answer = answer.into_inner();
        let whole = read_series(&answer, rule.by.len()).ok_or_else(of_another_form)?;
        let mut state = State::new();
        let mut end = first + step;
        while end <= last {
            let series = cut(&whole, end - rule.history_ms, end);
            let (next, events) = decide(rule, &state, &series, end + rule.delay_ms);
            show(&Seen {
                start: end - step,
                series: &series,
                before: &state,
                after: &next,
                events: &events,
            });
            state = next;
            end += step;
        }
        Ok(answer["sql"].clone())
    }
}

/// One interval of a walk.
pub(super) struct Seen<'a> {
    /// When it begins.
    pub(super) start: i64,
    /// What could be seen at its end.
    pub(super) series: &'a Series,
    pub(super) before: &'a State,
    pub(super) after: &'a State,
    pub(super) events: &'a [AlertEvent],
}

fn too_long() -> EngineError {
    let reason = format!("from and to are 1 to {WALK_MAX} intervals apart");
    EngineError::illegal_argument(reason)
}

fn of_another_form() -> EngineError {
    EngineError::internal("the answer of a metric is of another form")
}

/// What could be seen at `end`.
fn cut(whole: &Series, start: i64, end: i64) -> Series {
    let groups = whole.0.iter().filter_map(|(group, points)| {
        let from = points.partition_point(|point| point.start < start);
        let to = points.partition_point(|point| point.start < end);
        let seen = points[from.min(to)..to].to_vec();
        (!seen.is_empty()).then(|| (group.clone(), seen))
    });
    Series(groups.collect())
}

/// Reads `{"rows": [[time, dimension…, value], …]}`.
fn read_series(answer: &Json, dimensions: usize) -> Option<Series> {
    let mut groups: BTreeMap<Vec<String>, Vec<Point>> = BTreeMap::new();
    for row in answer["rows"].as_array()? {
        let row = row.as_array()?;
        if row.len() != dimensions + 2 {
            return None;
        }
        let start = Timestamp::parse_rfc3339(row[0].as_str()?)?.0;
        let word = |value: &Json| match value {
            Json::String(text) => text.clone(),
            Json::Null => "–".to_owned(),
            other => other.to_string(),
        };
        let group: Vec<String> = row[1..=dimensions].iter().map(word).collect();
        let point = Point { start, value: row[dimensions + 1].as_f64() };
        groups.entry(group).or_default().push(point);
    }
    for points in groups.values_mut() {
        points.sort_by_key(|point| point.start);
    }
    Some(Series(groups))
}
