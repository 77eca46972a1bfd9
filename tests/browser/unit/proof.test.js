import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ApiError } from "../../../assets/js/lib/api.js";
import { shortSeal } from "../../../assets/js/lib/format.js";
import { canCheck, isProved } from "../../../assets/js/voter/proof.js";
import { SealCheck } from "../../../assets/js/voter/seals.js";

/** The hashes once more, by other means than the page's. */
const number = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
const text = (bytes) => Buffer.concat([number(bytes.length), bytes]);
const sha = (kind, ...parts) => createHash("sha256").update(Buffer.concat([Buffer.from([kind]), ...parts])).digest();
const leafOf = ({ voter, votes, time_ms, salt }) => sha(0, text(Buffer.from(salt, "hex")), text(Buffer.from(voter)), text(Buffer.from(votes)), number(time_ms));

/** Levels of the tree: a node without a neighbour is also in the level above. */
function levelsOf(leaves) {
  const levels = [leaves];
  while (levels.at(-1).length > 1) {
    const below = levels.at(-1);
    levels.push(Array.from({ length: Math.ceil(below.length / 2) }, (_, index) => (below[2 * index + 1] ? sha(1, below[2 * index], below[2 * index + 1]) : below[2 * index])));
  }
  return levels;
}

function sealOf(record) {
  const numbers = [record.seal_number, record.round, record.take, record.votes.length, ...record.votes, record.voters, record.opened_at, record.closed_at];
  const previous = Buffer.from(record.previous ?? "", "hex");
  return sha(2, ...numbers.map(number), text(Buffer.from(record.by)), number(record.leaves), text(Buffer.from(record.root, "hex")), text(previous)).toString("hex");
}

/** The proofs of all voters of a sealed take, and what each of them knows. */
function evening(count, more = {}) {
  const ballots = Array.from({ length: count }, (_, index) => ({
    voter: `voter${String(index).padStart(4, "0")}`,
    votes: index % 2 ? "aab" : "b",
    time_ms: 1000 + index,
    salt: sha(9, number(index)).toString("hex"),
  }));
  const levels = levelsOf(ballots.map(leafOf));
  const record = { round: 2, take: 1, counted: true, votes: [3, 5], voters: count, opened_at: 1_795_187_062_541, closed_at: 1_795_187_063_568, by: "emcee", seal_number: 2, leaves: count, root: levels.at(-1)[0].toString("hex"), previous: "ab".repeat(32), ...more };
  record.seal = sealOf(record);
  return ballots.map((ballot, index) => {
    const path = levels.flatMap((level, height) => level[(index >> height) ^ 1] ?? []);
    const proof = { leaf: levels[0][index].toString("hex"), path: path.map((hash) => hash.toString("hex")), seal: record.seal, index, size: count, ...ballot, record };
    return { proof, own: { round: 2, take: 1, voter: ballot.voter, votes: ballot.votes, seal: record.seal } };
  });
}

test("the proof of every voter is found right, whatever the number of voters", async () => {
  assert.ok(canCheck(), "this runtime computes hashes");
  for (const count of [1, 2, 3, 5, 8, 13, 33]) {
    for (const { proof, own } of evening(count)) assert.ok(await isProved(proof, own), `${own.voter} of ${count}`);
  }
  const [{ proof, own }] = evening(3, { previous: undefined, seal_number: 1 });
  assert.ok(await isProved(proof, own), "the first seal has none before it");
});

test("a voter who voted on another phone too has a longer ballot, and never another one", async () => {
  const { proof, own } = evening(4)[1];
  assert.equal(own.votes, "aab");
  assert.ok(await isProved(proof, { ...own, votes: "aa" }));
  for (const votes of ["b", "aaba", "ab"]) assert.ok(!(await isProved(proof, { ...own, votes })), votes);
});

test("a change of anything in a proof is found", async () => {
  const { proof, own } = evening(11)[6];
  const other = (value) => {
    if (typeof value === "number") return value + 1;
    if (Array.isArray(value)) return value.slice(1);
    return value.slice(0, -1) + (value.endsWith("b") ? "a" : "b");
  };
  const fields = Object.keys(proof).filter((field) => field !== "record");
  for (const field of fields) assert.ok(!(await isProved({ ...proof, [field]: other(proof[field]) }, own)), field);
  for (const field of Object.keys(proof.record).filter((field) => field !== "counted")) {
    const record = { ...proof.record, [field]: other(proof.record[field]) };
    // what the server says of its own seal is not used: the one that everybody was shown is
    assert.equal(await isProved({ ...proof, record }, own), field === "seal", `record.${field}`);
  }
  for (const field of ["round", "take", "voter", "seal"]) assert.ok(!(await isProved(proof, { ...own, [field]: other(own[field]) })), `own ${field}`);
  assert.ok(!(await isProved({ ...proof, path: [...proof.path, proof.path[0]] }, own)), "a longer path");
  assert.ok(!(await isProved(evening(11)[7].proof, own)), "the proof of somebody else");
});

test("what is no proof is not proved", async () => {
  const { proof, own } = evening(2)[0];
  for (const nothing of [null, undefined, {}, "", { ...proof, record: null }, { ...proof, time_ms: -1 }, { ...proof, salt: "x" }, { ...proof, path: "x" }]) {
    assert.equal(await isProved(nothing, own), false);
  }
});

test("a seal is shown in groups that can be read out", () => {
  assert.equal(shortSeal("0123456789abcdef".repeat(4)), "0123 4567 89ab cdef 0123 4567");
});

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

/** Lets every promise that is due continue. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

function setup(answers) {
  const world = { asked: [] };
  // hashes are computed on another thread, so what is found is awaited
  const found = new Promise((resolve) => (world.changed = resolve));
  world.found = found;
  world.check = new SealCheck({
    ask: async (round) => {
      world.asked.push(round);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return answer;
    },
    changed: () => world.changed(),
    random: () => 0.5,
  });
  return world;
}
const { proof, own } = evening(5)[1];
const round = { round: 2, take: 1, seal: own.seal };
const failed = (code, status) => new ApiError({ code, detail: "", status });

test("a proof is asked for once, after a while, and only for sealed votes", async () => {
  const world = setup([proof]);
  assert.equal(world.check.of({ round: 2, take: 1 }, own.voter, own.votes), "unknown", "no seal yet");
  assert.equal(world.check.of(round, own.voter, ""), "unknown", "who did not vote has nothing to prove");
  for (let draws = 0; draws < 5; draws += 1) assert.equal(world.check.of(round, own.voter, own.votes), "unknown");
  mock.timers.tick(7499);
  assert.deepEqual(world.asked, [], "the hall does not ask at once");
  mock.timers.tick(1);
  await world.found;
  assert.equal(world.check.of(round, own.voter, own.votes), "proved");
  mock.timers.tick(1_000_000);
  assert.deepEqual(world.asked, [2]);
});

test("a busy server is asked again later, and one that has no proof is not", async () => {
  const busy = setup([failed("busy", 503), failed("unreachable", 0), proof]);
  busy.check.of(round, own.voter, own.votes);
  for (let tries = 1; tries <= 3; tries += 1) {
    mock.timers.tick(60_000);
    await turn();
    assert.equal(busy.asked.length, tries);
  }
  await busy.found;
  assert.equal(busy.check.of(round, own.voter, own.votes), "proved");
  for (const code of ["not_sealed", "no_ballot", "too_many_voters"]) {
    const none = setup([failed(code, 404)]);
    none.check.of(round, own.voter, own.votes);
    mock.timers.tick(60_000);
    await turn();
    mock.timers.tick(1_000_000);
    assert.deepEqual([none.asked.length, none.check.of(round, own.voter, own.votes)], [1, "unknown"], code);
  }
});

test("votes that are not in the sealed record are told", async () => {
  for (const answer of [failed("seal_broken", 409), { ...proof, votes: "abb" }]) {
    const world = setup([answer]);
    world.check.of(round, own.voter, own.votes);
    mock.timers.tick(60_000);
    await world.found;
    assert.equal(world.check.of(round, own.voter, own.votes), "broken");
  }
});
