/** The way in: where the emcee's link leads, and how the evening of a first start looks. Each test has a server of its own. */

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { picture, startBrowser } from "./support/browser.js";
import { apiOf, freePort, KEY, startServer } from "./support/server.js";

let browser, server, api;

before(async () => {
  browser = await startBrowser();
});

beforeEach(async () => {
  const port = await freePort();
  server = await startServer(`http://127.0.0.1:${port}`, port);
  api = apiOf(server.url);
});

afterEach(async () => {
  await browser.closePages();
  await server.stop();
});

after(async () => {
  await browser?.stop();
});

/** A page of this size at this address. */
async function open(size, path) {
  const page = await browser.page(size);
  await page.goto(`${server.url}${path}`);
  return page;
}

test("the emcee's link opens the only room, and the list when there are several", async () => {
  const desk = await open("desk", `/emcee#${KEY}`);
  await desk.waitForSelector(".desk .step:has-text('Open round 1')");
  const { rooms } = await api.call("GET", "/rooms");
  assert.equal(new URL(desk.url()).hash, `#room=${rooms[0].room}`);
  await desk.click("#bar >> text=Rooms");
  await desk.waitForSelector("h1:has-text('Rooms')");
  await desk.reload();
  await desk.waitForSelector(".desk .step");

  const other = await api.makeRoom({ title: "Another", rounds: [{ title: "Only one", choices: [{ label: "A" }, { label: "B" }] }] });
  const second = await open("desk", `/emcee#${KEY}`);
  await second.waitForSelector("h1:has-text('Rooms')");
  await second.waitForSelector(".room-row");
  assert.equal(await second.locator(".room-row").count(), 2);

  await api.call("DELETE", `/rooms/${other.room}?title=Another`);
  const third = await open("desk", `/emcee#${KEY}`);
  await third.waitForSelector(".desk .step:has-text('Open round 1')");
});

test("the sample's Team Red is red and its Team Blue is blue, on phones, stage and desk", async () => {
  const [{ room }] = (await api.call("GET", "/rooms")).rooms;
  const phone = await open("phone", `/r/${room}`);
  await phone.fill("#name", "Ada");
  await phone.click("button:has-text('Join')");
  await phone.waitForSelector("text=You are in");
  const stage = await open("stage", `/stage/${room}`);
  const desk = await open("desk", `/emcee#${KEY}&room=${room}`);
  await api.command(room, 2, "open");
  for (const page of [phone, stage, desk]) {
    await page.waitForSelector("text=Team Red");
    const [red, blue] = await page.locator(".badge").evaluateAll((badges) => badges.slice(0, 2).map((badge) => getComputedStyle(badge).backgroundColor.match(/\d+/g).map(Number)));
    assert.ok(red[0] > 2 * red[2], `Team Red is rgb(${red})`);
    assert.ok(blue[2] > 2 * blue[0], `Team Blue is rgb(${blue})`);
  }
  await picture(phone, "sample-voter");
  await picture(stage, "sample-stage");
});

test("no page violated its content policy or logged an error", () => {
  assert.deepEqual(browser.complaints, []);
});
