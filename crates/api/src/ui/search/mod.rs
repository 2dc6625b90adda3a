//! Search: one table, words, a range of time; hits, their histogram and their fields.

mod fields;
mod histogram;
mod hits;
mod page;
mod question;
mod value;

pub(super) use fields::values;
pub(super) use page::page;
pub(super) use question::{PARAMS, link_to};
