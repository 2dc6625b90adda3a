// What people come for, each as they would do it: find the regression by clicking only, build and save
// a dashboard, share it, and the same from the keyboard and on a phone.
import assert from "node:assert/strict";
import {
  BAD_DAY, BAD_FIRMWARE, DESK, PHONE, RANGE, accessible, barriers, browser, complaints, logIn, login, open, shoot, tooWide, url,
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
await phone.context().close();

await browser.close();
assert.deepEqual(barriers, [], "no page keeps anybody out");
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log("tour: the regression, a dashboard, the keyboard and the phone");
