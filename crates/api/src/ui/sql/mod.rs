//! SQL: an editor, the rows of the answer, and a chart where they make one.

mod chart;
mod page;

pub(super) use page::{PARAMS, download, page};
