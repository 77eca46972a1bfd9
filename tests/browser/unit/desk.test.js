import assert from "node:assert/strict";
import { test } from "node:test";
import { nextPlace, nextStep, placeBefore, unfit, unfitReveal } from "../../../assets/js/emcee/fits.js";
import { unreadable } from "../../../assets/js/emcee/health.js";

const round = (number, phase, more = {}) => ({ round: number, take: 1, title: `Round ${number}`, phase, split: "live", blackout_seconds: 0, shown: phase === "closed", ...more });
const room = (current, rounds, more = {}) => ({ room: "ABC234", round: current, rounds, phase: "between", ...more });
const step = (given, reveal = null) => nextStep(given, reveal, 50);

test("the next step leads through the evening", () => {
  assert.equal(step(room(0, [round(1, "ready"), round(2, "ready")])).label, "Open round 1");
  assert.equal(step(room(1, [round(1, "open"), round(2, "ready")])).label, "Close round 1");
  assert.equal(step(room(1, [round(1, "closed"), round(2, "ready")])).label, "Open round 2");
  assert.equal(step(room(2, [round(1, "closed"), round(2, "closed")])).label, "Start the reveal");
});

test("a held result is shown before the next round opens", () => {
  const held = round(1, "closed", { split: "held", shown: false });
  assert.equal(step(room(1, [held, round(2, "ready")])).kind, "show");
});

test("a voided round is opened again before the next", () => {
  assert.equal(step(room(2, [round(1, "closed"), round(2, "ready", { take: 2 }), round(3, "ready")])).label, "Open round 2");
});

test("a round that was left out is offered before the reveal", () => {
  assert.equal(step(room(3, [round(1, "closed"), round(2, "ready"), round(3, "closed")])).label, "Open round 2");
});

test("the reveal shows pages of ten first, and single names from place ten", () => {
  const reveal = (next, more = {}) => ({ seq: 1, top: 50, of: 90, place: next + 1, next, shown: [], done: false, ...more });
  const places = [50, 47, 41, 40, 12, 11, 10, 4, 1].map((next) => step(room(1, [round(1, "closed")]), reveal(next)).place);
  assert.deepEqual(places, [41, 41, 41, 31, 11, 11, 10, 4, 1]);
  assert.equal(step(room(1, [round(1, "closed")]), reveal(8, { auto_ms: 4000 })).kind, "stop");
  assert.equal(step(room(1, [round(1, "closed")]), reveal(8, { done: true })).kind, "wait");
});

test("a page always reaches the next place", () => {
  for (let next = 1; next <= 1000; next += 1) assert.ok(nextPlace(next) <= next && nextPlace(next) >= next - 9);
});

test("a step back hides the best shown group", () => {
  const group = (place) => ({ place, score: 1, names: ["x"] });
  assert.equal(placeBefore({ top: 50, shown: [group(7), group(9)] }), 9);
  assert.equal(placeBefore({ top: 50, shown: [group(50)] }), 51);
});

test("during a recovery of the ledger no step is offered", () => {
  assert.equal(step(room(1, [round(1, "open")], { recovering: true })).kind, "wait");
});

test("disabled commands say why", () => {
  const both = room(2, [round(1, "closed"), round(2, "open")]);
  assert.match(unfit(both, both.rounds[0], "decide"), /Round 2 is open/);
  assert.equal(unfit(both, both.rounds[1], "close"), null);
  assert.equal(unfit(both, both.rounds[1], "take"), null);
  const shown = room(1, [round(1, "closed")], { reveal: { seq: 1 } });
  assert.match(unfit(shown, shown.rounds[0], "take"), /ranking is shown/);
  const held = room(1, [round(1, "closed", { split: "held", shown: false })]);
  assert.equal(unfit(held, held.rounds[0], "show"), null);
  assert.match(unfitReveal(held), /round 1/);
  assert.match(unfitReveal(room(0, [round(1, "ready")])), /No round/);
});

test("a room that cannot be read is shown with its code, and with its id as in the log", () => {
  assert.match(unreadable({ id: "abcdefghijklmnop", room: "K7M2QX" }), /^Room K7M2QX .*Nothing of it is deleted.* abcdefghijklmnop\.$/);
  assert.match(unreadable({ id: "abcdefghijklmnop" }), /^Room abcdefghijklmnop /);
});
