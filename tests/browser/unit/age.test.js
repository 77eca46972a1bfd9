import assert from "node:assert/strict";
import { test } from "node:test";
import * as about from "../../../assets/js/emcee/about.js";
import { ageOf, ageWords } from "../../../assets/js/emcee/age.js";

test("figures are stale when the connection is gone, or when nothing arrives for three seconds", () => {
  assert.equal(ageOf(true, 1000, 3999), null);
  assert.equal(ageOf(true, 1000, 4000), 3000);
  assert.equal(ageOf(false, 1000, 1000), 0);
  assert.equal(ageOf(false, 1000, 8000), 7000);
  assert.equal(ageOf(false, 9000, 8000), 0, "a device's clock that was set back makes no age below nothing");
  assert.equal(ageWords(null), "");
  assert.equal(ageWords(0), "as of 0 s ago");
  assert.equal(ageWords(7400), "as of 7 s ago");
});

const round = (number, phase, more = {}) => ({ round: number, take: 1, phase, split: "live", shown: false, choices: [], ...more });
const known = (rounds, more = {}, reveal = null) => ({ room: { rounds, join: "open", title: "T", stage: { screen: "auto" }, ...more }, reveal });
const moved = (subject, before, after) => subject(before) !== subject(after);

test("votes, phones and time do not make a failed command obsolete", () => {
  const before = known([round(1, "open", { closes_at: 1000, tally: { version: 1, total: 1 } })], { seq: 1, now: 1 });
  const after = known([round(1, "open", { closes_at: 1000, tally: { version: 2, total: 2 } })], { seq: 2, now: 2 });
  for (const subject of [about.show, about.deadline({ round: 1 }), about.stage, about.settings(["rounds", "join"])]) assert.ok(!moved(subject, before, after));
});

test("a failed step of the show is obsolete when the show has moved on", () => {
  const ready = known([round(1, "ready"), round(2, "ready")]);
  const open = known([round(1, "open"), round(2, "ready")]);
  assert.ok(moved(about.show, ready, open), "it holds");
  assert.ok(moved(about.show, ready, known([round(1, "ready"), round(2, "open")])), "another one was opened");
  assert.ok(moved(about.show, open, known([round(1, "ready", { take: 2 }), round(2, "ready")])), "it was voided");
  const closed = [round(1, "closed", { winner: "a", decided_by: "votes" })];
  assert.ok(moved(about.show, known(closed), known([round(1, "closed", { winner: "b", decided_by: "emcee" })])), "it was decided");
  const shown = (place, more = {}) => known(closed, {}, { seq: 1, place, top: 50, shown: [], ...more });
  assert.ok(moved(about.show, shown(5), shown(4)), "the ranking went on");
  assert.ok(moved(about.show, shown(5), known(closed)), "the ranking was taken away");
  assert.ok(!moved(about.show, shown(5), shown(5, { seq: 2 })));
});

test("other failed commands are obsolete when their subject has changed", () => {
  const before = known([round(1, "open", { closes_at: null })]);
  assert.ok(moved(about.deadline({ round: 1 }), before, known([round(1, "open", { closes_at: 30_000 })])));
  assert.ok(!moved(about.show, before, known([round(1, "open", { closes_at: 30_000 })])), "a deadline is no step");
  assert.ok(moved(about.stage, before, known([], { stage: { screen: "black" } })));
  assert.ok(moved(about.settings(["join"]), before, known([], { join: "closed" })));
  assert.ok(!moved(about.settings(["title"]), before, known([], { join: "closed" })));
  assert.ok(moved(about.settings(["rounds"]), before, known([round(1, "open", { title: "Another" })])));
});
