"""The official Python client: bulk, search, aggregation, key creation, and the errors they rely on."""

import os

from elasticsearch import BadRequestError, Elasticsearch, NotFoundError, AuthenticationException
from elasticsearch.helpers import bulk, BulkIndexError

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
