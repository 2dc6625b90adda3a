//! Who was exposed: who could read fields of a class, and who did.
//!
//! A question about one person is sent in the body of a form and not in an address: browsers,
//! proxies and logs keep addresses.

use super::link_to;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use crate::ui::badge;
use crate::ui::form::{self, Form, asked};
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::number;
use crate::ui::shown::{list, text, texts, time, whole, words};
use crate::ui::time_range::TimeRange;
use engine::{Caller, WhoRead};
use maud::{Markup, html};
use model::{Class, Clock, SystemClock, Timestamp};
use serde_json::Value;

/// So many records of a reader are linked.
const RECORDS_SHOWN: usize = 12;

/// What somebody asks, as it was typed.
struct Asked {
    table: String,
    class: String,
    person: String,
    from: String,
    to: String,
}

impl Asked {
    fn of<'a>(text: impl Fn(&'static str) -> Option<&'a str>) -> Asked {
        let text = |name| text(name).unwrap_or_default().to_owned();
        Asked {
            table: text("table"),
            class: text("class"),
            person: text("person"),
            from: text("from"),
            to: text("to"),
        }
    }

    fn question(&self) -> Result<WhoRead, ApiError> {
        let word = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let range = TimeRange::read(
            word(&self.from).as_deref(),
            word(&self.to).as_deref(),
            "all",
            SystemClock.now().0,
        );
        let range = range.map_err(ApiError::illegal_argument)?;
        // Until now means: with what is recorded this very moment.
        let is_now = range.to.is_empty() || range.to == "now";
        Ok(WhoRead {
            table: self.table.clone(),
            class: self.class.parse().map_err(|_| {
                ApiError::illegal_argument("pick a class: open, personal, special or secret")
            })?,
            person: word(&self.person),
            from: range.span.map(|(from, _)| Timestamp(from)),
            to: range.span.filter(|_| !is_now).map(|(_, to)| Timestamp(to)),
        })
    }

    /// The page of this question; only for questions that name nobody.
    fn link(&self) -> Link {
        Link::to("/_ui/exposure")
            .with("table", self.table.as_str())
            .with("class", self.class.as_str())
            .with("from", self.from.as_str())
            .with("to", self.to.as_str())
    }
}

/// `GET /_ui/exposure`: the form, and the answer if a table and a class are named.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Exposure, || {
        let typed = Asked::of(|name| asked(call.request, name));
        render(call, caller, &typed)
    })
}

/// `POST /_ui/exposure`: the answer about one person; any other question gets its own address.
pub(in crate::ui) fn ask(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Exposure, || {
        let form = Form::read(call.request)?;
        let typed = Asked::of(|name| form.word(name));
        if typed.person.is_empty() {
            return form::go_to(&typed.link());
        }
        render(call, caller, &typed)
    })
}

fn render(call: &Call<'_>, caller: &Caller, typed: &Asked) -> Result<Reply, ApiError> {
    let engine = &call.app.engine;
    if backend::audit_length(engine, caller).is_none() {
        return Err(ApiError::forbidden("only a guardian may ask who was exposed"));
    }
    let is_asked = !typed.table.is_empty() && !typed.class.is_empty();
    let answer = is_asked.then(|| backend::exposure(engine, caller, &typed.question()?));
    let tables = backend::tables(engine, caller, "*").unwrap_or_default();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let content = html! {
        div.page-head {
            h1 { "Exposure" }
            p.sub { "Who could read fields of a class, and who did. That you ask is on record." }
        }
        (question_form(typed, &names))
        @match &answer {
            Some(Ok(answer)) => (answered(answer)),
            Some(Err(error)) => (frame::failure(error)),
            None => {},
        }
    };
    let reply = Page::new(caller, Section::Exposure, "Exposure").reply(content);
    let status = answer.and_then(Result::err).map(|error| error.status());
    Ok(match status {
        Some(status) => reply.with_status(status),
        None => reply,
    })
}

fn question_form(typed: &Asked, tables: &[&str]) -> Markup {
    let class = if typed.class.is_empty() { "personal" } else { &typed.class };
    html! {
        form.panel.filters method="post" action="/_ui/exposure" {
            label { span { "Table" }
                @if tables.is_empty() {
                    input name="table" value=(typed.table) required autocomplete="off" spellcheck="false" autocapitalize="none";
                } @else {
                    select name="table" required {
                        @for table in tables { option value=(table) selected[*table == typed.table] { (table) } }
                    }
                }
            }
            label { span { "Class" }
                select name="class" {
                    @for of in Class::ALL { option value=(of.as_str()) selected[of.as_str() == class] { (of.as_str()) } }
                }
            }
            label.grow { span { "Person " span.faint { "(optional)" } }
                input name="person" value=(typed.person) placeholder="address, id or pseudonym" autocomplete="off" spellcheck="false" autocapitalize="none";
            }
            label { span { "From" }
                input name="from" value=(typed.from) placeholder="the start" autocomplete="off" spellcheck="false";
            }
            label { span { "To" }
                input name="to" value=(typed.to) placeholder="now" autocomplete="off" spellcheck="false";
            }
            button.button.primary type="submit" { "Ask" }
            p.hint.whole { "Times in UTC: " code { "2026-11-01" } ", " code { "2026-11-01 08:00" } " or " code { "now-22d" } ". A person is looked up and stands in no address and no log." }
        }
    }
}

fn answered(answer: &Value) -> Markup {
    html! {
        section aria-labelledby="answer" {
            h2 #answer { "Answer " span.faint { "in " (number::count(whole(answer, "took_ms"))) " ms" } }
            div.figures {
                (figure(whole(answer, "rows_read"), "rows that went out"))
                @match answer["people_read"].as_u64() {
                    Some(people) => (figure(people, "people behind them")),
                    None => {},
                }
                (figure(list(answer, "did_read").len() as u64, "accounts that did read"))
                (figure(list(answer, "could_read").len() as u64, "accounts that could read"))
                @if let Some(rows) = answer["rows_of_person"].as_u64() { (figure(rows, "rows that name the person")) }
            }
            p.hint {
                @if texts(answer, "fields").is_empty() { "No field of " (text(answer, "table")) " is or was " (text(answer, "class")) "." }
                @else { "Fields: " @for field in texts(answer, "fields") { code { (field) } " " } }
                @if whole(answer, "rows_no_longer_stored") > 0 {
                    " " (number::of(whole(answer, "rows_no_longer_stored"), "row", "rows")) " of those that went out are stored no more."
                }
            }
        }
        (did_read(list(answer, "did_read")))
        (could_read(list(answer, "could_read")))
    }
}

fn figure(number: u64, what: &str) -> Markup {
    html! { div.figure { strong { (number::count(number)) } span.hint { (what) } } }
}

fn did_read(readers: &[Value]) -> Markup {
    html! {
        section aria-labelledby="did" {
            h2 #did { "Did read" }
            @if readers.is_empty() { (frame::empty("Nobody", html! { "No read of these fields is on record for this time." })) }
            @else {
                div.framed.scroll-x { table.grid.roomy.stacks {
                    caption.unseen { "Who did read" }
                    thead { tr {
                        th scope="col" { "Who" } th.num scope="col" { "Reads" } th.num scope="col" { "Rows" }
                        th.num scope="col" { "Computations" } th scope="col" { "What for" }
                        th scope="col" { "First and last" } th scope="col" { "Records" }
                    } }
                    tbody { @for reader in readers { (reader_row(reader)) } }
                } }
            }
        }
    }
}

fn reader_row(reader: &Value) -> Markup {
    let records: Vec<u64> = list(reader, "records").iter().filter_map(Value::as_u64).collect();
    let unfinished = whole(reader, "unfinished");
    html! {
        tr {
            th scope="row" {
                (text(reader, "who"))
                span.hint.block { (texts(reader, "credentials").join(", ")) }
            }
            td.num data-label="Reads" {
                (number::count(whole(reader, "reads")))
                @if unfinished > 0 { span.hint.block { (unfinished) " without an end count as read" } }
            }
            td.num data-label="Rows" { (number::count(whole(reader, "rows"))) }
            td.num data-label="Computations" { (number::count(whole(reader, "computations"))) }
            td data-label="What for" { (texts(reader, "uses").iter().map(|how| words(how)).collect::<Vec<_>>().join(", ")) }
            td data-label="First and last" {
                @if !text(reader, "first").is_empty() { (time(text(reader, "first"))) br; (time(text(reader, "last"))) }
            }
            td data-label="Records" {
                @for id in records.iter().take(RECORDS_SHOWN) { a href=(link_to(*id)) { (id) } " " }
                @if records.len() > RECORDS_SHOWN {
                    a href=(Link::to("/_ui/audit").with("who", text(reader, "who")).with("kind", "read_intent")) { "all" }
                }
            }
        }
    }
}

fn could_read(people: &[Value]) -> Markup {
    html! {
        section aria-labelledby="could" {
            h2 #could { "Could read" }
            @if people.is_empty() { (frame::empty("Nobody", html! { "No grant reached these fields in this time." })) }
            @else {
                div.framed.scroll-x { table.grid.roomy.stacks {
                    caption.unseen { "Who could read, and when" }
                    thead { tr { th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "From" } th scope="col" { "To" } th.num scope="col" { "Policy" } } }
                    tbody { @for person in people { @for (place, span) in list(person, "times").iter().enumerate() {
                        tr {
                            th scope="row" { @if place == 0 { (text(person, "who")) } @else { span.unseen { (text(person, "who")) } } }
                            td data-label="What" { (words(text(span, "action"))) }
                            td data-label="From" { (since(text(span, "from"))) }
                            td data-label="To" { (time(text(span, "to"))) }
                            td.num data-label="Policy" { (whole(span, "policy")) }
                        }
                    } } }
                } }
            }
        }
        p.hint { "Class " (badge::class(Class::Personal)) " fields hold pseudonyms: who read them read no address, but could tell rows of the same person." }
    }
}

/// The start of all time is no date to show.
fn since(rfc3339: &str) -> Markup {
    html! { @if rfc3339.starts_with("1970-") { "the start" } @else { (time(rfc3339)) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_person_stands_in_no_address() {
        let typed = Asked::of(|name| match name {
            "table" => Some("users"),
            "class" => Some("personal"),
            "person" => Some("ada@example.org"),
            "from" => Some("now-22d"),
            _ => None,
        });
        assert_eq!(
            typed.link().to_string(),
            "/_ui/exposure?table=users&class=personal&from=now-22d"
        );
        let question = typed.question().unwrap();
        assert_eq!(question.person.as_deref(), Some("ada@example.org"));
        assert!(question.from.is_some() && question.to.is_none());
    }

    #[test]
    fn an_answer_says_who_could_and_who_did() {
        let answer = json!({
            "table": "users", "class": "personal", "fields": ["email"], "took_ms": 12,
            "rows_of_person": null, "rows_read": 1200, "rows_no_longer_stored": 1, "people_read": 7,
            "could_read": [{ "who": "ann", "times": [
                { "from": "1970-01-01T00:00:00.000Z", "to": "2026-11-23T08:00:00.000Z", "action": "read", "policy": 3 },
            ] }],
            "did_read": [{ "who": "ann", "reads": 2, "computations": 1, "unfinished": 1, "rows": 1200,
                "uses": ["output"], "credentials": ["password"], "first": "2026-11-22T08:00:00.000Z",
                "last": "2026-11-22T08:00:00.000Z", "records": [7, 9] }],
        });
        let shown = answered(&answer).into_string();
        for expected in
            ["1,200", "people behind them", "the start", "/_ui/audit/7", "without an end"]
        {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert!(!shown.contains("name the person"));
    }
}
