import assert from "node:assert/strict";
import { test } from "node:test";
import { inkOn, colorOf } from "../../../assets/js/lib/choices.js";
import { LedgerClock } from "../../../assets/js/lib/clock.js";
import { countdown, list } from "../../../assets/js/lib/format.js";
import { NOTHING } from "../../../assets/js/lib/known.js";
import { mayReturn, waitBefore } from "../../../assets/js/lib/socket.js";
import { percentages, sight } from "../../../assets/js/lib/split.js";
import { newestStep, pages, pictureOf, placesOf } from "../../../assets/js/stage/picture.js";
import { hints, roomCode } from "../../../assets/js/voter/me.js";
import { bannerOf, screenOf } from "../../../assets/js/voter/picture.js";

const round = (phase, more = {}) => ({ round: 1, take: 1, phase, split: "live", blackout_seconds: 0, shown: false, tally: { version: 1, total: 3, voters: 1, votes: [2, 1] }, ...more });
const known = (more, rest = {}) => ({ ...NOTHING, room: { room: "ABC234", round: 1, rounds: [round("open")], phase: "voting", ...more }, ...rest });
const groups = (...places) => places.map((place) => ({ place, score: 1, names: [`n${place}`] }));

test("percentages add up to a hundred", () => {
  for (const votes of [[1, 1, 1], [2, 1], [0, 0], [999, 1], [1, 1, 1, 1, 1, 1, 1]]) {
    const sum = percentages(votes).reduce((all, part) => all + part, 0);
    assert.equal(sum, votes.some((count) => count > 0) ? 100 : 0);
  }
  assert.deepEqual(percentages([2, 1]), [67, 33]);
});

test("a live split is hidden from the second the blackout begins, and stays hidden when the end is moved", () => {
  const timed = round("open", { blackout_seconds: 10, closes_at: 100_000 });
  assert.equal(sight(timed, 89_999), "votes");
  assert.equal(sight(timed, 90_000), "dark");
  const dark = { ...timed, closes_at: 500_000, tally: { version: 2, total: 9, voters: 1 } };
  assert.equal(sight(dark, 95_000), "dark");
});

test("hidden and held rounds show no split too early", () => {
  const bare = { version: 1, total: 3, voters: 1 };
  assert.equal(sight(round("open", { split: "hidden", tally: bare }), 0), "hidden");
  assert.equal(sight(round("closed", { split: "held", tally: bare }), 0), "held");
  assert.equal(sight(round("closed", { split: "held", shown: true }), 0), "votes");
});

test("the phone's screen depends on the room", () => {
  assert.equal(screenOf(NOTHING), "waiting");
  assert.equal(screenOf(known({ round: 0, phase: "lobby" })), "lobby");
  assert.equal(screenOf(known({})), "vote");
  assert.equal(screenOf(known({ rounds: [round("closed")], phase: "between" })), "result");
  assert.equal(screenOf(known({ rounds: [round("ready", { take: 2 })], phase: "between" })), "again");
  assert.equal(screenOf(known({ phase: "reveal" })), "reveal");
});

test("the banner says what is wrong: the phone's network, the server or the ledger", () => {
  const facts = { link: { phase: "lost", since: 0 }, known: known({}), flying: 2, now: 5000 };
  assert.match(bannerOf({ ...facts, online: false }).text, /phone is offline.*2 votes of yours are kept/);
  assert.match(bannerOf({ ...facts, online: true }).text, /server cannot be reached/);
  assert.equal(bannerOf({ ...facts, online: true, now: 1000 }), null, "a short loss is not worth a word");
  const up = { ...facts, link: { phase: "up", since: 0 }, online: true };
  assert.match(bannerOf({ ...up, known: known({}, { ledger: "down" }) }).text, /Votes wait/);
  assert.equal(bannerOf(up), null);
});

test("the stage's picture depends on the room, or on the emcee's choice", () => {
  assert.equal(pictureOf(known({ round: 0, phase: "lobby" })).screen, "join");
  assert.equal(pictureOf(known({})).screen, "open");
  assert.equal(pictureOf(known({}, { reveal: { done: false } })).screen, "reveal");
  assert.equal(pictureOf(known({}, { reveal: { done: true } })).screen, "winner");
  assert.equal(pictureOf(known({ stage: { screen: "black" } })).screen, "black");
});

test("the stage shows the newest step of the reveal by itself", () => {
  const before = groups(45, 50);
  assert.deepEqual(newestStep(groups(31, 40, 45, 50), before), groups(31, 40));
  assert.equal(newestStep(groups(...Array.from({ length: 30 }, (_, index) => index + 1)), null).length, 10);
  assert.equal(placesOf(groups(31, 40)), "Places 40 to 31");
});

test("many names on one place are split into pages without losing one", () => {
  const crowd = { place: 3, score: 9, names: Array.from({ length: 70 }, (_, index) => `n${index}`) };
  const cut = pages([crowd, ...groups(4, 5)], 30);
  assert.equal(cut.length, 3);
  assert.deepEqual(cut.flat().flatMap((group) => group.names), [...crowd.names, "n4", "n5"]);
});

test("the wait before a reconnect grows, has jitter, and is never shorter than the server asked", () => {
  assert.equal(waitBefore(0, undefined, () => 1), 300);
  assert.equal(waitBefore(9, undefined, () => 1), 5000);
  assert.equal(waitBefore(9, undefined, () => 0), 0);
  assert.equal(waitBefore(0, 2000, () => 0), 2000);
  for (const code of [1000, 1001, 1006, 1012, 4408, 4429]) assert.ok(mayReturn(code), String(code));
  for (const code of [1002, 1003, 1007, 1008, 1009, 4401, 4403, 4404, 4409]) assert.ok(!mayReturn(code), String(code));
});

test("the ledger's clock is taken from the quickest answer, and survives a change of the device's clock", (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 0 });
  const clock = new LedgerClock();
  clock.sample(0, 100, 5050);
  clock.sample(1000, 1400, 6300);
  assert.equal(clock.now(), 5000);
  clock.sample(9000, 9100, 4050);
  assert.equal(clock.now(), -5000);
});

test("room codes are accepted in either case and with spaces, and nothing else is", () => {
  assert.equal(roomCode(" abc-234 "), "ABC234");
  for (const wrong of ["ABC10O", "ABC23", "ABC2345", ""]) assert.equal(roomCode(wrong), null);
});

test("the fragment of a link may hold an invite, or a card with its name", () => {
  assert.equal(hints("#invite=X7").invite, "X7");
  assert.deepEqual(hints("#card=abcd&name=Ada%20L."), { invite: undefined, card: "ABCD", name: "Ada L." });
});

test("every default colour is readable, and only valid colours are accepted", () => {
  assert.equal(inkOn("#ffd23f"), "#05070f");
  assert.equal(inkOn("#1e3a8a"), "#ffffff");
  assert.equal(colorOf({ letter: "a", label: "A", color: "red;background:url(x)" }), "#3d7dff");
});

test("times and lists are formatted for people", () => {
  assert.deepEqual([0, 900, 61_000, 3_723_000].map(countdown), ["0:00", "0:01", "1:01", "1:02:03"]);
  assert.equal(list(["A", "B", "C"]), "A, B and C");
});
