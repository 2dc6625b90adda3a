//! A cursor gives every row of its moment once, and nothing that its caller may not see now.

use super::*;
use crate::test_house::House;
use crate::{EraseRequest, NewRuling};
use model::Class;
use protection::Released;
use serde_json::json;
use std::time::Duration;

const ADA: &str = "ada.quillmoor@example.org";

fn rows(from: usize, to: usize) -> Vec<Json> {
    (from..to)
        .map(|n| {
            let region = if n % 2 == 0 { "eu" } else { "us" };
            json!({
                "_id": format!("id{n}"),
                "region": region,
                "n": n,
                "tie": n % 3,
                "note": format!("row with {}", "word ".repeat(n % 4)),
                "email": if n == 7 { ADA.to_owned() } else { format!("p{n}@example.org") },
            })
        })
        .collect()
}

fn grant(rows: Json, classes: Json) -> Json {
    json!({ "grant": { "who": "person:bob", "tables": "t", "action": "read", "classes": classes,
                       "rows": rows, "until": "2027-02-01T00:00:00Z" } })
}

/// Forty rows, of which ten are in the buffer; bob reads them by a grant of his own.
fn house() -> (House, Caller) {
    let house = House::open();
    house.propose(&json!([
        { "drop_role": { "person": "bob", "role": "analyst" } },
        grant(json!([]), json!(["open", "personal"])),
    ]));
    let body = json!({ "mappings": { "properties": {
        "region": { "type": "keyword" }, "n": { "type": "long" }, "tie": { "type": "long" },
        "note": { "type": "text" }, "email": { "type": "keyword" },
    }}});
    house.engine.create_table(&house.engineer, "t", &body).unwrap();
    house.write("t", &rows(0, 15));
    house.engine.flush().unwrap();
    house.write("t", &rows(15, 30));
    house.engine.flush().unwrap();
    house.write("t", &rows(30, 40));
    let bob = house.log_in("bob");
    (house, bob)
}

fn param(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

impl House {
    fn first(&self, caller: &Caller, body: &Json) -> (String, Json) {
        let page = self.engine.search(caller, "t", body, &param("scroll", "1m")).unwrap();
        let page = page.into_inner();
        (page["_scroll_id"].as_str().unwrap().to_owned(), page)
    }

    fn next(&self, caller: &Caller, id: &str) -> Result<Json, EngineError> {
        self.engine.scroll(caller, id, None).map(Released::into_inner)
    }

    /// Narrows what bob may read, which is in force at once.
    fn narrow(&self, edits: &[Json]) {
        let mut all: Vec<Json> =
            self.grants_of("bob").iter().map(|id| json!({ "revoke": id })).collect();
        all.extend(edits.iter().cloned());
        self.propose(&Json::Array(all));
    }
}

fn numbers(page: &Json) -> Vec<u64> {
    let hits = page["hits"]["hits"].as_array().unwrap().iter();
    hits.map(|hit| hit["_source"]["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_scroll_gives_every_row_of_its_moment_once_in_every_order() {
    let (house, bob) = house();
    let orders = [
        json!({}),
        json!({ "sort": ["_doc"] }),
        json!({ "sort": [{ "tie": "desc" }] }),
        json!({ "sort": [{ "region": "asc" }, { "tie": "asc" }] }),
        json!({ "query": { "match": { "note": "row word" } } }),
        json!({ "query": { "match": { "note": "row word" } }, "sort": [{ "_score": "asc" }] }),
    ];
    for (round, order) in orders.iter().enumerate() {
        let mut body = order.clone();
        body["size"] = json!(7);
        let mut whole = order.clone();
        whole["size"] = json!(100);
        let whole = house.engine.search(&bob, "t", &whole, &[]).unwrap().into_inner();
        let (id, first) = house.first(&bob, &body);
        let mut seen = numbers(&first);
        // What happens meanwhile is not seen: new rows, other versions, deletions, merges.
        house.write("t", &rows(100 * (round + 1), 100 * (round + 1) + 3));
        house.write(
            "t",
            &[json!({ "_id": "id3", "n": 3, "region": "eu", "tie": 0, "note": "row",
                                   "email": "x@example.org" })],
        );
        house.engine.flush().unwrap();
        house.engine.compact().unwrap();
        loop {
            let page = house.next(&bob, &id).unwrap();
            assert_eq!(page["hits"]["total"], whole["hits"]["total"], "{order}");
            let more = numbers(&page);
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), seen.len(), "none twice: {order}");
        if order.get("query").is_none() {
            assert_eq!(seen, numbers(&whole), "the order of one long answer: {order}");
        } else {
            let mut whole = numbers(&whole);
            whole.sort_unstable();
            assert_eq!(sorted, whole, "{order}");
        }
        assert!(numbers(&house.next(&bob, &id).unwrap()).is_empty(), "and stays at its end");
        assert_eq!(house.engine.close_scrolls(&bob, std::slice::from_ref(&id)), 1);
        assert_eq!(house.next(&bob, &id).unwrap_err().status, 404);
    }
}

#[test]
fn a_point_in_time_is_paged_with_search_after() {
    let (house, bob) = house();
    let pit = house.engine.open_point_in_time(&bob, "t", "1m").unwrap().into_inner();
    house.write("t", &rows(40, 50));
    house.write("t", &[json!({ "_id": "id0", "n": 1000, "region": "eu", "tie": 0 })]);
    house.engine.flush().unwrap();
    house.engine.compact().unwrap();
    let (mut seen, mut after) = (Vec::new(), None::<Json>);
    loop {
        let mut body = json!({ "size": 7, "sort": [{ "tie": "asc" }],
                               "pit": { "id": pit, "keep_alive": "2m" } });
        if let Some(after) = &after {
            body["search_after"] = after.clone();
        }
        let page = house.engine.search(&bob, "", &body, &[]).unwrap().into_inner();
        assert_eq!(page["pit_id"], json!(pit));
        let Some(last) = page["hits"]["hits"].as_array().unwrap().last().cloned() else { break };
        assert_eq!(last["sort"].as_array().unwrap().len(), 2, "with the implicit _shard_doc");
        after = Some(last["sort"].clone());
        seen.extend(numbers(&page));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<u64>>());
    let with_index = json!({ "pit": { "id": pit } });
    assert_eq!(house.engine.search(&bob, "t", &with_index, &[]).unwrap_err().status, 400);
    assert!(house.engine.close_point_in_time(&bob, &pit));
    assert!(!house.engine.close_point_in_time(&bob, &pit));
    assert_eq!(house.engine.search(&bob, "", &with_index, &[]).unwrap_err().status, 404);
}

#[test]
fn a_cursor_is_its_callers_alone() {
    let (house, bob) = house();
    let ann = house.log_in("ann");
    let key = |name: &str| {
        let made = house.engine.create_api_key(&ann, name, ann.roles(), None).unwrap();
        let credential = protection::caller::Credential::ApiKey(&made.encoded);
        (house.engine.authenticate(credential, None).unwrap(), made.id)
    };
    let ((one, one_id), (two, _)) = (key("one"), key("two"));
    let (id, _) = house.first(&one, &json!({ "size": 5 }));
    let pit = house.engine.open_point_in_time(&one, "t", "1m").unwrap().into_inner();
    let body = json!({ "pit": { "id": pit } });
    let unknown = house.next(&one, "nothing").unwrap_err();
    for other in [&bob, &ann, &two, &house.engineer, &house.admin] {
        assert_eq!(house.next(other, &id).unwrap_err(), unknown, "as if it were not there");
        assert_eq!(house.engine.search(other, "", &body, &[]).unwrap_err(), unknown);
        assert_eq!(house.engine.close_scrolls(other, &[id.clone(), "_all".to_owned()]), 0);
        assert!(!house.engine.close_point_in_time(other, &pit));
    }
    // One kind is no other.
    assert_eq!(house.next(&one, &pit).unwrap_err().status, 404);
    assert_eq!(house.next(&one, &id).unwrap()["hits"]["hits"].as_array().unwrap().len(), 5);
    house.engine.revoke_api_key(&ann, &one_id).unwrap();
    assert_eq!(house.next(&one, &id).unwrap_err().status, 401, "the key was taken back");
    assert_eq!(house.engine.search(&one, "", &body, &[]).unwrap_err().status, 401);
}

#[test]
fn a_narrower_grant_counts_from_the_next_page_on() {
    let (house, bob) = house();
    let by_n = json!({ "size": 4, "sort": [{ "n": "asc" }] });
    let (id, first) = house.first(&bob, &by_n);
    assert_eq!(numbers(&first), [0, 1, 2, 3]);
    assert!(first["hits"]["hits"][0]["_source"].get("email").is_some());
    let pit = house.engine.open_point_in_time(&bob, "t", "1m").unwrap().into_inner();
    let at_point = json!({ "size": 100, "pit": { "id": pit }, "sort": [{ "n": "asc" }] });
    house.narrow(&[grant(json!([{ "field": "region", "in": ["eu"] }]), json!(["open"]))]);
    let page = house.next(&bob, &id).unwrap();
    assert_eq!(numbers(&page), [4, 6, 8, 10], "the other region is not his any more");
    assert_eq!(page["hits"]["total"]["value"], json!(20));
    assert!(!page.to_string().contains("email"), "nor is that class: {page}");
    let found = house.engine.search(&bob, "", &at_point, &[]).unwrap().into_inner();
    assert_eq!(numbers(&found).len(), 20);
    // A filter on a field that he may not use any more is refused, whatever page it is.
    house.narrow(&[]);
    assert_eq!(house.next(&bob, &id).unwrap_err().status, 404);
    assert_eq!(house.engine.search(&bob, "", &at_point, &[]).unwrap_err().status, 404);
    house.engine.disable_person(&house.admin, "bob").unwrap();
    assert!(house.next(&bob, &id).is_err());
}

#[test]
fn a_cursor_over_a_class_that_was_taken_back_is_refused() {
    let (house, bob) = house();
    let by_email = json!({ "size": 4, "sort": [{ "email": "asc" }] });
    let (id, _) = house.first(&bob, &by_email);
    house.narrow(&[grant(json!([]), json!(["open"]))]);
    assert_eq!(house.next(&bob, &id).unwrap_err().status, 403);
}

#[test]
fn erased_rows_and_ruled_fields_are_not_in_the_next_page() {
    let (house, bob) = house();
    let by_n = json!({ "size": 4, "sort": [{ "n": "asc" }] });
    let (id, _) = house.first(&bob, &by_n);
    let (other, _) = house.first(&bob, &by_n);
    let erase = |now: bool| {
        let request = EraseRequest { now, ..EraseRequest::of(ADA) };
        house.engine.erase(&house.guardian, &request).unwrap()
    };
    assert_eq!(erase(false)["rows"], json!(1));
    assert_eq!(numbers(&house.next(&bob, &id).unwrap()), [4, 5, 6, 8]);
    let ruling = NewRuling {
        table: "t".to_owned(),
        field: "region".to_owned(),
        class: Class::Special,
        kind: None,
        reason: "a test".to_owned(),
    };
    house.engine.rule(&house.guardian, &ruling).unwrap();
    // Whether the rewrite has come by already: either the field is gone, or the scroll is.
    match house.next(&bob, &id) {
        Ok(page) => assert!(!page["hits"].to_string().contains("\"region\""), "{page}"),
        Err(error) => assert_eq!(error.status, 404),
    }
    erase(true);
    assert_eq!(house.next(&bob, &other).unwrap_err().status, 404, "no open file holds the row");
}

#[test]
fn cursors_are_bounded_in_number_and_time() {
    let (house, bob) = house();
    let one = json!({ "size": 1 });
    let (id, _) = house.first(&bob, &one);
    house.clock.advance(59_000);
    assert!(house.engine.scroll(&bob, &id, Some("30s")).is_ok());
    house.clock.advance(29_000);
    assert!(house.next(&bob, &id).is_ok());
    house.clock.advance(1_000);
    assert_eq!(house.next(&bob, &id).unwrap_err().status, 404, "its time is over");
    let too_long = house.engine.search(&bob, "t", &one, &param("scroll", "2d")).unwrap_err();
    assert!(too_long.reason.contains("search.max_keep_alive"), "{}", too_long.reason);
    let mut last = String::new();
    for _ in 0..OF_CALLER_MAX {
        last = house.engine.open_point_in_time(&bob, "t", "1m").unwrap().into_inner();
    }
    let refused = house.engine.open_point_in_time(&bob, "t", "1m").unwrap_err();
    assert_eq!(
        (refused.status, refused.kind.as_str()),
        (429, "too_many_scroll_contexts_exception")
    );
    let ann = house.log_in("ann");
    assert!(house.engine.open_point_in_time(&ann, "t", "1m").is_ok(), "others are not held up");
    assert!(house.engine.close_point_in_time(&bob, &last));
    assert!(house.engine.open_point_in_time(&bob, "t", "1m").is_ok());
    let many: Vec<String> = (0..40_000).map(|n| format!("a value of some length {n}")).collect();
    let large = json!({ "query": { "terms": { "region": many } } });
    let refused = house.engine.search(&bob, "t", &large, &param("scroll", "1m")).unwrap_err();
    assert!(refused.reason.contains("1048576"), "{}", refused.reason);
    for (name, wrong) in [
        ("from", json!({ "from": 1 })),
        ("size", json!({ "size": 0 })),
        ("search_after", json!({ "search_after": [1], "sort": ["n"] })),
        ("track_total_hits", json!({ "track_total_hits": false })),
    ] {
        let refused = house.engine.search(&bob, "t", &wrong, &param("scroll", "1m")).unwrap_err();
        assert_eq!(refused.kind, "action_request_validation_exception", "{name}");
        assert!(refused.reason.contains(name), "{}", refused.reason);
    }
}

fn waiting(wait: &str) -> BackgroundOptions {
    BackgroundOptions {
        wait: Some(wait.to_owned()),
        keep_on_completion: true,
        ..Default::default()
    }
}

fn begin(house: &House, caller: &Caller, body: &Json) -> (String, Json) {
    let state = house.engine.begin_search(caller, "t", body, &[], &waiting("30s")).unwrap();
    (state.head["id"].as_str().unwrap().to_owned(), state.response.unwrap().into_inner())
}

#[test]
fn an_answer_of_a_background_search_is_that_of_the_moment_it_is_fetched() {
    let (house, bob) = house();
    let body = json!({ "size": 100, "sort": [{ "n": "asc" }] });
    let (id, answer) = begin(&house, &bob, &body);
    assert_eq!(numbers(&answer).len(), 40);
    let fetch = |caller: &Caller| {
        let state = house.engine.background_search(caller, &id, Some("30s"), None)?;
        Ok::<_, EngineError>(state.response.unwrap().into_inner())
    };
    assert_eq!(numbers(&fetch(&bob).unwrap()).len(), 40);
    let ann = house.log_in("ann");
    assert_eq!(fetch(&ann).unwrap_err().status, 404);
    assert_eq!(house.engine.background_status(&ann, &id).unwrap_err().status, 404);
    assert!(!house.engine.delete_background(&ann, &id));
    // A row of a person is gone: what was kept is not given out any more.
    let request = EraseRequest::of(ADA);
    house.engine.erase(&house.guardian, &request).unwrap();
    let after = numbers(&fetch(&bob).unwrap());
    assert!(after.len() == 39 && !after.contains(&7), "{after:?}");
    // So with a narrower grant.
    house.narrow(&[grant(json!([{ "field": "region", "in": ["eu"] }]), json!(["open"]))]);
    let answer = fetch(&bob).unwrap();
    assert_eq!(numbers(&answer).len(), 20);
    assert!(!answer.to_string().contains("email"), "{answer}");
    let status = house.engine.background_status(&bob, &id).unwrap();
    assert_eq!((&status["is_running"], &status["completion_status"]), (&json!(false), &json!(200)));
    house.narrow(&[]);
    assert_eq!(fetch(&bob).unwrap_err().status, 404);
    assert!(house.engine.delete_background(&bob, &id));
    assert!(!house.engine.delete_background(&bob, &id));
}

#[test]
fn a_background_search_that_ends_in_time_keeps_nothing_unless_asked() {
    let (house, bob) = house();
    let options = BackgroundOptions { wait: Some("30s".to_owned()), ..Default::default() };
    let state = house.engine.begin_search(&bob, "t", &json!({}), &[], &options).unwrap();
    assert!(!state.head.contains_key("id") && state.response.is_some());
    assert!(house.engine.cursors.open.lock().is_empty());
    let wrong = json!({ "query": { "match": { "n": "no number" } } });
    let failed = house.engine.begin_search(&bob, "t", &wrong, &[], &options);
    assert_eq!(failed.unwrap_err().status, 400);
    assert!(house.engine.cursors.open.lock().is_empty());
    // Every place is given back.
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(20));
        if house.engine.cursors.running.load(Ordering::Acquire) == 0 {
            return;
        }
    }
    panic!("a search still counts as running");
}
