//! How the node is: what came in lately, and how full its disk is.
//!
//! Numbers about the node as a whole; of no table and of no document.

use crate::Engine;
use crate::error::EngineError;
use model::Timestamp;
use parking_lot::Mutex;
use protection::caller::Caller;
use protection::grant::Action;
use std::io;
use std::path::Path;

/// So many minutes are remembered.
const MINUTES: usize = 60;
const MINUTE_MS: i64 = 60_000;

/// How the node is.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// What came in.
    pub ingest: Ingest,
    /// What lies on the disk.
    pub disk: DiskUse,
}

/// What came in since the start, at most an hour back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Documents that were written, changed or deleted within the last hour.
    pub written: u64,
    /// Documents that were refused within the last hour.
    pub refused: u64,
    /// When the newest was written; `None`: none since the start.
    pub last_at: Option<Timestamp>,
    /// When the node started.
    pub since: Timestamp,
}

/// What lies on the disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The data folder.
    pub used: u64,
    /// What the disk of the data folder has left for us, and how large it is; `None` where the
    /// system does not say.
    pub space: Option<DiskSpace>,
}

/// The disk that a folder lies on, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// What is left for this process.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// How the system is asked for the space of a folder's disk.
pub type AskSpace = fn(&Path) -> io::Result<DiskSpace>;

/// Counts documents by the minute.
pub(crate) struct IngestCounter {
    since: Timestamp,
    counts: Mutex<Counts>,
}

struct Counts {
    last_at: Option<Timestamp>,
    /// The minute since 1970 that each place stands for, documents written and refused in it.
    minutes: [(i64, u64, u64); MINUTES],
}

impl IngestCounter {
    pub(crate) fn start(now: Timestamp) -> IngestCounter {
        let counts = Counts { last_at: None, minutes: [(-1, 0, 0); MINUTES] };
        IngestCounter { since: now, counts: Mutex::new(counts) }
    }

    /// Counts the documents of one request.
    pub(crate) fn count(&self, written: u64, refused: u64, now: Timestamp) {
        let minute = now.0.div_euclid(MINUTE_MS);
        let mut counts = self.counts.lock();
        if written > 0 {
            counts.last_at = Some(now);
        }
        let place = &mut counts.minutes[minute.rem_euclid(MINUTES as i64) as usize];
        if place.0 != minute {
            *place = (minute, 0, 0);
        }
        place.1 += written;
        place.2 += refused;
    }

    fn read(&self, now: Timestamp) -> Ingest {
        let counts = self.counts.lock();
        let oldest = now.0.div_euclid(MINUTE_MS) - MINUTES as i64;
        let fresh = counts.minutes.iter().filter(|(minute, ..)| *minute > oldest);
        let (written, refused) = fresh.fold((0, 0), |(a, b), (_, x, y)| (a + x, b + y));
        Ingest { written, refused, last_at: counts.last_at, since: self.since }
    }
}

impl Engine {
    /// How the node is, for those who run it or watch over it.
    ///
    /// # Errors
    /// If the caller does neither, or the data folder cannot be read.
    pub fn vitals(&self, caller: &Caller) -> Result<Vitals, EngineError> {
        let runs_it = [Action::CreateTable, Action::Audit, Action::ManagePeople];
        if !runs_it.iter().any(|action| self.may_at_all(caller, *action)) {
            return Err(EngineError::forbidden("your roles do not let you see how the node is"));
        }
        let used = bytes_of(&self.dir).map_err(|error| {
            EngineError::internal(format!("the size of the data folder: {error}"))
        })?;
        let space = self.ask_space.and_then(|ask| match ask(&self.dir) {
            Ok(space) => Some(space),
            Err(error) => {
                tracing::warn!(%error, "the system does not say how full the disk is");
                None
            }
        });
        let ingest = self.ingest.read(self.clock.now());
        Ok(Vitals { ingest, disk: DiskUse { used, space } })
    }
}

/// The bytes of all files of a folder. A file that goes meanwhile counts nothing.
fn bytes_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(known) if known.is_dir() => bytes += bytes_of(&entry.path()).or_else(gone)?,
            Ok(known) => bytes += known.len(),
            Err(error) => bytes += gone(error)?,
        }
    }
    Ok(bytes)
}

fn gone(error: io::Error) -> io::Result<u64> {
    if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hour_counts() {
        let at = |minutes: i64| Timestamp(1_000_000 * MINUTE_MS + minutes * MINUTE_MS);
        let counter = IngestCounter::start(at(0));
        let nothing = Ingest { written: 0, refused: 0, last_at: None, since: at(0) };
        assert_eq!(counter.read(at(0)), nothing);
        counter.count(10, 1, at(0));
        counter.count(5, 0, at(0));
        counter.count(0, 2, at(30));
        let shown = |minutes: i64| {
            let read = counter.read(at(minutes));
            (read.written, read.refused)
        };
        assert_eq!(shown(30), (15, 3));
        assert_eq!(shown(59), (15, 3));
        assert_eq!(shown(60), (0, 2));
        assert_eq!(shown(200), (0, 0));
        assert_eq!(counter.read(at(200)).last_at, Some(at(0)), "refused ones are not written");
        counter.count(1, 0, at(60));
        assert_eq!(shown(60), (1, 2), "the place of an older minute is taken");
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a").join("b"), [0; 100]).unwrap();
        std::fs::write(dir.path().join("c"), [0; 23]).unwrap();
        assert_eq!(bytes_of(dir.path()).unwrap(), 123);
        assert!(bytes_of(&dir.path().join("nowhere")).is_err());
    }
}
