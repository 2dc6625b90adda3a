// A browser for the tests: logging in, watching for complaints of the page, pictures, accessibility.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const modules = path.resolve(process.env.CLERESTORY_NODE_MODULES);
const { chromium } = createRequire(path.join(modules, "of-the-test.js"))("playwright-core");
const axe = readFileSync(path.join(modules, "axe-core", "axe.min.js"), "utf8");

export const url = process.env.CLERESTORY_URL;
const { logins } = JSON.parse(readFileSync(process.env.CLERESTORY_LOGINS, "utf8"));
export const login = (role) => logins.find((one) => one.role === role);
const pictures = process.env.CLERESTORY_UI_PICTURES;
if (pictures) mkdirSync(pictures, { recursive: true });

export const DESK = { viewport: { width: 1360, height: 860 } };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

// The demo's first and last day, and the day its planted firmware goes bad.
export const RANGE = "from=2026-10-24&to=2026-11-23";
export const BAD_FIRMWARE = "4.3.0";
export const BAD_DAY = "2026-11-12";

// RFC 6238, as an authenticator app has it.
export function codeAt(secret, step) {
  const digits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter));
  const bits = digits.map((digit) => digit.toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const tag = createHmac("sha1", key).update(counter).digest();
  const number = tag.readUInt32BE(tag.at(-1) & 15) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, "0");
}

export const browser = await chromium.launch({
  executablePath: process.env.CLERESTORY_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});

export const complaints = [];

export async function open(options) {
  const context = await browser.newContext(options);
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // Pages that say "not found" and "wrong question" have such a status, and a panel that was given
    // up is told by htmx: both on purpose.
    const isMeant = /status of 4(00|01|03|04)|htmx:(sendAbort|afterRequest)/.test(text);
    if (message.type() === "error" && !isMeant) {
      complaints.push(`${page.url()}: ${text}`);
    }
  });
  return page;
}

export async function logIn(page, role) {
  const { name, password } = login(role);
  await page.goto(`${url}/`);
  assert.match(page.url(), /\/_ui\/login$/, "whoever is not known sees the login and nothing else");
  await page.fill("input[name=name]", name);
  await page.fill("input[name=password]", password);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/_ui`);
}

export async function shoot(page, name) {
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
}

export const barriers = [];

// Notes what axe-core finds that keeps somebody out.
export async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, {
    resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
  }));
  const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
  for (const one of serious) {
    const where = one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ");
    barriers.push(`${name}: ${one.id}: ${where}`);
  }
}

// Nothing in the page as it was sent runs or styles by itself, whatever the policy would say to it.
export function nothingInline(html, name) {
  for (const [what, pattern] of [
    ["script", /<script(?![^>]*\ssrc=)[^>]*>/i],
    ["style", /<style|<[^>]+\sstyle=/i],
    ["handler", /<[^>]+\son[a-z]+=/i],
    ["address that is code", /(href|src|action)="\s*javascript:/i],
    ["other host", /<(script|link|img|form|iframe)[^>]+(src|href|action)="(https?:)?\/\//i],
  ]) {
    assert.doesNotMatch(html, pattern, `${name} has an inline ${what}`);
  }
}

// Whatever can be clicked on the page is reached with the Tab key, and shows that it is.
export async function keyboard(page, name) {
  const presses = await page.evaluate(() => {
    const seen = new Set();
    const invisible = new Set();
    document.addEventListener("focusin", ({ target }) => {
      seen.add(target);
      const style = getComputedStyle(target);
      if (style.outlineStyle === "none" && style.boxShadow === "none") invisible.add(target);
    });
    const isShown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0;
    const selector = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
    const focusable = [...document.querySelectorAll(selector)].filter(isShown);
    const group = (one) => (one.type === "radio" ? `${one.form?.action} ${one.name}` : null);
    const told = (ones) => [...ones].map((one) => one.outerHTML.slice(0, 120));
    window.reached = () => {
      const groups = new Set([...seen].map(group).filter(Boolean));
      const left = focusable.filter((one) => !seen.has(one) && !groups.has(group(one)) && one.isConnected && isShown(one));
      return { left: told(left), invisible: told(invisible) };
    };
    document.activeElement?.blur();
    // A date has its parts.
    return focusable.length + 3 + 4 * document.querySelectorAll("input[type=date]").length;
  });
  for (let press = 0; press < presses; press += 1) await page.keyboard.press("Tab");
  const { left, invisible } = await page.evaluate(() => window.reached());
  assert.deepEqual(left, [], `${name}: the keyboard does not reach these`);
  assert.deepEqual(invisible, [], `${name}: these do not show that they have the focus`);
}

// How many pixels a page is wider than its window. A phone's browser makes the window as wide as the
// page, so the window is what we asked for.
export async function tooWide(page) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  return wide - page.viewportSize().width;
}

// How long the server took for the page, in milliseconds.
export async function took(page) {
  return page.evaluate(() => {
    const [entry] = performance.getEntriesByType("navigation");
    return entry.responseEnd - entry.requestStart;
  });
}

export const share = (times, part) => [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * part))];
