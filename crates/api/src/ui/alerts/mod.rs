//! Alerts: how they are, each with its chart and its question, and the form that declares one.
//!
//! A chart is asked for and walked through as whoever looks at it. What was read as the author of
//! an alert (groups, numbers, what was told) is shown to the author alone.

mod chart;
mod draft;
mod edit;
mod list;
mod page;
mod state;
mod watching;

pub(super) use draft::FIELDS;
pub(super) use edit::{page as new, save};
pub(super) use list::page as list;
pub(super) use page::{delete, look, page, silence};
pub(super) use watching::{Watching, create_link};

use super::link::Link;

/// The parameters of an alert's page.
pub(super) const PAGE: &[&str] = &["from", "to", "done"];

/// Where one alert is shown.
fn link_to(name: &str) -> Link {
    Link::to("/_ui/alerts").part(name)
}
