/** The pages in a real browser against the real server: an evening, a bad network, and hostile names. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, startBrowser } from "./support/browser.js";
import { startNetwork } from "./support/network.js";
import { apiOf, freePort, KEY, startServer, until } from "./support/server.js";

const CUT = [/WebSocket connection to .* failed/, /Failed to load resource: net::ERR_/];
const FIRST_NAMES = "Grace,Alan,Katherine,Linus,Margaret,Barbara,Edsger,Donald,Hedy,Ken,Dennis,Radia,Tim,Vint,Anita,John".split(",");
const GUESTS = ["H.", "T.", "J.", "de la Cruz"].flatMap((last) => FIRST_NAMES.map((first) => `${first} ${last}`));

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

const rockets = (title, more = {}) => ({ title, choices: [{ label: "The Rockets" }, { label: "Tiny Thunder" }], ...more });

/** What a guest votes in the first round: mostly the Rockets. */
const ballotOf = (index) => (index % 3 ? "aaaab" : "bbba").slice(0, 2 + (index % 4));

/** A phone that has joined by the page. */
async function joinByPage(room, name, expected = []) {
  const page = await browser.page("phone", expected);
  await page.goto(`${network.url}/r/${room}`);
  await page.fill("#name", name);
  await page.click("button:has-text('Join')");
  await page.waitForSelector("text=You are in");
  return page;
}

async function openStage(room, expected = []) {
  const page = await browser.page("stage", expected);
  await page.goto(`${server.url}/stage/${room}`);
  return page;
}

async function openDesk(room) {
  const page = await browser.page("desk");
  await page.goto(`${server.url}/emcee#${KEY}&room=${room}`);
  await page.waitForSelector(".desk .step");
  return page;
}

const tap = async (page, letters) => {
  for (const letter of letters) await page.tap(`.choice[data-letter="${letter}"]`);
};
const fates = (page, words) => page.waitForFunction((text) => document.querySelector(".fates")?.textContent?.includes(text), words);
/** The desk's large button, once it says this and can be pressed. */
const step = (page, label) => page.click(`.step:not([aria-disabled=true]):has-text("${label}")`);

test("an evening: joining, voting, a lost network, results and the ranking, on all three pages", async () => {
  const { room } = await api.makeRoom({ title: "Summer party: battle of the bands", rounds: [rockets("Opening song", { seconds: 120 }), rockets("Dance battle", { split: "hidden" })] });
  const guests = await Promise.all(GUESTS.map((name) => api.join(room, name)));
  const stage = await openStage(room);
  await stage.waitForSelector(`.code:has-text("${room}")`);
  const phone = await joinByPage(room, "Ada Lovelace", CUT);
  await picture(phone, "voter-lobby");
  await picture(stage, "stage-join");
  const desk = await openDesk(room);
  assert.ok(!desk.url().includes(KEY), "the key does not stay in the address bar");

  await step(desk, "Open round 1");
  await phone.waitForSelector(".vote");
  await Promise.all(guests.map((guest, index) => api.vote(room, guest, 1, ballotOf(index))));
  const guestVotes = GUESTS.reduce((sum, _, index) => sum + ballotOf(index).length, 0);
  await tap(phone, "aab");
  await fates(phone, "3 counted");
  assert.equal(await api.ballotOf(room, "Ada Lovelace", 1), "aab");
  await stage.waitForSelector(".percent:has-text('%')");
  await until("the stage shows every vote", async () => (await stage.textContent(".total"))?.startsWith(`${3 + guestVotes} vote`));
  await desk.waitForSelector("text=All stored votes are shown");
  await desk.waitForSelector("text=shows open");
  await picture(phone, "voter");
  await picture(stage, "stage");
  await picture(desk, "emcee");

  // the network fails during the round, and the taps continue
  await phone.context().setOffline(true);
  network.cut();
  await tap(phone, "bba");
  await fates(phone, "3 on the way");
  await phone.waitForSelector("#banner [role=alert]:has-text('Your phone is offline')");
  await picture(phone, "voter-offline");
  assert.equal(await api.ballotOf(room, "Ada Lovelace", 1), "aab");
  network.restore();
  await phone.context().setOffline(false);
  await fates(phone, "6 counted");
  await phone.waitForSelector("#banner [role=alert]", { state: "detached" });
  assert.equal(await api.ballotOf(room, "Ada Lovelace", 1), "aabbba", "the votes arrived exactly once, in order");

  await step(desk, "Close round 1");
  await phone.waitForSelector("text=3 votes of yours on the winner: +3");
  await stage.waitForSelector(".verdict:has-text('A wins')");
  // the record is sealed: the hall sees the seal, and the phone computes that its votes are under it
  const { records } = await until("the seal", async () => {
    const sealed = await api.call("GET", `/rooms/${room}/records`);
    return sealed.records[0]?.seal && sealed;
  });
  const groups = records[0].seal.slice(0, 24).match(/.{4}/g).join(" ");
  await stage.waitForSelector(`.seal:text-is("Seal ${groups}")`);
  await phone.waitForSelector("text=Your votes are in the sealed record", { timeout: 30_000 });
  await phone.click("summary:has-text('The sealed records')");
  await phone.waitForSelector(`.seals code:text-is("${groups}")`);
  await picture(phone, "voter-result");
  await picture(stage, "stage-result");

  await step(desk, "Open round 2");
  await phone.waitForSelector("text=The split stays hidden until the round closes");
  await tap(phone, "bbbbbbbbbb");
  await fates(phone, "all your votes are in");
  await Promise.all(guests.map((guest, index) => api.vote(room, guest, 2, "b".repeat((index % 5) + 1))));
  const hiddenVotes = GUESTS.reduce((sum, _, index) => sum + (index % 5) + 1, 10);
  await stage.waitForSelector(`.secret-total:has-text('${hiddenVotes}')`);
  assert.equal(await stage.locator(".percent").first().isVisible(), false, "no split on stage before the close");
  assert.ok((await desk.textContent(".desk-bars"))?.includes("100 %"), "the emcee sees the hidden split");
  await step(desk, "Close round 2");
  await phone.waitForSelector("text=10 votes of yours on the winner: +10");

  await step(desk, "Start the reveal");
  await stage.waitForSelector("text=The best");
  assert.equal(await phone.locator(".standing").count(), 0, "nobody knows a place before it is shown");
  await step(desk, "Show places");
  await stage.waitForSelector(".ranking h1:has-text('Places')");
  await step(desk, "Show places");
  await stage.waitForSelector(".ranking .places li >> nth=4");
  await picture(stage, "stage-ranking");
  await api.call("PUT", `/rooms/${room}/reveal`, { place: 3 });
  await desk.waitForSelector(".step .text:text-is('Show place 2')");
  await desk.click("button:not([disabled]):has-text('Next place only')");
  await stage.waitForSelector(".spotlight:not(.won) .place:text-is('2')");
  assert.equal(await phone.locator(".standing").count(), 0);
  await step(desk, "Show place 1");
  await stage.waitForSelector(".spotlight.won .name:has-text('Ada Lovelace')");
  await phone.waitForSelector(".standing .place:text-is('1')");
  await phone.waitForSelector(".ranking .own:has-text('Ada Lovelace')");
  await picture(stage, "stage-winner");
  await picture(phone, "voter-standing");
  await picture(desk, "emcee-reveal");
});

test("a vote whose answer was lost is counted once, even after a reload of the page", async () => {
  const { room } = await api.makeRoom({ title: "Lost answers", rounds: [rockets("Only one")] });
  const phone = await joinByPage(room, "Grace", CUT);
  await api.command(room, 1, "open");
  await phone.waitForSelector(".vote");

  network.mute();
  await tap(phone, "ab");
  await until("the first cast arrived", async () => (await api.ballotOf(room, "Grace", 1)) !== "");
  await fates(phone, "2 on the way");
  assert.doesNotMatch((await phone.textContent(".fates")) ?? "", /counted/, "nothing is called counted without an answer");
  network.restore();
  await fates(phone, "2 counted");
  assert.equal(await api.ballotOf(room, "Grace", 1), "ab");

  network.mute();
  await tap(phone, "bb");
  await until("the next cast arrived", async () => (await api.ballotOf(room, "Grace", 1)) !== "ab");
  network.restore();
  await phone.reload();
  await fates(phone, "4 counted");
  assert.equal(await api.ballotOf(room, "Grace", 1), "abbb");
});

test("a dead connection that looks open is detected and replaced", async () => {
  const { room } = await api.makeRoom({ title: "Silence", rounds: [rockets("Only one")] });
  const phone = await joinByPage(room, "Hedy", CUT);
  await api.command(room, 1, "open");
  await phone.waitForSelector(".vote");
  network.freeze();
  await tap(phone, "ba");
  await fates(phone, "2 counted");
  assert.equal(await api.ballotOf(room, "Hedy", 1), "ba");
});

test("votes tapped while the server restarts are kept, and counted when it is back", async () => {
  const { room } = await api.makeRoom({ title: "Restart", rounds: [rockets("Only one")] });
  const phone = await joinByPage(room, "Margaret", CUT);
  const stage = await openStage(room, CUT);
  await api.command(room, 1, "open");
  await phone.waitForSelector(".vote");
  await tap(phone, "a");
  await fates(phone, "1 counted");
  await server.end();
  await tap(phone, "bb");
  await phone.waitForSelector("#banner [role=alert]:has-text('The server cannot be reached')");
  await stage.waitForSelector("#mark:has-text('this is the last picture')");
  await server.start();
  await fates(phone, "3 counted");
  await stage.waitForSelector("#mark", { state: "hidden" });
  assert.equal(await api.ballotOf(room, "Margaret", 1), "abb");
});

test("taps after the close are returned to the voter and never counted", async () => {
  const { room } = await api.makeRoom({ title: "Too late", rounds: [rockets("Only one"), rockets("Another")] });
  const phone = await joinByPage(room, "Ken", CUT);
  await api.command(room, 1, "open");
  await phone.waitForSelector(".vote");
  await tap(phone, "a");
  await fates(phone, "1 counted");
  network.cut();
  await tap(phone, "bb");
  await api.command(room, 1, "close");
  network.restore();
  await phone.waitForSelector("text=2 votes came too late");
  assert.equal(await api.ballotOf(room, "Ken", 1), "a");
});

test("a voided round starts again on the phone, and a removed voter is told so", async () => {
  const { room } = await api.makeRoom({ title: "Twice", rounds: [rockets("Only one")] });
  const desk = await openDesk(room);
  const phone = await joinByPage(room, "Dennis");
  await step(desk, "Open round 1");
  await phone.waitForSelector(".vote");
  await tap(phone, "aa");
  await fates(phone, "2 counted");
  await desk.keyboard.press("v");
  await desk.click("dialog button.danger");
  await phone.waitForSelector("text=This round will be run again");
  await step(desk, "Open round 1");
  await fates(phone, "10 left");
  await tap(phone, "b");
  await fates(phone, "1 counted");
  assert.equal(await api.ballotOf(room, "Dennis", 1), "b");

  await desk.click("summary:has-text('Voters')");
  await desk.click(".people li:has-text('Dennis') button:has-text('Remove')");
  await desk.click("dialog button.danger");
  await phone.waitForSelector("text=You were removed");
});

test("a taken name comes with a suggestion that one tap accepts", async () => {
  const { room } = await api.makeRoom({ title: "Names", rounds: [rockets("Only one")] });
  await api.join(room, "Radia");
  const phone = await browser.page("phone", [/status of 409/]);
  await phone.goto(`${network.url}/`);
  await phone.fill("#code", room.toLowerCase());
  await phone.click("text=Enter the room");
  await phone.fill("#name", "radia");
  await phone.click("button:has-text('Join')");
  await phone.click("button:has-text('Join as')");
  await phone.waitForSelector("text=You are in");
});

test("a second phone becomes the same voter by the card", async () => {
  const { room } = await api.makeRoom({ title: "Cards", rounds: [rockets("Only one")] });
  const first = await joinByPage(room, "Vint");
  await api.command(room, 1, "open");
  await first.waitForSelector(".vote");
  await tap(first, "ab");
  await fates(first, "2 counted");
  const { card } = await first.evaluate((code) => JSON.parse(localStorage.getItem(`tallycast.me.${code}`) ?? "{}"), room);
  const second = await browser.page("phone");
  await second.goto(`${network.url}/r/${room}#card=${card}&name=Vint`);
  await second.click("button:has-text('Join')");
  await fates(second, "2 counted");
  await tap(second, "b");
  await fates(first, "3 counted");
});

test("names, titles and labels from users are shown as text", async () => {
  const evil = "<img src=x onerror=boom()>";
  const label = `${evil}<b>`;
  const { room } = await api.makeRoom({ title: `T ${evil}`, rounds: [{ title: `R ${evil}`, choices: [{ label }, { label: "<script>boom()</script>" }] }] });
  const name = "<i onclick=boom()>";
  const stage = await openStage(room);
  const phone = await joinByPage(room, name);
  const desk = await openDesk(room);
  await step(desk, "Open round 1");
  await phone.waitForSelector(".vote");
  await tap(phone, "a");
  await fates(phone, "1 counted");
  await desk.waitForSelector("text=1 vote by 1 voter"); // without one, the desk would ask
  await step(desk, "Close round 1");
  await stage.waitForSelector(".verdict");
  await desk.click("summary:has-text('Voters')");
  await desk.waitForSelector(`.people .name:text-is("${name}")`);
  await step(desk, "Start the reveal");
  await step(desk, "Show place");
  await stage.waitForSelector(`.spotlight .name:text-is("${name}")`);
  await phone.waitForSelector(`.ranking .name:text-is("${name}")`);
  for (const page of [stage, phone, desk]) {
    assert.equal(await page.locator("img[src='x'], b, i, main script").count(), 0);
    assert.match((await page.textContent("body")) ?? "", /<i onclick=boom\(\)>/);
  }
});

test("no page violated its content policy or logged an error", () => {
  assert.deepEqual(browser.complaints, []);
});
