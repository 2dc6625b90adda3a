//! Copies of production data: how each is, how far behind, and what can be done with it.

mod act;
mod lag;
mod list;
mod state;
mod view;

pub(super) use act::{pause, resnapshot, resume};
pub(super) use list::page as list;
pub(super) use view::page as view;

use super::link::Link;
use crate::backend;
use engine::{Action, Caller};

/// The parameters of a copy's page.
pub(super) const VIEW: &[&str] = &["done"];

/// How often a page asks how copies are, without the whole page again.
const ASKED_EVERY: &str = "every 3s";

fn link_to(name: &str) -> Link {
    Link::to("/_ui/copies").part(name)
}

/// Whether the caller may do more than look; the copies themselves decide.
fn may_act(caller: &Caller) -> bool {
    backend::may(caller, Action::Write) && backend::may(caller, Action::CreateTable)
}
