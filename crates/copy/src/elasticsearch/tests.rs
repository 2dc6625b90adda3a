//! A peer on loopback that answers as Elasticsearch 8 and OpenSearch 2 do: points in time that do
//! not see later writes, shards with sequence numbers of their own, `search_after` over them, pages
//! in part, and logins. It is a peer of ours and no Elasticsearch; a second real server as a source
//! is in the tests of the binary.

use super::*;
use crate::testing::{Target, runtime, wanted};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Elasticsearch,
    OpenSearch,
}

/// A document as a shard keeps it.
#[derive(Clone)]
struct Doc {
    seq: u64,
    id: String,
    source: Value,
    visible: bool,
}

struct State {
    family: Family,
    /// Shards of the index `logs-1`, and of `logs-2`, which has one.
    shards: BTreeMap<(String, u64), Vec<Doc>>,
    pits: BTreeMap<String, Vec<Doc>>,
    opened: usize,
    questions: usize,
    fail_next: bool,
    hides_templates: bool,
}

#[derive(Clone)]
struct Peer {
    state: Arc<Mutex<State>>,
    port: u16,
}

impl Peer {
    fn start(family: Family) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shards = [("logs-1", 0), ("logs-1", 1), ("logs-2", 0)];
        let shards = shards.map(|(index, number)| ((index.to_owned(), number), Vec::new())).into();
        let state = State {
            family,
            shards,
            pits: BTreeMap::new(),
            opened: 0,
            questions: 0,
            fail_next: false,
            hides_templates: false,
        };
        let peer = Peer { state: Arc::new(Mutex::new(state)), port };
        let serving = peer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        peer
    }

    fn source(&self, password: &str) -> ElasticsearchSource {
        let place = ElasticsearchPlace { url: format!("http://127.0.0.1:{}", self.port) };
        let password = Zeroizing::new(password.to_owned());
        let login = ElasticsearchLogin::Password { user: "copy".into(), password };
        ElasticsearchSource::new(&place, Some(&login), &Trust::of_system().unwrap()).unwrap()
    }

    fn write(&self, index: &str, shard: u64, count: u64) {
        let mut state = self.state.lock();
        let docs = state.shards.get_mut(&(index.to_owned(), shard)).unwrap();
        for _ in 0..count {
            let seq = docs.iter().map(|doc| doc.seq + 1).max().unwrap_or(0);
            let id = format!("{index}-{shard}-{seq}");
            docs.push(Doc { seq, id, source: json!({ "n": seq }), visible: true });
        }
    }

    fn update(&self, index: &str, shard: u64, id: &str, source: Value) {
        let mut state = self.state.lock();
        let docs = state.shards.get_mut(&(index.to_owned(), shard)).unwrap();
        let seq = docs.iter().map(|doc| doc.seq + 1).max().unwrap_or(0);
        docs.retain(|doc| doc.id != id);
        docs.push(Doc { seq, id: id.to_owned(), source, visible: true });
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let (mut length, mut is_known, mut is_chunked) = (0, false, false);
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let header = header.trim().to_ascii_lowercase();
                if header.is_empty() {
                    break;
                }
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                is_chunked |= header == "transfer-encoding: chunked";
                // copy:secret
                is_known |= header == "authorization: basic y29wetpzzwnyzxq=";
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            while is_chunked {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                body.extend_from_slice(&chunk[..size]);
                is_chunked = size > 0;
            }
            let mut words = line.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let (status, answer) = match is_known {
                true => {
                    self.answer(method, path, &serde_json::from_slice(&body).unwrap_or_default())
                }
                false => (401, json!({ "error": "no" })),
            };
            let answer = answer.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
            if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut state = self.state.lock();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let settings = |count: u64| json!({ "settings": { "index": { "number_of_shards": count.to_string() } } });
        let logs = |name: &str| name == "logs";
        let is_opensearch = state.family == Family::OpenSearch;
        match (method, parts.as_slice()) {
            ("GET", ["_cat", "indices"]) => {
                let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
                for ((index, _), docs) in &state.shards {
                    *counts.entry(index).or_default() += docs.len();
                }
                let row = |(index, count): (&&String, &usize)| json!({ "index": index, "docs.count": count.to_string() });
                (200, counts.iter().map(row).collect())
            }
            ("GET", ["_mapping"]) => {
                let mapping = json!({ "mappings": { "properties": { "n": { "type": "long" },
                    "user": { "properties": { "email": { "type": "keyword" } } } } } });
                (200, json!({ "logs-1": mapping, "logs-2": mapping, ".security": mapping }))
            }
            ("GET", ["_index_template"]) => {
                let of = |name: &str, pattern: &str| {
                    json!({ "name": name, "index_template": {
                    "index_patterns": [pattern], "priority": 7, "composed_of": ["common"],
                    "template": { "lifecycle": { "data_retention": "30d" } } } })
                };
                (200, json!({ "index_templates": [of("logs", "logs-*"), of("other", "x*")] }))
            }
            ("GET", ["_component_template"]) => {
                let template = json!({ "mappings": { "properties": {
                    "n": { "type": "keyword" }, "trace": { "type": "keyword" } } } });
                let part =
                    json!({ "name": "common", "component_template": { "template": template } });
                (200, json!({ "component_templates": [part] }))
            }
            ("GET", ["_template"]) if state.hides_templates => (403, json!({})),
            ("GET", ["_template"]) => (200, json!({})),
            ("GET", ["_data_stream"]) if is_opensearch => (400, json!({})),
            ("GET", ["_data_stream"]) => (200, json!({ "data_streams": [] })),
            ("GET", ["_alias"]) => {
                let alias = json!({ "aliases": { "logs": {} } });
                (200, json!({ "logs-1": alias, "logs-2": alias, ".security": { "aliases": {} } }))
            }
            ("GET", [name, "_settings"]) if logs(name) => {
                (200, json!({ "logs-1": settings(2), "logs-2": settings(1) }))
            }
            ("GET", [_, "_settings"]) => (404, json!({})),
            ("GET", [_, "_stats"]) => {
                let mut indices = json!({});
                for ((index, number), docs) in &state.shards {
                    // Everything below the first that is not visible.
                    let hidden = docs.iter().filter(|doc| !doc.visible).map(|doc| doc.seq).min();
                    let end = docs.iter().map(|doc| doc.seq + 1).max().unwrap_or(0);
                    let done = hidden.unwrap_or(end) as i64 - 1;
                    indices[index]["shards"][number.to_string()] =
                        json!([{ "seq_no": { "local_checkpoint": done } }]);
                }
                (200, json!({ "indices": indices }))
            }
            ("POST", [index, "_pit"]) if !is_opensearch => {
                let id = open(&mut state, index, query);
                (200, json!({ "id": id }))
            }
            ("POST", [index, "_search", "point_in_time"]) if is_opensearch => {
                let id = open(&mut state, index, query);
                (200, json!({ "pit_id": id }))
            }
            ("POST", [_, "_pit"] | [_, "_search", "point_in_time"]) => (400, json!({})),
            ("DELETE", ["_pit"]) => {
                state.pits.remove(body["id"].as_str().unwrap());
                (200, json!({}))
            }
            ("DELETE", ["_search", "point_in_time"]) => {
                state.pits.remove(body["pit_id"][0].as_str().unwrap());
                (200, json!({}))
            }
            ("POST", ["_search"]) => {
                let Some(docs) = state.pits.get(body["pit"]["id"].as_str().unwrap()).cloned()
                else {
                    return (404, json!({}));
                };
                state.questions += 1;
                if std::mem::take(&mut state.fail_next) {
                    return (503, json!({}));
                }
                (200, hits(&docs, body, true))
            }
            ("POST", [index, "_search"]) => {
                let of = |(name, _): &&(String, u64)| name == index || *index == "logs";
                let number = query.split("_shards%3A").nth(1).map(|n| n.parse::<u64>().unwrap());
                let docs: Vec<Doc> = state
                    .shards
                    .iter()
                    .filter(|(place, _)| of(place) && number.is_none_or(|n| n == place.1))
                    .flat_map(|(_, docs)| docs.iter().filter(|doc| doc.visible).cloned())
                    .collect();
                (200, hits(&docs, body, false))
            }
            _ => (405, json!({})),
        }
    }
}

fn open(state: &mut State, index: &str, query: &str) -> String {
    state.opened += 1;
    let number = query.split("_shards%3A").nth(1).map_or(0, |n| n.parse::<u64>().unwrap());
    let docs = &state.shards[&(index.to_owned(), number)];
    let seen = docs.iter().filter(|doc| doc.visible).cloned().collect();
    let id = format!("pit {}", state.opened);
    state.pits.insert(id.clone(), seen);
    id
}

fn hits(docs: &[Doc], body: &Value, in_pit: bool) -> Value {
    let from = body["query"]["range"]["_seq_no"]["gte"].as_u64().unwrap_or(0);
    let after = body["search_after"][0].as_i64().unwrap_or(-1);
    let mut docs: Vec<&Doc> =
        docs.iter().filter(|doc| doc.seq >= from && doc.seq as i64 > after).collect();
    docs.sort_by_key(|doc| doc.seq);
    docs.truncate(body["size"].as_u64().unwrap() as usize);
    let hit = |doc: &&Doc| {
        let mut sort = vec![json!(doc.seq)];
        if in_pit {
            sort.push(json!(7));
        }
        json!({ "_id": doc.id, "_source": doc.source, "sort": sort })
    };
    let hits: Vec<Value> = docs.iter().map(hit).collect();
    json!({ "timed_out": false, "_shards": { "failed": 0 }, "pit_id": body["pit"]["id"],
            "hits": { "hits": hits } })
}

async fn all_of_it(family: Family) {
    let peer = Peer::start(family);
    peer.write("logs-1", 0, 5_000);
    peer.write("logs-1", 1, 10);
    peer.write("logs-2", 0, 300);
    let source = peer.source("secret");
    let tables = source.describe().await.unwrap();
    let told: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.rows, t.key.join(","))).collect();
    assert_eq!(told, [("logs", Some(5_310), "_id".to_owned())]);
    let columns: Vec<&str> = tables[0].columns.iter().map(|c| c.name.as_str()).collect();
    // With what its template says: a field that no index has yet, and how long rows stay.
    assert_eq!(columns, ["n", "user.email", "trace"]);
    assert_eq!(tables[0].columns[0].native, "long", "as it is in the indices");
    let about = source.about(&tables[0]).await.unwrap();
    assert_eq!(about.words.as_deref(), Some("indices by the template `logs` (logs-*)"));
    assert_eq!(about.retention.as_deref(), Some("30d"));
    peer.state.lock().hides_templates = true;
    let about = source.about(&tables[0]).await.unwrap();
    assert!(about.words.unwrap().contains("`monitor`") && about.retention.is_none());
    assert_eq!(source.describe().await.unwrap()[0].columns.len(), 2, "the rest is there");
    let (_, sample) = source.sample(&tables[0], 20).await.unwrap();
    assert_eq!(sample.len(), 20);

    let all = [wanted("logs", &["_id"])];
    let snapshot = source.snapshot(&all, &[]).await.unwrap();
    let ranges = snapshot.ranges();
    assert_eq!(ranges.len(), 3);
    // Cut off after the first page, and written to meanwhile; it goes on behind what is stored.
    let mut target = Target::default();
    let (out, mut pieces) = tokio::sync::mpsc::channel(1);
    let reading = snapshot.read(&ranges[0], None, &out);
    let cut = async {
        target.take(pieces.recv().await.unwrap(), &[]);
        drop(pieces);
    };
    let (_, ()) = tokio::join!(reading, cut);
    assert_eq!(target.rows.len(), 2_000);
    peer.update("logs-1", 0, "logs-1-0-3", json!({ "n": "changed" }));
    let anew = source.snapshot(&all, &ranges).await.unwrap();
    target.read_all(&*anew, &[]).await;
    assert_eq!((target.rows.len(), target.given), (5_310, 5_311));
    assert_eq!(target.rows["logs-1-0-3"]["_source"], "{\"n\":\"changed\"}");
    assert!(peer.state.lock().pits.len() <= 1, "points in time are closed");

    // Followed: what is not visible yet is not passed over.
    let start = anew.start();
    let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
    peer.write("logs-1", 1, 5);
    peer.state.lock().shards.get_mut(&("logs-1".to_owned(), 1)).unwrap()[11].visible = false;
    target.follow_until(&mut *follow, &[], |t| t.rows.len() >= 5_314).await;
    drop(follow);
    peer.state.lock().shards.get_mut(&("logs-1".to_owned(), 1)).unwrap()[11].visible = true;
    let mut follow = source.follow(&all, &start, &target.marks).await.unwrap();
    target.follow_until(&mut *follow, &[], |t| t.rows.len() == 5_315).await;

    peer.state.lock().fail_next = true;
    let busy = source.snapshot(&all, &[]).await.unwrap();
    let (out, _pieces) = tokio::sync::mpsc::channel(8);
    let error = busy.read(&ranges[1], None, &out).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable(_)), "{error}");
}

#[test]
fn a_cluster_like_elasticsearch_is_copied() {
    runtime().block_on(all_of_it(Family::Elasticsearch));
}

#[test]
fn a_cluster_like_opensearch_is_copied() {
    runtime().block_on(all_of_it(Family::OpenSearch));
}

#[test]
fn what_a_person_can_do_wrong_is_said() {
    let peer = Peer::start(Family::Elasticsearch);
    runtime().block_on(async {
        let stranger = peer.source("hunter2");
        let error = stranger.describe().await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused(why) if why.contains("login")), "{error}");
        assert!(!format!("{error} {stranger:?}").contains("hunter2"));
        let gone = peer.source("secret").snapshot(&[wanted("gone", &[])], &[]).await;
        assert!(matches!(gone.map(drop), Err(SourceError::Refused(why)) if why.contains("`gone`")));
    });
    let place = ElasticsearchPlace { url: "http://search.example:9200".into() };
    let trust = Trust::of_system().unwrap();
    let error = ElasticsearchSource::new(&place, None, &trust).unwrap_err();
    assert!(error.to_string().contains("another machine"), "{error}");
}
