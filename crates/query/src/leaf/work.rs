//! A work queue over a few threads.

use crate::QueryError;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Applies `work` to every item, on up to `threads` threads of which the calling one is one, and
/// gives the results in the order of the items. The first error stops the rest.
pub(super) fn in_parallel<'i, T: Sync, R: Send>(
    threads: usize,
    items: &'i [T],
    work: impl Fn(&'i T) -> Result<R, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, Result<R, QueryError>)>> = Mutex::new(Vec::new());
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            done.lock().push((index, result));
        }
    };
    let unharmed = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        worker();
        others.into_iter().all(|thread| thread.join().is_ok())
    });
    if !unharmed {
        return Err(QueryError::Internal("a worker of the leaf".to_owned()));
    }
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares = in_parallel(4, &items, |item| Ok(item * item)).unwrap();
        assert_eq!(squares, items.iter().map(|item| item * item).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_stops_the_work() {
        let items: Vec<u64> = (0..100).collect();
        let result =
            in_parallel(
                2,
                &items,
                |&item| {
                    if item == 3 { Err(QueryError::Cancelled) } else { Ok(item) }
                },
            );
        assert!(matches!(result, Err(QueryError::Cancelled)));
    }
}
