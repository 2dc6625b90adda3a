//! Scrolls: `_search?scroll=1m` and the pages after it.

use super::{Holds, Kind, keep_alive, missing};
use crate::read::{Wanted, release};
use crate::{Engine, EngineError};
use model::{Table, TableId, Timestamp};
use parking_lot::Mutex;
use protection::Released;
use protection::caller::Caller;
use protection::grant::Action;
use query::Limits;
use query::elasticsearch::{Place, SearchRequest};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// One scroll.
pub(super) struct Scroll {
    tables: Vec<TableId>,
    request: SearchRequest,
    /// What date math starts from, on every page.
    now: Timestamp,
    /// Where the last page ended; `None`: it had no row, so nothing follows.
    place: Option<Place>,
    pages: u64,
}

impl Engine {
    /// The first page of a scroll.
    pub(crate) fn open_scroll(
        &self,
        caller: &Caller,
        tables: &[Arc<Table>],
        request: SearchRequest,
        length: &str,
    ) -> Result<Released<Json>, EngineError> {
        let now = self.clock.now();
        let until = keep_alive::until(length, "scroll", now, now)?;
        let ids: Vec<TableId> = tables.iter().map(|table| table.id).collect();
        let wanted = Wanted {
            action: Action::Read,
            tables,
            shape: format!("scroll page 1 {}", request.shape()),
            uses: request.uses(tables),
        };
        let (scope, point) = self.scope_held(caller, wanted, until)?;
        let limits = Limits::standard();
        let (answer, place) = request.run_page(&scope, &self.pseudonyms, &limits, now)?;
        let scroll = Scroll { tables: ids, request, now, place, pages: 1 };
        let holds = Holds::Scroll(point, Mutex::new(scroll));
        let id = self.cursors.open(caller, until, now, holds)?;
        let rows = rows_of(&answer);
        release(&scope, with_first("_scroll_id", &id, answer), rows).inspect_err(|_| {
            self.cursors.close(caller, Kind::Scroll, &id, now);
        })
    }

    /// The next page of a scroll, which then lives for `length` from now, if it is given. A page
    /// that fails is given when it is asked for again.
    ///
    /// # Errors
    /// 404 if the scroll is over or not the caller's; else as of a search.
    pub fn scroll(
        &self,
        caller: &Caller,
        id: &str,
        length: Option<&str>,
    ) -> Result<Released<Json>, EngineError> {
        self.in_one_epoch(|| self.scroll_once(caller, id, length))
    }

    fn scroll_once(
        &self,
        caller: &Caller,
        id: &str,
        length: Option<&str>,
    ) -> Result<Released<Json>, EngineError> {
        let now = self.clock.now();
        let cursor = self.cursors.find(caller, Kind::Scroll, id, now)?;
        let Holds::Scroll(point, scroll) = &cursor.holds else {
            return Err(missing(Kind::Scroll));
        };
        if let Some(length) = length {
            cursor.extend(keep_alive::until(length, "scroll", point.opened(), now)?);
        }
        let mut scroll = scroll.lock();
        let tables = self.tables_of_cursor(caller, &scroll.tables)?;
        let request = match &scroll.place {
            Some(place) => scroll.request.after(place),
            None => scroll.request.without_rows(),
        };
        let wanted = Wanted {
            action: Action::Read,
            tables: &tables,
            shape: format!("scroll page {} {}", scroll.pages + 1, request.shape()),
            uses: request.uses(&tables),
        };
        let scope = self.scope_at(caller, wanted, point)?;
        let limits = Limits::standard();
        let (answer, place) = request.run_page(&scope, &self.pseudonyms, &limits, scroll.now)?;
        let rows = rows_of(&answer);
        let released = release(&scope, with_first("_scroll_id", id, answer), rows)?;
        scroll.place = place;
        scroll.pages += 1;
        Ok(released)
    }

    /// Ends scrolls of the caller, with `_all` every one; says how many.
    pub fn close_scrolls(&self, caller: &Caller, ids: &[String]) -> usize {
        let now = self.clock.now();
        if ids.iter().any(|id| id == "_all") {
            return self.cursors.close_all(caller, Kind::Scroll, now);
        }
        ids.iter().filter(|id| self.cursors.close(caller, Kind::Scroll, id, now)).count()
    }
}

pub(super) fn rows_of(answer: &Json) -> u64 {
    answer.pointer("/hits/hits").and_then(Json::as_array).map_or(0, Vec::len) as u64
}

/// The answer with one member more, before the others.
pub(super) fn with_first(name: &str, value: &str, answer: Json) -> Json {
    let mut members = Map::new();
    members.insert(name.to_owned(), json!(value));
    if let Json::Object(rest) = answer {
        members.extend(rest);
    }
    Json::Object(members)
}
