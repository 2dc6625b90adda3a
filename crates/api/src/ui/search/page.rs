//! The search page as a whole.

use super::question::{PAGE_HITS, REFRESHES, SearchQuestion, pages};
use super::{fields, histogram, hits, inspect, mistake};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::dashboards;
use crate::ui::frame::{self, Page, Section};
use crate::ui::icon;
use crate::ui::number;
use crate::ui::saved::{self, Kept};
use crate::ui::time_range::{DAY, TimeRange};
use engine::{Action, Caller};
use maud::{Markup, html};
use model::Table;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /_ui/search`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let tables = backend::tables(&call.app.engine, caller, "*")?;
    let page = Page::new(caller, Section::Search, "Search");
    let Some(usual) = usual_table(&tables) else {
        return Ok(page.reply(no_tables(caller)));
    };
    let mut question = match SearchQuestion::read(call.request) {
        Ok(question) => question,
        Err(wrong) => return Err(ApiError::illegal_argument(wrong)),
    };
    if question.table.is_empty() {
        question.table = usual.name.as_str().to_owned();
    }
    let found = tables.iter().find(|table| table.name.as_str() == question.table);
    let Some(table) = found else {
        return Err(ApiError::not_found(format!("There is no table “{}”.", question.table)));
    };
    // Columns of the table that was searched before.
    question.columns.retain(|column| table.schema.find(column).is_some());
    let answer = ask(call, caller, &mut question, table);
    let title = format!("{} · Search", question.table);
    let wrong = answer
        .as_ref()
        .err()
        .and_then(|error| mistake::under_the_word(&question.query, error.reason()));
    let content = html! {
        h1.unseen { "Search" }
        @if let Some(id) = &question.saved {
            (saved::bar(call, caller, id, &Kept::of_search(call.request, &question.table)))
        }
        (query_bar(&question, &tables, table, wrong.as_ref()))
        div.search-body {
            (fields::list(call, caller, &question, table))
            div.search-main data-refresh=[question.refresh] {
                @match answer {
                    Ok(answered) => (found_hits(call, caller, &question, table, &answered)),
                    Err(error) => {
                        @if wrong.is_none() { (frame::failure(&error)) }
                        (syntax())
                    },
                }
            }
        }
    };
    Ok(Page { title: &title, ..page }.reply(content))
}

/// The table that is searched if nobody chose: the first with a time, else the first.
fn usual_table(tables: &[Arc<Table>]) -> Option<&Arc<Table>> {
    let known = tables.iter().find(|table| table.name.as_str() == "events");
    known.or_else(|| tables.iter().find(|table| table.time_field.is_some())).or(tables.first())
}

/// An answer, and what was asked for it.
struct Answered {
    answer: Value,
    body: Value,
    /// The range of the histogram and its step.
    drawn: Option<((i64, i64), i64)>,
    /// Whether the usual range was empty and another was taken.
    is_moved: bool,
}

impl Answered {
    fn total(&self) -> u64 {
        self.answer["hits"]["total"]["value"].as_u64().unwrap_or(0)
    }
}

fn ask(
    call: &Call<'_>,
    caller: &Caller,
    question: &mut SearchQuestion,
    table: &Table,
) -> Result<Answered, ApiError> {
    let answered = ask_once(call, caller, question, table)?;
    // Nobody chose the range: then an empty page is no answer while there are older hits.
    if answered.total() > 0 || question.range.is_chosen || question.range.span.is_none() {
        return Ok(answered);
    }
    let Some((_, newest)) = extent(call, caller, question, table)? else { return Ok(answered) };
    question.range = TimeRange::between((newest / DAY - 6) * DAY, (newest / DAY + 1) * DAY);
    let answered = ask_once(call, caller, question, table)?;
    Ok(Answered { is_moved: true, ..answered })
}

fn ask_once(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
) -> Result<Answered, ApiError> {
    let span = match (table.time_field.is_some(), question.range.span) {
        (false, _) => None,
        (true, Some(span)) => Some(span),
        (true, None) => extent(call, caller, question, table)?,
    };
    let drawn = span.map(|span| (span, histogram::step(span)));
    let body = question.body(table, drawn.map(|(_, step)| step));
    let index = table.name.as_str();
    let answer = backend::search(&call.app.engine, caller, index, Some(body.clone()), &[])?;
    Ok(Answered { answer, body, drawn, is_moved: false })
}

/// The first and the last moment of all hits, whatever the range; the last not included.
fn extent(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
) -> Result<Option<(i64, i64)>, ApiError> {
    let Some(field) = &table.time_field else { return Ok(None) };
    let everything = TimeRange { span: None, ..question.range.clone() };
    let asked = SearchQuestion {
        query: question.query.clone(),
        range: everything,
        ..SearchQuestion::over(question)
    };
    let body = json!({
        "size": 0,
        "query": asked.query_json(table),
        "aggs": { "first": { "min": { "field": field } }, "last": { "max": { "field": field } } },
    });
    let index = table.name.as_str();
    let answer = backend::search(&call.app.engine, caller, index, Some(body), &[])?;
    let at = |name: &str| answer["aggregations"][name]["value"].as_f64().map(|ms| ms as i64);
    Ok(at("first").zip(at("last")).map(|(first, last)| (first, last + 1)))
}

fn query_bar(
    question: &SearchQuestion,
    tables: &[Arc<Table>],
    table: &Table,
    wrong: Option<&Markup>,
) -> Markup {
    let kept = question.link().without("table").without("q");
    html! {
        div.bar {
            form.query method="get" action="/_ui/search" role="search" {
                label.unseen for="table" { "Table" }
                select id="table" name="table" data-submit {
                    @for one in tables {
                        option value=(one.name.as_str()) selected[one.name == table.name] { (one.name.as_str()) }
                    }
                }
                label.unseen for="q" { "Words and conditions" }
                div.query-box data-complete="/_ui/search/complete" {
                    input.query-input id="q" name="q" type="search" value=(question.query) data-focus
                        placeholder="Search: words, field:value, AND, OR, NOT, \"a phrase\", [1 TO 5]"
                        aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| "query-mistake")]
                        autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="search";
                }
                @for (name, value) in kept.params() {
                    input type="hidden" name=(name) value=(value);
                }
                button.button.primary type="submit" { "Search" }
            }
            @if table.time_field.is_some() {
                (question.range.picker(&question.link()))
                (refresh_picker(question))
            }
        }
        @if let Some(wrong) = wrong { (wrong) }
    }
}

/// How often the page looks again by itself.
fn refresh_picker(question: &SearchQuestion) -> Markup {
    let link = question.link();
    let name = |every: u64| match every {
        60.. => format!("{} min", every / 60),
        _ => format!("{every} s"),
    };
    html! {
        details.popover.refresh data-popover {
            summary.button title="Look again by itself" {
                (icon::again())
                span { @match question.refresh { Some(every) => (name(every)), None => "Off" } }
            }
            div.popover-body.slim {
                ul.choices aria-label="Look again" {
                    li { a href=(link.clone().without("refresh")) aria-current=[question.refresh.is_none().then_some("true")] { "Off" } }
                    @for every in REFRESHES {
                        li { a href=(link.clone().with("refresh", every.to_string())) aria-current=[(question.refresh == Some(every)).then_some("true")] { "Every " (name(every)) } }
                    }
                }
            }
        }
    }
}

fn found_hits(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    answered: &Answered,
) -> Markup {
    let total = answered.total();
    html! {
        @if answered.is_moved {
            p.notice.quiet-notice role="status" {
                "Nothing in the last 7 days. Showing the newest days that have hits."
            }
        }
        @if let Some((span, step)) = answered.drawn {
            @if total > 0 { (histogram::draw(question, span, step, &answered.answer)) }
        }
        div.result-head {
            p role="status" {
                strong { (number::of(total, "hit", "hits")) }
                @if let Some(took) = answered.answer["took"].as_u64() { span.faint { " · " (took) " ms" } }
            }
            (actions(call, caller, question, table, total))
            (pager(question, total))
        }
        @if total == 0 { (nothing_found(question, table)) }
        @else {
            (hits::list(question, table, &answered.answer))
            div.result-foot { (pager(question, total)) }
        }
        (inspect::box_of(call, caller, question, table, &answered.body, &answered.answer))
    }
}

/// What else can be done with these hits.
fn actions(
    call: &Call<'_>,
    caller: &Caller,
    question: &SearchQuestion,
    table: &Table,
    total: u64,
) -> Markup {
    let at = |path: &str| question.link().without("refresh").at(path);
    let kept = Kept::of_search(call.request, &question.table);
    html! {
        nav.result-actions aria-label="With these hits" {
            a.button href=(at("/_ui/search/tail")) title="Rows as they arrive" { "Live" }
            @if total > 0 {
                a.button href=(at("/_ui/search/csv")) title="The first 10,000 hits, the chosen columns" { "CSV" }
            }
            (saved::save_form(&kept))
            (dashboards::add_search(call, caller, &kept))
            @if table.time_field.is_some() && backend::may(caller, Action::DefineMetric) {
                a.button href=(at("/_ui/search/alert")) title="Be told when there are more or fewer hits than there should be" { (icon::bell()) "Alert" }
            }
        }
    }
}

fn pager(question: &SearchQuestion, total: u64) -> Markup {
    let pages = pages(total);
    let (page, first) = (question.page, question.page * PAGE_HITS + 1);
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages of hits" {
                @if page > 0 { a.button href=(question.page_link(page - 1)) rel="prev" { "Previous" } }
                span.faint { (number::count(first)) "–" (number::count((first + PAGE_HITS - 1).min(total))) }
                @if page + 1 < pages { a.button href=(question.page_link(page + 1)) rel="next" { "Next" } }
            }
        }
    }
}

fn nothing_found(question: &SearchQuestion, table: &Table) -> Markup {
    let everything =
        TimeRange { from: "all".to_owned(), to: String::new(), span: None, is_chosen: true };
    let all_time = everything.put_into(question.link());
    frame::empty(
        "Nothing found",
        html! {
            @if table.time_field.is_some() && question.range.span.is_some() {
                a href=(all_time) { "Search all time" } " · "
            }
            @if question.query.is_empty() {
                "The table has no document in this range."
            } @else {
                a href=(question.link().without("q")) { "Drop the words" } " · "
                "Words are all needed; write " code { "OR" } " between those that are not."
            }
        },
    )
}

fn syntax() -> Markup {
    html! {
        div.empty {
            p.empty-title { "How to write a question" }
            ul.syntax {
                li { code { "handshake timed" } " – both words, in any field" }
                li { code { "\"handshake with the cloud\"" } " – the phrase" }
                li { code { "kind:connect_failed AND NOT region:us-east" } }
                li { code { "latency_ms:[100 TO 500]" } " – a range; " code { "{" } " and " code { "}" } " leave the ends out" }
                li { code { "email:\"ada@example.org\"" } " – a personal value: type the real one, its pseudonym is looked up" }
                li { code { "reason:tls*" } " – any ending" }
            }
        }
    }
}

fn no_tables(caller: &Caller) -> Markup {
    html! {
        div.page-head { h1 { "Search" } }
        (frame::no_tables(caller))
    }
}
