//! The web UI: pages rendered here, few small scripts, everything in the URL.

mod assets;
mod enrol;
mod login;

use crate::request::Verb::{Get, Post};
use crate::route::{Door, Reads, Route, Work};

/// The routes of the web UI.
pub(crate) fn routes() -> Vec<Route> {
    let route =
        |verbs, path, reads, work, params, door| Route { verbs, path, reads, work, params, door };
    vec![
        route(&[Get], "/_ui/login", Reads::Nothing, Work::Quick, &[], Door::Anyone(login::page)),
        route(&[Post], "/_ui/login", Reads::Form, Work::Quick, &[], Door::Anyone(login::log_in)),
        route(&[Get], "/_ui/enrol", Reads::Nothing, Work::Quick, &[], Door::Anyone(enrol::page)),
        route(&[Post], "/_ui/enrol", Reads::Form, Work::Quick, &[], Door::Anyone(enrol::enrol)),
        route(
            &[Get],
            "/_ui/assets/{file}",
            Reads::Nothing,
            Work::Quick,
            &["v"],
            Door::Anyone(assets::file),
        ),
        route(&[Post], "/_ui/logout", Reads::Form, Work::Quick, &[], Door::Known(login::log_out)),
    ]
}
