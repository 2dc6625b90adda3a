// Drives the page of copies over a copy of files: what it shows, pausing, resuming, reading again.
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  DESK, PHONE, accessible, barriers, browser, complaints, logIn, login, open, shoot, tooWide, url,
} from "./browser.mjs";

// A folder with lines; one of them is none.
const folder = mkdtempSync(path.join(tmpdir(), "clerestory-copies-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
mkdirSync(path.join(folder, "lines"));
const file = path.join(folder, "lines", "live.ndjson");
const lines = (from, to) => Array.from({ length: to - from }, (_, n) => `{"n":${from + n}}\n`).join("");
writeFileSync(file, `${lines(0, 3_000)}this is no line\n`);

const ask = async (role, method, address, body, type = "application/json") => {
  const headers = { authorization: `ApiKey ${login(role).api_key}`, "content-type": type };
  const answer = await fetch(url + address, { method, headers, body });
  assert.ok(answer.ok, `${method} ${address}: ${await answer.clone().text()}`);
  return answer.json();
};
const count = async () => (await ask("analyst", "GET", "/copied_lines/_count")).count;
const until = async (what, wanted) => {
  for (let tries = 0; tries < 300; tries += 1) {
    if (await wanted().catch(() => false)) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  assert.fail(what);
};

await ask("engineer", "PUT", "/_clerestory/copies", `copy: lines
source: { files: { folder: ${folder} } }
tables:
  lines:
    to: copied_lines
    columns:
      n: { class: open, type: long, purpose: a test of the page, until: 2099-12-31 }
`, "application/yaml");

// Proposed: who may sign is told; nobody starts it before.
const eve = await open({ colorScheme: "light", ...DESK });
await logIn(eve, "engineer");
await eve.click("nav a:has-text('Copies')");
await eve.waitForURL(/_ui\/copies$/);
await eve.click("th a:text-is('lines')");
await eve.waitForURL(/_ui\/copies\/lines/);
assert.match(await eve.textContent("#copy-now"), /waits for a guardian's signature/);
assert.equal(await eve.locator("#copy-now button").count(), 0);
await shoot(eve, "copy-proposed");
await ask("guardian", "POST", "/_clerestory/copies/lines/_sign", JSON.stringify({ version: 1 }));

// Signed: started by a click; the page follows by itself what happens.
await eve.reload();
await eve.click("button:text-is('Start')");
await eve.waitForURL(/done=resumed/);
await eve.waitForSelector(".copy-state:has-text('following')", { timeout: 60_000 });
await until("3,000 lines are copied", async () => (await count()) === 3_000);
await eve.waitForSelector("#copy-now svg.drawing-lines", { timeout: 60_000 });
await until("the page says what is there", async () => /3,000[\s\S]*rows stored/.test(await eve.textContent(".figures")));
assert.match(await eve.textContent("#copy-now"), /live\.ndjson:3001/, "what was no row is named");
assert.doesNotMatch(await eve.textContent("main"), /this is no line/, "and not repeated");
assert.match(await eve.textContent(".copy-status"), /Following, lag \d/);
await accessible(eve, "a copy");
await shoot(eve, "copy-following");

// Paused until somebody resumes it.
await eve.click("button:text-is('Pause')");
await eve.waitForURL(/done=paused/);
assert.match(await eve.textContent(".copy-status"), /Paused: by /);
appendFileSync(file, lines(3_000, 3_500));
await new Promise((done) => setTimeout(done, 3_500));
assert.equal(await count(), 3_000, "nothing comes while it is paused");
await shoot(eve, "copy-paused");
await eve.click("button:text-is('Resume')");
await eve.waitForURL(/done=resumed/);
await until("what came meanwhile is copied", async () => (await count()) === 3_500);

// Reading again has to be meant.
await eve.click("summary:text-is('Read again')");
await eve.click("button:text-is('Read again')");
assert.doesNotMatch(eve.url(), /done=again/, "the box has to be ticked");
await eve.selectOption("select[name=table]", "lines");
await eve.check("input[name=sure]");
await eve.click("button:text-is('Read again')");
await eve.waitForURL(/done=again/);
await until("as many rows as lines", async () => (await count()) === 3_500);
await until("it follows", async () => /Following/.test(await eve.textContent(".copy-status")));
await eve.goto(`${url}/_ui/copies`);
await accessible(eve, "copies");
await shoot(eve, "copies");
await eve.context().close();

// A guardian looks and acts on nothing; an analyst does not even look.
const gus = await open({ colorScheme: "dark", ...DESK });
await logIn(gus, "guardian");
await gus.goto(`${url}/_ui/copies/lines`);
assert.equal(await gus.locator("#copy-now button").count(), 0);
assert.equal(await gus.locator("summary:text-is('Read again')").count(), 0);
await accessible(gus, "a copy in the dark");
await shoot(gus, "copy-dark");
await gus.context().close();
const ann = await open({ colorScheme: "light", ...DESK });
await logIn(ann, "analyst");
assert.equal(await ann.locator("nav a:has-text('Copies')").count(), 0);
const refused = await ann.goto(`${url}/_ui/copies/lines`);
assert.equal(refused.status(), 403);
assert.doesNotMatch(await ann.textContent("main"), /live\.ndjson/);
await ann.context().close();

const phone = await open({ colorScheme: "light", ...PHONE });
await logIn(phone, "engineer");
for (const address of ["/_ui/copies", "/_ui/copies/lines"]) {
  await phone.goto(url + address);
  const wide = await tooWide(phone);
  assert.ok(wide <= 0, `${address} is ${wide} pixels too wide on a phone`);
  await shoot(phone, `phone-${address.split("/").pop()}`);
}
await browser.close();
assert.deepEqual(barriers, [], "no page keeps anybody out");
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log("copies: proposed, started, paused, resumed, read again");
