//! Points in time: `_pit`, and searches that name one.

use super::scroll::{rows_of, with_first};
use super::{Holds, Kind, keep_alive, missing};
use crate::read::{Wanted, release};
use crate::{Engine, EngineError};
use model::TableId;
use protection::Released;
use protection::caller::Caller;
use protection::grant::Action;
use query::Limits;
use query::elasticsearch::{Pit, SearchRequest};
use serde_json::Value as Json;

impl Engine {
    /// Opens a point in time over the tables of an expression; gives its id. Nothing is read, but
    /// only who may count rows opens one, and it is recorded.
    ///
    /// # Errors
    /// If there is no such table, the caller may not read it, the length is none, or too many are
    /// open.
    pub fn open_point_in_time(
        &self,
        caller: &Caller,
        expression: &str,
        length: &str,
    ) -> Result<Released<String>, EngineError> {
        let now = self.clock.now();
        let until = keep_alive::until(length, "keep_alive", now, now)?;
        let tables = self.resolve(caller, expression)?;
        let wanted = Wanted {
            action: Action::Count,
            tables: &tables,
            shape: "open point in time".to_owned(),
            uses: Vec::new(),
        };
        let (scope, point) = self.scope_held(caller, wanted, until)?;
        let id = self.cursors.open(caller, until, now, Holds::Pit(point))?;
        Ok(scope.permit.release(id, 0, 0)?)
    }

    /// Ends a point in time of the caller; says whether there was one.
    pub fn close_point_in_time(&self, caller: &Caller, id: &str) -> bool {
        self.cursors.close(caller, Kind::Pit, id, self.clock.now())
    }

    /// A search over what there was at a point in time.
    pub(crate) fn search_at(
        &self,
        caller: &Caller,
        request: &SearchRequest,
        pit: &Pit,
    ) -> Result<Released<Json>, EngineError> {
        let now = self.clock.now();
        let cursor = self.cursors.find(caller, Kind::Pit, &pit.id, now)?;
        let Holds::Pit(point) = &cursor.holds else { return Err(missing(Kind::Pit)) };
        if !point.is_held() {
            return Err(missing(Kind::Pit));
        }
        if let Some(length) = &pit.keep_alive {
            cursor.extend(keep_alive::until(length, "keep_alive", point.opened(), now)?);
        }
        let ids: Vec<TableId> = point.tables();
        let tables = self.tables_of_cursor(caller, &ids)?;
        let action = if request.shows_rows() { Action::Read } else { Action::Aggregate };
        let wanted = Wanted {
            action,
            tables: &tables,
            shape: format!("at a point in time {}", request.shape()),
            uses: request.uses(&tables),
        };
        let scope = self.scope_at(caller, wanted, point)?;
        let answer = request.run(&scope, &self.pseudonyms, &Limits::standard(), now)?;
        let rows = rows_of(&answer);
        release(&scope, with_first("pit_id", &pit.id, answer), rows)
    }
}
