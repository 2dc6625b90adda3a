//! One metric: its chart, how it is split and since when, its numbers.

use super::answer::Numbers;
use super::declared::Declared;
use super::numbers;
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::request::Request;
use crate::route::Call;
use crate::ui::frame::{self, Page, Section};
use crate::ui::link::Link;
use crate::ui::time_range::{DAY, TimeRange};
use engine::{Caller, Engine};
use maud::{Markup, html};
use model::{Clock, SystemClock, Timestamp};
use serde_json::{Map, Value, json};

/// The parameters of a metric's page.
pub(in crate::ui) const PARAMS: &[&str] = &["grain", "by", "from", "to", "where"];

/// How long a step of time is.
const GRAINS: &[&str] = &["hour", "day", "week", "month"];
/// Not split at all.
const NONE: &str = "none";
/// Where the range begins if nobody chose.
const USUAL_FROM: &str = "now-30d";

/// The page of a metric.
pub(in crate::ui) fn link_to(name: &str) -> Link {
    Link::to("/_ui/metrics").part(name)
}

/// What the URL of a metric's page asks.
pub(super) struct MetricQuestion {
    pub(super) name: String,
    /// `None`: as declared.
    pub(super) grain: Option<String>,
    /// By which dimensions it is split.
    pub(super) by: Vec<String>,
    /// Whether somebody chose how it is split.
    by_is_chosen: bool,
    pub(super) range: TimeRange,
    /// Dimensions that must have these values.
    pub(super) filters: Vec<(String, String)>,
}

impl MetricQuestion {
    /// A metric as a whole over the usual range, a number a day.
    pub(super) fn usual(metric: &Declared) -> MetricQuestion {
        let now = SystemClock.now().0;
        MetricQuestion {
            name: metric.name.clone(),
            grain: Some("day".to_owned()),
            by: Vec::new(),
            by_is_chosen: true,
            range: TimeRange::read(None, None, USUAL_FROM, now)
                .expect("the usual range is one")
                .starting_with_its_day(),
            filters: Vec::new(),
        }
    }

    fn read(metric: &Declared, request: &Request) -> Result<MetricQuestion, String> {
        let now = SystemClock.now().0;
        let range = TimeRange::read(request.param("from"), request.param("to"), USUAL_FROM, now)?;
        let range = range.starting_with_its_day();
        let chosen = request.param("by").map(str::trim).filter(|by| !by.is_empty());
        let by = match chosen {
            Some(NONE) => Vec::new(),
            Some(by) => by.split(',').map(str::trim).map(str::to_owned).collect(),
            None => metric.dimensions.first().cloned().into_iter().collect(),
        };
        let filters = request.params.iter().filter(|(name, _)| name == "where");
        let filters = filters.filter_map(|(_, text)| text.split_once(':'));
        Ok(MetricQuestion {
            name: metric.name.clone(),
            grain: request.param("grain").filter(|grain| !grain.is_empty()).map(str::to_owned),
            by,
            by_is_chosen: chosen.is_some(),
            range,
            filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }

    /// The URL of this question.
    pub(super) fn link(&self) -> Link {
        let mut link = link_to(&self.name).with("grain", self.grain.clone().unwrap_or_default());
        if self.by_is_chosen {
            let by = if self.by.is_empty() { NONE.to_owned() } else { self.by.join(",") };
            link = link.with("by", by);
        }
        for (name, value) in &self.filters {
            link = link.and("where", format!("{name}:{value}"));
        }
        self.range.put_into(link)
    }

    /// The URL of this question for one group alone.
    pub(super) fn only_link(&self, group: &[String]) -> Option<Link> {
        let is_known = group.len() == self.by.len() && !group.iter().any(|name| name == "(none)");
        is_known.then(|| {
            self.by.iter().zip(group).fold(self.link(), |link, (name, value)| {
                link.and("where", format!("{name}:{value}"))
            })
        })
    }

    /// As the engine is asked.
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(grain) = &self.grain {
            body.insert("grain".to_owned(), json!(grain));
        }
        if let Some((start, end)) = self.range.span {
            body.insert("from".to_owned(), json!(Timestamp(start).to_rfc3339()));
            body.insert("to".to_owned(), json!(Timestamp(end).to_rfc3339()));
        }
        if !self.by.is_empty() {
            body.insert("dimensions".to_owned(), json!(self.by));
        }
        let mut filters = Map::new();
        for (name, value) in &self.filters {
            let values = filters.entry(name.clone()).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(json!(value));
            }
        }
        if !filters.is_empty() {
            body.insert("filters".to_owned(), Value::Object(filters));
        }
        Value::Object(body)
    }
}

/// What was answered.
pub(super) struct Asked {
    pub(super) numbers: Numbers,
    /// The same question in SQL.
    sql: String,
    /// Whether the usual range was empty and another was taken.
    is_moved: bool,
}

/// Asks; if nobody chose the range and it is empty, asks for the newest days that have numbers.
pub(super) fn ask(
    engine: &Engine,
    caller: &Caller,
    metric: &Declared,
    question: &mut MetricQuestion,
) -> Result<Asked, ApiError> {
    let once = |question: &MetricQuestion| -> Result<Asked, ApiError> {
        let answer = backend::query_metric(engine, caller, &metric.name, &question.body())?;
        let sql = answer["sql"].as_str().unwrap_or("").to_owned();
        Ok(Asked { numbers: Numbers::read(metric, &question.by, &answer), sql, is_moved: false })
    };
    let asked = once(question)?;
    let is_fixed = question.range.is_chosen || question.range.span.is_none();
    if is_fixed || !asked.numbers.is_silent(metric) {
        return Ok(asked);
    }
    let chosen = question.range.clone();
    let grain = question.grain.replace("day".to_owned());
    let by = std::mem::take(&mut question.by);
    question.range.span = None;
    let everything = once(question);
    question.by = by;
    question.grain = grain;
    question.range = chosen;
    let Some(newest) = everything?.numbers.times.last().copied() else { return Ok(asked) };
    question.range = TimeRange::between((newest / DAY - 29) * DAY, (newest / DAY + 1) * DAY);
    Ok(Asked { is_moved: true, ..once(question)? })
}

/// `GET /_ui/metrics/{name}`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Metrics, || render(call, caller))
}

fn render(call: &Call<'_>, caller: &Caller) -> Answer {
    let engine = &call.app.engine;
    let declared = backend::metric(engine, caller, call.request.part("name"))?;
    let metric = Declared::read(&declared)
        .ok_or_else(|| ApiError::internal("a declared metric has no name"))?;
    let mut question =
        MetricQuestion::read(&metric, call.request).map_err(ApiError::illegal_argument)?;
    let answer = ask(engine, caller, &metric, &mut question);
    let title = format!("{} · Metrics", metric.label);
    let content = html! {
        (head(&metric))
        (controls(&metric, &question))
        @match answer {
            Err(error) => (frame::failure(&error)),
            Ok(asked) if asked.numbers.is_empty() => (nothing(&question)),
            Ok(Asked { numbers, sql, is_moved }) => {
                @if is_moved {
                    p.notice.quiet-notice role="status" { "Nothing in the last 30 days. Showing the newest 30 days that have numbers." }
                }
                section.panel aria-label="Chart" {
                    div.chart data-chart=(numbers.chart(&metric)) {}
                    noscript { p.hint { "The chart needs JavaScript; the table below has the same numbers." } }
                    (numbers::summary(&metric, &question, &numbers))
                }
                section.panel aria-labelledby="all-numbers" {
                    h2 #all-numbers { "All numbers" }
                    (numbers::table(&metric, &numbers))
                }
                (frame::code_box("As SQL", &sql))
            }
        }
        (curl(call, &question))
    };
    let page = Page { caller, section: Section::Metrics, title: &title, has_chart: true };
    Ok(page.reply(content))
}

fn head(metric: &Declared) -> Markup {
    html! {
        div.page-head {
            p.crumbs { a href="/_ui/metrics" { "Metrics" } }
            h1 { (metric.label) }
            p.sub {
                code { (metric.name) }
                span.badge { (metric.kind) }
                @if !metric.made_of.is_empty() { span.faint { (metric.made_of) } }
            }
            @if !metric.description.is_empty() { p.hint { (metric.description) } }
        }
    }
}

fn controls(metric: &Declared, question: &MetricQuestion) -> Markup {
    let link = question.link();
    let grain = question.grain.as_ref().or(metric.grain.as_ref());
    html! {
        div.bar.controls {
            div.segments role="group" aria-label="Split by" {
                span.segments-label { "Split by" }
                a href=(link.clone().with("by", NONE)) aria-current=[question.by.is_empty().then_some("true")] { "nothing" }
                @for name in &metric.dimensions {
                    a href=(link.clone().with("by", name.as_str())) aria-current=[question.by.contains(name).then_some("true")] { (name) }
                }
            }
            div.segments role="group" aria-label="Step" {
                span.segments-label { "Per" }
                @for one in GRAINS {
                    a href=(link.clone().with("grain", *one)) aria-current=[(grain.map(String::as_str) == Some(*one)).then_some("true")] { (one) }
                }
            }
            (question.range.picker(&link))
        }
        @if !question.filters.is_empty() {
            ul.chips aria-label="Filters" {
                @for (place, (name, value)) in question.filters.iter().enumerate() {
                    @let others = question.filters.iter().enumerate().filter(|(other, _)| *other != place);
                    @let link = others.fold(link.clone().without("where"), |link, (_, (name, value))| link.and("where", format!("{name}:{value}")));
                    li {
                        span { (name) " = " strong { (value) } }
                        a.quiet href=(link) title="Remove this filter" aria-label={ "Remove the filter " (name) " = " (value) } { "×" }
                    }
                }
            }
        }
    }
}

fn nothing(question: &MetricQuestion) -> Markup {
    let everything =
        TimeRange { from: "all".to_owned(), to: String::new(), span: None, is_chosen: true };
    let all_time = everything.put_into(question.link());
    frame::empty(
        "No numbers in this range",
        html! {
            a href=(all_time) { "Show all time" }
            @if !question.filters.is_empty() { " or " a href=(question.link().without("where")) { "drop the filters" } }
            "."
        },
    )
}

fn curl(call: &Call<'_>, question: &MetricQuestion) -> Markup {
    let path = Link::to("/_clerestory/metrics").part(&question.name);
    let request = call.request;
    let host = frame::host(request);
    let body = format!("{:#}", question.body());
    frame::as_curl(&frame::curl(&host, request.peer.secure, "POST", &path, &body))
}
