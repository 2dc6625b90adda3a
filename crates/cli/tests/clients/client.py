"""The official Python client: bulk, search, aggregation, key creation, and the errors they rely on."""

import os

from elasticsearch import BadRequestError, Elasticsearch, NotFoundError, AuthenticationException
from elasticsearch.helpers import bulk, scan, BulkIndexError

url = os.environ["CLERESTORY_URL"]
client = Elasticsearch(url, api_key=os.environ["CLERESTORY_API_KEY"], request_timeout=60)

info = client.info()
assert info["version"]["number"].startswith("9."), info
assert client.ping()

client.indices.create(
    index="python",
    mappings={
        "properties": {
            "@timestamp": {"type": "date"},
            "kind": {"type": "keyword"},
            "n": {"type": "long"},
            "latency_ms": {"type": "double"},
            "message": {"type": "text"},
        }
    },
)
assert client.indices.exists(index="python")
assert not client.indices.exists(index="nothing")
mapping = client.indices.get_mapping(index="python")
assert mapping["python"]["mappings"]["properties"]["kind"]["type"] == "keyword", mapping


def rows():
    for n in range(1000):
        yield {
            "_index": "python",
            "_id": f"row-{n}",
            "@timestamp": f"2026-11-{1 + n % 10:02}T12:00:00Z",
            "kind": ["connect", "heartbeat", "error"][n % 3],
            "n": n,
            "latency_ms": n / 2,
            "message": f"row {n} connected in {n} ms",
        }


done, errors = bulk(client, rows(), chunk_size=300)
assert (done, errors) == (1000, []), (done, errors)

# A bad row is refused alone.
try:
    bulk(client, [{"_index": "python", "n": "not a number"}, {"_index": "python", "n": 5000}])
    raise AssertionError("a bad row must be told")
except BulkIndexError as error:
    assert len(error.errors) == 1, error.errors
client.indices.refresh(index="python")
assert client.count(index="python")["count"] == 1001

found = client.search(
    index="python",
    query={"bool": {"filter": [{"term": {"kind": "error"}}, {"range": {"n": {"lt": 10}}}]}},
    sort=[{"n": "desc"}],
    size=2,
)
assert found["hits"]["total"]["value"] == 3, found
assert [hit["_source"]["n"] for hit in found["hits"]["hits"]] == [8, 5], found
page = client.search(
    index="python",
    query={"term": {"kind": "error"}},
    sort=[{"n": "asc"}],
    search_after=[8],
    size=1,
)
assert page["hits"]["hits"][0]["_source"]["n"] == 11, page

words = client.search(index="python", query={"match_phrase": {"message": "row 77"}})
assert words["hits"]["hits"][0]["_id"] == "row-77", words
assert words["hits"]["hits"][0]["_score"] > 0

answer = client.search(
    index="python",
    size=0,
    query={"exists": {"field": "kind"}},
    aggs={
        "kinds": {
            "terms": {"field": "kind"},
            "aggs": {"latency": {"avg": {"field": "latency_ms"}}},
        },
        "days": {"date_histogram": {"field": "@timestamp", "calendar_interval": "day"}},
        "distinct": {"cardinality": {"field": "n"}},
    },
)["aggregations"]
counts = {bucket["key"]: bucket["doc_count"] for bucket in answer["kinds"]["buckets"]}
assert counts == {"connect": 334, "heartbeat": 333, "error": 333}, counts
assert len(answer["days"]["buckets"]) == 10
assert answer["distinct"]["value"] == 1000

client.update(index="python", id="row-1", doc={"kind": "changed"})
assert client.get(index="python", id="row-1")["_source"]["kind"] == "changed"
both = client.mget(index="python", ids=["row-1", "missing"])["docs"]
assert [one["found"] for one in both] == [True, False], both
client.delete(index="python", id="row-1")
try:
    client.get(index="python", id="row-1")
    raise AssertionError("a deleted row is gone")
except NotFoundError:
    pass

caps = client.field_caps(index="python", fields="*")
assert caps["fields"]["n"]["long"]["aggregatable"], caps
rows_by_sql = client.sql.query(query="SELECT count(*) AS n FROM python WHERE kind = 'error'")
assert rows_by_sql["rows"] == [[333]], rows_by_sql
assert client.cat.indices(index="python", format="json")[0]["index"] == "python"
assert client.cluster.health()["status"] in ("green", "yellow")

try:
    client.search(index="python", query={"no_such_query": {}})
    raise AssertionError("an unknown query is refused")
except BadRequestError as error:
    assert error.body["error"]["type"], error.body
try:
    client.search(index="no-such-index")
    raise AssertionError("an unknown index is not found")
except NotFoundError as error:
    assert error.body["error"]["type"] == "index_not_found_exception", error.body

# Cursors: a scroll, a point in time, an asynchronous search.
scrolled = [hit["_source"]["n"] for hit in scan(client, index="python", size=70, scroll="1m")]
assert len(scrolled) == len(set(scrolled)) == 1000, len(scrolled)
errors = scan(client, index="python", query={"query": {"term": {"kind": "error"}}}, size=100, preserve_order=True)
assert sum(1 for _ in errors) == 333
first = client.search(index="python", scroll="1m", size=10, sort=["_doc"])
assert client.clear_scroll(scroll_id=first["_scroll_id"])["num_freed"] == 1
try:
    client.scroll(scroll_id=first["_scroll_id"], scroll="1m")
    raise AssertionError("a closed scroll is over")
except NotFoundError as error:
    assert error.body["error"]["type"] == "search_context_missing_exception", error.body

pit = client.open_point_in_time(index="python", keep_alive="1m")["id"]
client.index(index="python", id="later", document={"n": 9999, "kind": "late"})
paged, after = [], None
while True:
    page = client.search(
        pit={"id": pit, "keep_alive": "1m"}, sort=[{"kind": "asc"}], size=150, search_after=after
    )
    pit = page["pit_id"]
    hits = page["hits"]["hits"]
    if not hits:
        break
    after = hits[-1]["sort"]
    paged += [hit["_source"]["n"] for hit in hits]
assert sorted(paged) == sorted(scrolled), (len(paged), len(scrolled))
assert client.close_point_in_time(id=pit)["num_freed"] == 1
client.delete(index="python", id="later")

begun = client.async_search.submit(
    index="python",
    size=0,
    aggs={"kinds": {"terms": {"field": "kind"}}},
    wait_for_completion_timeout="10s",
    keep_on_completion=True,
)
assert not begun["is_running"] and begun["response"]["hits"]["total"]["value"] == 1000, begun
assert client.async_search.status(id=begun["id"])["completion_status"] == 200
kept = client.async_search.get(id=begun["id"])
assert kept["response"]["aggregations"] == begun["response"]["aggregations"], kept
client.async_search.delete(id=begun["id"])
try:
    client.async_search.get(id=begun["id"])
    raise AssertionError("a deleted search is gone")
except NotFoundError:
    pass

days = client.search(
    index="python",
    size=0,
    aggs={
        "days": {
            "date_histogram": {"field": "@timestamp", "calendar_interval": "day"},
            "aggs": {"so_far": {"cumulative_sum": {"buckets_path": "_count"}}},
        },
        "most": {"max_bucket": {"buckets_path": "days>_count"}},
    },
)["aggregations"]
assert days["days"]["buckets"][-1]["so_far"]["value"] == 999, days

client.indices.put_alias(index="python", name="snake")
assert client.count(index="snake")["count"] == 1000
assert client.indices.exists_alias(name="snake")
assert client.indices.get_alias(name="snake") == {"python": {"aliases": {"snake": {}}}}
client.index(index="snake", id="by-alias", document={"n": 1})
assert client.get(index="snake", id="by-alias")["_index"] == "python"
client.delete(index="snake", id="by-alias")
client.indices.update_aliases(actions=[{"remove": {"index": "python", "alias": "snake"}}])
assert not client.indices.exists_alias(name="snake")

assert client.terms_enum(index="python", field="kind", string="he")["terms"] == ["heartbeat"]

key = client.security.create_api_key(name="made by python", expiration="1d")
assert key["encoded"] and key["id"] and key["api_key"], "a key has all its parts"
other = Elasticsearch(url, api_key=key["encoded"])
assert other.count(index="python")["count"] == 1000
assert other.security.authenticate()["username"]
client.security.invalidate_api_key(ids=[key["id"]])
try:
    other.count(index="python")
    raise AssertionError("a revoked key opens nothing")
except AuthenticationException:
    pass

client.indices.delete(index="python")
assert not client.indices.exists(index="python")
print("python client: all well")
