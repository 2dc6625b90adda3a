// Drives the web UI: logs in, opens every page in light and dark, on a desk and on a phone, and looks
// for errors, for violations of the content security policy, for what keeps people out, and for what
// the pages have to show.
import assert from "node:assert/strict";
import {
  BAD_DAY, BAD_FIRMWARE, DESK, PHONE, RANGE, accessible, barriers, browser, codeAt, complaints, keyboard, logIn, login, nothingInline, open, share, shoot, tooWide, took, url,
} from "./browser.mjs";

const FIRST_LOAD_BYTES_MAX = 200_000;

const RATE = `/_ui/metrics/failed_connection_rate?grain=day&by=firmware&${RANGE}`;
const PAGES = [
  ["home", "/_ui"],
  ["metrics", "/_ui/metrics"],
  ["metric-rate", RATE],
  ["metric-activations", `/_ui/metrics/activations?by=model&${RANGE}`],
  ["metric-active", `/_ui/metrics/active_devices?by=none&${RANGE}`],
  ["metric-compared", `${RATE}&compare=previous&where=region:eu-central`],
  ["bars-of-metric", `/_ui/metrics/activations?by=model&chart=bars&${RANGE}`],
  ["metrics-found", "/_ui/metrics?q=failed"],
  ["metrics-none", "/_ui/metrics?q=nothing+like+it"],
  ["alerts", "/_ui/alerts"],
  ["alert-of-what", "/_ui/new-alert"],
  ["alert-new", `/_ui/new-alert?metric=failed_connection_rate&name=bad&by=firmware&at_least=0.1&preview=1&past=2026-10-24..2026-11-23`],
  ["alert-new-wrong", "/_ui/new-alert?metric=failed_connection_rate&name=bad&when=above&at=lots&preview=1"],
  ["alert-nowhere", "/_ui/alerts/nowhere"],
  ["dashboards", "/_ui/dashboards"],
  ["dashboard-nowhere", "/_ui/dashboards/000000000000"],
  ["search", `/_ui/search?table=events&${RANGE}`],
  ["search-words", `/_ui/search?table=events&q=handshake+AND+firmware:4.3.0&${RANGE}&field=reason&columns=kind,firmware,message`],
  ["search-people", "/_ui/search?table=users"],
  ["search-empty", `/_ui/search?table=events&q=nosuchwordanywhere&${RANGE}`],
  ["search-wrong", `/_ui/search?table=events&q=%22open&${RANGE}`],
  ["search-alert", `/_ui/search/alert?table=events&q=kind:connect_failed&columns=firmware`],
  ["search-alert-none", `/_ui/search/alert?table=events&q=handshake`],
  ["saved", "/_ui/saved"],
  ["saved-nowhere", "/_ui/saved/000000000000"],
  ["sql", "/_ui/sql"],
  ["sql-answer", `/_ui/sql?q=${encodeURIComponent("SELECT kind, count(*) AS n FROM events GROUP BY kind")}`],
  ["tables", "/_ui/tables"],
  ["table-users", "/_ui/tables/users"],
  ["table-measurements", "/_ui/tables/measurements"],
  ["missing", "/_ui/nowhere"],
];

// What a guardian watches over. RECORD and CHANGE stand for numbers that there are.
const WATCHED = [
  ["home", "/_ui"],
  ["copies", "/_ui/copies"],
  ["copy-nowhere", "/_ui/copies/nowhere"],
  ["changes", "/_ui/changes"],
  ["change", "/_ui/changes/CHANGE"],
  ["change-nowhere", "/_ui/changes/999999"],
  ["change-new", "/_ui/changes/new"],
  ["change-new-role", `/_ui/changes/new?do=role&person=${login("analyst").name}`],
  ["change-new-setting", "/_ui/changes/new?do=setting&name=notify"],
  ["change-new-revoke", "/_ui/changes/new?do=revoke&grant=1"],
  ["glass", "/_ui/changes/glass"],
  ["access", "/_ui/access"],
  ["access-of-one", `/_ui/access?person=${login("analyst").name}&table=users`],
  ["account", "/_ui/account"],
  ["rulings", "/_ui/rulings"],
  ["rulings-of-users", "/_ui/rulings?table=users"],
  ["ruling", "/_ui/rulings/users/email"],
  ["ruling-planned", "/_ui/rulings/events/reason?class=special&why=looked+at+it+with+the+team"],
  ["ruling-widening", "/_ui/rulings/users/email?class=open&why=looked+at+it+with+the+team"],
  ["ruling-nowhere", "/_ui/rulings/users/nowhere"],
  ["audit", "/_ui/audit"],
  ["audit-filtered", `/_ui/audit?kind=read_intent&who=${login("analyst").name}&from=now-1h`],
  ["audit-none", "/_ui/audit?who=nobody-at-all"],
  ["audit-record", "/_ui/audit/RECORD"],
  ["audit-nowhere", "/_ui/audit/999999999"],
  ["exposure", "/_ui/exposure"],
  ["exposure-answered", "/_ui/exposure?table=users&class=personal"],
];

async function everyPage(label, options) {
  const page = await open(options);
  await page.goto(`${url}/_ui/login`);
  await shoot(page, `${label}-login`);
  await logIn(page, "analyst");
  await walk(page, label, PAGES);
  return page;
}

// A guardian's pages, in a window of its own.
async function everyWatchedPage(label, options) {
  const page = await open(options);
  await logIn(page, "guardian");
  await page.goto(`${url}/_ui/audit?kind=read_intent`);
  const record = await page.getAttribute(".audit tbody tr:first-child td:last-child a", "href");
  const known = (address) => address.replace("/_ui/audit/RECORD", record).replace("/_ui/changes/CHANGE", change);
  await walk(page, `${label}-guardian`, WATCHED.map(([name, address]) => [name, known(address)]));
  return page;
}

const times = [];
const slow = [];

async function walk(page, label, pages) {
  for (const [name, address] of pages) {
    const answer = await page.goto(url + address);
    const headers = answer.headers();
    assert.match(headers["content-security-policy"] ?? "", /default-src 'none'/, name);
    assert.equal(headers["x-content-type-options"], "nosniff", name);
    assert.equal(headers["cache-control"], "no-store", name);
    assert.ok((headers["content-type"] ?? "").startsWith("text/html"), `${name} is a page`);
    nothingInline(await answer.text(), name);
    if (name.startsWith("metric-")) await page.waitForSelector(".chart canvas");
    assert.equal(await page.locator("h1").count(), 1, `${name} has one heading`);
    const ms = await took(page);
    times.push(ms);
    slow.push([ms, `${name} (${label})`]);
    // Parts that come later.
    await page.waitForFunction(() => !document.querySelector(".loading, .htmx-request"));
    if (!label.startsWith("phone")) await accessible(page, `${name} (${label})`);
    const wide = await tooWide(page);
    assert.ok(wide <= 0, `${name} (${label}) is ${wide} pixels too wide`);
    await shoot(page, `${label}-${name}`);
    if (label.startsWith("light")) await keyboard(page, name);
  }
}

// The address alone gives somebody else the same page: nothing of its state is anywhere else.
async function sameFromItsAddress(page, pages) {
  const other = await open({ colorScheme: "light", ...DESK });
  await logIn(other, "analyst");
  const told = async (page) => (await page.textContent("main")).replace(/\d+ ms/g, "").replace(/\s+/g, " ");
  for (const [name, address] of pages) {
    // The first page counts what is on record, which grows with every look.
    if (name === "home") continue;
    await page.goto(url + address);
    await other.goto(page.url());
    for (const one of [page, other]) {
      await one.waitForFunction(() => !document.querySelector(".loading, .htmx-request"));
    }
    assert.equal(await told(other), await told(page), `${name} from its address`);
  }
  await other.context().close();
}

// Light on a desk: also what the pages say and do.
const page = await everyPage("light", { colorScheme: "light", ...DESK });

await sameFromItsAddress(page, PAGES);
await page.goto(url + RATE);
const table = await page.$eval("#numbers", (table) => ({
  head: [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim()),
  rows: [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim())),
}));
const bad = table.head.indexOf(BAD_FIRMWARE);
assert.ok(bad > 0, `the planted firmware has a column: ${table.head}`);
const mean = (rows, column) => {
  const numbers = rows.map((row) => parseFloat(row[column])).filter((number) => !Number.isNaN(number));
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
};
const before = table.rows.filter((row) => row[0] < BAD_DAY);
const after = table.rows.filter((row) => row[0] >= BAD_DAY);
assert.ok(before.length >= 18 && after.length >= 5, "the table covers the demo's days");
assert.ok(mean(before, bad) < 12, `before its bad day: ${mean(before, bad)} %`);
assert.ok(mean(after, bad) > 20, `after its bad day: ${mean(after, bad)} %`);
for (let other = 1; other < table.head.length; other += 1) {
  if (other !== bad) assert.ok(mean(after, other) < 12, `${table.head[other]} stays good`);
}
await page.hover(".chart .u-over", { position: { x: 800, y: 100 } });
assert.match(await page.textContent(".chart-tip"), /4\.3\.0/, "the chart tells its numbers");
await page.click(".segments a:text-is('model')");
await page.waitForURL(/by=model/);

await page.goto(`${url}/_ui/search?table=events&${RANGE}`);
await page.keyboard.press("/");
await page.keyboard.type("kind:connect_failed");
await page.keyboard.press("Enter");
await page.waitForURL(/q=kind/);
assert.match(await page.textContent(".result-head"), /[1-9][\d,]* hits/);
const failed = await page.textContent(".result-head strong");
await page.click("a[data-values=firmware]");
await page.waitForSelector(".value-list li");
assert.match(await page.textContent(".value-list"), /4\.\d\.\d/);
assert.match(page.url(), /field=firmware/, "what is open stands in the URL");
await page.click(".hit summary >> nth=0");
assert.match(await page.textContent(".hit[open] .fields"), /connect_failed/);
await page.click(".hit[open] .json summary");
assert.equal(JSON.parse(await page.textContent(".hit[open] .json code"))._source.kind, "connect_failed");
await page.click(".hit[open] a[aria-label='Only hits with this firmware']");
await page.waitForURL(/AND(%20|\+)firmware/i);
assert.notEqual(await page.textContent(".result-head strong"), failed);
await page.click(".popover summary");
await page.click(".choices a:text-is('All time')");
await page.waitForURL(/from=all/);

await page.goto(`${url}/_ui/search?table=users`);
const people = await page.textContent(".hits");
assert.match(people, /email:[0-9a-v]{8}/, "addresses are pseudonyms");
assert.doesNotMatch(people, /@/, "no address is on the page");
if (process.env.CLERESTORY_EMAIL) {
  await page.goto(`${url}/_ui`);
  await page.fill("#person", process.env.CLERESTORY_EMAIL);
  await page.keyboard.press("Enter");
  await page.waitForURL(/table=users/);
  assert.match(await page.textContent(".result-head"), /^\s*1 hit\b/, "a person is found by the real address");
  assert.doesNotMatch(await page.textContent(".hits"), /@/, "which is nowhere in the answer");
}
await page.goto(`${url}/_ui/tables/users`);
const rulings = await page.textContent(".rulings");
assert.match(rulings, /email[\s\S]*personal/);
assert.match(rulings, /access_token[\s\S]*secret/);

// The session ends where it should.
await page.goto(`${url}/_ui`);
await page.click("button[aria-label='Log out']");
await page.waitForURL(/\/_ui\/login$/);
await page.goto(`${url}/_ui/tables`);
assert.match(page.url(), /\/_ui\/login\?next=/, "after logging out there is nothing to see");

// Somebody with a wrong password, and somebody without data.
await page.fill("input[name=name]", login("analyst").name);
await page.fill("input[name=password]", "wrong");
await page.keyboard.press("Enter");
await page.waitForSelector("[role=alert]");
await page.fill("input[name=name]", login("analyst").name);
await page.fill("input[name=password]", login("analyst").password);
await page.keyboard.press("Enter");
await page.waitForURL(`${url}/_ui/tables`);
await page.context().close();

const administrator = await open(DESK);
await logIn(administrator, "administrator");
for (const address of ["/_ui", "/_ui/search", "/_ui/tables", "/_ui/metrics", "/_ui/alerts", "/_ui/new-alert", RATE]) {
  await administrator.goto(url + address);
  const text = await administrator.textContent("main");
  assert.doesNotMatch(text, /4\.3\.0|connect_failed/, `${address} shows no data`);
  await shoot(administrator, `administrator${address.replace(/\W+/g, "-").slice(0, 24)}`);
}
await administrator.context().close();

// An administrator proposes what nobody may decide alone.
const proposer = await open(DESK);
await logIn(proposer, "administrator");
await proposer.goto(`${url}/_ui/changes/new`);
await proposer.fill("input[name=who]", `person:${login("analyst").name}`);
await proposer.fill("input[name=tables]", "measurements");
for (const name of ["open", "personal", "special"]) await proposer.check(`input[name=class][value=${name}]`);
await proposer.fill("textarea[name=why]", "the study of November");
await proposer.click("button:text-is('Propose')");
await proposer.waitForURL(/done=proposed/);
const change = new URL(proposer.url()).pathname;
assert.match(await proposer.textContent(".effect"), /\+ .*read measurements/, "the exact difference");
assert.match(await proposer.textContent(".matrix"), /special[\s\S]*read/, "reach before and after");
assert.equal(await proposer.locator("button:text-is('Approve')").count(), 0, "nobody approves what they proposed");
await shoot(proposer, "light-administrator-proposed");

// A guardian rules, looks into the record, and asks who was exposed.
const guardian = await everyWatchedPage("light", { colorScheme: "light", ...DESK });
await guardian.goto(`${url}/_ui/rulings/events/reason`);
await guardian.check("input[value=special]");
await guardian.fill("textarea[name=why]", "people write about their homes");
await guardian.click("button:text-is('See what it would do')");
await guardian.waitForURL(/class=special/);
assert.match(await guardian.textContent(".preview"), /Less is seen[\s\S]*sealed value by value/);
await guardian.click(".preview button");
await guardian.waitForURL(/ruled=1/);
assert.match(await guardian.textContent(".page-head"), /special/);
const newest = await guardian.textContent("[aria-labelledby=history] tbody tr");
assert.ok(newest.includes(login("guardian").name) && /special[\s\S]*homes/.test(newest), newest);
await guardian.goto(`${url}/_ui/audit?kind=ruling`);
assert.match(await guardian.textContent(".audit tbody tr"), /open to special/, "the ruling is on record");
await guardian.goto(`${url}/_ui/rulings?table=users`);
const queued = await guardian.locator(".queue tbody tr").count();
assert.ok(queued > 1, "fields that only the classifier ruled on wait");
assert.doesNotMatch(await guardian.textContent("main"), /@[a-z]+\.(org|com|net)/, "shapes, never values");
await guardian.check(".tick input >> nth=0");
await guardian.fill("input[name=why]", "looked at the shapes");
await guardian.click("button:text-is('Agree on the ticked fields')");
await guardian.waitForURL(/agreed=1/);
assert.equal(await guardian.locator(".queue tbody tr").count(), queued - 1);
await guardian.goto(`${url}/_ui/exposure`);
await guardian.selectOption("select[name=table]", "users");
if (process.env.CLERESTORY_EMAIL) await guardian.fill("input[name=person]", process.env.CLERESTORY_EMAIL);
await guardian.click("button:text-is('Ask')");
await guardian.waitForSelector("#did");
assert.doesNotMatch(guardian.url(), /@|%40/, "a person stands in no address");
assert.ok((await guardian.textContent("main")).includes(login("analyst").name), "whoever read is named");
await guardian.context().close();

// Dark, and a phone.
const dark = { colorScheme: "dark", ...DESK };
await (await everyPage("dark", dark)).context().close();
await (await everyWatchedPage("dark", dark)).context().close();
await (await everyPage("phone", { ...PHONE, colorScheme: "light" })).context().close();
await (await everyWatchedPage("phone", { ...PHONE, colorScheme: "light" })).context().close();

// The guardian sets an app up, and approves with a code of it.
const second = await open(DESK);
await logIn(second, "guardian");
await second.goto(url + change);
await second.click("a:text-is('Set one up')");
await second.click("button:text-is('Set up an app')");
await shoot(second, "light-account-secret");
const secret = (await second.textContent("#totp-secret")).replaceAll(" ", "");
const step = Math.floor(Date.now() / 30_000);
await second.fill("input[name=code]", codeAt(secret, step));
await second.click("button:text-is('Confirm')");
await second.waitForSelector("#recovery");
await shoot(second, "light-account-recovery");
await second.goto(url + change);
await second.fill("input[name=code]", "000000");
await second.click("button:text-is('Approve')");
await second.waitForSelector("[role=alert]");
await second.goto(url + change);
await shoot(second, "light-guardian-deciding");
// Each code counts once; the next one counts half a minute early.
await second.fill("input[name=code]", codeAt(secret, step + 1));
await second.click("button:text-is('Approve')");
await second.waitForURL(/done=approved/);
assert.match(await second.textContent(".page-head"), /applied/);
await second.goto(`${url}/_ui/access?person=${login("analyst").name}&table=measurements`);
assert.match(await second.textContent("#matrix + ul + div td[data-label=special]"), /read/, "it is in force");
await shoot(second, "light-guardian-approved");
await second.goto(`${url}/_ui/audit?kind=change_approved`);
assert.ok((await second.textContent(".audit tbody")).includes(login("guardian").name), "and on record");

// Taking it back lets nobody see more: it counts at once.
await proposer.goto(`${url}/_ui/access`);
const given = proposer.locator("[aria-labelledby=grants] tbody tr", { hasText: `person:${login("analyst").name}` });
await given.locator("a:text-is('Revoke')").click();
await proposer.fill("textarea[name=why]", "the study is over");
await proposer.click("button:text-is('Propose')");
await proposer.waitForURL(/\/_ui\/access\?done=1/);
assert.equal(await given.count(), 0, "the grant is gone");

// A ruling that widens waits, and is thought better of.
await second.goto(`${url}/_ui/rulings/users/phone?class=open&why=nobody+calls`);
await second.click("button:text-is('Propose it')");
await second.waitForURL(/\/_ui\/changes\/\d+\?done=proposed/);
await second.click("button:text-is('Withdraw')");
await second.waitForURL(/done=withdrawn/);
await second.goto(`${url}/_ui/changes`);
await shoot(second, "light-guardian-decided");
assert.match(await second.textContent("[aria-labelledby=decided]"), /withdrawn[\s\S]*applied/);

// Whoever has a say rejects, without a code: nothing opens.
await second.goto(`${url}/_ui/rulings/users/phone?class=open&why=nobody+calls+again`);
await second.click("button:text-is('Propose it')");
await second.waitForURL(/done=proposed/);
await proposer.goto(second.url());
await proposer.fill("input[name=why]", "somebody may call");
await proposer.click("button:text-is('Reject')");
await proposer.waitForURL(/done=rejected/);
assert.match(await proposer.textContent("main"), /somebody may call/);
await proposer.context().close();

// The glass is broken once the next code counts, and everybody is told.
await second.goto(`${url}/_ui/changes/glass`);
await second.fill("input[name=tables]", "measurements");
await second.selectOption("select[name=class]", "special");
await second.fill("textarea[name=why]", "a scale hurts people");
while (Date.now() < (step + 1) * 30_000) await new Promise((done) => setTimeout(done, 200));
await second.fill("input[name=code]", codeAt(secret, step + 2));
await second.click("button:text-is('Break the glass')");
await second.waitForURL(/done=glass/);
assert.match(await second.textContent(".page-head"), /break-glass/);
await second.context().close();
const told = await open(DESK);
await logIn(told, "analyst");
assert.match(await told.textContent(".alarm-list"), /broke the glass/);
assert.equal(await told.locator(".alarm-list li").count(), 1, "what was rejected is no alarm");
await shoot(told, "light-analyst-told");
await told.context().close();

// Without scripts everything is still there.
const plain = await open({ javaScriptEnabled: false, ...DESK });
await logIn(plain, "analyst");
await plain.goto(url + RATE);
assert.match(await plain.textContent("#numbers"), /4\.3\.0/);
await plain.goto(`${url}/_ui/search?table=events&${RANGE}`);
await plain.click("a[data-values=kind]");
await plain.waitForSelector(".value-list li");
await plain.context().close();

// The first load is light.
const first = await open(DESK);
const session = await first.context().newCDPSession(first);
await session.send("Network.enable");
let bytes = 0;
session.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
await logIn(first, "analyst");
await first.goto(url + RATE, { waitUntil: "networkidle" });
assert.ok(bytes > 0 && bytes <= FIRST_LOAD_BYTES_MAX, `login, home and a chart are ${bytes} bytes`);
await browser.close();

assert.deepEqual(barriers, [], "no page keeps anybody out");
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log(`ui: ${PAGES.length + WATCHED.length} pages, light, dark and phone; first load ${bytes} bytes`);
slow.sort(([a], [b]) => b - a);
console.log(`ui: slowest: ${slow.slice(0, 12).map(([ms, name]) => `${name} ${ms.toFixed()} ms`).join(", ")}`);
console.log(`ui: a page took ${share(times, 0.5).toFixed()} ms, p95 ${share(times, 0.95).toFixed()} ms, at most ${share(times, 1).toFixed()} ms`);
