//! Asynchronous searches: `_async_search`. A thread of its own asks the question; the answer is
//! kept for its caller and given out through a permit of the moment at which it is fetched. If by
//! then the policy, a ruling or an erasure made it another answer, the question is asked again.

use super::{Cursors, Holds, Kind, check_size, keep_alive, missing};
use crate::read::{AnswerSize, Wanted};
use crate::{Engine, EngineError};
use model::{Table, TableId, Timestamp};
use parking_lot::{Condvar, Mutex};
use protection::caller::Caller;
use protection::grant::Action;
use protection::{Kept, Released};
use query::elasticsearch::SearchRequest;
use query::{Cancel, Limits, Scope};
use serde_json::{Map, Value as Json, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Searches that run in the background at once: each has two threads at work …
const RUNNING_MAX: usize = 4;
/// … and of one person, so that nobody takes all places.
const RUNNING_OF_CALLER_MAX: usize = 2;
/// How long one may run.
const TIME_MAX: Duration = Duration::from_secs(600);
/// A longer answer is not kept (Elasticsearch's `search.max_async_search_response_size`) …
const ANSWER_BYTES_MAX: u64 = 10 << 20;
/// … nor one more when all together are as long as this.
const KEPT_BYTES_MAX: u64 = 256 << 20;
/// How long a request waits for the answer at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// One search.
pub(super) struct Background {
    tables: Vec<TableId>,
    request: SearchRequest,
    started: Timestamp,
    run: Mutex<Arc<Run>>,
}

/// One time that its question is asked.
struct Run {
    state: Mutex<State>,
    changed: Condvar,
    cancel: Cancel,
}

enum State {
    Running,
    Done { answer: Kept<Json>, at: Timestamp, under: Marks },
    Failed { error: EngineError, at: Timestamp },
}

/// What beside policy and grants an answer depends on: the rulings of its tables, how many erasures
/// there were, and the epoch of pseudonyms.
#[derive(Clone, PartialEq)]
struct Marks {
    rules: Vec<u32>,
    erasures: u64,
    epoch: u32,
}

/// How an asynchronous search is begun.
#[derive(Clone, Debug, Default)]
pub struct BackgroundOptions {
    /// How long the first request waits for the answer; Elasticsearch's default is `1s`.
    pub wait: Option<String>,
    /// How long the answer is kept; Elasticsearch's default is `5d`.
    pub keep_alive: Option<String>,
    /// Whether it is kept also if it came while the first request waited.
    pub keep_on_completion: bool,
}

/// What became of a search.
#[derive(Debug)]
pub struct SearchState {
    /// Whether it runs, since when, how long it is kept, and its id if it is: nothing of the data.
    pub head: Map<String, Json>,
    /// `None`: it is still running.
    pub response: Option<Released<Json>>,
}

impl Background {
    pub(super) fn cancel(&self) {
        self.run.lock().cancel.cancel();
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(&*self.run.lock().state.lock(), State::Running)
    }

    pub(super) fn kept_bytes(&self) -> u64 {
        match &*self.run.lock().state.lock() {
            State::Done { answer, .. } => answer.bytes(),
            _ => 0,
        }
    }
}

impl Run {
    fn new() -> Run {
        Run {
            state: Mutex::new(State::Running),
            changed: Condvar::new(),
            cancel: Cancel::default(),
        }
    }

    /// Waits until it has ended or the time is over.
    fn wait(&self, until: Instant) {
        let mut state = self.state.lock();
        while matches!(&*state, State::Running) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
    }

    fn end(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }
}

/// Counts a running search until it is dropped.
struct Place(Arc<Cursors>);

impl Place {
    fn take(cursors: &Arc<Cursors>) -> Result<Place, EngineError> {
        let place = Place(Arc::clone(cursors));
        match cursors.running.fetch_add(1, Ordering::AcqRel) < RUNNING_MAX {
            true => Ok(place),
            false => Err(too_many(RUNNING_MAX, "")),
        }
    }
}

fn too_many(most: usize, whose: &str) -> EngineError {
    EngineError::new(
        429,
        "es_rejected_execution_exception",
        format!("[{most}] asynchronous searches {whose}are running already; try again later"),
    )
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Engine {
    /// Begins a search in the background, and waits a while for it.
    ///
    /// # Errors
    /// As of a search, if it is refused or fails while it is waited for; 429 if too many run.
    pub fn begin_search(
        &self,
        caller: &Caller,
        expression: &str,
        body: &Json,
        params: &[(String, String)],
        options: &BackgroundOptions,
    ) -> Result<SearchState, EngineError> {
        let now = self.clock.now();
        let wait = wait_length(options.wait.as_deref().unwrap_or("1s"))?;
        let length = options.keep_alive.as_deref().unwrap_or("5d");
        let until = keep_alive::until_of_background(length, now)?;
        check_size(body)?;
        let request = SearchRequest::parse(body, params)?;
        if request.scroll().is_some() || request.pit().is_some() {
            let reason = "Validation Failed: 1: [scroll] and [pit] queries are not supported by an \
                          asynchronous search of Clerestory;";
            return Err(EngineError::new(400, "action_request_validation_exception", reason));
        }
        let tables = self.resolve(caller, expression)?;
        let run = self.run_in_background(caller, &tables, &request)?;
        let search = Background {
            tables: tables.iter().map(|table| table.id).collect(),
            request,
            started: now,
            run: Mutex::new(Arc::clone(&run)),
        };
        let id = match self.cursors.open(caller, until, now, Holds::Background(search)) {
            Ok(id) => id,
            Err(error) => {
                run.cancel.cancel();
                return Err(error);
            }
        };
        let mut shown = self.fetch_search(caller, &id, wait, None);
        let is_over = shown.as_ref().map_or(true, |shown| shown.response.is_some());
        if is_over && !options.keep_on_completion {
            self.cursors.close(caller, Kind::Background, &id, now);
            shown.iter_mut().for_each(|shown| drop(shown.head.shift_remove("id")));
        }
        shown
    }

    /// What became of a search: its answer, if it is there within `wait`.
    ///
    /// # Errors
    /// 404 if there is none or it is not the caller's; the search's own error; 403 if the caller
    /// may not read its tables any more.
    pub fn background_search(
        &self,
        caller: &Caller,
        id: &str,
        wait: Option<&str>,
        keep_alive: Option<&str>,
    ) -> Result<SearchState, EngineError> {
        let wait = wait.map(wait_length).transpose()?.unwrap_or_default();
        self.fetch_search(caller, id, wait, keep_alive)
    }

    /// How far a search is, without its answer.
    ///
    /// # Errors
    /// 404 if there is none or it is not the caller's.
    pub fn background_status(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        let now = self.clock.now();
        let cursor = self.cursors.find(caller, Kind::Background, id, now)?;
        let Holds::Background(search) = &cursor.holds else {
            return Err(missing(Kind::Background));
        };
        let run = Arc::clone(&search.run.lock());
        let state = run.state.lock();
        let mut status = head(id, search, &state, cursor.until());
        let done = u8::from(!matches!(&*state, State::Running));
        status.insert(
            "_shards".to_owned(),
            json!({ "total": 1, "successful": done, "skipped": 0, "failed": 0 }),
        );
        match &*state {
            State::Running => {}
            State::Done { .. } => drop(status.insert("completion_status".to_owned(), json!(200))),
            State::Failed { error, .. } => {
                status.insert("completion_status".to_owned(), json!(error.status));
            }
        }
        Ok(Json::Object(status))
    }

    /// Ends a search and forgets its answer; says whether there was one.
    pub fn delete_background(&self, caller: &Caller, id: &str) -> bool {
        self.cursors.close(caller, Kind::Background, id, self.clock.now())
    }

    fn fetch_search(
        &self,
        caller: &Caller,
        id: &str,
        wait: Duration,
        keep_alive: Option<&str>,
    ) -> Result<SearchState, EngineError> {
        let now = self.clock.now();
        let cursor = self.cursors.find(caller, Kind::Background, id, now)?;
        let Holds::Background(search) = &cursor.holds else {
            return Err(missing(Kind::Background));
        };
        if let Some(length) = keep_alive {
            cursor.extend(keep_alive::until_of_background(length, now)?);
        }
        let until = Instant::now() + wait;
        let mut run = Arc::clone(&search.run.lock());
        run.wait(until);
        let tables = self.tables_of_cursor(caller, &search.tables)?;
        let permit = self.authorise(caller, wanted(&tables, &search.request, "fetch"))?;
        let is_of_today = |run: &Run| match &*run.state.lock() {
            State::Done { answer, under, .. } => {
                *under == self.marks(&tables) && answer.is_for(&permit)
            }
            State::Running | State::Failed { .. } => true,
        };
        if !is_of_today(&run) {
            run = self.run_in_background(caller, &tables, &search.request)?;
            *search.run.lock() = Arc::clone(&run);
            run.wait(until);
        }
        let state = run.state.lock();
        let response = match &*state {
            State::Running => None,
            State::Done { answer, under, .. } if *under == self.marks(&tables) => {
                Some(permit.release_kept(answer)?)
            }
            State::Done { .. } => return Err(protection::Denied::Withdrawn.into()),
            State::Failed { error, .. } => return Err(error.clone()),
        };
        Ok(SearchState { head: head(id, search, &state, cursor.until()), response })
    }

    fn marks(&self, tables: &[Arc<Table>]) -> Marks {
        Marks {
            rules: tables.iter().map(|table| table.schema.rules()).collect(),
            erasures: self.cursors.erasures.load(Ordering::Acquire),
            epoch: self.pseudonyms.epoch(),
        }
    }

    /// Asks the question on a thread of its own, as `caller`.
    fn run_in_background(
        &self,
        caller: &Caller,
        tables: &[Arc<Table>],
        request: &SearchRequest,
    ) -> Result<Arc<Run>, EngineError> {
        let place = Place::take(&self.cursors)?;
        if self.cursors.running_of(caller) >= RUNNING_OF_CALLER_MAX {
            return Err(too_many(RUNNING_OF_CALLER_MAX, "of yours "));
        }
        // Before the snapshot: what happens after counts against the answer.
        let under = self.marks(tables);
        let scope = self.scope(caller, wanted(tables, request, "in the background"))?;
        let run = Arc::new(Run::new());
        let (of_thread, request) = (Arc::clone(&run), request.clone());
        let (pseudonyms, clock) = (Arc::clone(&self.pseudonyms), Arc::clone(&self.clock));
        let work = move || {
            let limits = Limits { cancel: of_thread.cancel.clone(), ..Limits::standard() };
            let ask = || request.run(&scope, &pseudonyms, &limits.within(TIME_MAX), clock.wall());
            // A panic is a bug of ours, but nobody shall wait for an answer for ever.
            let answer = catch_unwind(AssertUnwindSafe(ask)).map_or_else(
                |_| Err(EngineError::internal("an asynchronous search panicked")),
                |answer| answer.map_err(EngineError::from),
            );
            let kept = answer.and_then(|answer| keep(&place.0, &scope, answer));
            let at = clock.now();
            of_thread.end(match kept {
                Ok(answer) => State::Done { answer, at, under },
                Err(error) => State::Failed { error, at },
            });
        };
        std::thread::Builder::new()
            .name("clerestory-search".to_owned())
            .spawn(work)
            .map_err(|error| EngineError::internal(format!("no thread for a search: {error}")))?;
        Ok(run)
    }
}

fn wanted<'a>(tables: &'a [Arc<Table>], request: &SearchRequest, how: &str) -> Wanted<'a> {
    Wanted {
        action: if request.shows_rows() { Action::Read } else { Action::Aggregate },
        tables,
        shape: format!("{how} {}", request.shape()),
        uses: request.uses(tables),
    }
}

fn keep(cursors: &Cursors, scope: &Scope, answer: Json) -> Result<Kept<Json>, EngineError> {
    let bytes = answer.bytes();
    if bytes > ANSWER_BYTES_MAX || cursors.kept_bytes() + bytes > KEPT_BYTES_MAX {
        return Err(EngineError::illegal_argument(format!(
            "Can't store an async search response larger than [{ANSWER_BYTES_MAX}] bytes, or more of \
             them than [{KEPT_BYTES_MAX}] bytes together. Ask for fewer rows or buckets, or page \
             with a point in time."
        )));
    }
    let rows = super::scroll::rows_of(&answer);
    Ok(scope.permit.keep(answer, rows, bytes))
}

fn wait_length(text: &str) -> Result<Duration, EngineError> {
    let length = keep_alive::length(text, "wait_for_completion_timeout")?;
    Ok(Duration::from_millis(length.unsigned_abs()).min(WAIT_MAX))
}

fn head(id: &str, search: &Background, state: &State, until: Timestamp) -> Map<String, Json> {
    let (is_running, done_at) = match state {
        State::Running => (true, None),
        State::Done { at, .. } | State::Failed { at, .. } => (false, Some(*at)),
    };
    let mut head = Map::new();
    head.insert("id".to_owned(), json!(id));
    head.insert("is_partial".to_owned(), json!(is_running));
    head.insert("is_running".to_owned(), json!(is_running));
    head.insert("start_time_in_millis".to_owned(), json!(search.started.0));
    head.insert("expiration_time_in_millis".to_owned(), json!(until.0));
    if let Some(at) = done_at {
        head.insert("completion_time_in_millis".to_owned(), json!(at.0));
    }
    head
}
