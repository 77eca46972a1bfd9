import assert from "node:assert/strict";
import { test } from "node:test";
import { answered, blank, closed, flying, free, learnStored, nextCast, opened, tap, tokens, votesOn } from "../../../assets/js/lib/ballot.js";

const taps = (slips, letters) => [...letters].reduce(tap, slips);
const fresh = (budget = 10) => blank(1, 1, budget);
const ballot = (votes, refused, more = {}) => ({ round: 1, take: 1, votes, left: 10 - votes.length, ...(refused ? { refused } : {}), ...more });
const cast = (slip, votes) => ({ round: 1, take: 1, slip, votes });

/** Casts what is due and gives back both. */
function send(slips) {
  const next = nextCast(slips);
  return [next.slips, next.cast];
}

test("taps while a cast is unanswered are collected into the next cast", () => {
  let [slips, first] = send(tap(fresh(), "a"));
  assert.deepEqual(first, cast(1, "a"));
  slips = taps(slips, "ab");
  assert.deepEqual(nextCast(slips).cast, cast(1, "a"), "the unanswered cast is unchanged");
  slips = answered(slips, ballot("a"));
  assert.deepEqual(nextCast(slips).cast, cast(2, "ab"));
});

test("taps beyond the budget are ignored", () => {
  const slips = taps(fresh(3), "aabbb");
  assert.equal(slips.pending, "aab");
  assert.equal(free(slips), 0);
});

test("after busy or a lost answer the same cast is sent again", () => {
  let [slips, first] = send(taps(fresh(), "ab"));
  slips = tap(answered(slips, ballot("", "busy")), "b");
  assert.deepEqual(nextCast(slips).cast, first);
});

test("a lost answer is resolved by the ballot in the answer to hello", () => {
  let [slips] = send(taps(fresh(), "ab"));
  slips = learnStored(tap(slips, "a"), "ab");
  assert.deepEqual(nextCast(slips).cast, cast(3, "a"));
});

test("a stored cast that another device has continued is not cast again", () => {
  let [slips] = send(taps(fresh(), "ab"));
  slips = learnStored(slips, "abb");
  assert.equal(nextCast(slips).cast, null);
  assert.equal(slips.stored, "abb");
});

test("acknowledged letters that the server lost are cast again before anything else", () => {
  let [slips] = send(taps(fresh(), "abba"));
  slips = answered(slips, ballot("abba"));
  [slips] = send(tap(slips, "a"));
  slips = learnStored(slips, "ab");
  assert.deepEqual(nextCast(slips).cast, cast(3, "ba"));
  slips = answered(slips, ballot("abba"));
  assert.deepEqual(nextCast(slips).cast, cast(5, "a"));
});

test("a gap leads to casting what is missing", () => {
  let [slips] = send(taps(fresh(), "ab"));
  [slips] = send(tap(answered(slips, ballot("ab")), "b"));
  slips = answered(slips, ballot("a", "gap"));
  assert.deepEqual(nextCast(slips).cast, cast(2, "b"));
});

test("letters in conflict with another device's are moved behind them", () => {
  let [slips] = send(taps(fresh(), "aa"));
  slips = answered(tap(slips, "b"), ballot("bb", "conflict"));
  assert.deepEqual(nextCast(slips).cast, cast(3, "aab"));
});

test("votes of another device are adopted at once, and only taps that still fit stay", () => {
  let slips = taps(fresh(4), "aaa");
  slips = learnStored(slips, "bb");
  assert.equal(slips.pending, "aa");
  assert.equal(slips.returned, "a");
  assert.equal(slips.why, "out_of_votes");
});

test("with too few votes left, the votes that fit are counted and the rest is returned", () => {
  let [slips] = send(taps(fresh(4), "aaaa"));
  slips = learnStored(slips, "");
  slips = answered(slips, { round: 1, take: 1, votes: "aaaa", left: 0, refused: "out_of_votes" });
  assert.equal(slips.stored, "aaaa");
  assert.equal(nextCast(slips).cast, null);
});

test("a refusal after the close returns votes that were not stored, and accepts no more taps", () => {
  let [slips] = send(taps(fresh(), "ab"));
  slips = answered(tap(slips, "b"), ballot("a", "closed"));
  assert.equal(slips.stored, "a");
  assert.equal(slips.returned, "bb");
  assert.equal(tap(slips, "a"), slips);
  assert.equal(nextCast(slips).cast, null);
});

test("a round that was extended after a refusal accepts taps again", () => {
  let [slips] = send(tap(fresh(), "a"));
  slips = opened(answered(slips, ballot("", "closed")));
  assert.equal(tap(slips, "b").pending, "b");
});

test("when the round closes, taps not cast yet are returned, and an unanswered cast is sent again", () => {
  let [slips, first] = send(tap(fresh(), "a"));
  slips = closed(tap(slips, "b"));
  assert.equal(slips.returned, "b");
  assert.deepEqual(nextCast(slips).cast, first);
  assert.equal(answered(slips, ballot("a")).stored, "a", "a repeat of a stored cast is answered with it after the close too");
});

test("a new take ends the slips of the old one", () => {
  let [slips] = send(tap(fresh(), "a"));
  slips = answered(slips, ballot("", "stale_take", { take: 2 }));
  assert.equal(slips.returned, "a");
  assert.equal(slips.why, "stale_take");
  assert.equal(nextCast(slips).cast, null);
});

test("a letter that is not in the round is not cast repeatedly", () => {
  let [slips] = send(tap(fresh(), "z"));
  slips = answered(slips, ballot("", "bad_choice"));
  assert.equal(nextCast(slips).cast, null);
});

test("each vote has a token that shows what became of it", () => {
  let [slips] = send(taps(fresh(5), "ab"));
  [slips] = send(tap(answered(slips, ballot("ab")), "a"));
  assert.deepEqual(
    tokens(slips, true).map((token) => token.fate),
    ["counted", "counted", "flying", "free", "free"],
  );
  assert.deepEqual(votesOn(slips, "a"), { counted: 1, flying: 1 });
  slips = answered(slips, ballot("ab", "closed"));
  assert.deepEqual(
    tokens(slips, false).map((token) => token.fate),
    ["counted", "counted", "returned", "lapsed", "lapsed"],
  );
});

/** A small generator of its own, so that a failure can be repeated by its seed. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The cast rule of the protocol, written apart from the code under test. */
class Server {
  ballot = "";
  constructor(budget) {
    this.budget = budget;
  }
  judge({ slip, votes }) {
    const there = this.ballot.slice(slip - 1, slip - 1 + votes.length);
    if (there === votes) return ballot(this.ballot);
    if (slip > this.ballot.length + 1) return ballot(this.ballot, "gap");
    if (!votes.startsWith(there)) return ballot(this.ballot, "conflict");
    const rest = votes.slice(there.length);
    const fits = rest.slice(0, this.budget - this.ballot.length);
    this.ballot += fits;
    return ballot(this.ballot, fits.length < rest.length ? "out_of_votes" : undefined);
  }
}

test("over a bad network every tap is stored exactly once and in order", () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const chance = random(seed);
    const server = new Server(10);
    let slips = fresh();
    let tapped = "";
    let acknowledged = "";
    let flight = null;
    for (let step = 0; step < 60; step += 1) {
      const dice = chance();
      if (dice < 0.3) {
        const letter = "abc"[Math.floor(chance() * 3)];
        const next = tap(slips, letter);
        if (next !== slips) tapped += letter;
        slips = next;
      } else if (dice < 0.5 && !flight) {
        [slips, flight] = send(slips);
      } else if (dice < 0.7 && flight) {
        slips = answered(slips, chance() < 0.2 ? ballot(server.ballot, "busy") : server.judge(flight));
        acknowledged = slips.stored;
        flight = null;
      } else if (dice < 0.8) {
        // the socket is lost, perhaps after the cast had arrived; the page may be reloaded; hello brings the ballot
        if (flight && chance() < 0.5) server.judge(flight);
        flight = null;
        if (chance() < 0.3) slips = JSON.parse(JSON.stringify(slips));
        slips = learnStored(slips, server.ballot);
      } else if (dice < 0.83) {
        server.ballot = server.ballot.slice(0, Math.floor(chance() * (server.ballot.length + 1))); // a failover lost some
        slips = flight ? slips : learnStored(slips, server.ballot);
      }
    }
    for (let turn = 0; flying(slips) > 0 || server.ballot !== slips.stored; turn += 1) {
      assert.ok(turn < 20, `seed ${seed}: does not come to rest`);
      slips = learnStored(slips, server.ballot);
      const [next, due] = send(slips);
      slips = due ? answered(next, server.judge(due)) : next;
    }
    assert.equal(server.ballot, tapped, `seed ${seed}`);
    assert.ok(server.ballot.startsWith(acknowledged), `seed ${seed}: an acknowledged vote is missing`);
  }
});

test("two devices of one voter never exceed the budget, and fill it if they tap enough", () => {
  for (let seed = 1; seed <= 1000; seed += 1) {
    const chance = random(seed);
    const server = new Server(10);
    let pair = [fresh(), fresh()];
    for (let step = 0; step < 80; step += 1) {
      const which = chance() < 0.5 ? 0 : 1;
      let slips = pair[which];
      if (chance() < 0.5) slips = tap(slips, "ab"[which]);
      const [next, due] = send(slips);
      slips = due ? answered(next, server.judge(due)) : next;
      pair[which] = slips;
      if (chance() < 0.5) pair[1 - which] = learnStored(pair[1 - which], server.ballot);
    }
    pair = pair.map((slips) => learnStored(slips, server.ballot));
    for (const slips of pair) assert.equal(flying(slips), 0, `seed ${seed}`);
    assert.equal(server.ballot.length, 10, `seed ${seed}`);
  }
});
