//! All alerts, those that need a person first.

use super::link_to;
use super::state::{badge, condition, groups, next_step, silence, worst};
use crate::backend;
use crate::error::Answer;
use crate::route::Call;
use crate::ui::form::asked;
use crate::ui::frame::{self, Page, Section};
use crate::ui::icon;
use crate::ui::metrics::{self, Declared};
use crate::ui::shown::{list, text, time};
use engine::{Action, Caller};
use maud::{Markup, html};
use serde_json::Value;

/// `GET /_ui/alerts`.
pub(in crate::ui) fn page(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Alerts, || {
        let engine = &call.app.engine;
        let told = backend::alerts(engine, caller)?;
        let declared = metrics::declared(engine, caller)?;
        let mut alerts: Vec<&Value> = list(&told, "alerts").iter().collect();
        alerts.sort_by_key(|alert| urgency(alert));
        let content = html! {
            (head(caller))
            @if asked(call.request, "done").is_some() {
                p.notice.good role="status" { "The alert is removed. Its history stays on record." }
            }
            @if alerts.is_empty() { (none(caller, declared.is_empty())) }
            @else { (table(&alerts, &declared)) }
        };
        Ok(Page::new(caller, Section::Alerts, "Alerts").reply(content))
    })
}

fn head(caller: &Caller) -> Markup {
    html! {
        div.page-head.with-actions {
            div {
                h1 { "Alerts" }
                p.sub { "Each looks at a metric under its author's rights, and tells people when it is not where it should be." }
            }
            @if backend::may(caller, Action::DefineMetric) {
                div.actions { a.button.primary href="/_ui/new-alert" { (icon::plus()) "New alert" } }
            }
        }
    }
}

/// The state whose alerts somebody has to look at first.
fn urgency(alert: &Value) -> u8 {
    match text(alert, "state") {
        "firing" if !alert["silence"].is_object() => 0,
        "stopped" => 1,
        "firing" => 2,
        "pending" => 3,
        _ if !text(alert, "trouble").is_empty() => 1,
        _ => 4,
    }
}

fn none(caller: &Caller, has_no_metric: bool) -> Markup {
    let next = match (has_no_metric, backend::may(caller, Action::DefineMetric)) {
        (true, _) => html! {
            "An alert looks at a metric, and none is declared yet: " code { "clerestory metric apply FILE" } "."
        },
        (false, true) => html! {
            "Open a " a href="/_ui/metrics" { "metric" } " and choose " em { "Create alert" } ", or " a href="/_ui/new-alert" { "begin here" } "."
        },
        (false, false) => html! { "Your roles do not let you declare one. An analyst does." },
    };
    frame::empty("No alert yet", next)
}

fn table(alerts: &[&Value], declared: &[Declared]) -> Markup {
    html! {
        div.framed.scroll-x {
            table.grid.roomy.stacks.alerts {
                caption.unseen { "Alerts, those that need a person first" }
                thead { tr {
                    th scope="col" { "Alert" } th scope="col" { "State" } th scope="col" { "Since" }
                    th scope="col" { "Fires" } th.num scope="col" { "Value" } th scope="col" { "When it is" }
                    th scope="col" { "Next step" }
                } }
                tbody { @for alert in alerts {
                    @let metric = declared.iter().find(|metric| metric.name == text(alert, "metric"));
                    tr {
                        th scope="row" {
                            a href=(link_to(text(alert, "name"))) { (text(alert, "label")) }
                            span.hint.block { (metric.map_or(text(alert, "metric"), |metric| metric.label.as_str())) ", of " (text(alert, "author")) }
                        }
                        td data-label="State" { (badge(alert)) }
                        td data-label="Since" { @if text(alert, "since").is_empty() { "–" } @else { (time(text(alert, "since"))) } }
                        td data-label="Fires" { (groups(alert)) }
                        td.num data-label="Value" { (worst(alert, metric)) }
                        td.why data-label="When it is" { (condition(&alert["rule"], metric)) }
                        td.why data-label="Next step" {
                            @if alert["silence"].is_object() { (silence(alert)) ". " }
                            (next_step(alert))
                        }
                    }
                } }
            }
        }
        p.hint.below {
            "Values are those of the group that is furthest off, and shown to the author of an alert; the chart of each shows everybody what they may see. The same list: "
            code { "clerestory alert list" } "."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_needs_a_person_stands_first() {
        let of = |state: &str| json!({ "state": state });
        let silenced = json!({ "state": "firing", "silence": {} });
        let troubled = json!({ "state": "quiet", "trouble": "x" });
        let order = [of("firing"), of("stopped"), silenced, of("pending"), of("quiet")];
        let order: Vec<u8> = order.iter().map(urgency).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        assert_eq!(urgency(&troubled), urgency(&of("stopped")));
    }
}
