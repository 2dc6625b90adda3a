//! Saved searches: questions of the pages Search and SQL that somebody keeps under a name.
//!
//! One holds the parameters of a page's address and no answer. Opening one leads to that page, which
//! asks under the rights of whoever looks.

mod bar;
mod change;
mod kept;
mod list;

pub(super) use bar::{bar, save_form};
pub(super) use change::{change, copy, delete, open, save};
pub(super) use kept::Kept;
pub(super) use list::page as list;

use super::link::Link;

/// The link to a saved search: for whom it is shared with, too.
fn link_to(id: &str) -> Link {
    Link::to("/_ui/saved").part(id)
}
