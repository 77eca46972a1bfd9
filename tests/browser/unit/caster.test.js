import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Caster } from "../../../assets/js/voter/caster.js";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

const round = (more = {}) => ({ round: 1, take: 1, phase: "open", split: "live", blackout_seconds: 0, shown: false, ...more });
const room = (rounds = [round()], current = 1) => ({ room: "ABC234", round: current, rounds, votes_per_round: 10, seq: 1 });
const you = (votes = "", more = {}) => ({ voter: "v", name: "Ada", ballot: { round: 1, take: 1, votes, left: 10 - votes.length, ...more } });
const answer = (votes, refused) => ({ round: 1, take: 1, votes, left: 10 - votes.length, ...(refused ? { refused } : {}) });

function setup(saved = null) {
  const world = { sent: [], saved, restarts: 0 };
  world.caster = new Caster({
    send: (cast) => world.sent.push({ ...cast, savedFirst: JSON.stringify(world.saved) }),
    restart: () => (world.restarts += 1),
    save: (slips) => (world.saved = slips),
    saved: () => world.saved,
    changed: () => {},
    random: () => 0,
  });
  return world;
}
const last = ({ sent }) => {
  const { round, take, slip, votes } = sent.at(-1);
  return { round, take, slip, votes };
};

test("a cast is saved in the browser before it is sent", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.tap("a");
  assert.deepEqual(JSON.parse(world.sent[0].savedFirst).sent, { slip: 1, votes: "a" });
});

test("a round that opens after hello accepts votes without another hello", () => {
  const world = setup();
  world.caster.state(room([round({ phase: "ready" })], 0), { voter: "v", name: "Ada" });
  world.caster.state(room(), undefined);
  assert.ok(world.caster.tap("a"));
  assert.deepEqual(last(world), { round: 1, take: 1, slip: 1, votes: "a" });
});

test("taps without a network are sent in one cast when it is back", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.down();
  for (const letter of "aab") world.caster.tap(letter);
  assert.equal(world.sent.length, 0);
  world.caster.state(room(), you());
  assert.deepEqual(last(world), { round: 1, take: 1, slip: 1, votes: "aab" });
});

test("an unanswered cast is sent again after a reload of the page", () => {
  const before = setup();
  before.caster.state(room(), you());
  before.caster.tap("b");
  const after = setup(before.saved);
  after.caster.state(room(), you());
  assert.deepEqual(last(after), { round: 1, take: 1, slip: 1, votes: "b" });
});

test("after busy the same cast is sent again, a little later each time", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.tap("a");
  world.caster.answer(answer("", "busy"));
  assert.equal(world.sent.length, 1);
  mock.timers.tick(100);
  assert.equal(world.sent.length, 2);
  world.caster.answer(answer("", "busy"));
  mock.timers.tick(199);
  assert.equal(world.sent.length, 2);
  mock.timers.tick(1);
  assert.equal(world.sent.length, 3);
  world.caster.answer(answer("a"));
  assert.equal(world.caster.slips.stored, "a");
});

test("a socket without an answer for too long is closed", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.tap("a");
  mock.timers.tick(6000);
  assert.equal(world.restarts, 1);
});

test("a refusal for an earlier take does not change the votes of the present one", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.tap("a");
  world.caster.state(room([round({ take: 2 })]), undefined);
  world.caster.tap("b");
  assert.equal(world.sent.length, 1, "one cast may be unanswered at a time");
  world.caster.answer({ round: 1, take: 2, votes: "", left: 10, refused: "stale_take" });
  assert.deepEqual(last(world), { round: 1, take: 2, slip: 1, votes: "b" });
});

test("votes of a second phone appear, and this one's taps come behind them", () => {
  const world = setup();
  world.caster.state(room(), you());
  world.caster.mine(answer("bb"));
  world.caster.tap("a");
  assert.deepEqual(last(world), { round: 1, take: 1, slip: 3, votes: "a" });
});

test("acknowledged votes that the server lost are restored by the next state", () => {
  const world = setup();
  world.caster.state(room(), you());
  for (const letter of "ab") world.caster.tap(letter);
  world.caster.answer(answer("a"));
  world.caster.answer(answer("ab"));
  world.caster.state(room(), you("a"));
  assert.deepEqual(last(world), { round: 1, take: 1, slip: 2, votes: "b" });
});

test("after the result nothing is cast any more", () => {
  const world = setup();
  world.caster.state(room(), you("ab"));
  world.caster.state(room([round({ phase: "closed", winner: "a" })]), you("a"));
  assert.equal(world.sent.length, 0);
});
