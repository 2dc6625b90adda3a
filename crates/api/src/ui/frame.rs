//! What stands around every page: head, navigation, who is logged in; and pages for bad news.

use super::link::Link;
use super::{assets, icon};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use engine::{Action, Caller};
use hyper::StatusCode;
use maud::{DOCTYPE, Markup, html};

/// No script or style out of an answer, no other host, and no page kept in the browser's storage,
/// where it would outlive the session.
const HTMX: &str = r#"{"allowEval":false,"allowScriptTags":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"refreshOnHistoryMiss":true}"#;

/// The parts of the UI that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Search,
    Sql,
    Metrics,
    Alerts,
    Dashboards,
    Tables,
    Copies,
    Changes,
    Access,
    Rulings,
    Audit,
    Exposure,
    Account,
}

impl Section {
    /// Where people ask.
    const ASKING: [Section; 7] = [
        Section::Home,
        Section::Search,
        Section::Sql,
        Section::Metrics,
        Section::Alerts,
        Section::Dashboards,
        Section::Tables,
    ];
    /// Where people watch over what is asked.
    const WATCHING: [Section; 6] = [
        Section::Copies,
        Section::Changes,
        Section::Access,
        Section::Rulings,
        Section::Audit,
        Section::Exposure,
    ];

    /// Whether it has anything for somebody; the pages themselves decide.
    fn is_for(self, caller: &Caller) -> bool {
        let any = |actions: &[Action]| actions.iter().any(|action| backend::may(caller, *action));
        match self {
            Section::Copies => any(&[Action::Rule, Action::CreateTable]),
            Section::Rulings => any(&[Action::Rule]),
            Section::Changes => {
                any(&[Action::ManagePeople, Action::Approve, Action::Rule, Action::Audit])
            }
            Section::Access => any(&[Action::ManagePeople, Action::Approve, Action::Audit]),
            Section::Audit | Section::Exposure => any(&[Action::Audit]),
            _ => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Section::Home => "Home",
            Section::Search => "Search",
            Section::Sql => "SQL",
            Section::Metrics => "Metrics",
            Section::Alerts => "Alerts",
            Section::Dashboards => "Dashboards",
            Section::Tables => "Tables",
            Section::Copies => "Copies",
            Section::Changes => "Changes",
            Section::Access => "Access",
            Section::Rulings => "Rulings",
            Section::Audit => "Audit",
            Section::Exposure => "Exposure",
            Section::Account => "Account",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Section::Home => "/_ui",
            Section::Search => "/_ui/search",
            Section::Sql => "/_ui/sql",
            Section::Metrics => "/_ui/metrics",
            Section::Alerts => "/_ui/alerts",
            Section::Dashboards => "/_ui/dashboards",
            Section::Tables => "/_ui/tables",
            Section::Copies => "/_ui/copies",
            Section::Changes => "/_ui/changes",
            Section::Access => "/_ui/access",
            Section::Rulings => "/_ui/rulings",
            Section::Audit => "/_ui/audit",
            Section::Exposure => "/_ui/exposure",
            Section::Account => "/_ui/account",
        }
    }

    fn icon(self) -> Markup {
        match self {
            Section::Home => icon::home(),
            Section::Search => icon::search(),
            Section::Sql => icon::terminal(),
            Section::Metrics => icon::metrics(),
            Section::Alerts => icon::bell(),
            Section::Dashboards => icon::dashboard(),
            Section::Tables => icon::tables(),
            Section::Copies => icon::copies(),
            Section::Changes => icon::change(),
            Section::Access => icon::key(),
            Section::Rulings => icon::ruling(),
            Section::Audit => icon::record(),
            Section::Exposure => icon::eye(),
            Section::Account => icon::person(),
        }
    }
}

/// A page for somebody who is logged in.
pub(super) struct Page<'a> {
    /// Who looks at it.
    pub(super) caller: &'a Caller,
    /// Where it belongs.
    pub(super) section: Section,
    /// What the browser's tab says.
    pub(super) title: &'a str,
    /// Whether it draws charts.
    pub(super) has_chart: bool,
    /// Whether it stands alone on a screen, without navigation.
    pub(super) is_full: bool,
}

impl<'a> Page<'a> {
    /// A page without charts.
    pub(super) fn new(caller: &'a Caller, section: Section, title: &'a str) -> Page<'a> {
        Page { caller, section, title, has_chart: false, is_full: false }
    }

    /// The whole page.
    pub(super) fn reply(&self, content: Markup) -> Reply {
        let page = document(
            self.title,
            self.has_chart,
            if self.is_full { "app full" } else { "app" },
            html! {
                a.skip href="#content" { "Skip to content" }
                @if !self.is_full { (self.side()) }
                main #content tabindex="-1" { (content) }
            },
        );
        Reply::page(page)
    }

    fn links(&self, sections: &[Section]) -> Markup {
        let mut sections = sections.iter().filter(|section| section.is_for(self.caller)).peekable();
        html! {
            @if sections.peek().is_some() {
                ul {
                    @for section in sections {
                        li {
                            a href=(section.path())
                                aria-current=[(*section == self.section).then_some("page")] {
                                (section.icon()) span { (section.name()) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn side(&self) -> Markup {
        let who = backend::who(self.caller);
        html! {
            header.side {
                a.brand href="/_ui" { (icon::mark()) span { "Clerestory" } }
                nav aria-label="Pages" {
                    (self.links(&Section::ASKING))
                    (self.links(&Section::WATCHING))
                }
                div.who {
                    span.who-icon { (icon::person()) }
                    div.who-text {
                        a.who-name href="/_ui/account" title="Your account"
                            aria-current=[(self.section == Section::Account).then_some("page")] { (who.name) }
                        span.who-roles { (who.roles.join(", ")) }
                    }
                    form method="post" action="/_ui/logout" {
                        button.icon-button type="submit" title="Log out" aria-label="Log out" { (icon::leave()) }
                    }
                }
            }
        }
    }
}

/// A page of HTML with our style and scripts. `kind` becomes the class of the body.
pub(super) fn document(title: &str, has_chart: bool, kind: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Clerestory" }
                link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
                @if has_chart {
                    link rel="stylesheet" href=(assets::address("uplot.css"));
                }
                link rel="stylesheet" href=(assets::address("app.css"));
                link rel="stylesheet" href=(assets::address("data.css"));
                link rel="stylesheet" href=(assets::address("watch.css"));
                link rel="stylesheet" href=(assets::address("search.css"));
                link rel="stylesheet" href=(assets::address("board.css"));
                @if has_chart {
                    script defer src=(assets::address("uplot.js")) {}
                    script defer src=(assets::address("chart.js")) {}
                }
                script defer src=(assets::address("htmx.js")) {}
                script defer src=(assets::address("app.js")) {}
                script defer src=(assets::address("search.js")) {}
                script defer src=(assets::address("keys.js")) {}
            }
            body class=(kind) { (body) }
        }
    };
    page.into_string()
}

/// Gives the page, or a page that says why there is none and what to do.
pub(super) fn guarded(caller: &Caller, section: Section, page: impl FnOnce() -> Answer) -> Answer {
    page().or_else(|error| {
        let status = error.status();
        if let Some(detail) = error.detail() {
            tracing::error!(detail, "page failed");
        }
        let title = failure_title(status);
        let content = html! {
            div.page-head { h1 { (title) } }
            (failure(&error))
        };
        Ok(Page::new(caller, section, title).reply(content).with_status(status))
    })
}

/// `GET /_ui/{page}` for pages that do not exist.
pub(super) fn missing(_call: &crate::route::Call<'_>, caller: &Caller) -> Answer {
    guarded(caller, Section::Home, || Err(ApiError::not_found("There is no such page.")))
}

/// A page of its own that says what went wrong before any page was chosen.
pub(crate) fn failure_page(error: &ApiError) -> Reply {
    let title = failure_title(error.status());
    let page = document(
        title,
        false,
        "door",
        html! {
            main.door-card {
                a.brand href="/_ui" { (icon::mark()) span { "Clerestory" } }
                h1 { (title) }
                (failure(error))
                p.hint { a href="/_ui" { "Go to the first page" } }
            }
        },
    );
    Reply::page(page).with_status(error.status())
}

fn failure_title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::TOO_MANY_REQUESTS => "Too busy",
        status if status.is_client_error() => "That does not work",
        StatusCode::SERVICE_UNAVAILABLE => "Not available",
        _ => "Something broke",
    }
}

/// What went wrong, and the next step.
pub(super) fn failure(error: &ApiError) -> Markup {
    let next = match error.status() {
        StatusCode::FORBIDDEN => "Ask an administrator for a role that covers this.",
        StatusCode::NOT_FOUND => {
            "It does not exist, or you may not know of it. Pick one that is listed."
        }
        StatusCode::TOO_MANY_REQUESTS => "Wait a moment and load the page again.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "Without its audit record or its catalog the server does not answer. Ask whoever runs \
             it to look into its log."
        }
        status if status.is_client_error() => "Change the question and try again.",
        _ => "Load the page again. If it stays, the server's log has the cause.",
    };
    let state = failure_state(error.status());
    html! {
        div class={ "notice " (state) } data-state=(state) role="alert" {
            p.notice-title {
                @if state == "no-permission" { (icon::lock()) }
                (sentence(error.reason()))
            }
            p { (next) }
        }
    }
}

/// What kind of bad news it is: what may not be seen looks other than what went wrong.
fn failure_state(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "no-permission",
        StatusCode::NOT_FOUND => "missing",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "busy",
        _ => "bad",
    }
}

/// A message as a sentence begins.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// There is no table for `caller`, and why that may be.
pub(super) fn no_tables(caller: &Caller) -> Markup {
    let roles = backend::who(caller).roles;
    let reads = roles.iter().any(|role| ["analyst", "engineer", "guardian"].contains(role));
    if reads {
        return empty(
            "No table yet",
            html! {
                "Load one: " code { "clerestory load --to TABLE FILE" }
                ", or send documents to " code { "POST /TABLE/_bulk" } "."
            },
        );
    }
    html! {
        div.empty.no-permission data-state="no-permission" {
            p.empty-title { (icon::lock()) "Your roles do not read data" }
            p {
                "Whoever asks for numbers and rows needs the role analyst, engineer or guardian. "
                "An administrator gives it: " code { "clerestory user" } "."
            }
        }
    }
}

/// A place where there is nothing, with the next step.
pub(super) fn empty(title: &str, next: Markup) -> Markup {
    html! { div.empty data-state="empty" { p.empty-title { (title) } p { (next) } } }
}

/// Code to copy, folded away.
pub(super) fn code_box(title: &str, code: &str) -> Markup {
    html! {
        details.code-box {
            summary { (title) }
            (code_frame(code))
        }
    }
}

/// Code with a button that copies it.
pub(super) fn code_frame(code: &str) -> Markup {
    html! {
        div.code-frame {
            button.button.copy type="button" data-copy { "Copy" }
            pre tabindex="0" { code { (code) } }
        }
    }
}

/// How to ask the same from a terminal.
pub(super) fn as_curl(command: &str) -> Markup {
    html! {
        details.code-box {
            summary { "As curl" }
            (code_frame(command))
            p.hint {
                "Asks under your name, with an API key of yours: "
                code { "clerestory key create shell" } "."
            }
        }
    }
}

/// A `curl` of a JSON body to a path of this server.
pub(super) fn curl(host: &str, secure: bool, method: &str, path: &Link, body: &str) -> String {
    let scheme = if secure { "https" } else { "http" };
    let body = body.replace('\'', r"'\''");
    format!(
        "curl -s -X {method} '{scheme}://{host}{path}' \\\n  \
         -H \"Authorization: ApiKey $CLERESTORY_API_KEY\" \\\n  \
         -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

/// The host that the browser asked.
pub(super) fn host(request: &crate::request::Request) -> String {
    let host = request.headers.get(hyper::header::HOST).and_then(|host| host.to_str().ok());
    let is_plain = |host: &&str| {
        host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c)) && !host.is_empty()
    };
    host.filter(is_plain).unwrap_or("127.0.0.1:9200").to_owned()
}
