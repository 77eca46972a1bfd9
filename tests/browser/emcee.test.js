/** The emcee's desk under real fingers and real faults: keys, questions, and a server that is killed. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, startBrowser } from "./support/browser.js";
import { startNetwork } from "./support/network.js";
import { apiOf, freePort, KEY, startServer, until } from "./support/server.js";

const CUT = [/WebSocket connection to .* failed/, /Failed to load resource: net::ERR_/];
/** As long as the next step is disabled. */
const REST_MS = 2000;

let server, network, browser, api;

before(async () => {
  const port = await freePort();
  network = await startNetwork(port);
  server = await startServer(network.url, port);
  browser = await startBrowser();
  api = apiOf(server.url);
});

afterEach(async () => {
  network.restore();
  await browser.closePages();
});

after(async () => {
  await browser?.stop();
  await network?.stop();
  await server?.stop();
});

const song = (title, more = {}) => ({ title, choices: [{ label: "The Rockets" }, { label: "Tiny Thunder" }], ...more });

/** A desk; `expected` are complaints that the test provokes. */
async function openDesk(room, { expected = [], url = server.url } = {}) {
  const page = await browser.page("desk", expected);
  await page.goto(`${url}/emcee#${KEY}&room=${room}`);
  await page.waitForSelector(".desk .step");
  return page;
}

/** A desk whose clock only the test advances. */
async function openTimedDesk(room) {
  const page = await browser.page("desk");
  await page.clock.install();
  await page.goto(`${server.url}/emcee#${KEY}&room=${room}`);
  await page.waitForSelector(".desk .step");
  await page.clock.pauseAt(Date.now() + 60_000);
  return page;
}

/** Lets the page's time go by in small steps until this can be seen. */
async function passUntil(page, selector) {
  await until(`${selector} on the page`, async () => {
    await page.clock.runFor(20);
    return (await page.locator(selector).count()) > 0;
  });
}

/** The server is gone for as long as `work` takes. */
async function whileKilled(work) {
  await server.kill();
  try {
    await work();
  } finally {
    await server.start();
  }
}

const phaseOf = async (room, round = 1) => (await api.call("GET", `/rooms/${room}`)).rounds[round - 1].phase;
/** Every command of a round that the page sends from now on. */
function commandsOf(page) {
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && /\/rounds\//.test(request.url()) && sent.push(new URL(request.url()).pathname.replace(/.*\/rounds\//, "")));
  return sent;
}

test("a second press of N within two seconds does nothing, and a later one does the next step", async () => {
  const { room } = await api.makeRoom({ title: "Two presses", rounds: [song("Only one")] });
  const voter = await api.join(room, "Ada");
  const desk = await openTimedDesk(room);
  const sent = commandsOf(desk);
  await passUntil(desk, ".step:has-text('Open round 1'):not([aria-disabled=true])");
  await desk.keyboard.press("n");
  await passUntil(desk, ".step:has-text('Close round 1')");
  for (const pressed of ["n", "c", "n"]) {
    await desk.keyboard.press(pressed);
    await desk.clock.runFor(400);
  }
  assert.deepEqual(sent, ["1/open"]);
  assert.equal(await desk.locator("dialog").count(), 0);
  assert.equal(await desk.locator(".step.resting[aria-disabled=true]").count(), 1, "the button shows that it rests");
  await api.vote(room, voter, 1, "a");
  await passUntil(desk, "text=1 vote by 1 voter");
  await desk.clock.runFor(REST_MS);
  await desk.keyboard.press("n");
  await passUntil(desk, "text=All stored votes are shown");
  await until("the round is closed", async () => (await phaseOf(room)) === "closed");
  assert.deepEqual(sent, ["1/open", "1/close"]);
});

test("closing a round without a vote asks first, by keyboard alone", async () => {
  const { room } = await api.makeRoom({ title: "Nobody yet", rounds: [song("First"), song("Second")] });
  const voter = await api.join(room, "Ada");
  const desk = await openDesk(room);
  await desk.click(".step:not([aria-disabled=true]):has-text('Open round 1')");
  await desk.waitForSelector(".step:has-text('Close round 1'):not([aria-disabled=true])");
  await desk.keyboard.press("n");
  const question = desk.getByRole("alertdialog", { name: "Close round 1 without a vote?" });
  await question.waitFor();
  assert.match(await question.evaluate((dialog) => document.getElementById(dialog.getAttribute("aria-describedby"))?.textContent ?? ""), /the hall sees a draw/);
  await picture(desk, "emcee-close-question");
  for (const key of ["n", "c", "o"]) await desk.keyboard.press(key);
  await desk.keyboard.press("Enter"); // what has the focus is the harmless answer
  await question.waitFor({ state: "detached" });
  assert.equal(await phaseOf(room), "open");

  await desk.keyboard.press("c");
  await question.waitFor();
  await desk.keyboard.press("Escape");
  await question.waitFor({ state: "detached" });
  assert.equal(await phaseOf(room), "open");

  await desk.keyboard.press("c");
  await question.waitFor();
  await desk.keyboard.press("Shift+Tab");
  await desk.keyboard.press("Enter");
  await until("the round is closed", async () => (await phaseOf(room)) === "closed");

  await desk.click(".step:not([aria-disabled=true]):has-text('Open round 2')");
  await desk.waitForSelector(".step:has-text('Close round 2'):not([aria-disabled=true])");
  await api.vote(room, voter, 2, "b");
  await desk.waitForSelector("text=1 vote by 1 voter");
  await desk.keyboard.press("n");
  await until("the round with a vote is closed without a question", async () => (await phaseOf(room, 2)) === "closed");
});

test("keyboard shortcuts work after a click on a checkbox", async () => {
  const { room } = await api.makeRoom({ title: "Checkbox", rounds: [song("First", { seconds: 600 })] });
  const desk = await openDesk(room);
  const sent = commandsOf(desk);
  await desk.click("#corner");
  await desk.waitForSelector(".commands .arrived:has-text('join code on stage')");
  await desk.waitForSelector(".step:not([aria-disabled=true])"); // which waits for every answer
  await desk.keyboard.press("n");
  await desk.waitForSelector(".step:has-text('Close round 1')");
  assert.equal(await desk.evaluate(() => document.activeElement?.id), "corner");
  await desk.keyboard.press("e");
  await desk.waitForSelector(".commands .arrived:has-text('30 s more')");
  assert.deepEqual(sent, ["1/open", "1/deadline"]);
});

test("letters typed into a field are text, and a shortcut never chooses from a list", async () => {
  const { room } = await api.makeRoom({ title: "Fields", rounds: [song("First")] });
  const desk = await openDesk(room);
  const sent = commandsOf(desk);
  await desk.click("summary:has-text('Voters')");
  await desk.fill("#voter-query", "");
  for (const field of ["#voter-query", "#seconds"]) {
    await desk.focus(field);
    for (const key of ["n", "o", "c"]) await desk.keyboard.press(key);
  }
  assert.equal(await desk.inputValue("#voter-query"), "noc");
  assert.deepEqual(sent, []);
  await desk.focus("#doors");
  await desk.keyboard.press("c"); // Close does not fit now, and must not close the doors in its place
  assert.equal(await desk.inputValue("#doors"), "open");
  await desk.keyboard.press("o");
  await desk.waitForSelector(".step:has-text('Close round 1')");
});

test("Enter presses the focused button once, however long it is held", async () => {
  const { room } = await api.makeRoom({ title: "Held", rounds: [song("First"), song("Second")] });
  const desk = await openDesk(room);
  const sent = commandsOf(desk);
  await desk.waitForSelector(".step:not([aria-disabled=true])");
  await desk.focus(".step");
  const question = desk.getByRole("alertdialog");
  await desk.keyboard.down("Enter");
  for (let repeat = 0; repeat < 30; repeat += 1) {
    await desk.keyboard.down("Enter");
    await desk.waitForTimeout(100); // as fast as a held key repeats; long enough for the pause to be over
  }
  await desk.keyboard.up("Enter");
  assert.deepEqual(sent, ["1/open"]);
  assert.equal(await question.count(), 0);
  await desk.waitForSelector(".step:has-text('Close round 1'):not([aria-disabled=true])");
  assert.equal(await desk.evaluate(() => document.activeElement?.classList.contains("step")), true, "a button that rests keeps the focus");
  await desk.keyboard.press("Enter");
  await question.waitFor();
});

/** The texts on the desk that are neither grey nor permanent: those that claim to be current. */
const claims = (desk) =>
  desk.evaluate(() => {
    const parts = [...document.querySelectorAll(".desk .facts dd, .desk .good, .desk-bars .share, .desk-bars .count, .round-row.open .round-state, .desk-title .tag, .timer, .coming")];
    const grey = (part) => [...ancestors(part)].some((each) => getComputedStyle(each).filter.includes("grayscale(1)"));
    function* ancestors(part) {
      for (let each = part; each; each = each.parentElement) yield each;
    }
    return parts.filter((part) => part.getClientRects().length > 0 && part.textContent !== "" && !part.textContent.includes("not connected") && !grey(part)).map((part) => part.textContent);
  });

test("when the server is killed, every figure turns grey at once and shows its age", async () => {
  const { room } = await api.makeRoom({ title: "Power cut", rounds: [song("First", { seconds: 600 }), song("Second")] });
  const voter = await api.join(room, "Ada");
  await api.command(room, 1, "open");
  await api.vote(room, voter, 1, "aab");
  const desk = await openDesk(room, { expected: CUT });
  await desk.waitForSelector("text=All stored votes are shown");
  await desk.waitForSelector("text=3 votes by 1 voter");
  await desk.waitForSelector("text=/laptop, seen \\d+ s ago/");
  assert.equal(await desk.locator(".stale").count(), 0);

  await whileKilled(async () => {
    await desk.waitForSelector(".desk-title:has-text('not connected')");
    assert.deepEqual(await claims(desk), []);
    const aged = async (selector) => Number(/(\d+) s/.exec((await desk.textContent(selector)) ?? "")?.[1]);
    const places = [".health .age", ".totals", ".health li:has-text('laptop')"];
    const before = await Promise.all(places.map(aged));
    await until("the ages go on counting", async () => (await Promise.all(places.map(aged))).every((age, index) => age >= before[index] + 3));
    assert.deepEqual(await claims(desk), []);
    await picture(desk, "emcee-killed");
  });
  await desk.waitForSelector(".stale", { state: "detached" });
  await desk.waitForSelector(".good:has-text('All stored votes are shown')");
  assert.equal(await desk.textContent(".health .age"), "");
});

test("a silent connection is not shown as connected", async () => {
  const { room } = await api.makeRoom({ title: "Silence", rounds: [song("Only one")] });
  const desk = await openDesk(room, { expected: CUT, url: network.url });
  await desk.waitForSelector("text=All stored votes are shown");
  network.freeze();
  await desk.waitForSelector(".desk.stale .desk-title:has-text('no word')");
  assert.deepEqual(
    (await claims(desk)).filter((words) => !words.includes("no word")),
    [],
  );
  await desk.waitForSelector(".desk-title:has-text('● connected')");
});

test("a failed command leaves the list when the show has moved on, and stays while it matters", async () => {
  const { room } = await api.makeRoom({ title: "Did not arrive", rounds: [song("First"), song("Second")] });
  const desk = await openDesk(room, { expected: CUT });
  const corner = desk.locator(".commands .failed:has-text('join code on stage')");
  const failed = desk.locator(".commands .failed:has-text('Open round 1')");
  await whileKilled(async () => {
    await desk.click("#corner");
    await corner.waitFor();
    await desk.click(".step:not([aria-disabled=true])");
    await failed.waitFor();
  });
  await desk.waitForSelector(".desk-title:has-text('● connected')");
  await desk.waitForSelector(".stale", { state: "detached" });
  assert.equal(await failed.count(), 1, "the round is not open, so it still matters");

  await api.command(room, 1, "open"); // by the other desk
  await failed.waitFor({ state: "detached" });
  assert.equal(await corner.count(), 1, "nothing has shown the join code since");
  await corner.getByRole("button", { name: "Try again" }).click();
  await desk.waitForSelector(".commands .arrived:has-text('join code on stage')");
  assert.equal(await desk.locator(".commands .failed").count(), 0);
});

test("no page violated its content policy or logged an error", () => {
  assert.deepEqual(browser.complaints, []);
});
