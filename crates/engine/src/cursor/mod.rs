//! Cursors: scrolls, points in time, and searches that go on in the background.
//!
//! What a cursor keeps is which rows there were ([`storage::Point`]) and how far it came, or a
//! [`Kept`](protection::Kept) answer. It carries no right: every page is authorised and recorded
//! anew as whoever asks for it, and sees the rows and fields that the policy of that moment lets
//! them see. So another caller, a revoked key, a narrower grant, a ruling and an erasure all count
//! from the next page on.
//!
//! A cursor is found only by the account, and behind an API key only by the key, that opened it.
//! Its id is random. Cursors live in memory and end with the process.

mod background;
mod keep_alive;
mod pit;
mod scroll;

#[cfg(test)]
mod tests;

use crate::EngineError;
use crate::read::AnswerSize;
use background::Background;
pub use background::{BackgroundOptions, SearchState};
use model::{TableId, Timestamp};
use parking_lot::Mutex;
use protection::caller::{Caller, random_id};
use scroll::Scroll;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use storage::Point;

/// Cursors that one caller may have open …
const OF_CALLER_MAX: usize = 100;
/// … and all together (Elasticsearch's `search.max_open_scroll_context`).
const OPEN_MAX: usize = 500;

/// The largest question that a cursor remembers.
const QUESTION_BYTES_MAX: u64 = 1 << 20;

/// All open cursors.
#[derive(Default)]
pub(crate) struct Cursors {
    open: Mutex<HashMap<String, Arc<Cursor>>>,
    /// Counts erasures: an answer that was kept before one may hold what was erased.
    erasures: AtomicU64,
    /// Searches that run in the background.
    running: AtomicUsize,
}

/// One of them.
struct Cursor {
    owner: Owner,
    until: AtomicI64,
    holds: Holds,
}

enum Holds {
    Scroll(Arc<Point>, Mutex<Scroll>),
    Pit(Arc<Point>),
    Background(Background),
}

/// The kinds, as requests ask for them.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Scroll,
    Pit,
    Background,
}

/// Who may go on with a cursor: the account, and behind an API key that key.
#[derive(Clone, PartialEq, Eq)]
struct Owner {
    name: String,
    key: Option<String>,
}

impl Owner {
    fn of(caller: &Caller) -> Owner {
        let key = (!caller.is_person()).then(|| caller.credential().to_owned());
        Owner { name: caller.name().to_owned(), key }
    }
}

impl Cursor {
    fn kind(&self) -> Kind {
        match &self.holds {
            Holds::Scroll(..) => Kind::Scroll,
            Holds::Pit(_) => Kind::Pit,
            Holds::Background(_) => Kind::Background,
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.until.load(Ordering::Acquire) > now.0
    }

    fn until(&self) -> Timestamp {
        Timestamp(self.until.load(Ordering::Acquire))
    }

    /// Lives until `until`, also if it was to live longer.
    fn extend(&self, until: Timestamp) {
        self.until.store(until.0, Ordering::Release);
        match &self.holds {
            Holds::Scroll(point, _) | Holds::Pit(point) => point.extend(until),
            Holds::Background(_) => {}
        }
    }

    fn close(&self) {
        match &self.holds {
            Holds::Scroll(point, _) | Holds::Pit(point) => point.let_go(),
            Holds::Background(search) => search.cancel(),
        }
    }
}

impl Cursors {
    /// Takes a cursor in; gives its id.
    fn open(
        &self,
        caller: &Caller,
        until: Timestamp,
        now: Timestamp,
        holds: Holds,
    ) -> Result<String, EngineError> {
        let owner = Owner::of(caller);
        let mut open = self.tidy(now);
        let own = open.values().filter(|cursor| cursor.owner.name == owner.name).count();
        if own >= OF_CALLER_MAX || open.len() >= OPEN_MAX {
            let (whose, most) = match own >= OF_CALLER_MAX {
                true => ("of one caller ", OF_CALLER_MAX),
                false => ("", OPEN_MAX),
            };
            let reason = format!(
                "Trying to create too many scroll contexts {whose}(scrolls, points in time and \
                 asynchronous searches). Must be less than or equal to: [{most}]. Close those that \
                 are not needed any more, or wait until their keep-alive is over."
            );
            return Err(EngineError::new(429, "too_many_scroll_contexts_exception", reason));
        }
        let id = random_id();
        let cursor = Cursor { owner, until: AtomicI64::new(until.0), holds };
        open.insert(id.clone(), Arc::new(cursor));
        Ok(id)
    }

    /// A caller's own cursor.
    fn find(
        &self,
        caller: &Caller,
        kind: Kind,
        id: &str,
        now: Timestamp,
    ) -> Result<Arc<Cursor>, EngineError> {
        let owner = Owner::of(caller);
        let found = self.tidy(now).get(id).cloned();
        let is_own = |cursor: &Arc<Cursor>| cursor.owner == owner && cursor.kind() == kind;
        found.filter(is_own).ok_or_else(|| missing(kind))
    }

    /// Ends a caller's own cursor; says whether there was one.
    fn close(&self, caller: &Caller, kind: Kind, id: &str, now: Timestamp) -> bool {
        let Ok(cursor) = self.find(caller, kind, id, now) else { return false };
        self.open.lock().remove(id);
        cursor.close();
        true
    }

    /// Ends all of a caller's cursors of a kind; says how many.
    fn close_all(&self, caller: &Caller, kind: Kind, now: Timestamp) -> usize {
        let owner = Owner::of(caller);
        let own: Vec<String> = {
            let open = self.tidy(now);
            let own = open.iter().filter(|(_, of)| of.owner == owner && of.kind() == kind);
            own.map(|(id, _)| id.clone()).collect()
        };
        own.iter().filter(|id| self.close(caller, kind, id, now)).count()
    }

    /// Forgets cursors whose time is over.
    fn tidy(&self, now: Timestamp) -> parking_lot::MutexGuard<'_, HashMap<String, Arc<Cursor>>> {
        let mut open = self.open.lock();
        open.retain(|_, cursor| {
            let stays = cursor.is_open(now);
            if !stays {
                cursor.close();
            }
            stays
        });
        open
    }

    /// Searches of a person that run in the background.
    fn running_of(&self, caller: &Caller) -> usize {
        let open = self.open.lock();
        let own = open.values().filter(|cursor| cursor.owner.name == caller.name());
        own.filter(|cursor| matches!(&cursor.holds, Holds::Background(of) if of.is_running()))
            .count()
    }

    /// Bytes of answers that are kept.
    fn kept_bytes(&self) -> u64 {
        let open = self.open.lock();
        let bytes = |cursor: &Arc<Cursor>| match &cursor.holds {
            Holds::Background(search) => search.kept_bytes(),
            _ => 0,
        };
        open.values().map(bytes).sum()
    }

    /// Rows were erased: no answer from before goes out any more.
    pub(crate) fn rows_were_erased(&self) {
        self.erasures.fetch_add(1, Ordering::AcqRel);
    }
}

/// Refuses a question that is too large to be remembered.
pub(crate) fn check_size(body: &Json) -> Result<(), EngineError> {
    if body.bytes() <= QUESTION_BYTES_MAX {
        return Ok(());
    }
    Err(EngineError::illegal_argument(format!(
        "a search that is to be remembered may have at most [{QUESTION_BYTES_MAX}] bytes; open a point \
         in time and send it with each page"
    )))
}

/// 404, the same whether it never was, is over, or is somebody else's.
fn missing(kind: Kind) -> EngineError {
    match kind {
        Kind::Background => EngineError::new(
            404,
            "resource_not_found_exception",
            "no such asynchronous search: it ended, was deleted, or is not yours",
        ),
        Kind::Scroll | Kind::Pit => EngineError::new(
            404,
            "search_context_missing_exception",
            "No search context found: it ended, was closed, or is not yours; begin again",
        ),
    }
}

impl crate::Engine {
    /// The tables of a cursor as they are today, if the caller may still know all of them.
    fn tables_of_cursor(
        &self,
        caller: &Caller,
        ids: &[TableId],
    ) -> Result<Vec<Arc<model::Table>>, EngineError> {
        let known = self.known_tables(caller);
        let table = |id: &TableId| known.iter().find(|table| table.id == *id).cloned();
        ids.iter().map(|id| table(id).ok_or_else(|| missing(Kind::Pit))).collect()
    }
}
