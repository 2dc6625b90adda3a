//! Search: one table, words, a range of time; hits, their histogram and their fields.

mod alert;
mod around;
mod as_sql;
mod complete;
mod condition;
mod fields;
mod histogram;
mod hits;
mod inspect;
mod mistake;
mod page;
mod question;
mod sheet;
mod tail;
mod value;

pub(super) use alert::{make as make_alert, page as alert};
pub(super) use around::page as around;
pub(super) use complete::suggestions;
pub(super) use fields::values;
pub(super) use page::page;
pub(super) use question::{PARAMS, PART_PARAMS, link_to};
pub(super) use sheet::{attachment, cell as csv_cell, download};
pub(super) use tail::{page as tail, rows as tail_rows};
pub(super) use value::is_stand_in;
