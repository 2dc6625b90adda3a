// Drives Search, Live and SQL of the web UI: what they do when somebody types, drags and waits.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const modules = path.resolve(process.env.CLERESTORY_NODE_MODULES);
const { chromium } = createRequire(path.join(modules, "of-the-test.js"))("playwright-core");
const url = process.env.CLERESTORY_URL;
const { logins } = JSON.parse(readFileSync(process.env.CLERESTORY_LOGINS, "utf8"));
const login = (role) => logins.find((one) => one.role === role);
const pictures = process.env.CLERESTORY_UI_PICTURES;
if (pictures) mkdirSync(pictures, { recursive: true });
const RANGE = "from=2026-10-24&to=2026-11-23";
const SEARCH = `/_ui/search?table=events&${RANGE}`;

const browser = await chromium.launch({
  executablePath: process.env.CLERESTORY_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const complaints = [];

async function open(options, role = "analyst") {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4(00|01|03|04)/.test(message.text())) {
      complaints.push(`${page.url()}: ${message.text()}`);
    }
  });
  const { name, password } = login(role);
  await page.goto(`${url}/_ui/login`);
  await page.fill("input[name=name]", name);
  await page.fill("input[name=password]", password);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/_ui`);
  return page;
}

const shoot = async (page, name) => {
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
};

const page = await open({ colorScheme: "light" });

// Completion: a field, then one of its values, by keyboard alone.
await page.goto(url + SEARCH);
await page.keyboard.press("/");
await page.keyboard.type("firmw");
await page.waitForSelector(".suggestions li");
await page.keyboard.press("ArrowDown");
await page.keyboard.press("Enter");
assert.equal(await page.inputValue("#q"), "firmware:");
await page.waitForSelector(".suggestions li[data-kind=value]");
await shoot(page, "search-completion");
await page.keyboard.press("ArrowDown");
await page.keyboard.press("Enter");
assert.match(await page.inputValue("#q"), /^firmware:\S+ $/);
await page.keyboard.type("mod");
await page.waitForSelector(".suggestions li >> text=model");
await page.keyboard.press("Escape");
assert.ok(await page.isHidden(".suggestions"), "Escape closes");
await page.goto(`${url}${SEARCH}&q=device_id:`);
await page.click("#q");
await page.keyboard.press("End");
const personal = page.waitForResponse(/search\/complete/);
await page.keyboard.type("d");
assert.deepEqual(await (await personal).json(), [], "values of persons are not suggested");

// A mistake stands under its word.
await page.goto(`${url}${SEARCH}&q=${encodeURIComponent("kind:connect AND )")}`);
assert.equal(await page.textContent(".mistake-word"), ")");
assert.equal(await page.getAttribute("#q", "aria-describedby"), "query-mistake");
await shoot(page, "search-mistake");

// Marked words, coverage, rows before and after.
await page.goto(`${url}${SEARCH}&q=handshake&columns=kind,message&field=reason`);
assert.match((await page.textContent(".hit mark >> nth=0")).toLowerCase(), /handshake/);
assert.match(await page.textContent(".values"), /in (every hit|\d+ % of hits)/);
await shoot(page, "search-marked");
await page.click(".hit summary >> nth=0");
await page.click(".hit[open] a:text-is('Rows before and after this one')");
await page.waitForURL(/search\/around/);
assert.equal(await page.locator(".hits .hit").count(), 21);
assert.equal(await page.locator(".anchor-row .hit").count(), 1);
const times = await page.$$eval(".hits .hit .hit-time", (all) => all.map((one) => one.textContent));
assert.deepEqual(times, [...times].sort().reverse(), "the newest first");
await shoot(page, "search-around");

// Dragging over the histogram asks for that stretch of time.
await page.goto(url + SEARCH);
const hits = await page.textContent(".result-head strong");
const box = await page.locator("svg[data-step]").boundingBox();
await page.mouse.move(box.x + box.width * 0.4, box.y + 50);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.5, box.y + 50, { steps: 5 });
await page.mouse.up();
await page.waitForURL(/from=2026-11-0\d/);
assert.notEqual(await page.textContent(".result-head strong"), hits);
const asked = new URL(page.url()).searchParams;
assert.ok(Date.parse(asked.get("to")) - Date.parse(asked.get("from")) < 4.5 * 86_400_000, page.url());

// CSV has the chosen columns.
const csv = await page.request.get(`${url}/_ui/search/csv?table=events&${RANGE}&columns=kind,firmware&q=kind:connect_failed`);
assert.match(csv.headers()["content-disposition"], /events\.csv/);
const lines = (await csv.text()).trim().split("\r\n");
assert.equal(lines[0], "_id,@timestamp,kind,firmware");
assert.ok(lines.length > 100 && lines.slice(1).every((line) => line.includes(",connect_failed,")), lines[1]);

// Inspect: the search, SQL and the plan; and SQL gives as many rows.
await page.goto(`${url}${SEARCH}&q=kind:connect_failed&columns=kind,firmware`);
await page.click(".inspect summary");
assert.match(await page.textContent(".inspect"), /_search[\s\S]*SELECT[\s\S]*ms for the hits/);
assert.doesNotMatch(await page.textContent(".inspect"), /highlight/);
await page.click(".inspect a:text-is('Show the plan')");
await page.waitForURL(/inspect=1/);
assert.match(await page.textContent(".inspect"), /LeafExec|Leaf/);
await shoot(page, "search-inspect");
await page.click(".inspect a:text-is('Open in SQL')");
await page.waitForURL(/_ui\/sql/);
assert.match(await page.textContent(".result-head"), /50 rows/);

// A search is saved, opened by its link, renamed and shared; changed, it says so.
await page.goto(`${url}${SEARCH}&q=kind:connect_failed&columns=kind,firmware`);
const found = await page.textContent(".result-head strong");
await page.click(".result-actions summary:text-is('Save')");
await page.fill(".popover[open] input[name=name]", "Failed connections of a month");
await shoot(page, "search-save");
await page.click("button:text-is('Save the search')");
await page.waitForSelector(".saved-bar");
assert.match(await page.textContent(".saved-bar"), /Failed connections of a month\s*private/);
assert.equal(await page.textContent(".result-head strong"), found);
await page.click(".saved-bar summary:has-text('Rename or share')");
await page.fill(".popover[open] input[name=name]", "Failed connections");
await page.check(".popover[open] input[name=shared]");
await page.click(".popover[open] button:text-is('Save')");
await page.waitForSelector(".saved-bar .badge:text-is('shared')");
const link = await page.getAttribute(".saved-bar [data-copy-link]", "data-copy-link");
await page.goto(`${page.url()}&sort=firmware:asc`);
assert.match(await page.textContent(".saved-bar"), /changed here/);
await shoot(page, "search-saved-changed");
await page.click("button:text-is('Save changes')");
await page.waitForFunction(() => !document.querySelector(".saved-bar").textContent.includes("changed here"));
assert.match(page.url(), /sort=firmware/);

// It becomes a panel, and a metric for an alert.
await page.click(".result-actions summary:has-text('Add to dashboard')");
await page.fill(".popover[open] input[name=title]", "Failures over time");
// Where there are dashboards already, a new one is chosen.
const boards = page.locator(".popover[open] select[name=dashboard]");
if (await boards.count()) await boards.selectOption("");
await page.fill(".popover[open] input[name=name]", "From a search");
await shoot(page, "search-add");
await page.click(".popover[open] button:text-is('Add')");
await page.waitForURL(/\/_ui\/dashboards\/\w+\?done=1/);
await page.goto(`${page.url().replace(/\?.*/, "")}?${RANGE}`);
await page.waitForSelector(".board-panel .drawing-bars");
assert.match(await page.textContent(".board-panel"), /Failures over time[\s\S]*[1-9][\d,]* hits/);
await shoot(page, "search-panel");
await page.goto(url + link);
await page.waitForURL(/table=events/);
await page.click(".result-actions a:has-text('Alert')");
await page.waitForURL(/search\/alert/);
assert.match(await page.textContent("main"), /in groups by kind, firmware[\s\S]*kind = 'connect_failed'/);
await page.fill("input[name=label]", "Failures an hour");
await page.fill("input[name=metric]", "failures_an_hour");
await page.click("button:has-text('Declare it')");
await page.waitForURL(/failures_an_hour/);
const declared = await page.request.get(`${url}/_ui/metrics/failures_an_hour/csv?grain=day&by=none&${RANGE}`);
const days = (await declared.text()).trim().split(/\r?\n/).slice(1);
const counted = days.reduce((all, day) => all + Number(day.split(",").at(-1)), 0);
assert.equal(`${counted.toLocaleString("en-US")} hits`, found, "the metric counts what the search found");

// Somebody else opens the link and cannot change it.
const other = await open({ colorScheme: "light" }, "engineer");
await other.goto(url + link);
await other.waitForURL(/table=events/);
assert.equal(await other.textContent(".result-head strong"), found);
assert.equal(await other.locator(".saved-bar summary").count(), 0);
await other.click("button:text-is('Save a copy')");
await other.waitForSelector(".saved-bar .badge:text-is('private')");
await other.goto(`${url}/_ui/saved`);
await shoot(other, "saved");
await other.click(".card:has-text('private')");
await other.waitForSelector(".saved-bar");
await other.click(".saved-bar summary:has-text('Rename or share')");
await other.click("button:text-is('Delete the search')");
await other.waitForURL(`${url}/_ui/saved`);
assert.equal(await other.locator(".card:has-text('private')").count(), 0);
await other.context().close();

// SQL: a column goes into the statement, Ctrl and Enter run it, lines and bars are drawn.
await page.goto(`${url}/_ui/sql`);
await shoot(page, "sql-begin");
await page.click(".syntax a:text-is('Rows a day, as a chart')");
await page.waitForSelector(".chart canvas");
await shoot(page, "sql-lines");
await page.fill("#q", "SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC");
await page.keyboard.press("Control+Enter");
await page.waitForSelector(".sql-bars li");
assert.match(await page.textContent(".sql-grid"), /connect_failed/);
await shoot(page, "sql-bars");
const rows = await page.request.get(`${url}/_ui/sql/csv?q=${encodeURIComponent("SELECT kind, count(*) AS n FROM events GROUP BY kind")}`);
assert.match(await rows.text(), /^kind,n\r\n/);
await page.fill("#q", "SELECT ");
await page.click(".schema-table summary >> nth=0", { position: { x: 3, y: 10 } });
await page.click(".schema-table[open] li .insert >> nth=0");
assert.match(await page.inputValue("#q"), /^SELECT \S+$/);
await page.fill("#q", "SELEC kind FROM events");
await page.click(".sql-actions button");
assert.ok(await page.locator(".notice.bad").count(), "an error is told");
await shoot(page, "sql-wrong");
await page.goto(`${url}/_ui/sql?q=${encodeURIComponent("SELECT * FROM nowhere")}`);
assert.ok(await page.locator(".notice.missing").count());
await page.goto(`${url}/_ui/sql?q=${encodeURIComponent("SELECT kind FROM events WHERE kind = 'nothing like it'")}`);
assert.match(await page.textContent(".empty-title"), /No row/);

// Live: a row that is written appears by itself, and the page looks again by itself.
await page.goto(`${url}/_ui/search/tail?table=events&q=kind:planted_by_test&columns=kind,model`);
await shoot(page, "tail-empty");
const engineer = login("engineer");
const write = async (kind) => {
  const answer = await fetch(`${url}/events/_doc`, {
    method: "POST",
    headers: { authorization: `ApiKey ${engineer.api_key}`, "content-type": "application/json" },
    body: JSON.stringify({ "@timestamp": new Date().toISOString(), kind, model: "test" }),
  });
  assert.equal(answer.status, 201, await answer.text());
};
await write("planted_by_test");
await page.waitForSelector(".hit >> text=planted_by_test");
await write("planted_by_test");
await page.waitForFunction(() => document.querySelectorAll(".tail .hit").length === 2);
await page.click("[data-pause]");
assert.equal(await page.getAttribute("[data-pause]", "aria-pressed"), "true");
await shoot(page, "tail");
await page.goto(`${url}/_ui/search?table=events&q=kind:refreshed_by_test&from=now-1h&refresh=5`);
assert.match(await page.textContent(".refresh summary"), /5 s/);
await write("refreshed_by_test");
await page.waitForSelector(".hit >> text=refreshed_by_test", { timeout: 15_000 });
await page.context().close();

// Dark and on a phone nothing sticks out.
for (const [label, options] of [
  ["dark", { colorScheme: "dark" }],
  ["phone", { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
]) {
  const other = await open(options);
  for (const [name, address] of [
    ["search", `${SEARCH}&q=handshake`],
    ["mistake", `${SEARCH}&q=${encodeURIComponent("kind:connect AND )")}`],
    ["saved", "/_ui/saved"],
    ["saved-open", link],
    ["alert", "/_ui/search/alert?table=events&q=kind:connect_failed"],
    ["tail", "/_ui/search/tail?table=events"],
    ["sql", `/_ui/sql?q=${encodeURIComponent("SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC")}`],
    ["sql-wide", `/_ui/sql?q=${encodeURIComponent("SELECT * FROM events LIMIT 20")}`],
  ]) {
    await other.goto(url + address);
    const wide = await other.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${name} (${label}) is ${wide} pixels too wide`);
    assert.equal(await other.locator("h1").count(), 1, name);
    await shoot(other, `${label}-${name}`);
  }
  await other.context().close();
}
await browser.close();
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log("search and sql: all well");
