/**
 * The voter's slips in one round and take: what was tapped, what is on its way, and what the server has stored for good.
 * Pure: every function takes slips and gives new ones, so they can be kept in the browser and tested without one.
 *
 * The rules behind it: a ballot only grows; a cast names the slip it starts at, so saying it again is safe; one cast is
 * unanswered at a time and further taps are gathered into the next; a letter once acknowledged is cast again if the server
 * turns out to have lost it.
 */

/**
 * @typedef {import("./wire.js").Cast} Cast
 * @typedef {import("./wire.js").Ballot} Ballot
 *
 * @typedef {object} Slips
 * @property {number} round
 * @property {number} take
 * @property {number} budget votes per round
 * @property {string} stored the ballot as the server sent it last
 * @property {string} kept every letter that was ever acknowledged; longer than `stored` only if the server lost some
 * @property {{ slip: number, votes: string } | null} sent new letters that were cast and have no answer yet
 * @property {string} pending taps that were not cast yet
 * @property {string} returned letters that do not count
 * @property {string} why the refusal that returned them
 * @property {boolean} shut the ledger says that the round is closed
 *
 * @typedef {{ letter: string, fate: "counted" | "flying" | "returned" | "free" | "lapsed" }} Token
 */

/**
 * @param {number} round
 * @param {number} take
 * @param {number} budget
 * @returns {Slips}
 */
export function blank(round, take, budget) {
  return { round, take, budget, stored: "", kept: "", sent: null, pending: "", returned: "", why: "", shut: false };
}

/**
 * How many votes are free to be tapped.
 *
 * @param {Slips} slips
 */
export function free({ budget, kept, sent, pending }) {
  return Math.max(0, budget - kept.length - (sent?.votes.length ?? 0) - pending.length);
}

/**
 * How many votes have no answer yet.
 *
 * @param {Slips} slips
 */
export function flying({ stored, kept, sent, pending }) {
  return kept.length - stored.length + (sent?.votes.length ?? 0) + pending.length;
}

/**
 * One tap on a choice.
 *
 * @param {Slips} slips
 * @param {string} letter
 * @returns {Slips} the same if no vote is free or the round is closed
 */
export function tap(slips, letter) {
  if (slips.shut || free(slips) === 0) return slips;
  return { ...slips, pending: slips.pending + letter };
}

/**
 * What to cast next: first what the server lost, then what is unanswered, unchanged, then the taps since. The slips must be
 * kept before the cast is sent.
 *
 * @param {Slips} slips
 * @returns {{ slips: Slips, cast: Cast | null }}
 */
export function nextCast(slips) {
  const { round, take, stored, kept, sent, pending } = slips;
  if (stored.length < kept.length) {
    return { slips, cast: { round, take, slip: stored.length + 1, votes: kept.slice(stored.length) } };
  }
  if (sent) return { slips, cast: { round, take, ...sent } };
  if (pending === "") return { slips, cast: null };
  const cast = { slip: kept.length + 1, votes: pending };
  return { slips: { ...slips, sent: cast, pending: "" }, cast: { round, take, ...cast } };
}

/**
 * Takes in the ballot that the server has stored, however it came: as an answer, with hello, or from another device.
 *
 * @param {Slips} slips
 * @param {string} votes
 * @returns {Slips}
 */
export function learnStored(slips, votes) {
  const { kept } = slips;
  // where the server has other letters than those acknowledged here, they keep the slips; the rest of ours is appended
  const known = votes.length >= kept.length ? votes : votes + kept.slice(votes.length);
  return withinBudget(settleSent({ ...slips, stored: votes, kept: known }));
}

/**
 * Clears the unanswered cast as far as the stored ballot holds it. If other letters lie at its slips it can never be
 * stored as it was, and its letters are gathered again.
 *
 * @param {Slips} slips
 * @returns {Slips}
 */
function settleSent(slips) {
  const { stored, sent, pending } = slips;
  if (!sent || stored.length < sent.slip) return slips;
  const there = stored.slice(sent.slip - 1);
  if (there.startsWith(sent.votes)) return { ...slips, sent: null };
  const rest = sent.votes.startsWith(there) ? sent.votes.slice(there.length) : sent.votes;
  return { ...slips, sent: null, pending: rest + pending };
}

/**
 * @param {Slips} slips
 * @returns {Slips}
 */
function withinBudget(slips) {
  const { budget, kept, sent, pending } = slips;
  const room = Math.max(0, budget - kept.length - (sent?.votes.length ?? 0));
  if (pending.length <= room) return slips;
  return giveBack({ ...slips, pending: pending.slice(0, room) }, pending.slice(room), "out_of_votes");
}

/**
 * @param {Slips} slips
 * @param {string} letters
 * @param {string} why
 * @returns {Slips}
 */
function giveBack(slips, letters, why) {
  return letters === "" ? slips : { ...slips, returned: slips.returned + letters, why };
}

/**
 * Gives back everything that has no answer.
 *
 * @param {Slips} slips
 * @param {string} why
 * @returns {Slips}
 */
function giveBackAll(slips, why) {
  const letters = (slips.sent?.votes ?? "") + slips.pending;
  return giveBack({ ...slips, sent: null, pending: "" }, letters, why);
}

/**
 * Takes in the answer to a cast.
 *
 * @param {Slips} slips
 * @param {Ballot} ballot
 * @returns {Slips}
 */
export function answered(slips, ballot) {
  if (ballot.refused === "busy") return slips; // no promise either way: the same cast again
  if (ballot.refused === "stale_take" || ballot.round !== slips.round || ballot.take !== slips.take) {
    return { ...giveBackAll(slips, "stale_take"), shut: true };
  }
  const learned = learnStored(slips, ballot.votes);
  switch (ballot.refused) {
    case undefined:
      return learned;
    case "closed":
      return { ...giveBackAll({ ...learned, kept: ballot.votes }, "closed"), shut: true };
    case "gap":
      return behindStored(learned);
    case "conflict":
    case "out_of_votes":
      return learned;
    default: // `bad_choice`, and words of a later version: the same again would be refused again
      return giveBack({ ...learned, kept: ballot.votes, sent: null }, learned.sent?.votes ?? "", ballot.refused);
  }
}

/**
 * After a gap with nothing to cast again, the unanswered letters belong right behind the stored ones.
 *
 * @param {Slips} slips
 * @returns {Slips}
 */
function behindStored(slips) {
  const { stored, kept, sent } = slips;
  if (!sent || stored.length < kept.length || sent.slip === stored.length + 1) return slips;
  return { ...slips, sent: null, pending: sent.votes + slips.pending };
}

/**
 * The room says that the round is open in this take.
 *
 * @param {Slips} slips
 * @returns {Slips}
 */
export function opened(slips) {
  return slips.shut ? { ...slips, shut: false } : slips;
}

/**
 * The room says that the round is closed: taps that were never cast came too late. An unanswered cast may have been in
 * time, so its answer is still awaited.
 *
 * @param {Slips} slips
 * @returns {Slips}
 */
export function closed(slips) {
  return { ...giveBack({ ...slips, pending: "" }, slips.pending, "closed"), shut: true };
}

/**
 * The fate of each of the voter's votes, in order.
 *
 * @param {Slips} slips
 * @param {boolean} open whether the round still takes votes
 * @returns {Token[]}
 */
export function tokens(slips, open) {
  const { budget, stored, kept, sent, pending, returned } = slips;
  /** @type {Token[]} */
  const all = [];
  /** @param {string} letters @param {Token["fate"]} fate */
  const add = (letters, fate) => all.push(...[...letters].map((letter) => ({ letter, fate })));
  add(stored, "counted");
  add(kept.slice(stored.length) + (sent?.votes ?? "") + pending, "flying");
  if (!open) add(returned, "returned");
  while (all.length < budget) all.push({ letter: "", fate: open ? "free" : "lapsed" });
  return all.slice(0, budget);
}

/**
 * How many of the voter's votes are on a letter: stored ones, and those on their way.
 *
 * @param {Slips} slips
 * @param {string} letter
 */
export function votesOn({ stored, kept, sent, pending }, letter) {
  const count = (/** @type {string} */ letters) => [...letters].filter((each) => each === letter).length;
  return { counted: count(stored), flying: count(kept.slice(stored.length) + (sent?.votes ?? "") + pending) };
}
