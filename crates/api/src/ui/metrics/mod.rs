//! Metrics: what is declared, and each as a chart with the same numbers in a table under it.

mod answer;
mod declared;
mod list;
mod numbers;
mod page;
mod spark;

pub(super) use declared::{Declared, declared};
pub(super) use list::list;
pub(super) use page::{PARAMS, link_to, page};
