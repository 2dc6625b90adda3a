// The official JavaScript client: bulk, search, aggregation, key creation, and the errors they rely on.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const modules = path.resolve(process.env.CLERESTORY_NODE_MODULES);
const require = createRequire(path.join(modules, "of-the-test.js"));
const { Client, errors } = require("@elastic/elasticsearch");

const node = process.env.CLERESTORY_URL;
const client = new Client({ node, auth: { apiKey: process.env.CLERESTORY_API_KEY } });

const info = await client.info();
assert.match(info.version.number, /^9\./);

const index = "javascript";
await client.indices.create({
  index,
  mappings: {
    properties: {
      "@timestamp": { type: "date" },
      kind: { type: "keyword" },
      n: { type: "long" },
      message: { type: "text" },
    },
  },
});
assert.equal(await client.indices.exists({ index }), true);
assert.equal(await client.indices.exists({ index: "nothing" }), false);

const kinds = ["connect", "heartbeat", "error"];
const rows = Array.from({ length: 1000 }, (_, n) => ({
  "@timestamp": `2026-11-${String(1 + (n % 10)).padStart(2, "0")}T12:00:00Z`,
  kind: kinds[n % 3],
  n,
  message: `row ${n} connected in ${n} ms`,
}));
const loaded = await client.helpers.bulk({
  datasource: rows,
  onDocument: (row) => ({ index: { _index: index, _id: `row-${row.n}` } }),
});
assert.equal(loaded.successful, 1000);
assert.equal(loaded.failed, 0);

const mixed = await client.bulk({
  operations: [{ index: { _index: index } }, { n: "not a number" }, { index: { _index: index } }, { n: 5000 }],
});
assert.equal(mixed.errors, true);
assert.deepEqual(mixed.items.map((item) => Boolean(item.index.error)), [true, false]);
await client.indices.refresh({ index });
assert.equal((await client.count({ index })).count, 1001);

const found = await client.search({
  index,
  query: { bool: { filter: [{ term: { kind: "error" } }, { range: { n: { lt: 10 } } }] } },
  sort: [{ n: "desc" }],
  size: 2,
});
assert.equal(found.hits.total.value, 3);
assert.deepEqual(found.hits.hits.map((hit) => hit._source.n), [8, 5]);

const words = await client.search({ index, query: { match: { message: { query: "row 77", operator: "and" } } } });
assert.ok(words.hits.hits.some((hit) => hit._id === "row-77"));

const { aggregations } = await client.search({
  index,
  size: 0,
  aggs: {
    kinds: { terms: { field: "kind" }, aggs: { largest: { max: { field: "n" } } } },
    days: { date_histogram: { field: "@timestamp", calendar_interval: "day" } },
  },
});
assert.deepEqual(
  Object.fromEntries(aggregations.kinds.buckets.map((bucket) => [bucket.key, bucket.doc_count])),
  { connect: 334, heartbeat: 333, error: 333 },
);
assert.equal(aggregations.days.buckets.length, 10);

await client.update({ index, id: "row-1", doc: { kind: "changed" } });
assert.equal((await client.get({ index, id: "row-1" }))._source.kind, "changed");
await client.delete({ index, id: "row-1" });
await assert.rejects(client.get({ index, id: "row-1" }), (error) => error.statusCode === 404);
await assert.rejects(
  client.search({ index, query: { no_such_query: {} } }),
  (error) => error instanceof errors.ResponseError && error.statusCode === 400,
);

const sql = await client.sql.query({ query: `SELECT count(*) AS n FROM ${index} WHERE kind = 'error'` });
assert.deepEqual(sql.rows, [[333]]);

const scrolled = [];
for await (const page of client.helpers.scrollSearch({ index, size: 130, query: { match_all: {} } })) {
  scrolled.push(...page.documents.map((document) => document.n));
}
assert.equal(new Set(scrolled).size, scrolled.length);
const documents = [];
for await (const document of client.helpers.scrollDocuments({ index, size: 300, query: { term: { kind: "error" } } })) {
  documents.push(document);
}
assert.equal(documents.length, 333);
const pit = await client.openPointInTime({ index, keep_alive: "1m" });
const page = await client.search({ pit: { id: pit.id, keep_alive: "1m" }, size: 5, sort: [{ n: "asc" }] });
assert.equal(page.hits.hits[0].sort.length, 2);
assert.equal((await client.closePointInTime({ id: pit.id })).num_freed, 1);

const key = await client.security.createApiKey({ name: "made by javascript", expiration: "1d" });
assert.ok(key.encoded && key.id && key.api_key);
const other = new Client({ node, auth: { apiKey: { id: key.id, api_key: key.api_key } } });
assert.equal((await other.count({ index })).count, 1000);
await client.security.invalidateApiKey({ ids: [key.id] });
await assert.rejects(other.count({ index }), (error) => error.statusCode === 401);

await client.indices.delete({ index });
console.log("javascript client: all well");
await client.close();
await other.close();
