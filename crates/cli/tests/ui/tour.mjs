// What people come for, each as they would do it: find the regression by clicking only, build and save
// a dashboard, share it, and the same from the keyboard and on a phone.
import assert from "node:assert/strict";
import {
  BAD_DAY, BAD_FIRMWARE, DESK, PHONE, RANGE, accessible, barriers, browser, codeAt, complaints, logIn, login, open, shoot, tooWide, url,
} from "./browser.mjs";

const settled = (page) => page.waitForFunction(() => !document.querySelector(".loading, .htmx-request"));

// Nothing but clicks from the first page to the firmware that went bad.
const ann = await open({ colorScheme: "light", ...DESK });
await logIn(ann, "analyst");
await settled(ann);
await ann.click(".cards.few a:has-text('Failed connections')");
await ann.waitForURL(/failed_connection_rate/);
await ann.click(".segments a:text-is('day')");
await ann.waitForURL(/grain=day/);
await ann.click(".segments a:text-is('firmware')");
await ann.waitForURL(/by=firmware/);
await ann.waitForSelector(".chart canvas");
const means = await ann.$$eval(".legend tbody tr", (rows) => rows.map((row) => [
  row.querySelector("th").textContent.trim(), parseFloat(row.cells[4].textContent),
]));
const [worst] = [...means].sort((a, b) => b[1] - a[1])[0];
assert.equal(worst, BAD_FIRMWARE, `the worst is the planted one: ${JSON.stringify(means)}`);
await ann.click(`.legend tr:has(th:text-matches("${BAD_FIRMWARE}")) a:text-is('only')`);
await ann.waitForURL(/where=firmware/);
const days = await ann.$$eval("#numbers tbody tr", (rows) => rows.map((row) => [row.cells[0].textContent.trim(), parseFloat(row.cells[1].textContent)]));
const bad = days.filter(([, rate]) => rate > 15).map(([day]) => day).sort();
assert.ok(bad.length > 0 && bad[0] >= BAD_DAY, `it went bad on its day: ${bad[0]}`);
await shoot(ann, "tour-regression");

// Compared with before: the numbers say how much worse it became.
await ann.click(".popover summary:has-text('days')");
await ann.fill("input[name=from]", BAD_DAY);
await ann.fill("input[name=to]", "2026-11-23");
await ann.click(".popover[open] button:text-is('Apply')");
await ann.waitForURL(/from=2026-11-12/);
await ann.click(".segments a:text-is('period before')");
await ann.waitForURL(/compare=previous/);
await ann.waitForSelector(".chart canvas");
assert.match(await ann.textContent(".legend tbody"), /\+\d+ %/, "worse than before");
await shoot(ann, "tour-compared");
const [file] = await Promise.all([ann.waitForEvent("download"), ann.click("a:text-is('CSV')")]);
assert.equal(file.suggestedFilename(), "failed_connection_rate.csv");

// A dashboard from what is on the screen, then more panels, a variable, and everybody may open it.
await ann.click("summary:has-text('Add to dashboard')");
// Where there are dashboards already, a new one is chosen.
const known = ann.locator(".popover[open] select[name=dashboard]");
if (await known.count()) await known.selectOption("");
await ann.fill(".popover[open] input[name=name]", "Firmware watch");
await ann.click(".popover[open] button:text-is('Add')");
await ann.waitForURL(/\/_ui\/dashboards\/\w+\?done=1/);
await settled(ann);
assert.match(await ann.textContent(".board"), /Failed connections/);
await ann.click("a:text-is('Edit')");
await ann.selectOption("section[aria-labelledby=add-panel] select[name=metric]", "activations");
await ann.fill("section[aria-labelledby=add-panel] input[name=by]", "model");
await ann.selectOption("section[aria-labelledby=add-panel] select[name=chart]", "bars");
await ann.click("button:text-is('Add the metric')");
await ann.waitForURL(/edit=1/);
await ann.selectOption("section[aria-labelledby=add-panel] select[name=metric]", "active_devices");
await ann.selectOption("section[aria-labelledby=add-panel] select[name=chart]", "number");
await ann.selectOption("section[aria-labelledby=add-panel] select[name=width]", "4");
await ann.click("button:text-is('Add the metric')");
await ann.waitForFunction(() => document.querySelectorAll(".board-panel").length === 3);
await ann.click(".board-panel:nth-child(3) button[aria-label='Move earlier']");
await ann.waitForFunction(() => document.querySelector(".board-panel:nth-child(2)").classList.contains("span-4"));
await ann.fill("section[aria-labelledby=settings] input[name=variables]", "model");
await ann.check("section[aria-labelledby=settings] input[name=shared]");
await settled(ann);
await accessible(ann, "a dashboard that is edited");
await shoot(ann, "tour-dashboard-edit");
await ann.click("button:text-is('Save settings')");
await ann.waitForSelector(".page-head .badge:text-is('shared')");
await ann.click("a:text-is('Done')");
await ann.waitForURL((address) => !address.search.includes("edit"));
await settled(ann);
assert.equal(await ann.locator(".board-panel .drawing-bars").count(), 1);
assert.match(await ann.textContent(".board-panel:nth-child(2) .big-number"), /\d/);
await ann.selectOption(".variables select >> nth=0", { index: 1 });
await ann.waitForURL(/where=model/);
await settled(ann);
const link = ann.url();
await accessible(ann, "a dashboard");
await shoot(ann, "tour-dashboard");

// Another opens the link, sees the same under their own name, and cannot change it.
const eve = await open({ colorScheme: "dark", ...DESK });
await logIn(eve, "engineer");
await eve.goto(link);
await settled(eve);
assert.equal(await eve.locator(".board-panel canvas").count(), 1, "the chart is drawn");
assert.equal(await eve.locator("a:text-is('Edit')").count(), 0);
const wanted = await eve.inputValue(".variables select >> nth=0");
assert.match(wanted, /^model:.+/, "the link says which model");
await accessible(eve, "a dashboard in the dark");
await shoot(eve, "tour-dashboard-dark");
await eve.click("a:text-is('Full screen')");
await eve.waitForURL(/full=1/);
await settled(eve);
assert.equal(await eve.locator("nav").count(), 0);
await shoot(eve, "tour-dashboard-full");
await eve.click("a:text-is('Leave full screen')");
await eve.click("button:text-is('Save a copy')");
await eve.waitForURL(/done=1/);
assert.notEqual(new URL(eve.url()).pathname, new URL(link).pathname);
await eve.click("a:text-is('Edit')");
await eve.click("summary:text-is('Delete')");
await eve.click("button:text-is('Delete the dashboard')");
await eve.waitForURL(`${url}/_ui/dashboards`);
await settled(eve);
await shoot(eve, "tour-dashboards");

// A version before is one click away.
await ann.goto(link.replace(/\?.*/, "?edit=1"));
await ann.click("summary:text-is('Versions')");
await ann.click("a:text-is('Version 1')");
await ann.waitForSelector("text=This is version 1.");
await settled(ann);
assert.equal(await ann.locator(".board-panel").count(), 1);

// A panel that does not come can be given up, and says so.
await ann.route("**/panels/0*", (route) => setTimeout(() => route.abort().catch(() => {}), 3_000));
await ann.goto(link);
await ann.click(".board-panel:nth-child(1) [data-cancel]");
assert.match(await ann.textContent(".board-panel:nth-child(1)"), /Cancelled/);
await ann.unroute("**/panels/0*");

// Whoever has no data is told what to do; nothing of the dashboard is shown.
const ada = await open({ colorScheme: "light", ...DESK });
await logIn(ada, "administrator");
await ada.goto(link);
assert.doesNotMatch(await ada.textContent("main"), /Firmware watch/);
await shoot(ada, "tour-no-permission");
await ada.context().close();

// The alert is set on what the metric's page shows, and tried on the same range before it is made.
const RATE = `${url}/_ui/metrics/failed_connection_rate?grain=day&by=firmware&${RANGE}`;
await ann.goto(RATE);
await ann.click(".actions a:text-is('Create alert')");
await ann.waitForURL(/\/_ui\/new-alert\?/);
assert.ok(await ann.isChecked("input[name=by][value=firmware]"), "what was shown is filled in");
assert.equal(await ann.locator("input[name=at]").isVisible(), false, "only the fields of what is chosen");
await ann.fill("input[name=name]", "failing_firmware");
await ann.fill("input[name=label]", "Firmware that fails");
await ann.fill("input[name=at_least]", "lots");
await accessible(ann, "an alert that is written");
await shoot(ann, "tour-alert-new");
await ann.click("button:text-is('Create alert')");
await ann.waitForSelector("[role=alert]");
assert.match(await ann.textContent("[role=alert]"), /is no number/);
assert.equal(await ann.inputValue("input[name=label]"), "Firmware that fails", "what was typed is still there");
await ann.fill("input[name=at_least]", "10 %");
await ann.click("button:text-is('Try it on')");
await ann.waitForURL(/preview=1/);
await ann.waitForSelector(".chart canvas");
const cells = (page) => page.$$eval(".fires tbody tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
const tried = await cells(ann);
assert.deepEqual(tried.map((row) => row[0]), [BAD_FIRMWARE], `it would have told of one firmware: ${JSON.stringify(tried)}`);
assert.ok(tried[0][1] >= BAD_DAY && tried[0][2] === "it goes on", JSON.stringify(tried));
await accessible(ann, "an alert that is tried");
await shoot(ann, "tour-alert-tried");
await ann.click("button:text-is('Create alert')");
await ann.waitForURL(/\/_ui\/alerts\/failing_firmware\?done=saved/);
const ALERT = `${url}/_ui/alerts/failing_firmware?${RANGE}`;
await ann.goto(ALERT);
await ann.waitForSelector(".chart canvas");
assert.deepEqual((await cells(ann)).map((row) => row[0]), [BAD_FIRMWARE], "its page says the same");
await accessible(ann, "an alert");
await shoot(ann, "tour-alert");
await ann.click("summary:text-is('Silence')");
await ann.fill(".popover[open] input[name=why]", "known, ticket 12");
await ann.click(".popover[open] button:text-is('Silence')");
await ann.waitForURL(/done=silenced/);
assert.match(await ann.textContent(".notice.warn"), /Silenced until[\s\S]*ticket 12/);
await ann.click("summary:text-is('Silenced')");
await ann.fill(".popover[open] input[name=why]", "mended");
await ann.click(".popover[open] button:text-is('End the silence')");
await ann.waitForURL(/done=ended/);
assert.equal(await ann.locator(".notice.warn").count(), 0);
await ann.click("a:text-is('Edit')");
assert.equal(await ann.getAttribute("input[name=name]", "readonly"), "", "its name stays");
assert.equal(await ann.inputValue("input[name=at_least]"), "0.1");
await ann.fill("input[name=label]", "Firmware that fails more");
await ann.click("button:text-is('Save alert')");
await ann.waitForURL(/done=saved/);
assert.match(await ann.textContent("h1"), /fails more/);
await ann.click("nav a:has-text('Alerts')");
await ann.waitForURL(/\/_ui\/alerts$/);
assert.match(await ann.textContent(".alerts tbody"), /Firmware that fails more/);
await accessible(ann, "the alerts");
await shoot(ann, "tour-alerts");

// It is drawn where the metric's page shows what it looks at, and one click away where it does not.
await ann.goto(RATE);
await ann.waitForSelector(".chart canvas");
const watching = ann.locator("[aria-labelledby=alerts]");
assert.match(await watching.textContent(), /Firmware that fails more[\s\S]*drawn/);
assert.equal((await ann.evaluate(() => JSON.parse(document.querySelector("[data-chart]").dataset.chart))).spans.length, 1);
await shoot(ann, "tour-alert-on-metric");
await ann.click(".segments a:text-is('model')");
await ann.waitForURL(/by=model/);
await watching.locator("a:text-is('show')").click();
await ann.waitForURL(/by=firmware/);

// Another sees its chart under their own name, and neither what was read as its author nor a button
// that would not work for them.
await eve.goto(ALERT);
await eve.waitForSelector(".chart canvas");
assert.match(await eve.textContent("main"), new RegExp(`shown to ${login("analyst").name} alone`));
for (const button of ["Silence", "Delete", "Look now"]) {
  assert.equal(await eve.locator(`.actions :text-is('${button}')`).count(), 0, `${button} is not for them`);
}
await shoot(eve, "tour-alert-dark");

// A person is found by the real address, which is nowhere in the answer.
if (process.env.CLERESTORY_EMAIL) {
  await ann.goto(`${url}/_ui`);
  await ann.fill("#person", process.env.CLERESTORY_EMAIL);
  await ann.keyboard.press("Enter");
  await ann.waitForURL(/table=users/);
  assert.match(await ann.textContent(".result-head"), /^\s*1 hit\b/);
  assert.doesNotMatch(await ann.textContent(".hits"), /@/);
  await shoot(ann, "tour-person");
}

// An administrator proposes what lets somebody see more, and a guardian approves it as the second
// person, with a code of the app that they set up.
const proposer = await open({ colorScheme: "light", ...DESK });
await logIn(proposer, "administrator");
await proposer.goto(`${url}/_ui/changes/new`);
await proposer.fill("input[name=who]", `person:${login("analyst").name}`);
await proposer.fill("input[name=tables]", "measurements");
for (const name of ["open", "personal", "special"]) await proposer.check(`input[name=class][value=${name}]`);
await proposer.fill("textarea[name=why]", "the study of December");
await proposer.click("button:text-is('Propose')");
await proposer.waitForURL(/done=proposed/);
assert.equal(await proposer.locator("button:text-is('Approve')").count(), 0, "nobody approves what they proposed");
const change = new URL(proposer.url()).pathname;
await proposer.context().close();
const guardian = await open({ colorScheme: "light", ...DESK });
await logIn(guardian, "guardian");
await guardian.click("a.figure:has-text('changes wait for a second person')");
await guardian.waitForURL(/\/_ui\/changes$/);
await guardian.click(`a[href='${change}'] >> nth=0`);
await guardian.waitForURL(`${url}${change}`);
await guardian.click("a:text-is('Set one up')");
await guardian.waitForURL(/\/_ui\/account/);
await guardian.click("button:text-is('Set up an app')");
const secret = (await guardian.textContent("#totp-secret")).replaceAll(" ", "");
const step = Math.floor(Date.now() / 30_000);
await guardian.fill("input[name=code]", codeAt(secret, step));
await guardian.click("button:text-is('Confirm')");
await guardian.waitForSelector("#recovery");
// Each code counts once; the next one counts half a minute early.
await guardian.goto(url + change);
await guardian.fill("input[name=code]", codeAt(secret, step + 1));
await guardian.click("button:text-is('Approve')");
await guardian.waitForURL(/done=approved/);
assert.match(await guardian.textContent(".page-head"), /applied/);
await shoot(guardian, "tour-approved");
await guardian.context().close();

// The same without a mouse: from the login to the chart.
const keys = await open({ colorScheme: "light", ...DESK });
await logIn(keys, "analyst");
const tabTo = async (page, wanted) => {
  for (let tries = 0; tries < 80; tries += 1) {
    await page.keyboard.press("Tab");
    const text = await page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute("aria-label") || document.activeElement.value || "");
    if (wanted.test(text)) return;
  }
  assert.fail(`the keyboard does not reach ${wanted}`);
};
await keys.keyboard.press("Tab");
assert.equal(await keys.evaluate(() => document.activeElement.textContent), "Skip to content");
await tabTo(keys, /^Metrics$/);
await keys.keyboard.press("Enter");
await keys.waitForURL(/\/_ui\/metrics$/);
await keys.keyboard.press("/");
await keys.keyboard.type("failed");
await keys.waitForURL(/q=failed/);
await keys.waitForFunction(() => document.querySelectorAll(".card").length < 10);
await tabTo(keys, /^Failed connections/);
await keys.keyboard.press("Enter");
await keys.waitForURL(/failed_connection_rate/);
await tabTo(keys, /^day$/);
await keys.keyboard.press("Enter");
await keys.waitForURL(/grain=day/);
await tabTo(keys, /^Add to dashboard$/);
await keys.keyboard.press("Enter");
await keys.waitForSelector(".popover[open]");
await keys.keyboard.press("Escape");
assert.equal(await keys.locator(".popover[open]").count(), 0);
assert.match(await keys.evaluate(() => document.activeElement.textContent), /Add to dashboard/, "the focus is where it was");
await keys.context().close();

// And on a phone.
const phone = await open({ colorScheme: "light", ...PHONE });
await logIn(phone, "analyst");
await phone.goto(link);
await settled(phone);
const wide = await tooWide(phone);
assert.ok(wide <= 0, `a dashboard on a phone is ${wide} pixels too wide`);
await shoot(phone, "tour-phone-dashboard");
await phone.tap("nav a:has-text('Metrics')");
await phone.waitForURL(/metrics$/);
for (const [name, address] of [["alert", ALERT], ["alerts", `${url}/_ui/alerts`], ["alert-new", `${url}/_ui/new-alert?metric=failed_connection_rate`]]) {
  await phone.goto(address);
  await settled(phone);
  const wide = await tooWide(phone);
  assert.ok(wide <= 0, `${name} on a phone is ${wide} pixels too wide`);
  await shoot(phone, `tour-phone-${name}`);
}
await phone.context().close();

// It is taken away by whoever declared it.
await ann.goto(ALERT);
await ann.click("summary:text-is('Delete')");
await ann.click("button:text-is('Delete the alert')");
await ann.waitForURL(/\/_ui\/alerts\?done=removed/);
assert.match(await ann.textContent("main"), /No alert yet/);
await shoot(ann, "tour-alerts-none");

await browser.close();
assert.deepEqual(barriers, [], "no page keeps anybody out");
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log("tour: the regression, a dashboard, an alert, a person, a second person, the keyboard and the phone");
