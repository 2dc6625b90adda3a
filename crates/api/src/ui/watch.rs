//! What somebody who watches over the house sees first: each figure and each alarm leads to its
//! cause.

use super::audit::checkpoint_of;
use super::link::Link;
use super::number;
use super::shown::{list, text, time, whole, with_short_times};
use super::time_range::{DAY, HOUR, MINUTE};
use crate::backend;
use crate::route::Call;
use engine::{Action, AuditState, Caller, DiskUse, Ingest};
use maud::{Markup, html};
use model::{Class, Clock, SystemClock, Table, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The figures and alarms of the first page; for those who watch over nothing, what everybody is
/// told.
pub(super) fn panel(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    let audit = backend::audit_state(&call.app.engine, caller).ok();
    let mut figures = Vec::new();
    let mut alarms = Vec::new();
    let changes = backend::changes(&call.app.engine, caller).ok();
    // Everybody is told of broken glass, also who has no say.
    if let Ok(told) = backend::notices(&call.app.engine, caller) {
        alarms.extend(of_notices(&told, changes.as_ref(), SystemClock.now()));
    }
    figures.extend(changes.as_ref().map(waiting));
    if let Ok(policy) = backend::policy(&call.app.engine, caller)
        && let Ok(matrix) = backend::reach(&call.app.engine, caller, None, None)
    {
        figures.push(reaching(&matrix));
        alarms.extend(of_settings(&policy));
    }
    if backend::may(caller, Action::Rule) {
        figures.push(rulings(known));
    }
    if let Some(audit) = &audit {
        alarms.extend(of_record(audit));
        figures.push(record(audit));
    }
    if let Ok(vitals) = backend::vitals(&call.app.engine, caller) {
        alarms.extend(of_disk(&vitals.disk));
        figures.push(ingest(&vitals.ingest, SystemClock.now()));
        figures.push(disk(&vitals.disk));
        figures.push(probe());
    }
    // Whoever neither copies nor rules is not told of copies.
    if let Ok(copies) = call.app.copies.list(caller) {
        figures.extend(lag(&copies));
        alarms.extend(of_copies(&copies));
    }
    if let Ok(told) = backend::alerts(&call.app.engine, caller) {
        figures.extend(firing(&told));
        alarms.extend(of_alerts(&told));
    }
    shown(&figures, &alarms)
}

/// A number that leads to its cause.
struct Figure {
    figure: Markup,
    what: String,
    /// `None` where there is nothing to lead to.
    to: Option<Link>,
}

/// Something that a person has to look at.
struct Alarm {
    text: String,
    /// Its cause; `None` for those who are told and have no say.
    to: Option<Link>,
}

fn shown(figures: &[Figure], alarms: &[Alarm]) -> Markup {
    html! {
        @if !figures.is_empty() || !alarms.is_empty() {
            section aria-labelledby="now" {
                h2.verdict #now {
                    @match alarms.len() {
                        0 => { span.dot.good {} "All is well" },
                        1 => { span.dot.bad {} "One thing needs a person" },
                        many => { span.dot.bad {} (many) " things need a person" },
                    }
                }
                @if !alarms.is_empty() {
                    ul.panel.alarm-list { @for alarm in alarms {
                        li {
                            span.dot.bad {}
                            @match &alarm.to {
                                Some(cause) => a href=(cause) { (alarm.text) },
                                None => span { (alarm.text) },
                            }
                        }
                    } }
                }
                div.figures {
                    @for figure in figures {
                        @match &figure.to {
                            Some(cause) => a.figure href=(cause) { strong { (figure.figure) } span.hint { (figure.what) } },
                            None => div.figure { strong { (figure.figure) } span.hint { (figure.what) } },
                        }
                    }
                }
            }
        }
    }
}

fn waiting(changes: &Value) -> Figure {
    let waits = |change: &&Value| text(change, "state") == "waiting";
    let waiting = list(changes, "changes").iter().filter(waits).count();
    Figure {
        figure: html! { (number::count(waiting as u64)) },
        what: "changes wait for a second person".to_owned(),
        to: Some(Link::to("/_ui/changes")),
    }
}

/// How many people may read values of persons somewhere; counting in groups does not count.
fn reaching(matrix: &Value) -> Figure {
    let reads = |row: &&Value| {
        [Class::Personal, Class::Special]
            .iter()
            .any(|class| matches!(text(&row[class.as_str()], "action"), "read" | "export"))
    };
    let people: BTreeSet<&str> =
        list(matrix, "reach").iter().filter(reads).map(|row| text(row, "person")).collect();
    Figure {
        figure: html! { (number::count(people.len() as u64)) },
        what: "people may read personal or special fields".to_owned(),
        to: Some(Link::to("/_ui/access")),
    }
}

/// Glass that was broken and alarms that were raised within a day, and what waits with nobody to say no.
fn of_notices(told: &Value, changes: Option<&Value>, now: Timestamp) -> Vec<Alarm> {
    let is_fresh = |notice: &Value| {
        Timestamp::parse_rfc3339(text(notice, "at")).is_some_and(|at| now.0 - at.0 < DAY)
    };
    // Who has no say does not see what became of a change, and could not stop it.
    let waits = |id: u64| {
        changes.is_some_and(|changes| {
            let mut changes = list(changes, "changes").iter();
            changes.any(|change| whole(change, "id") == id && text(change, "state") == "waiting")
        })
    };
    let is_alarm = |notice: &&Value| match text(notice, "kind") {
        "broken_glass" | "canary" | "quota" | "refused_log_ins" | "clock" | "keys_exported" => {
            is_fresh(notice)
        }
        "time_lock" => waits(whole(notice, "change")),
        _ => false,
    };
    let alarm = |notice: &Value| Alarm {
        text: with_short_times(text(notice, "text")),
        to: changes.map(|_| match whole(notice, "change") {
            0 => Link::to("/_ui/audit"),
            change => super::changes::link_to(change),
        }),
    };
    list(told, "notices").iter().filter(is_alarm).map(alarm).collect()
}

/// Settings under which an alarm reaches nobody.
fn of_settings(policy: &Value) -> Vec<Alarm> {
    let mut settings = list(policy, "settings").iter();
    let notify = settings.find(|setting| text(setting, "name") == "notify");
    let tells_nobody = notify.is_some_and(|notify| list(notify, "value").is_empty());
    let alarm = || Alarm {
        text: "Nobody outside is told of alarms: the setting “notify” is empty.".to_owned(),
        to: Some(Link::to("/_ui/changes/new").with("do", "setting").with("name", "notify")),
    };
    tells_nobody.then(alarm).into_iter().collect()
}

fn rulings(known: &[Arc<Table>]) -> Figure {
    let fields = known.iter().flat_map(|table| table.schema.fields());
    let waiting = fields.filter(|field| field.awaits_review()).count();
    Figure {
        figure: html! { (number::count(waiting as u64)) },
        what: "fields wait for a person's ruling".to_owned(),
        to: Some(Link::to("/_ui/rulings")),
    }
}

fn record(audit: &AuditState) -> Figure {
    let checkpoint = audit.checkpoint.as_deref().and_then(checkpoint_of);
    Figure {
        figure: match &checkpoint {
            Some(checkpoint) => html! { (number::count(checkpoint.records)) },
            None => html! { "None" },
        },
        what: "records under the last checkpoint".to_owned(),
        to: Some(Link::to("/_ui/audit")),
    }
}

/// Under this share of free room a disk is nearly full.
const ROOM_LEAST: f64 = 0.1;

fn ingest(ingest: &Ingest, now: Timestamp) -> Figure {
    let refused = match ingest.refused {
        0 => String::new(),
        refused => format!(", {} refused", number::count(refused)),
    };
    let newest = match ingest.last_at {
        Some(at) => format!("newest {}", ago(now, at)),
        None => format!("none since the start, {}", ago(now, ingest.since)),
    };
    Figure {
        figure: html! { (number::count(ingest.written)) },
        what: format!("documents in the last hour{refused}; {newest}"),
        to: Some(Link::to("/_ui/tables")),
    }
}

/// `3 minutes ago`.
fn ago(now: Timestamp, at: Timestamp) -> String {
    let ms = (now.0 - at.0).max(0);
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")];
    match units.into_iter().find(|(unit, _)| ms >= *unit) {
        Some((unit, name)) => {
            format!("{} ago", number::of((ms / unit) as u64, name, &format!("{name}s")))
        }
        None => "just now".to_owned(),
    }
}

fn disk(disk: &DiskUse) -> Figure {
    let used = format!("the data folder has {}", number::bytes(disk.used));
    let (figure, what) = match disk.space {
        Some(space) => {
            (number::bytes(space.free), format!("left of {}; {used}", number::bytes(space.total)))
        }
        None => (number::bytes(disk.used), "in the data folder".to_owned()),
    };
    Figure { figure: html! { (figure) }, what, to: Some(Link::to("/_ui/tables")) }
}

/// How far copies are behind their sources, if there are any.
fn lag(copies: &Value) -> Option<Figure> {
    let all = copies.as_array().filter(|all| !all.is_empty())?;
    let longest = all.iter().filter_map(|copy| copy["lag_ms"].as_u64()).max();
    let follow = all.iter().filter(|copy| text(copy, "state") == "following").count();
    let copies = number::of(all.len() as u64, "copy follows its source", "copies follow");
    let what = match longest {
        Some(_) => format!("behind at most; {follow} of {copies}"),
        None => format!("lag; {follow} of {copies}"),
    };
    let figure = longest.map_or("–".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1000.0));
    Some(Figure { figure: html! { (figure) }, what, to: Some(Link::to("/_ui/copies")) })
}

/// Copies that do not go on by themselves, or whose source does not answer.
fn of_copies(copies: &Value) -> Vec<Alarm> {
    let stands = |copy: &&Value| matches!(text(copy, "state"), "waiting" | "paused" | "stopped");
    let alarm = |copy: &Value| Alarm {
        text: format!("The copy “{}” is {}.", text(copy, "copy"), text(copy, "status")),
        to: Some(Link::to("/_ui/copies")),
    };
    copies.as_array().into_iter().flatten().filter(stands).map(alarm).collect()
}

/// What the watch from outside saw last. There is none in this version, and the page says so.
fn probe() -> Figure {
    Figure {
        figure: html! { "None" },
        what: "no probe has looked from outside yet; this version brings none".to_owned(),
        to: None,
    }
}

/// How many alerts fire, if there are any.
fn firing(told: &Value) -> Option<Figure> {
    let all = list(told, "alerts");
    let fires = all.iter().filter(|alert| text(alert, "state") == "firing").count();
    (!all.is_empty()).then(|| Figure {
        figure: html! { (number::count(fires as u64)) },
        what: format!("of {} fire", number::of(all.len() as u64, "alert", "alerts")),
        to: Some(Link::to("/_ui/alerts")),
    })
}

/// Alerts that fire and that nobody silenced, and those that look no more.
fn of_alerts(told: &Value) -> Vec<Alarm> {
    let alarm = |alert: &Value| {
        let label = text(alert, "label");
        let said = match text(alert, "state") {
            "firing" if !alert["silence"].is_object() => format!("The alert “{label}” fires."),
            "stopped" => format!("The alert “{label}” looks no more: its question is refused."),
            _ => return None,
        };
        Some(Alarm { text: said, to: Some(Link::to("/_ui/alerts").part(text(alert, "name"))) })
    };
    list(told, "alerts").iter().filter_map(alarm).collect()
}

fn of_disk(disk: &DiskUse) -> Option<Alarm> {
    let space = disk.space.filter(|space| space.total > 0)?;
    let share = space.free as f64 / space.total as f64;
    let text = format!(
        "The disk of the data folder is nearly full: {} left. Without room nothing is written, and \
         nothing is read, because reads are recorded.",
        number::bytes(space.free)
    );
    (share < ROOM_LEAST).then(|| Alarm { text, to: Some(Link::to("/_ui/tables")) })
}

fn of_record(audit: &AuditState) -> Vec<Alarm> {
    let trouble = |(folder, trouble): &(String, Option<String>)| {
        let trouble = trouble.as_ref()?;
        let text = format!("The audit record is not written to {folder}: {trouble}");
        Some(Alarm { text, to: Some(Link::to("/_ui/audit")) })
    };
    audit.sinks.iter().filter_map(trouble).collect()
}

/// When the last checkpoint was signed, for the panel about the record.
pub(super) fn last_checkpoint(call: &Call<'_>, caller: &Caller) -> Option<Markup> {
    let audit = backend::audit_state(&call.app.engine, caller).ok()?;
    let checkpoint = audit.checkpoint.as_deref().and_then(checkpoint_of)?;
    Some(html! { "Last checkpoint " (time(&checkpoint.at)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::DiskSpace;
    use serde_json::json;

    #[test]
    fn trouble_with_a_folder_is_an_alarm_that_leads_to_the_record() {
        let state = AuditState {
            checkpoint: Some("o\n12\nroot\ntime 2026-11-23T08:00:00.000Z\n".to_owned()),
            verifier: String::new(),
            sinks: vec![("/b".to_owned(), Some("no space".to_owned())), ("/a".to_owned(), None)],
        };
        let page = shown(&[record(&state)], &of_record(&state)).into_string();
        assert!(page.contains("not written to /b: no space") && page.contains("/_ui/audit"));
        assert!(page.contains("12") && page.contains("One thing needs a person"), "{page}");
        assert!(shown(&[record(&state)], &[]).into_string().contains("All is well"));
        assert_eq!(shown(&[], &[]).into_string(), "");
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_an_alarm() {
        let full = |free| DiskUse { used: 5, space: Some(DiskSpace { free, total: 1_000_000 }) };
        assert!(of_disk(&full(99_999)).unwrap().text.contains("100 kB left"));
        assert!(of_disk(&full(100_000)).is_none());
        assert!(of_disk(&DiskUse { used: 5, space: None }).is_none(), "nobody says");
        assert!(disk(&full(1_000)).what.contains("the data folder has 5 B"));
        assert_eq!(disk(&DiskUse { used: 5, space: None }).what, "in the data folder");
    }

    #[test]
    fn what_came_in_says_how_long_ago() {
        let now = Timestamp(10 * DAY);
        let at = |ms: i64| Some(Timestamp(now.0 - ms));
        let read = |last_at| Ingest { written: 1200, refused: 3, last_at, since: Timestamp(0) };
        let figure = ingest(&read(at(2 * MINUTE)), now);
        assert_eq!(figure.figure.into_string(), "1,200");
        assert_eq!(figure.what, "documents in the last hour, 3 refused; newest 2 minutes ago");
        assert!(ingest(&read(at(30)), now).what.ends_with("just now"));
        assert!(ingest(&read(None), now).what.ends_with("none since the start, 10 days ago"));
    }

    #[test]
    fn alerts_that_fire_are_alarms_unless_silenced() {
        let alert = |state: &str, silence: Value| json!({ "name": "a", "label": "Orders", "state": state, "silence": silence });
        let of = |alert: Value| of_alerts(&json!({ "alerts": [alert] }));
        let fires = of(alert("firing", Value::Null));
        assert_eq!(fires[0].text, "The alert “Orders” fires.");
        assert_eq!(fires[0].to.as_ref().unwrap().to_string(), "/_ui/alerts/a");
        assert!(of(alert("stopped", Value::Null))[0].text.contains("looks no more"));
        assert!(of(alert("firing", json!({ "why": "known" }))).is_empty());
        assert!(of(alert("hidden", Value::Null)).is_empty(), "nobody is told what is hidden");
        assert!(firing(&json!({ "alerts": [] })).is_none());
        let some = json!({ "alerts": [alert("firing", Value::Null), alert("quiet", Value::Null)] });
        assert_eq!(firing(&some).unwrap().what, "of 2 alerts fire");
    }

    #[test]
    fn copies_say_how_far_behind_they_are() {
        let copies = json!([
            { "copy": "shop", "state": "following", "status": "following", "lag_ms": 1240 },
            { "copy": "crm", "state": "waiting", "status": "waiting: the source does not answer" },
        ]);
        let figure = lag(&copies).unwrap();
        assert_eq!(figure.figure.into_string(), "1.2 s");
        assert_eq!(figure.what, "behind at most; 1 of 2 copies follow");
        let alarms = of_copies(&copies);
        assert_eq!(alarms.len(), 1);
        assert_eq!(alarms[0].text, "The copy “crm” is waiting: the source does not answer.");
        assert!(lag(&json!([])).is_none());
    }

    #[test]
    fn what_nobody_looked_at_leads_nowhere() {
        let page = shown(&[probe()], &[]).into_string();
        assert!(
            page.contains("no probe has looked from outside") && !page.contains("href"),
            "{page}"
        );
    }

    #[test]
    fn broken_glass_is_an_alarm_for_a_day() {
        let told = json!({ "notices": [
            { "kind": "broken_glass", "at": "2026-11-23T08:00:00.000Z", "change": 7, "text": "ann broke the glass" },
            { "kind": "applied", "at": "2026-11-23T08:00:00.000Z", "change": 6, "text": "in force" },
        ] });
        let at = |text: &str| of_notices(&told, None, Timestamp::parse_rfc3339(text).unwrap());
        let alarms = at("2026-11-23T09:00:00Z");
        assert_eq!(alarms.len(), 1);
        assert!(alarms[0].to.is_none(), "who has no say is told, and led nowhere");
        assert!(at("2026-11-24T09:00:00Z").is_empty());
    }

    #[test]
    fn a_time_lock_is_an_alarm_while_its_change_waits() {
        let told =
            json!({ "notices": [{ "kind": "time_lock", "at": "", "change": 2, "text": "x" }] });
        let of = |state: &str| json!({ "changes": [{ "id": 2, "state": state }] });
        let alarms = of_notices(&told, Some(&of("waiting")), Timestamp(0));
        let causes: Vec<String> =
            alarms.iter().filter_map(|alarm| Some(alarm.to.as_ref()?.to_string())).collect();
        assert_eq!(causes, ["/_ui/changes/2"]);
        assert!(of_notices(&told, Some(&of("withdrawn")), Timestamp(0)).is_empty());
        assert!(of_notices(&told, None, Timestamp(0)).is_empty());
    }

    #[test]
    fn whoever_only_counts_does_not_reach_a_person() {
        let cell = |action: &str| json!({ "action": action });
        let matrix = json!({ "reach": [
            { "person": "ann", "table": "a", "personal": cell("read"), "special": cell("aggregate") },
            { "person": "ann", "table": "b", "personal": cell("read"), "special": cell("aggregate") },
            { "person": "bob", "table": "a", "personal": cell("aggregate"), "special": cell("aggregate") },
        ] });
        assert_eq!(reaching(&matrix).figure.into_string(), "1");
        let policy = |value: Value| json!({ "settings": [{ "name": "notify", "value": value }] });
        assert_eq!(of_settings(&policy(json!([]))).len(), 1);
        assert!(of_settings(&policy(json!(["mail:x"]))).is_empty());
    }
}
