import assert from "node:assert/strict";
import { test } from "node:test";
import { learn, NOTHING } from "../../../assets/js/lib/known.js";

const round = (more = {}) => ({ round: 1, take: 1, phase: "open", split: "live", blackout_seconds: 0, shown: false, tally: { version: 10, total: 3, voters: 1, votes: [2, 1] }, ...more });
const room = (seq, more = {}) => ({ room: "ABC234", title: "T", phase: "voting", round: 1, rounds: [round()], seq, ...more });
const known = (...frames) => frames.reduce((all, [kind, body]) => learn(all, kind, body), NOTHING);
const tally = (version, total, more = {}) => ["tally", { round: 1, take: 1, version, total, voters: 1, ...more }];

test("an older state does not replace a newer one", () => {
  const all = known(["state", { room: room(5, { title: "new" }) }], ["state", { room: room(4, { title: "old" }) }]);
  assert.equal(all.room.title, "new");
});

test("counts never decrease, in whatever order frames arrive", () => {
  const all = known(["state", { room: room(5) }], tally(20, 9), tally(15, 7));
  assert.equal(all.room.rounds[0].tally.total, 9);
  assert.equal(learn(all, "state", { room: room(6) }).room.rounds[0].tally.total, 9);
});

test("counts of another take are left alone", () => {
  const all = known(["state", { room: room(5) }], tally(20, 9, { take: 2 }));
  assert.equal(all.room.rounds[0].tally.total, 3);
});

test("a restored take has its own counts, whatever their version", () => {
  const back = room(6, { rounds: [round({ take: 1, phase: "closed", tally: { version: 2, total: 1, voters: 1 } })] });
  const all = known(["state", { room: room(5, { rounds: [round({ take: 2 })] }) }], ["state", { room: back }]);
  assert.equal(all.room.rounds[0].tally.total, 1);
});

test("when the blackout begins, the split is removed from the page", () => {
  const all = known(["state", { room: room(5) }], tally(20, 9));
  assert.equal(all.room.rounds[0].tally.votes, undefined);
});

test("taking the ranking away removes the list, the voter's place and the preview", () => {
  const reveal = { seq: 7, top: 50, of: 3, place: 51, shown: [], done: false };
  const shown = known(["state", { room: room(7, { reveal }) }], ["standing", { place: 1 }], ["preview", { next: [{}] }]);
  const after = learn(shown, "state", { room: room(8) });
  assert.deepEqual([after.reveal, after.standing, after.preview], [null, null, []]);
});

test("an older step of the reveal is dropped", () => {
  const step = (seq, place) => ["reveal", { seq, place, top: 50, of: 3, shown: [], done: false }];
  assert.equal(known(step(9, 31), step(8, 41)).reveal.place, 31);
});

test("messages and fields of a later version are ignored", () => {
  assert.equal(learn(NOTHING, "fireworks", {}), NOTHING);
});
