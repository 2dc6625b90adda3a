// WebAuthn keys in the browser, with an authenticator that Chromium pretends to have: one is added,
// logs its owner in, and proves that a second person is there.
import assert from "node:assert/strict";
import { DESK, accessible, barriers, browser, complaints, login, open, shoot, url } from "./browser.mjs";

// Browsers have keys for names, not for addresses.
const named = url.replace("127.0.0.1", "localhost");
const { name, password } = login("guardian");

const fill = async (page, as) => {
  await page.goto(`${named}/_ui/login`);
  await page.fill("input[name=name]", as.name);
  await page.fill("input[name=password]", as.password);
};

const page = await open({ colorScheme: "light", ...DESK });
const session = await page.context().newCDPSession(page);
await session.send("WebAuthn.enable");
const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", { options: {
  protocol: "ctap2", transport: "usb", hasResidentKey: false, hasUserVerification: true, isUserVerified: true,
  automaticPresenceSimulation: true,
} });

await fill(page, { name, password });
await page.click("button:text-is('Log in')");
await page.waitForURL(`${named}/_ui`);
await page.goto(`${named}/_ui/account`);
await page.fill("[data-add-key] input[name=name]", "blue key");
await page.click("button:text-is('Add a key')");
await page.waitForURL(/done=1/);
assert.match(await page.textContent(".key-list"), /blue key/);
await accessible(page, "an account with a key");
await shoot(page, "light-account-key");
await page.click("button[aria-label='Log out']");
await page.waitForURL(/login$/);

// The password alone opens nothing any more; with the key it does.
await fill(page, { name, password });
await page.click("button:text-is('Log in')");
await page.waitForSelector("[role=alert]");
await fill(page, { name, password });
await page.click("button:text-is('Log in with your key')");
await page.waitForURL(`${named}/_ui`);

// A change of somebody else is approved with it, and with nothing typed.
const proposer = await open(DESK);
await fill(proposer, login("administrator"));
await proposer.click("button:text-is('Log in')");
await proposer.waitForURL(`${named}/_ui`);
await proposer.goto(`${named}/_ui/changes/new`);
await proposer.fill("input[name=who]", `person:${login("analyst").name}`);
await proposer.fill("input[name=tables]", "measurements");
for (const one of ["open", "personal"]) await proposer.check(`input[name=class][value=${one}]`);
await proposer.fill("textarea[name=why]", "the study of keys");
await proposer.click("button:text-is('Propose')");
await proposer.waitForURL(/done=proposed/);
const change = new URL(proposer.url()).pathname;
await page.goto(named + change);
await page.click("button:text-is('Approve')");
await page.waitForURL(/done=approved/);

// A key that is not shown approves nothing, and the page says so.
await session.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
await page.goto(`${named}/_ui/changes/glass`);
await page.fill("input[name=tables]", "measurements");
await page.fill("textarea[name=why]", "a try");
await page.click("button:text-is('Break the glass')");
await page.waitForSelector(".key-trouble, [role=alert]");
assert.doesNotMatch(page.url(), /done=/);

await browser.close();
assert.deepEqual(barriers, [], "no page keeps anybody out");
assert.deepEqual(complaints, [], "no error in any console, nothing that the policy forbids");
console.log("keys: added, logged in with, approved with");
