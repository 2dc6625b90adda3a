//! Home: what is here, how it is protected, who asks, and what to try.

use super::badge::{self, ClassCounts};
use super::frame::{self, Page, Section};
use super::metrics::{self, Declared};
use super::{icon, number, search, tables, watch};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use engine::Caller;
use maud::{Markup, html};
use model::{Class, FieldType, Table};
use std::sync::Arc;

/// `GET /_ui`.
pub(super) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Home, || {
        let engine = &call.app.engine;
        let known = backend::tables(engine, caller, "*")?;
        // Whoever may not know of metrics simply has none.
        let declared = metrics::declared(engine, caller).unwrap_or_default();
        let content = html! {
            div.page-head { h1 { "Home" } }
            div.home {
                div.home-main {
                    (watch::panel(call, caller, &known))
                    (numbers(&declared))
                    @if !known.is_empty() { (questions(&known, &declared)) }
                    (tables_panel(call, caller, &known))
                }
                div.home-side {
                    (protection(call, caller, &known))
                    (audit(call, caller))
                    (who(caller))
                }
            }
        };
        Ok(Page::new(caller, Section::Home, "Home").reply(content))
    })
}

/// So many metrics stand on the first page.
const METRICS: usize = 3;

/// The newest numbers of the first metrics; each leads to its chart.
fn numbers(declared: &[Declared]) -> Markup {
    // What goes wrong is looked at first.
    let (ratios, others): (Vec<&Declared>, Vec<&Declared>) =
        declared.iter().partition(|metric| metric.kind == "ratio");
    let first = ratios.into_iter().take(1).chain(others).take(METRICS);
    html! {
        @if !declared.is_empty() {
            section aria-labelledby="numbers" {
                h2 #numbers { "Numbers" a.more href="/_ui/metrics" { "All " (declared.len()) } }
                ul.cards.few { @for metric in first { li { (metrics::card(metric)) } } }
            }
        }
    }
}

fn questions(known: &[Arc<Table>], declared: &[Declared]) -> Markup {
    let rate = declared.iter().find(|metric| metric.kind == "ratio").or(declared.first());
    let words = known.iter().find_map(|table| {
        let time = table.time_field.as_ref()?;
        let text = table
            .schema
            .fields()
            .iter()
            .find(|field| field.ty == FieldType::Text && field.class == Some(Class::Open))?;
        Some((table, time, text))
    });
    let has_address =
        |table: &&Arc<Table>| table.schema.fields().iter().any(|field| field.kind == "email");
    let person = known.iter().find(has_address);
    html! {
        section aria-labelledby="try" {
            h2 #try { "Three questions to try" }
            ol.questions {
                @if let Some(metric) = rate {
                    @let by = metric.dimensions.first();
                    @let link = metrics::link_to(&metric.name).with("grain", "day");
                    li { a href=(link) {
                        span.question { (metric.label) @if let Some(by) = by { " by " (by) } ": who stands out?" }
                        span.hint { "A declared metric, with its chart" }
                        (icon::arrow())
                    } }
                }
                @if let Some((table, _, _)) = words {
                    li { a href=(search::link_to(table.name.as_str(), "handshake OR timeout OR error")) {
                        span.question { "What do the " (table.name.as_str()) " say about handshakes and errors?" }
                        span.hint { "Full-text search, newest first" }
                        (icon::arrow())
                    } }
                }
                @if let Some(table) = person {
                    li { form.question-form method="get" action="/_ui/search" {
                        label.question for="person" { "Is somebody with this e-mail address here?" }
                        span.hint { "The rows are found by the real address, though the store does not hold it" }
                        input type="hidden" name="table" value=(table.name.as_str());
                        div.question-row {
                            input id="person" name="q" type="email" placeholder="name@example.org" autocomplete="off" required;
                            button.button type="submit" { "Look up" }
                        }
                    } }
                }
            }
        }
    }
}

fn tables_panel(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    html! {
        section aria-labelledby="tables" {
            h2 #tables { "Tables" }
            @if known.is_empty() {
                (frame::no_tables(caller))
            } @else { (tables::overview(call, caller, known)) }
        }
    }
}

fn protection(call: &Call<'_>, caller: &Caller, known: &[Arc<Table>]) -> Markup {
    let counts = ClassCounts::of(known.iter().map(|table| &**table));
    html! {
        section.panel aria-labelledby="protection" {
            h2 #protection { (icon::shield()) " Protection" }
            @if counts.all() > 0 {
                p { (number::of(counts.all(), "field", "fields")) " in " a href="/_ui/tables" { (number::of(known.len() as u64, "table", "tables")) } "." }
                (counts.bar())
            }
            dl.classes {
                @for class in Class::ALL {
                    dt { (badge::class(class)) @if !known.is_empty() { span.num { (counts.class(class)) } } }
                    dd { (badge::meaning(class)) }
                }
                @if counts.withheld > 0 {
                    dt { span.badge.class-withheld { "withheld" } span.num { (counts.withheld) } }
                    dd { "Sealed and unread until a guardian rules." }
                }
                @if counts.unruled > 0 {
                    dt { span.badge.class-none { "not ruled" } span.num { (counts.unruled) } }
                    dd { "No value was seen yet." }
                }
            }
            (rotation(call, caller))
        }
    }
}

/// Under which key pseudonyms are, for those who may exchange it.
fn rotation(call: &Call<'_>, caller: &Caller) -> Markup {
    let Ok(rotation) = backend::rotation(&call.app.engine, caller) else { return html! {} };
    let count = |name: &str| rotation[name].as_u64().unwrap_or(0);
    html! {
        p.hint {
            "Pseudonyms are of epoch " (count("epoch"))
            @match rotation["state"].as_str() {
                Some("done") => ".",
                Some("renewing") => {
                    "; " (number::of(count("rows_renewed"), "row", "rows")) " of " (count("rows"))
                    " stand in epoch " (count("next_epoch")) " already, which begins for all at once."
                }
                _ => "; the key of the one before is being destroyed.",
            }
        }
    }
}

fn audit(call: &Call<'_>, caller: &Caller) -> Markup {
    let records = backend::audit_length(&call.app.engine, caller);
    html! {
        section.panel aria-labelledby="audit" {
            h2 #audit { (icon::record()) " Audit" }
            p { span.dot.good {} "Recording. Every read is on record before its answer leaves." }
            @if let Some(records) = records {
                p.hint { (number::of(records, "record", "records")) " so far. " @if let Some(last) = watch::last_checkpoint(call, caller) { (last) ". " } a href="/_ui/audit" { "Look into it" } "." }
            } @else {
                p.hint { "Your own reads are on it, too. Guardians read it." }
            }
        }
    }
}

fn who(caller: &Caller) -> Markup {
    let who = backend::who(caller);
    html! {
        section.panel aria-labelledby="who" {
            h2 #who { (icon::person()) " You" }
            dl.pairs {
                dt { "Name" } dd { (who.name) }
                dt { "Roles" } dd { @for role in &who.roles { span.badge { (role) } " " } }
            }
            ul.plain {
                @for role in &who.roles { li.hint { (may(role)) } }
            }
        }
    }
}

/// What a role may do, in one sentence.
fn may(role: &str) -> &'static str {
    match role {
        "analyst" => "Reads open fields and pseudonyms, counts special ones, declares metrics.",
        "engineer" => "Also makes, writes and drops tables.",
        "guardian" => "Rules on classes, approves, reads the audit record.",
        "administrator" => "Manages people and keys. No data by itself.",
        _ => "",
    }
}
