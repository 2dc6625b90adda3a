//! Dashboards: panels of metrics and saved searches side by side, under one range of time.
//!
//! A dashboard is a saved object and holds questions only. The page is the frame; each panel is
//! asked for by itself, under the rights of whoever looks, and says by itself what is wrong with
//! it.

mod add;
mod edit;
mod list;
mod panel;
mod search;
mod view;

pub(super) use add::{add, add_metric, add_search};
pub(super) use edit::{change_panel, copy, create, delete, restore, save_settings};
pub(super) use list::page as list;
pub(super) use panel::page as panel;
pub(super) use view::page as view;

use super::link::Link;
use crate::error::ApiError;
use engine::{Dashboard, Saved};

/// The parameters of a dashboard's page.
pub(super) const VIEW: &[&str] =
    &["from", "to", "where", "edit", "full", "refresh", "version", "done"];
/// Those of one of its panels.
pub(super) const PANEL: &[&str] = &["from", "to", "where", "version"];

/// Where a range begins if neither the dashboard nor somebody says so.
const USUAL_FROM: &str = "now-30d";

fn link_to(id: &str) -> Link {
    Link::to("/_ui/dashboards").part(id)
}

/// The content of a saved dashboard.
fn content(saved: &Saved) -> Result<Dashboard, ApiError> {
    Dashboard::read(&saved.body)
        .map_err(|_| ApiError::internal("a dashboard was saved that does not read"))
}
