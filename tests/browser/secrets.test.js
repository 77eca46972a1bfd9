/** What a page leaves in the browser, for whoever uses the device next: no key of the emcee, and of a voter only their own. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { startBrowser } from "./support/browser.js";
import { apiOf, freePort, KEY, startServer } from "./support/server.js";

const EVENING = { title: "Hush", rounds: [{ title: "One", choices: [{ label: "A" }, { label: "B" }] }] };

let server, browser, api;

before(async () => {
  const port = await freePort();
  server = await startServer(`http://127.0.0.1:${port}`, port);
  browser = await startBrowser();
  api = apiOf(server.url);
});

afterEach(() => browser.closePages());

after(async () => {
  await browser?.stop();
  await server?.stop();
});

/** Everything that scripts can read in this page and that stays: storage, databases, caches, cookies, history, the address. */
function leftBehind(page) {
  return page.evaluate(async () => {
    // by number: an entry called `key` or `length` is no property of the storage
    const entries = (storage) => Array.from({ length: storage.length }, (_, n) => [storage.key(n), storage.getItem(storage.key(n))]);
    const databases = (await indexedDB.databases?.()) ?? [];
    const cached = [];
    for (const name of "caches" in window ? await caches.keys() : []) {
      for (const request of await (await caches.open(name)).keys()) cached.push(request.url);
    }
    return JSON.stringify({
      local: entries(localStorage),
      session: entries(sessionStorage),
      databases,
      cached,
      cookies: document.cookie,
      address: location.href,
      state: history.state,
      page: document.documentElement.outerHTML,
    });
  });
}

test("the desk leaves no key in storage, cookies that scripts read, address, history or page", async () => {
  const { room } = await api.makeRoom(EVENING);
  const desk = await browser.page("desk");
  await desk.goto(`${server.url}/emcee#${KEY}&room=${room}`);
  await desk.waitForSelector(".desk .step");
  const left = await leftBehind(desk);
  assert.ok(!left.includes(KEY), `the emcee's key is left behind: ${left.slice(0, 2000)}`);
  const signedIn = (await desk.context().cookies()).filter((cookie) => cookie.value.length > 20);
  assert.equal(signedIn.length, 1, "one cookie, of the sign-in");
  assert.ok(signedIn[0].httpOnly && !left.includes(signedIn[0].value), "no script can read it");

  await desk.goBack().catch(() => null);
  assert.ok(!desk.url().includes(KEY), "the back button does not bring it back");
});

test("a phone keeps its own token and card, and nobody else's", async () => {
  const { room } = await api.makeRoom(EVENING);
  const other = await api.join(room, "Other");
  const phone = await browser.page("phone");
  await phone.goto(`${server.url}/r/${room}`);
  await phone.fill("#name", "Ann");
  await phone.click("button:has-text('Join')");
  await phone.waitForSelector("text=You are in");
  const left = await leftBehind(phone);
  assert.match(left, /v1\.[\w-]+\.[\w-]+\.[\w-]+\.[\w-]+/, "its own token: without it, a reload would be somebody new");
  for (const secret of [KEY, other.token, other.card]) assert.ok(!left.includes(secret), "somebody else's secret");
});
