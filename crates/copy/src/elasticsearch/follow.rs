//! Following a cluster by asking for greater sequence numbers.

use super::client::Client;
use super::indices::{Shard, shards};
use super::page::{Pages, piece};
use super::{VISIBLE_WITHIN, blocking};
use crate::{Event, Follow, Lag, Layout, Marks, Position, SourceError, Wanted};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// How long to wait for an event.
const IDLE: Duration = Duration::from_secs(1);

/// The shards of some tables, asked again and again by a task of their own.
#[derive(Debug)]
pub(super) struct FollowedShards {
    events: Receiver<Result<Event, SourceError>>,
    lag: Arc<Mutex<Lag>>,
    task: JoinHandle<()>,
}

impl FollowedShards {
    pub(super) fn start(client: Client, tables: &[Wanted], marks: &Marks) -> FollowedShards {
        let (out, events) = channel(1);
        let lag = Arc::new(Mutex::new(Lag::default()));
        let mut known = HashMap::new();
        for table in tables {
            for (lane, position) in marks.lanes(&table.table) {
                if let Some(number) = position.as_number() {
                    known.insert((table.table.clone(), lane.to_owned()), number);
                }
            }
        }
        let asking = ask(client, tables.to_vec(), known, Arc::clone(&lag), out);
        FollowedShards { events, lag, task: tokio::spawn(asking) }
    }
}

impl Drop for FollowedShards {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait::async_trait]
impl Follow for FollowedShards {
    async fn next(&mut self) -> Result<Event, SourceError> {
        match tokio::time::timeout(IDLE, self.events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => Err(SourceError::Broken("nobody asks the cluster any more".to_owned())),
            Err(_) => Ok(Event::Idle),
        }
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn lag(&self) -> Lag {
        *self.lag.lock()
    }
}

type Known = HashMap<(String, String), u64>;

async fn ask(
    client: Client,
    tables: Vec<Wanted>,
    mut known: Known,
    lag: Arc<Mutex<Lag>>,
    out: Sender<Result<Event, SourceError>>,
) {
    loop {
        // What was done before the pause is visible after it.
        let asked = (client.clone(), tables.clone());
        let round = match blocking(move || shards(&asked.0, &asked.1)).await {
            Ok(found) => {
                tokio::time::sleep(VISIBLE_WITHIN).await;
                let (client, out, lag) = (client.clone(), out.clone(), Arc::clone(&lag));
                blocking(move || ask_once(&client, &found, known, &lag, &out)).await
            }
            Err(error) => Err(error),
        };
        known = match round {
            Ok(Some(known)) => known,
            Ok(None) => return,
            Err(error) => {
                let _ = out.send(Err(error)).await;
                return;
            }
        };
    }
}

/// Asks each shard for what is new. `None`: nobody listens any more.
fn ask_once(
    client: &Client,
    found: &[Shard],
    mut known: Known,
    lag: &Mutex<Lag>,
    out: &Sender<Result<Event, SourceError>>,
) -> Result<Option<Known>, SourceError> {
    let behind = |known: &Known| -> u64 {
        let of = |shard: &Shard| {
            let mark = known.get(&(shard.table.clone(), shard.lane())).copied().unwrap_or(0);
            shard.done_below.map_or(0, |done| done.saturating_sub(mark))
        };
        found.iter().map(of).sum()
    };
    let layout = Layout::documents();
    for shard in found {
        let waiting = behind(&known);
        let time = (waiting == 0).then_some(Duration::ZERO);
        *lag.lock() = Lag { time, waiting: Some(waiting), ..Lag::default() };
        let place = (shard.table.clone(), shard.lane());
        let from = known.get(&place).copied().unwrap_or(0);
        if shard.done_below.is_some_and(|done| done <= from) {
            continue;
        }
        let mut pages = Pages::without_pit(client, shard, from);
        while let Some(page) = pages.next_page()? {
            // Behind what is done there may be gaps yet: those documents come with the next round.
            let is_past = shard.done_below.is_some_and(|done| page.end >= done);
            known.insert(place.clone(), page.next);
            if out.blocking_send(Ok(Event::Rows(piece(shard, &layout, page)))).is_err() {
                return Ok(None);
            }
            if is_past {
                break;
            }
        }
    }
    *lag.lock() = Lag { time: Some(Duration::ZERO), waiting: Some(0), ..Lag::default() };
    Ok(Some(known))
}
