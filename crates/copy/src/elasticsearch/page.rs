//! Documents page by page, in the order of their sequence numbers.

use super::client::{Answer, Client, encoded};
use super::indices::Shard;
use crate::{CopiedRows, Layout, Piece, Position, Refusal, SourceError};
use model::Op;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

/// Documents of a page, while they are small.
const PAGE_ROWS: u64 = 2_000;
/// How long a cluster keeps a point in time without being asked.
const KEEP_ALIVE: &str = "5m";

/// Documents, and where to go on.
pub(super) struct Page {
    pub(super) rows: CopiedRows,
    pub(super) refused: Vec<Refusal>,
    /// Behind the last document.
    pub(super) end: u64,
    /// The sequence number to go on from: not beyond what is known to be done.
    pub(super) next: u64,
}

/// A page as a piece of a table.
pub(super) fn piece(shard: &Shard, layout: &Arc<Layout>, page: Page) -> Piece {
    Piece {
        table: shard.table.clone(),
        lane: shard.lane().into(),
        layout: Arc::clone(layout),
        rows: page.rows,
        refused: page.refused,
        position: Some(Position::number(page.next)),
    }
}

/// The documents of a shard from a sequence number on.
pub(super) struct Pages<'a> {
    client: &'a Client,
    shard: &'a Shard,
    /// The point in time, where the cluster has them.
    pit: Option<Pit>,
    from: u64,
    /// The sort values of the last document that was given.
    sort: Option<Value>,
    /// The cluster knows no range over sequence numbers.
    by_sort_only: bool,
    size: u64,
}

/// A point in time, which the two families of clusters open differently.
enum Pit {
    Elasticsearch(String),
    OpenSearch(String),
}

impl Pit {
    fn id(&self) -> &str {
        match self {
            Pit::Elasticsearch(id) | Pit::OpenSearch(id) => id,
        }
    }
}

impl<'a> Pages<'a> {
    /// Opens a point in time; without one each page sees what there is at its time.
    pub(super) fn open(
        client: &'a Client,
        shard: &'a Shard,
        from: u64,
    ) -> Result<Pages<'a>, SourceError> {
        let pit = open_pit(client, shard)?;
        Ok(Pages { pit, ..Pages::without_pit(client, shard, from) })
    }

    /// Follows without a point in time: nothing is kept open while nothing happens.
    pub(super) fn without_pit(client: &'a Client, shard: &'a Shard, from: u64) -> Pages<'a> {
        // Who says nothing of sequence numbers may take a range over them for one over a field that
        // no document has.
        let by_sort_only = shard.done_below.is_none();
        Pages { client, shard, pit: None, from, sort: None, by_sort_only, size: PAGE_ROWS }
    }

    /// The next documents; `None` at the end.
    pub(super) fn next_page(&mut self) -> Result<Option<Page>, SourceError> {
        loop {
            let path = match &self.pit {
                Some(_) => "/_search".to_owned(),
                None => format!(
                    "/{}/_search{}",
                    encoded(&self.shard.index),
                    preference(self.shard, '?')
                ),
            };
            match self.client.send("POST", &path, Some(&self.question()))? {
                Answer::Good(body) => return self.read(&body),
                Answer::TooLong if self.size > 1 => self.size = self.size.div_ceil(4),
                Answer::TooLong => {
                    return Err(SourceError::Broken(format!(
                        "a document of `{}` is longer than 64 MiB",
                        self.shard.index
                    )));
                }
                Answer::Unknown if !self.by_sort_only && self.from > 0 => {
                    self.by_sort_only = true;
                }
                Answer::Unknown => {
                    return Err(SourceError::Unreachable(format!(
                        "the cluster does not give the documents of `{}`: it forgot the point in \
                         time, or the index is gone",
                        self.shard.index
                    )));
                }
            }
        }
    }

    fn question(&self) -> Value {
        let mut question = json!({
            "size": self.size,
            "sort": [{ "_seq_no": "asc" }],
            "track_total_hits": false,
        });
        if let Some(pit) = &self.pit {
            question["pit"] = json!({ "id": pit.id(), "keep_alive": KEEP_ALIVE });
        }
        match &self.sort {
            Some(sort) => question["search_after"] = sort.clone(),
            None if self.by_sort_only && self.from > 0 => {
                question["search_after"] = json!([self.from - 1]);
            }
            None => {}
        }
        // The filter stays while later pages go on behind their sort values.
        if self.from > 0 && !self.by_sort_only {
            question["query"] = json!({ "range": { "_seq_no": { "gte": self.from } } });
        }
        question
    }

    fn read(&mut self, body: &[u8]) -> Result<Option<Page>, SourceError> {
        let unread = |_| SourceError::Broken("a page of documents cannot be read".to_owned());
        let found: Found<'_> = serde_json::from_slice(body).map_err(unread)?;
        if found.timed_out || found.shards.failed > 0 {
            return Err(SourceError::Unreachable(
                "a shard of the cluster does not answer".to_owned(),
            ));
        }
        if let (Some(Pit::Elasticsearch(id)), Some(now)) = (&mut self.pit, found.pit_id) {
            *id = now;
        }
        let Some(last) = found.hits.hits.last() else { return Ok(None) };
        let number = |hit: &Hit<'_>| hit.sort.first().and_then(Value::as_u64);
        let last_number = number(last).ok_or_else(|| {
            SourceError::Broken("documents come without their numbers".to_owned())
        })?;
        self.sort = Some(Value::Array(last.sort.clone()));
        let mut rows = CopiedRows::new(2);
        let mut refused = Vec::new();
        push(&found.hits.hits, self.shard, &mut rows, &mut refused);
        let end = last_number + 1;
        let next = self.shard.done_below.map_or(end, |done| done.min(end));
        Ok(Some(Page { rows, refused, end, next }))
    }

    /// Lets the cluster forget the point in time; it would do so by itself.
    pub(super) fn close(self) {
        let closed = match &self.pit {
            Some(Pit::Elasticsearch(id)) => {
                self.client.send("DELETE", "/_pit", Some(&json!({ "id": id })))
            }
            Some(Pit::OpenSearch(id)) => self.client.send(
                "DELETE",
                "/_search/point_in_time",
                Some(&json!({ "pit_id": [id] })),
            ),
            None => return,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a point in time was not closed");
        }
    }
}

fn preference(shard: &Shard, before: char) -> String {
    match shard.has_others {
        true => format!("{before}preference=_shards%3A{}", shard.number),
        false => String::new(),
    }
}

fn open_pit(client: &Client, shard: &Shard) -> Result<Option<Pit>, SourceError> {
    let index = encoded(&shard.index);
    let preference = preference(shard, '&');
    let path = format!("/{index}/_pit?keep_alive={KEEP_ALIVE}{preference}");
    if let Answer::Good(body) = client.send("POST", &path, None)? {
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        return Ok(answer["id"].as_str().map(|id| Pit::Elasticsearch(id.to_owned())));
    }
    let path = format!("/{index}/_search/point_in_time?keep_alive={KEEP_ALIVE}{preference}");
    if let Answer::Good(body) = client.send("POST", &path, None)? {
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        return Ok(answer["pit_id"].as_str().map(|id| Pit::OpenSearch(id.to_owned())));
    }
    Ok(None)
}

/// The first documents of a table, as they come.
pub(super) fn first_page(
    client: &Client,
    table: &str,
    rows: usize,
) -> Result<CopiedRows, SourceError> {
    let path = format!("/{}/_search", encoded(table));
    let question = json!({ "size": rows, "track_total_hits": false });
    let Answer::Good(body) = client.send("POST", &path, Some(&question))? else {
        return Err(SourceError::Refused(format!("`{table}` cannot be searched")));
    };
    let found: Found<'_> = serde_json::from_slice(&body)
        .map_err(|_| SourceError::Broken("a page of documents cannot be read".to_owned()))?;
    let shard = Shard {
        table: table.to_owned(),
        index: table.to_owned(),
        number: 0,
        has_others: false,
        done_below: None,
        rows: 0,
    };
    let mut sample = CopiedRows::new(2);
    push(&found.hits.hits, &shard, &mut sample, &mut Vec::new());
    Ok(sample)
}

fn push(hits: &[Hit<'_>], shard: &Shard, rows: &mut CopiedRows, refused: &mut Vec<Refusal>) {
    for hit in hits {
        match hit.source {
            Some(source) => {
                rows.start(Op::Put);
                rows.push_text(&hit.id);
                rows.push_json(source.get());
            }
            None => {
                let number = hit.sort.first().and_then(Value::as_u64).unwrap_or(0);
                refused.push(Refusal {
                    at: format!("{}, sequence number {number}", shard.lane()),
                    reason: "its index keeps no `_source`".to_owned(),
                });
            }
        }
    }
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards", default)]
    shards: Shards,
    pit_id: Option<String>,
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Default, Deserialize)]
struct Shards {
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    #[serde(default)]
    sort: Vec<Value>,
}
