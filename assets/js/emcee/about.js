/**
 * What a command was about when it was given. Once that has changed, a failed command is obsolete: either it holds by now,
 * or the show has moved past it and repeating it would do harm.
 */

/**
 * @typedef {import("../lib/known.js").Known} Known
 * @typedef {import("../lib/wire.js").Round} Round
 *
 * @typedef {(known: Known) => string} About what a command is about, as it is now
 */

/**
 * The state of the show: every round, and the ranking.
 *
 * @type {About}
 */
export function show({ room, reveal }) {
  const rounds = (room?.rounds ?? []).map((round) => [round.take, round.phase, round.shown, round.winner, round.decided_by]);
  return JSON.stringify([rounds, reveal && [reveal.place, reveal.auto_ms]]);
}

/**
 * The time a round has left, and the show.
 *
 * @param {Round} round
 * @returns {About}
 */
export function deadline({ round }) {
  return (known) => JSON.stringify([show(known), known.room?.rounds[round - 1]?.closes_at]);
}

/** @type {About} */
export function stage({ room }) {
  return JSON.stringify(room?.stage);
}

/**
 * Settings of the room. Of its rounds, what can be planned.
 *
 * @param {string[]} names
 * @returns {About}
 */
export function settings(names) {
  return ({ room }) => {
    const plan = room?.rounds.map(({ title, choices, seconds, split, blackout_seconds }) => ({ title, choices, seconds, split, blackout_seconds }));
    const values = /** @type {{ [field: string]: unknown }} */ ({ ...room, rounds: plan });
    return JSON.stringify(names.map((name) => values[name]));
  };
}
