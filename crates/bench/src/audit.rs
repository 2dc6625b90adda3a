//! The audit record alone: how many reads a second can have their intent durable before the first
//! byte and their end recorded after the last, by how many that ask at once.

use anyhow::Result;
use model::{Class, Clock, SystemClock};
use protection::Use;
use protection::audit::{
    AuditLog, Documents, Event, EventKind, FieldTouched, RecordId, TableRead, verify,
};
use protection::grant::Action;
use protection::keys::KeyRing;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Records `reads` reads for each number of callers, in one folder and in two, and prints the rate
/// and how long an intent took. What was written is verified at the end.
///
/// # Errors
/// If the disk fails, or the record is not whole.
pub(crate) fn run(reads: u64, folder: &Path) -> Result<()> {
    println!("\naudited reads: intent durable before, end after; reads/s");
    println!(
        "{:<10}{:>8}{:>12}{:>14}{:>14}",
        "folders", "callers", "reads/s", "median µs", "99 % µs"
    );
    for copies in [0, 1] {
        for callers in [1, 8, 64, 256] {
            measure(reads, callers, copies, &folder.join(format!("audit-{copies}-{callers}")))?;
        }
    }
    Ok(())
}

fn measure(reads: u64, callers: u64, copies: usize, folder: &Path) -> Result<()> {
    let own = folder.join("audit");
    let copies: Vec<PathBuf> =
        (0..copies).map(|copy| folder.join(format!("copy-{copy}"))).collect();
    let ring = Arc::new(KeyRing::in_memory());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = AuditLog::open_with_copies(&own, &copies, Arc::clone(&ring), clock)?;
    // A single caller waits for the disk each time: fewer reads say as much.
    let reads = reads.min(callers * 4_000);
    let asked = AtomicU64::new(0);
    let start = Instant::now();
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let (log, asked) = (&log, &asked);
        let spawn = |caller| scope.spawn(move || ask(log, asked, reads, caller));
        let threads: Vec<_> = (0..callers).map(spawn).collect();
        let mut waits = Vec::new();
        for thread in threads {
            waits.extend(thread.join().expect("a caller does not panic")?);
        }
        Ok::<_, anyhow::Error>(waits)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_micros();
    println!(
        "{:<10}{callers:>8}{:>12.0}{:>14}{:>14}",
        copies.len() + 1,
        waits.len() as f64 / seconds,
        at(0.5),
        at(0.99)
    );
    log.close();
    let found = verify(&own, &own, &ring, &[])?;
    anyhow::ensure!(found.problem.is_none(), "the record is not whole: {:?}", found.problem);
    anyhow::ensure!(found.records >= 2 * waits.len() as u64, "records are missing");
    Ok(())
}

/// One caller: read after read until there were enough; how long each intent took.
fn ask(log: &AuditLog, asked: &AtomicU64, reads: u64, caller: u64) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while asked.fetch_add(1, Ordering::Relaxed) < reads {
        let start = Instant::now();
        let record = log.append_durable(&intent(caller))?;
        waits.push(start.elapsed());
        log.append(&end(caller, record))?;
    }
    Ok(waits)
}

fn intent(caller: u64) -> Event {
    let touched = |field: &str, class, how| FieldTouched {
        table: "events".to_owned(),
        field: field.to_owned(),
        class: Some(class),
        how: Some(how),
    };
    Event {
        who: format!("analyst-{caller}"),
        credential: "key:Zk3vQ0mX8t2nYp1rLw7a".to_owned(),
        policy: 1,
        action: Some(Action::Read),
        tables: vec!["events".to_owned()],
        shape: r#"{"query":{"term":{"user.email":"?"}},"size":"?"}"#.to_owned(),
        fields: vec![
            touched("user.email", Class::Personal, Use::Filter),
            touched("*", Class::Open, Use::Output),
            touched("*", Class::Personal, Use::Output),
        ],
        outcome: "allowed".to_owned(),
        ..Event::new(EventKind::ReadIntent)
    }
}

fn end(caller: u64, intent: RecordId) -> Event {
    let rows = (0..10).map(|row| intent.0 * 97 + row * 1_009).collect();
    Event {
        who: format!("analyst-{caller}"),
        refers_to: Some(intent),
        rows: Some(10),
        bytes: Some(4_096),
        subjects: Some(1),
        read: vec![TableRead { table: "events".to_owned(), documents: Documents::Rows(rows) }],
        outcome: "released".to_owned(),
        ..Event::new(EventKind::ReadEnd)
    }
}
