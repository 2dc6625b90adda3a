//! Tables: what there is, and for each field its type, its class and who ruled why.

use super::badge::{self, ClassCounts};
use super::frame::{self, Page, Section};
use super::link::Link;
use super::time_range::{DAY, millisecond, minute};
use super::{number, rulings, search};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use engine::{Action, Caller, TableStats};
use maud::{Markup, html};
use model::{Field, Intake, Table, TableKind};
use serde_json::json;
use std::sync::Arc;

/// `GET /_ui/tables`.
pub(super) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Tables, || {
        let known = backend::tables(&call.app.engine, caller, "*")?;
        let content = html! {
            div.page-head {
                h1 { "Tables" }
                p.sub { "Elasticsearch's clients call them indices, SQL calls them tables." }
            }
            @if known.is_empty() {
                (frame::no_tables(caller))
            } @else { (overview(call, caller, &known)) }
        };
        Ok(Page::new(caller, Section::Tables, "Tables").reply(content))
    })
}

/// The tables with their sizes and classes.
pub(super) fn overview(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    html! {
        div.scroll-x.framed {
            table.grid.roomy {
                caption.unseen { "Tables" }
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Kind" }
                    th.num scope="col" { "Rows" }
                    th.num scope="col" { "On disk" }
                    th scope="col" { "Newest" }
                    th scope="col" { "Fields" }
                } }
                tbody {
                    @for table in known {
                        @let size = backend::table_stats(&call.app.engine, caller, table).ok();
                        @let counts = ClassCounts::of([&**table]);
                        tr {
                            th scope="row" { a href=(link_to(table)) { (table.name.as_str()) } }
                            td { (kind(table)) }
                            td.num { (size.as_ref().map_or("–".to_owned(), |size| number::count(size.rows))) }
                            td.num { (size.as_ref().map_or("–".to_owned(), on_disk)) }
                            td.nowrap { (newest(call, caller, table)) }
                            td.class-cell title=(summary(&counts)) { (counts.bar()) span.hint { (summary(&counts)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The bytes of a table's segments; its newest rows are in the log, which all tables share.
fn on_disk(size: &TableStats) -> String {
    match size.bytes {
        0 if size.rows > 0 => "in the log".to_owned(),
        bytes => number::bytes(bytes),
    }
}

fn link_to(table: &Table) -> Link {
    Link::to("/_ui/tables").part(table.name.as_str())
}

fn kind(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Events => "events",
        TableKind::Entities => "entities",
    }
}

fn summary(counts: &ClassCounts) -> String {
    let parts = [
        (counts.open, "open"),
        (counts.personal, "personal"),
        (counts.special, "special"),
        (counts.secret, "secret"),
        (counts.withheld, "withheld"),
        (counts.unruled, "not ruled"),
    ];
    let parts = parts.iter().filter(|(fields, _)| *fields > 0);
    parts.map(|(fields, word)| format!("{fields} {word}")).collect::<Vec<String>>().join(", ")
}

/// The time of the newest event, if the table has a time and the caller may read it.
fn newest(call: &Call<'_>, caller: &Caller, table: &Table) -> String {
    let ask = || -> Option<i64> {
        let field = table.time_field.as_ref()?;
        let body = json!({ "size": 0, "aggs": { "newest": { "max": { "field": field } } } });
        let index = table.name.as_str();
        let answer = backend::search(&call.app.engine, caller, index, Some(body), &[]).ok()?;
        answer["aggregations"]["newest"]["value"].as_f64().map(|ms| ms as i64)
    };
    ask().map_or("–".to_owned(), minute)
}

/// `GET /_ui/tables/{index}`.
pub(super) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Tables, || {
        let name = call.request.part("index");
        let known = backend::tables(&call.app.engine, caller, name)?;
        let table = known.iter().find(|table| table.name.as_str() == name);
        let table =
            table.ok_or_else(|| ApiError::not_found(format!("There is no table “{name}”.")))?;
        let size = backend::table_stats(&call.app.engine, caller, table)?;
        let title = format!("{name} · Tables");
        let content = html! {
            div.page-head {
                p.crumbs { a href="/_ui/tables" { "Tables" } }
                h1 { (name) }
                p.sub {
                    span.badge { (kind(table)) }
                    span { (number::of(size.rows, "row", "rows")) }
                    span { (on_disk(&size)) }
                    a href=(search::link_to(name, "")) { "Search in it" }
                }
            }
            (settings(table))
            section aria-labelledby="fields" {
                h2 #fields { "Fields " span.faint { (table.schema.fields().len()) } }
                (fields(table, backend::may(caller, Action::Rule)))
            }
            (curl(call, table))
        };
        Ok(Page::new(caller, Section::Tables, &title).reply(content))
    })
}

fn settings(table: &Table) -> Markup {
    let intake = match table.intake {
        Intake::Closed => "Closed: a new field is withheld until a guardian rules on it.",
        Intake::Classified => {
            "Classified: the classifier rules on a new field at once; a guardian reviews."
        }
    };
    let sort = table.sort.as_ref().map(|sort| {
        format!(
            "{}, {}",
            sort.field,
            if sort.descending { "largest first" } else { "smallest first" }
        )
    });
    let usual = if table.time_field.is_some() { "by time, oldest first" } else { "as written" };
    html! {
        section.panel aria-label="Settings" {
            dl.pairs.wide {
                dt { "Intake" } dd { (intake) }
                dt { "Time field" } dd { @match &table.time_field { Some(field) => code { (field) }, None => "none" } }
                dt { "Order of rows" } dd { (sort.unwrap_or_else(|| usual.to_owned())) }
                dt { "Kept" } dd { @match table.retention_ms { Some(ms) => { (number::of((ms / DAY).max(0) as u64, "day", "days")) }, None => "without end" } }
                dt { "New fields" } dd { (if table.dynamic { "taken as they come" } else { "refused" }) }
            }
        }
    }
}

/// The fields; for whoever rules, each leads to its rulings.
fn fields(table: &Table, rules: bool) -> Markup {
    let mut fields: Vec<&Field> = table.schema.fields().iter().collect();
    fields.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    html! {
        div.scroll-x.framed {
            table.grid.roomy.rulings {
                caption.unseen { "Fields of " (table.name.as_str()) }
                thead { tr {
                    th scope="col" { "Field" }
                    th scope="col" { "Type" }
                    th scope="col" { "Class" }
                    th scope="col" { "Kind" }
                    th scope="col" { "Ruled by" }
                    th scope="col" { "Why" }
                } }
                tbody {
                    @for field in fields {
                        tr {
                            th scope="row" {
                                (badge::type_sign(field.ty)) " "
                                @if rules {
                                    a.mono href=(rulings::link_to(table.name.as_str(), field.name.as_str())) { (field.name.as_str()) }
                                } @else { span.mono { (field.name.as_str()) } }
                            }
                            td { (field.es_type) @if field.keyword_up_to.is_some() { span.faint { " + keyword" } } }
                            td { (badge::field(field)) }
                            td { @if field.kind.is_empty() { span.faint { "–" } } @else { (field.kind) } }
                            @match field.ruling() {
                                Some(ruling) => {
                                    td { span title=(millisecond(ruling.at.0)) { (ruling.by) } }
                                    td.why { (ruling.reason) }
                                },
                                None => { td { span.faint { "–" } } td { span.faint { "no value was seen yet" } } },
                            }
                        }
                    }
                }
            }
        }
    }
}

fn curl(call: &Call<'_>, table: &Table) -> Markup {
    let scheme = if call.request.peer.secure { "https" } else { "http" };
    let path = Link::to("").part(table.name.as_str());
    let host = frame::host(call.request);
    frame::as_curl(&format!(
        "curl -s '{scheme}://{host}{path}?pretty' \\\n  \
         -H \"Authorization: ApiKey $CLERESTORY_API_KEY\""
    ))
}
