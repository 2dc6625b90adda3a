//! The web UI: pages rendered here, few small scripts, everything in the URL.
//!
//! It has no rights of its own: every page asks through `backend` as the person who looks at it.
//! [`Reply::page`](crate::reply::Reply::page) gives every page its content security policy; so
//! there is no inline script and no `style` attribute anywhere below.

mod account;
mod alerts;
mod assets;
mod audit;
mod badge;
mod changes;
mod copies;
mod dashboards;
mod enrol;
mod form;
mod frame;
mod home;
mod icon;
mod link;
mod login;
mod metrics;
mod number;
mod oidc;
mod present;
mod qr;
mod rulings;
mod saved;
mod search;
mod shown;
mod sql;
mod tables;
mod time_range;
mod watch;

pub(crate) use frame::failure_page as failure;
pub(crate) use login::address as login_address;

use crate::request::Verb::{Get, Post};
use crate::route::{Door, Reads, Route, Work};

/// The routes of the web UI.
#[rustfmt::skip] // A table is read by its columns.
pub(crate) fn routes() -> Vec<Route> {
    use Door::{Anyone, Known};
    use Reads::{Form, Nothing};
    use Work::{Question, Quick, Write};
    let route = |verbs, path, reads, work, params, door| Route { verbs, path, reads, work, params, door };
    vec![
        route(&[Get],  "/_ui/login",          Nothing, Quick,    &["next"],       Anyone(login::page)),
        route(&[Post], "/_ui/login",          Form,    Quick,    &[],             Anyone(login::log_in)),
        route(&[Post], "/_ui/login/key",      Form,    Quick,    &[],             Anyone(login::ask_key)),
        route(&[Get],  "/_ui/oidc",           Nothing, Write,    &[],             Anyone(oidc::begin)),
        route(&[Get],  "/_ui/oidc/callback",  Nothing, Write,    oidc::PARAMS,    Anyone(oidc::finish)),
        route(&[Get],  "/_ui/enrol",          Nothing, Quick,    &[],             Anyone(enrol::page)),
        route(&[Post], "/_ui/enrol",          Form,    Quick,    &[],             Anyone(enrol::enrol)),
        route(&[Get],  "/_ui/assets/{file}",  Nothing, Quick,    &["v"],          Anyone(assets::file)),
        route(&[Post], "/_ui/logout",         Form,    Quick,    &[],             Known(login::log_out)),
        route(&[Get],  "/_ui",                Nothing, Question, &[],             Known(home::page)),
        route(&[Get],  "/_ui/metrics",        Nothing, Quick,    &["q"],          Known(metrics::list)),
        route(&[Get],  "/_ui/metrics/{name}", Nothing, Question, metrics::PARAMS, Known(metrics::page)),
        route(&[Get],  "/_ui/metrics/{name}/card", Nothing, Question, &[],        Known(metrics::card_numbers)),
        route(&[Get],  "/_ui/metrics/{name}/svg", Nothing, Question, metrics::PARAMS, Known(metrics::svg)),
        route(&[Get],  "/_ui/metrics/{name}/csv", Nothing, Question, metrics::PARAMS, Known(metrics::csv)),
        route(&[Get],  "/_ui/alerts",         Nothing, Quick,    &["done"],       Known(alerts::list)),
        route(&[Get],  "/_ui/new-alert",      Nothing, Question, alerts::FIELDS,  Known(alerts::new)),
        route(&[Post], "/_ui/new-alert",      Form,    Question, &[],             Known(alerts::save)),
        route(&[Get],  "/_ui/alerts/{name}",  Nothing, Question, alerts::PAGE,    Known(alerts::page)),
        route(&[Post], "/_ui/alerts/{name}/look", Form, Question, &[],            Known(alerts::look)),
        route(&[Post], "/_ui/alerts/{name}/silence", Form, Write, &[],            Known(alerts::silence)),
        route(&[Post], "/_ui/alerts/{name}/delete", Form, Write, &[],             Known(alerts::delete)),
        route(&[Get],  "/_ui/dashboards",     Nothing, Quick,    &[],             Known(dashboards::list)),
        route(&[Post], "/_ui/dashboards",     Form,    Write,    &[],             Known(dashboards::create)),
        route(&[Post], "/_ui/dashboards/add", Form,    Write,    &[],             Known(dashboards::add)),
        route(&[Get],  "/_ui/dashboards/{id}", Nothing, Question, dashboards::VIEW, Known(dashboards::view)),
        route(&[Get],  "/_ui/dashboards/{id}/panels/{place}", Nothing, Question, dashboards::PANEL, Known(dashboards::panel)),
        route(&[Post], "/_ui/dashboards/{id}/panels/{place}", Form, Write, &[],   Known(dashboards::change_panel)),
        route(&[Post], "/_ui/dashboards/{id}/settings", Form, Write, &[],         Known(dashboards::save_settings)),
        route(&[Post], "/_ui/dashboards/{id}/copy", Form, Write, &[],             Known(dashboards::copy)),
        route(&[Post], "/_ui/dashboards/{id}/restore", Form, Write, &[],          Known(dashboards::restore)),
        route(&[Post], "/_ui/dashboards/{id}/delete", Form, Write, &[],           Known(dashboards::delete)),
        route(&[Get],  "/_ui/search",         Nothing, Question, search::PARAMS,  Known(search::page)),
        route(&[Get],  "/_ui/search/values",  Nothing, Question, search::PARAMS,  Known(search::values)),
        route(&[Get],  "/_ui/search/complete", Nothing, Question, search::PART_PARAMS, Known(search::suggestions)),
        route(&[Get],  "/_ui/search/around",  Nothing, Question, search::PART_PARAMS, Known(search::around)),
        route(&[Get],  "/_ui/search/csv",     Nothing, Question, search::PART_PARAMS, Known(search::download)),
        route(&[Get],  "/_ui/search/tail",    Nothing, Question, search::PART_PARAMS, Known(search::tail)),
        route(&[Get],  "/_ui/search/tail/rows", Nothing, Question, search::PART_PARAMS, Known(search::tail_rows)),
        route(&[Get],  "/_ui/search/alert",   Nothing, Question, search::PART_PARAMS, Known(search::alert)),
        route(&[Post], "/_ui/search/alert",   Form,    Write,    &[],             Known(search::make_alert)),
        route(&[Get],  "/_ui/saved",          Nothing, Quick,    &[],             Known(saved::list)),
        route(&[Post], "/_ui/saved",          Form,    Write,    &[],             Known(saved::save)),
        route(&[Get],  "/_ui/saved/{id}",     Nothing, Quick,    &[],             Known(saved::open)),
        route(&[Post], "/_ui/saved/{id}",     Form,    Write,    &[],             Known(saved::change)),
        route(&[Post], "/_ui/saved/{id}/copy", Form,   Write,    &[],             Known(saved::copy)),
        route(&[Post], "/_ui/saved/{id}/delete", Form, Write,    &[],             Known(saved::delete)),
        route(&[Get],  "/_ui/sql",            Nothing, Question, sql::PARAMS,     Known(sql::page)),
        route(&[Get],  "/_ui/sql/csv",        Nothing, Question, sql::PARAMS,     Known(sql::download)),
        route(&[Get],  "/_ui/copies",         Nothing, Quick,    &[],             Known(copies::list)),
        route(&[Get],  "/_ui/copies/{name}",  Nothing, Quick,    copies::VIEW,    Known(copies::view)),
        route(&[Post], "/_ui/copies/{name}/pause", Form, Write,  &[],             Known(copies::pause)),
        route(&[Post], "/_ui/copies/{name}/resume", Form, Write, &[],             Known(copies::resume)),
        route(&[Post], "/_ui/copies/{name}/resnapshot", Form, Write, &[],         Known(copies::resnapshot)),
        route(&[Get],  "/_ui/tables",         Nothing, Question, &[],             Known(tables::list)),
        route(&[Get],  "/_ui/tables/{index}", Nothing, Quick,    &[],             Known(tables::page)),
        route(&[Get],  "/_ui/account",        Nothing, Quick,    &["done"],       Known(account::page)),
        route(&[Post], "/_ui/account/app",    Form,    Write,    &[],             Known(account::begin)),
        route(&[Post], "/_ui/account/app/confirm", Form, Write,  &[],             Known(account::confirm)),
        route(&[Post], "/_ui/account/app/remove", Form, Write,   &[],             Known(account::remove)),
        route(&[Post], "/_ui/account/keys/{id}/remove", Form, Write, &[],         Known(account::remove_key)),
        route(&[Get],  "/_ui/access",         Nothing, Quick,    changes::ACCESS, Known(changes::access)),
        route(&[Get],  "/_ui/changes",        Nothing, Quick,    &[],             Known(changes::list)),
        route(&[Get],  "/_ui/changes/new",    Nothing, Quick,    changes::NEW,    Known(changes::new)),
        route(&[Post], "/_ui/changes/new",    Form,    Write,    &[],             Known(changes::propose)),
        route(&[Get],  "/_ui/changes/glass",  Nothing, Quick,    changes::NEW,    Known(changes::glass)),
        route(&[Post], "/_ui/changes/glass",  Form,    Write,    &[],             Known(changes::break_glass)),
        route(&[Get],  "/_ui/changes/{id}",   Nothing, Quick,    changes::SHOW,   Known(changes::show)),
        route(&[Post], "/_ui/changes/{id}/approve", Form, Write, &[],             Known(changes::approve)),
        route(&[Post], "/_ui/changes/{id}/reject", Form, Write,  &[],             Known(changes::reject)),
        route(&[Post], "/_ui/changes/{id}/withdraw", Form, Write, &[],            Known(changes::withdraw)),
        route(&[Get],  "/_ui/rulings",        Nothing, Question, rulings::QUEUE,  Known(rulings::list)),
        route(&[Post], "/_ui/rulings",        Form,    Write,    &[],             Known(rulings::agree)),
        route(&[Get],  "/_ui/rulings/{index}/{field}", Nothing, Question, rulings::FIELD, Known(rulings::page)),
        route(&[Post], "/_ui/rulings/{index}/{field}", Form, Write, &[],          Known(rulings::rule)),
        route(&[Get],  "/_ui/audit",          Nothing, Question, audit::LIST,     Known(audit::list)),
        route(&[Get],  "/_ui/audit/{id}",     Nothing, Question, &[],             Known(audit::record)),
        route(&[Get],  "/_ui/exposure",       Nothing, Question, audit::EXPOSURE, Known(audit::exposure)),
        route(&[Post], "/_ui/exposure",       Form,    Question, &[],             Known(audit::ask_exposure)),
        route(&[Get],  "/_ui/{page}",         Nothing, Quick,    &[],             Known(frame::missing)),
    ]
}
