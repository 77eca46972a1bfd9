/**
 * All that a page knows of its room: a pure function of the last `state` and what came after. Frames may be lost, repeated
 * or overtaken; what carries a lower number than was seen is dropped here.
 */

/**
 * @typedef {import("./wire.js").Room} Room
 * @typedef {import("./wire.js").Round} Round
 * @typedef {import("./wire.js").Counts} Counts
 * @typedef {import("./wire.js").Reveal} Reveal
 * @typedef {import("./wire.js").Standing} Standing
 *
 * @typedef {object} Known
 * @property {Room | null} room
 * @property {{ voter: string, name: string, card?: string } | null} you
 * @property {import("./wire.js").Presence | null} presence
 * @property {Reveal | null} reveal
 * @property {Standing | null} standing
 * @property {import("./wire.js").Group[]} preview
 * @property {import("./wire.js").Desk | null} desk
 * @property {"ok" | "slow" | "down"} ledger
 */

/** @type {Known} */
export const NOTHING = Object.freeze({
  room: null,
  you: null,
  presence: null,
  reveal: null,
  standing: null,
  preview: [],
  desk: null,
  ledger: "ok",
});

/**
 * Takes in one message of the server.
 *
 * @param {Known} known
 * @param {string} kind
 * @param {any} body
 * @returns {Known} the same object if nothing changed
 */
export function learn(known, kind, body) {
  switch (kind) {
    case "state":
      return { ...learnRoom(known, body.room), you: body.you ?? known.you };
    case "tally":
      return learnTally(known, body);
    case "reveal":
      return known.reveal && body.seq < known.reveal.seq ? known : { ...known, reveal: body };
    case "standing":
      return { ...known, standing: body };
    case "preview":
      return { ...known, preview: body.next ?? [] };
    case "presence":
      return { ...known, presence: body };
    case "desk":
      return { ...known, desk: body };
    case "pong":
      return known.ledger === body.ledger ? known : { ...known, ledger: body.ledger };
    default:
      return known;
  }
}

/**
 * @param {Known} known
 * @param {Room} room
 * @returns {Known}
 */
export function learnRoom(known, room) {
  const before = known.room;
  if (before && room.seq < before.seq) return known;
  const rounds = room.rounds.map((round) => keepNewerTally(round, before?.rounds[round.round - 1]));
  const reveal = newerReveal(known.reveal, room.reveal);
  return {
    ...known,
    room: { ...room, rounds },
    reveal,
    // a ranking that was taken away takes the places with it
    standing: reveal ? known.standing : null,
    preview: reveal ? known.preview : [],
  };
}

/**
 * A state may be older than the counts that overtook it, as long as the round runs. A closed round's counts are final.
 *
 * @param {Round} round
 * @param {Round | undefined} before
 * @returns {Round}
 */
function keepNewerTally(round, before) {
  const same = before && round.phase === "open" && before.phase === "open" && before.take === round.take;
  if (!same || !before.tally) return round;
  return before.tally.version > (round.tally?.version ?? -1) ? { ...round, tally: before.tally } : round;
}

/**
 * @param {Reveal | null} before
 * @param {Reveal | undefined} now
 * @returns {Reveal | null}
 */
function newerReveal(before, now) {
  if (!now) return null;
  if (!Array.isArray(now.shown)) return before;
  return before && before.seq > now.seq ? before : now;
}

/**
 * @param {Known} known
 * @param {Counts & { round: number, take: number }} tally
 * @returns {Known}
 */
function learnTally(known, { round: number, take, ...counts }) {
  const round = known.room?.rounds[number - 1];
  if (!known.room || !round || round.take !== take) return known;
  if (round.tally && counts.version < round.tally.version) return known;
  const rounds = known.room.rounds.with(number - 1, { ...round, tally: counts });
  return { ...known, room: { ...known.room, rounds } };
}

/**
 * The round that is open or was last, if there was one.
 *
 * @param {Room} room
 * @returns {Round | undefined}
 */
export function currentRound(room) {
  return room.rounds[room.round - 1];
}
