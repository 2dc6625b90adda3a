//! All copies of a node: proposed, signed, started, looked at.

use crate::file::{CopyFile, FileError, check_name};
use crate::live::{Doing, Live, Reading};
use crate::plan::{self, PlanRequest, Planned};
use crate::runner;
use crate::signing::Behind;
use crate::state::{StoredCopy, StoredRun, StoredVersion};
use crate::transform::is_over;
use crate::watch::watch_paused;
use crate::{Lag, Refusal, page, registry, signing, status, verify};
use engine::{Caller, CopyOutcome, Engine, EngineError};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// So long a copy may take to stop: a write that is under way ends.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// The copies of a node. They run on threads of their own, so that no method is asynchronous; it
/// must not be made or dropped on an asynchronous thread.
pub struct Copies {
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Mutex<BTreeMap<String, Arc<Copy>>>,
    runtime: Mutex<Option<Runtime>>,
}

/// One copy.
pub(crate) struct Copy {
    pub(crate) name: String,
    pub(crate) made_at: i64,
    pub(crate) engine: Arc<Engine>,
    stored: Mutex<StoredCopy>,
    pub(crate) live: Mutex<Live>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Copies {
    /// Reads the copies of a node and goes on with those that ran when it stopped.
    ///
    /// # Errors
    /// If the catalog cannot be read, or there are no threads.
    pub fn open(engine: &Arc<Engine>) -> Result<Copies, EngineError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(32)
            .thread_name("copy")
            .enable_all()
            .build()
            .map_err(|error| EngineError::internal(format!("no threads for copies: {error}")))?;
        let copies = Copies {
            engine: Arc::clone(engine),
            copies: Mutex::default(),
            runtime: Mutex::new(Some(runtime)),
        };
        for (name, bytes) in engine.stored_copies()? {
            let stored: StoredCopy = serde_json::from_slice(&bytes)
                .map_err(|_| EngineError::internal("the record of a copy does not read"))?;
            let copy = Arc::new(Copy::new(engine, &name, stored));
            copies.copies.lock().insert(name, Arc::clone(&copy));
            match copy.run().map(|run| run.paused) {
                Some(None) => copies.start(&copy)?,
                Some(Some(reason)) => {
                    copy.do_now(Doing::Paused { reason });
                    copies.watch(&copy)?;
                }
                None => {}
            }
        }
        Ok(copies)
    }

    /// Looks at a source and writes a copy file with proposals, and a page to sign.
    ///
    /// # Errors
    /// 403 without the right to copy, 400 for a file that does not read, 502 if the source does
    /// not answer.
    pub fn plan(&self, caller: &Caller, request: &PlanRequest<'_>) -> Result<Planned, EngineError> {
        self.engine.may_copy(caller)?;
        let file = CopyFile::parse(request.yaml).map_err(wrong)?;
        let secret = match &file.secret {
            Some(name) => Some(self.engine.source_secret(name)?),
            None => None,
        };
        let source = registry::open(&file.kind, &file.settings, &file.name, secret)
            .map_err(EngineError::illegal_argument)?;
        self.engine.record_copy(caller, &file.name, "planned", &[])?;
        let looked = self.block_on(plan::look(&*source, &file))?;
        let looked =
            looked.map_err(|error| EngineError::new(502, "source_exception", error.to_string()))?;
        plan::write(&self.engine, caller, &file, &looked, request)
    }

    /// Starts the newest signed version of a copy, or goes on with it.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is no such copy, 409 if nobody signed it.
    pub fn run(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let copy = self.find(name)?;
        let newest = {
            let stored = copy.stored.lock();
            stored.versions.iter().rposition(|version| version.signed.is_some())
        };
        let Some(newest) = newest else {
            let reason = format!(
                "nobody signed the plan of `{name}` yet; a guardian does with: clerestory copy sign \
                 {name}"
            );
            return Err(EngineError::new(409, "status_exception", reason));
        };
        self.engine.record_copy(caller, name, "started", &[])?;
        self.stop_one(&copy)?;
        let started_by = caller.name().to_owned();
        copy.go_over_to(newest)?;
        copy.edit(|stored| {
            let run = stored.run.get_or_insert_with(StoredRun::default);
            run.started_by = started_by;
            run.paused = None;
        })?;
        self.start(&copy)?;
        Ok(status::of(&copy))
    }

    /// Pauses a copy until it is resumed. What the source keeps for it grows meanwhile, up to the bound
    /// that the copy file states; then everything is read again when it is resumed.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is no such copy, 409 if it does not run.
    pub fn pause(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let copy = self.started(name)?;
        self.engine.record_copy(caller, name, "paused", &[])?;
        let reason = format!("by {}", caller.name());
        // Kept first: whatever happens now, it does not go on by itself.
        copy.change(|run| run.paused = Some(reason.clone())).map_err(trouble)?;
        self.stop_one(&copy)?;
        copy.do_now(Doing::Paused { reason });
        self.watch(&copy)?;
        Ok(status::of(&copy))
    }

    /// Reads all tables again, or one, and goes on following. Rows that are there stay readable;
    /// those that the source has no more go at the end.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is no such copy or table.
    pub fn resnapshot(
        &self,
        caller: &Caller,
        name: &str,
        table: Option<&str>,
    ) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let copy = self.started(name)?;
        let known =
            copy.run().is_some_and(|run| table.is_none_or(|table| run.tables.contains_key(table)));
        if !known {
            let reason = format!("`{name}` copies no such table; name it as the source does");
            return Err(EngineError::new(404, "resource_not_found_exception", reason));
        }
        self.engine.record_copy(caller, name, "snapshot asked for", &[])?;
        self.stop_one(&copy)?;
        let started_by = caller.name().to_owned();
        copy.change(|run| {
            run.started_by = started_by;
            run.paused = None;
            run.snapshot = None;
            let tables = run.tables.iter_mut();
            let chosen = tables.filter(|(known, _)| table.is_none_or(|table| table == *known));
            chosen.for_each(|(_, table)| {
                table.copied = false;
                table.again = true;
                // What an earlier try read is older than what is read now.
                table.fresh_from = None;
            });
        })
        .map_err(trouble)?;
        self.start(&copy)?;
        Ok(status::of(&copy))
    }

    /// Ends a copy and removes what it left at the source. What was copied stays.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is no such copy, 502 if the source does not
    /// answer; `force` forgets it all the same.
    pub fn remove(&self, caller: &Caller, name: &str, force: bool) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let copy = self.find(name)?;
        self.engine.record_copy(caller, name, "removed", &[])?;
        self.stop_one(&copy)?;
        let left = self.clean_up(&copy).err().map(|error| error.reason);
        if let Some(reason) = left.clone().filter(|_| !force) {
            let reason = format!("{reason}; --force forgets the copy all the same");
            return Err(EngineError::new(502, "source_exception", reason));
        }
        self.engine.forget_copy(name)?;
        self.copies.lock().remove(name);
        Ok(json!({ "removed": name, "left_at_source": left }))
    }

    /// All copies and how they are.
    ///
    /// # Errors
    /// 403 unless the caller may copy or rule.
    pub fn list(&self, caller: &Caller) -> Result<Json, EngineError> {
        self.may_look(caller)?;
        let copies: Vec<Arc<Copy>> = self.copies.lock().values().cloned().collect();
        Ok(copies.iter().map(|copy| status::of(copy)).collect())
    }

    /// One copy, with its newest file and the page to sign.
    ///
    /// # Errors
    /// 403 unless the caller may copy or rule, 404 if there is no such copy.
    pub fn show(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.may_look(caller)?;
        let copy = self.find(name)?;
        let mut shown = status::of(&copy);
        let versions = copy.stored().versions;
        if let Some(newest) = versions.last() {
            let file = CopyFile::parse(&newest.yaml).map_err(wrong)?;
            let more = signing::more_than_signed(&versions, versions.len() - 1, &file)?;
            shown["yaml"] = json!(newest.yaml);
            shown["page"] = json!(page::of(&file, newest, more.as_ref()));
            shown["more"] = json!(more.map(|more| more.what));
        }
        Ok(shown)
    }

    /// Compares what was copied with the source, row by row.
    ///
    /// # Errors
    /// 403 without the right to copy, 404 if there is no such copy, 502 if the source does not
    /// answer.
    pub fn verify(&self, caller: &Caller, name: &str) -> Result<Json, EngineError> {
        self.engine.may_copy(caller)?;
        let copy = self.started(name)?;
        self.engine.record_copy(caller, name, "verified", &[])?;
        self.block_on(verify::all(&copy))?
    }

    /// Stops all copies; they go on with the next start.
    pub fn close(&self) {
        let copies: Vec<Arc<Copy>> = self.copies.lock().values().cloned().collect();
        for copy in &copies {
            copy.stop.send_replace(true);
        }
        for copy in &copies {
            if self.stop_one(copy).is_err() {
                tracing::error!(copy = copy.name, "a copy did not stop");
            }
        }
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    fn may_look(&self, caller: &Caller) -> Result<(), EngineError> {
        self.engine.may_copy(caller).or_else(|_| self.engine.may_sign(caller, None))
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<Copy>, EngineError> {
        self.copies.lock().get(name).cloned().ok_or_else(|| {
            let reason = match check_name(name) {
                Ok(()) => format!("there is no copy `{name}`; `clerestory copy status` names all"),
                Err(reason) => reason,
            };
            EngineError::new(404, "resource_not_found_exception", reason)
        })
    }

    fn started(&self, name: &str) -> Result<Arc<Copy>, EngineError> {
        let copy = self.find(name)?;
        match copy.run() {
            Some(_) => Ok(copy),
            None => {
                let reason = format!("`{name}` was never started: clerestory copy run {name}");
                Err(EngineError::new(409, "status_exception", reason))
            }
        }
    }

    fn clean_up(&self, copy: &Copy) -> Result<(), EngineError> {
        let newest = copy.stored.lock().versions.last().cloned();
        let Some(newest) = newest.filter(|_| copy.run().is_some()) else { return Ok(()) };
        let file = CopyFile::parse(&newest.yaml).map_err(wrong)?;
        let secret = match &file.secret {
            Some(name) => Some(self.engine.source_secret(name)?),
            None => None,
        };
        let source = registry::open(&file.kind, &file.settings, &file.name, secret)
            .map_err(EngineError::illegal_argument)?;
        let forgotten = self.block_on(async move { source.forget().await })?;
        forgotten.map_err(|error| EngineError::new(502, "source_exception", error.to_string()))
    }

    pub(crate) fn start(&self, copy: &Arc<Copy>) -> Result<(), EngineError> {
        copy.do_now(Doing::Planning);
        self.spawn(copy, runner::live(Arc::clone(copy)))
    }

    /// Keeps an eye on what the source of a paused copy keeps for it.
    fn watch(&self, copy: &Arc<Copy>) -> Result<(), EngineError> {
        self.spawn(copy, watch_paused(Arc::clone(copy)))
    }

    fn spawn(
        &self,
        copy: &Copy,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), EngineError> {
        let runtime = self.runtime.lock();
        let runtime = runtime.as_ref().ok_or_else(stopping)?;
        copy.stop.send_replace(false);
        *copy.task.lock() = Some(runtime.spawn(work));
        Ok(())
    }

    pub(crate) fn stop_one(&self, copy: &Copy) -> Result<(), EngineError> {
        copy.stop.send_replace(true);
        let task = copy.task.lock().take();
        if let Some(task) = task {
            let wait = async { tokio::time::timeout(STOP_WAIT, task).await };
            if self.block_on(wait)?.is_err() {
                return Err(EngineError::unavailable("the copy did not stop within a minute"));
            }
        }
        Ok(())
    }

    /// Waits for work on the threads of the copies.
    fn block_on<T: Send + 'static>(&self, work: impl Future<Output = T>) -> Result<T, EngineError> {
        let handle = self.runtime.lock().as_ref().map(|runtime| runtime.handle().clone());
        Ok(handle.ok_or_else(stopping)?.block_on(work))
    }
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Copies({})", self.copies.lock().len())
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.close();
    }
}

impl Copy {
    pub(crate) fn new(engine: &Arc<Engine>, name: &str, stored: StoredCopy) -> Copy {
        Copy {
            name: name.to_owned(),
            made_at: stored.made_at,
            engine: Arc::clone(engine),
            stored: Mutex::new(stored),
            live: Mutex::default(),
            stop: watch::Sender::new(false),
            task: Mutex::default(),
        }
    }

    /// What is kept of it.
    pub(crate) fn stored(&self) -> StoredCopy {
        self.stored.lock().clone()
    }

    pub(crate) fn run(&self) -> Option<StoredRun> {
        self.stored.lock().run.clone()
    }

    /// Changes what is kept; durable when this returns.
    pub(crate) fn edit<T>(
        &self,
        change: impl FnOnce(&mut StoredCopy) -> T,
    ) -> Result<T, EngineError> {
        let mut stored = self.stored.lock();
        let mut next = stored.clone();
        let result = change(&mut next);
        let bytes = serde_json::to_vec(&next)
            .map_err(|_| EngineError::internal("a copy that cannot be written down"))?;
        self.engine.store_copy(&self.name, &bytes)?;
        *stored = next;
        Ok(result)
    }

    /// Changes where it stands; durable when this returns.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut StoredRun) -> T,
    ) -> Result<T, runner::Trouble> {
        let changed = self.edit(|stored| change(stored.run.get_or_insert_with(StoredRun::default)));
        Ok(changed?)
    }

    pub(crate) fn version_to_run(&self) -> Result<StoredVersion, String> {
        let stored = self.stored.lock();
        let version = stored.run.as_ref().and_then(|run| stored.versions.get(run.version));
        version.cloned().ok_or_else(|| "its file is not there any more".to_owned())
    }

    /// Who stands behind the version that runs.
    pub(crate) fn behind(&self) -> Option<Behind> {
        let stored = self.stored.lock();
        signing::behind(&stored.versions, stored.run.as_ref()?.version)
    }

    pub(crate) fn do_now(&self, doing: Doing) {
        let mut live = self.live.lock();
        if doing != Doing::Snapshot {
            live.snapshot = None;
        }
        live.doing = doing;
    }

    pub(crate) fn pause_by_itself(&self, reason: &str) {
        if let Err(error) = self.change(|run| run.paused = Some(reason.to_owned())) {
            tracing::error!(copy = self.name, ?error, "the pause is not written down");
        }
        self.do_now(Doing::Paused { reason: reason.to_owned() });
    }

    /// Has the next try read all tables again.
    pub(crate) fn begin_anew(&self, reason: &str) {
        let at = self.engine.now().0;
        let what = format!("{reason}; everything is read again, and stays readable meanwhile");
        let begun = self.change(|run| {
            run.snapshot = None;
            run.reached = None;
            for table in run.tables.values_mut() {
                table.copied = false;
                table.anew += 1;
                // What an unfinished snapshot brought may be gone at the source by now, too.
                table.fresh_from = None;
            }
            run.notes.push(crate::state::StoredNote { at, table: String::new(), what });
        });
        if let Err(error) = begun {
            tracing::error!(copy = self.name, ?error, "the new beginning is not written down");
        }
    }

    /// A paused copy lost its place at the source.
    pub(crate) fn lose_while_paused(&self, why: &str) {
        self.begin_anew(why);
        if let Some(reason) = self.run().and_then(|run| run.paused) {
            self.do_now(Doing::Paused { reason });
        }
    }

    /// Begins to count what is read of a snapshot; `before` are the rows that were read of it.
    pub(crate) fn begin_snapshot(&self, before: u64) {
        self.live.lock().snapshot = Some(Reading { before, read: 0 });
    }

    pub(crate) fn count_read(&self, table: &str, rows: u64) {
        let mut live = self.live.lock();
        live.tables.entry(table.to_owned()).or_default().read += rows;
        if let Some(snapshot) = &mut live.snapshot {
            snapshot.read += rows;
        }
    }

    pub(crate) fn count(&self, table: &str, columns: &[String], outcome: &CopyOutcome) {
        let mut live = self.live.lock();
        live.count(outcome.rows);
        let counts = live.tables.entry(table.to_owned()).or_default();
        counts.rows += outcome.rows;
        counts.refused += outcome.refused;
        counts.unknown += outcome.unknown;
        if outcome.refused_because.is_some() {
            counts.refused_because.clone_from(&outcome.refused_because);
        }
        for (name, count) in columns.iter().zip(&outcome.left_out).filter(|(_, count)| **count > 0)
        {
            *counts.left_out.entry(name.clone()).or_default() += count;
        }
    }

    /// Names what a source could not give as rows: in the log each, in the state the newest.
    pub(crate) fn count_refused(&self, table: &str, refused: &[Refusal]) {
        if refused.is_empty() {
            return;
        }
        for refusal in refused {
            tracing::warn!(
                copy = self.name,
                table,
                at = refusal.at,
                reason = refusal.reason,
                "refused"
            );
        }
        let mut live = self.live.lock();
        live.tables.entry(table.to_owned()).or_default().refuse(refused);
    }

    /// How often a table was begun anew.
    pub(crate) fn anew(&self, table: &str) -> u32 {
        let stored = self.stored.lock();
        let run = stored.run.as_ref();
        run.and_then(|run| run.tables.get(table)).map_or(0, |table| table.anew)
    }

    /// Whether all rows of a table were read once.
    pub(crate) fn has_copied(&self, table: &str) -> bool {
        let stored = self.stored.lock();
        let known = stored.run.as_ref().and_then(|run| run.tables.get(table));
        known.is_some_and(|table| table.copied || table.anew > 0)
    }

    pub(crate) fn note_lag(&self, lag: Lag) {
        let now = self.engine.now().0;
        self.live.lock().note_lag(lag, now);
    }

    /// Notes what the source keeps while nobody follows.
    pub(crate) fn note_kept(&self, lag: Lag) {
        let mut live = self.live.lock();
        (live.lag.waiting, live.lag.waiting_max) = (lag.waiting, lag.waiting_max);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until it is asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as this.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Whether it was asked to stop within this time.
    pub(crate) async fn stopped_within(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.stopped()).await.is_ok()
    }

    /// Whether a purpose ended since the tables were last looked at.
    pub(crate) fn is_over(&self, file: &CopyFile) -> bool {
        let now = self.engine.now();
        let just = model::Timestamp(now.0 - 10_000);
        let columns = file.tables.iter().flat_map(|table| &table.columns);
        let mut all = columns.flat_map(|column| [column].into_iter().chain(&column.fields));
        all.any(|column| is_over(column, now) && !is_over(column, just))
    }
}

pub(crate) fn wrong(error: FileError) -> EngineError {
    EngineError::new(400, "parsing_exception", error.to_string())
}

pub(crate) fn trouble(trouble: runner::Trouble) -> EngineError {
    match trouble {
        runner::Trouble::Later(reason) | runner::Trouble::Pause(reason) => {
            EngineError::unavailable(reason)
        }
        other => EngineError::internal(format!("{other:?}")),
    }
}

fn stopping() -> EngineError {
    EngineError::unavailable("the server is stopping")
}
