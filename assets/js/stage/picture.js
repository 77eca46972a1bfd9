/** What the stage shows: a pure function of what is known, so that a projector that was off shows the same when it is back. */

import { currentRound } from "../lib/known.js";

/**
 * @typedef {import("../lib/known.js").Known} Known
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Reveal} Reveal
 * @typedef {import("../lib/wire.js").Group} Group
 *
 * @typedef {"holding" | "join" | "intro" | "open" | "result" | "reveal" | "winner" | "break" | "black"} Screen
 */

/** So many groups make a page when a reloaded stage does not know which were new. */
const PAGE_GROUPS = 10;

/**
 * @param {Known} known
 * @returns {{ screen: Screen, round: Round | undefined }}
 */
export function pictureOf({ room, reveal }) {
  if (!room) return { screen: "holding", round: undefined };
  const round = currentRound(room);
  const set = room.stage?.screen ?? "auto";
  if (set !== "auto") {
    const about = room.rounds[(room.stage?.round ?? room.round) - 1];
    return (set === "intro" || set === "result") && !about ? { screen: "holding", round } : { screen: set, round: about };
  }
  if (reveal) return { screen: reveal.done ? "winner" : "reveal", round };
  if (!round) return { screen: "join", round };
  if (round.phase === "open") return { screen: "open", round };
  return { screen: round.phase === "ready" ? "intro" : "result", round };
}

/**
 * The highest number of what is on the screen, for the desk to see whether the stage keeps up.
 *
 * @param {Known} known
 */
export function shownSeq({ room, reveal }) {
  return Math.max(room?.seq ?? 0, reveal?.seq ?? 0);
}

/**
 * The groups of the newest step of the reveal, best first: what was not there before. Without a "before", or after a step
 * back, the best shown ones.
 *
 * @param {Group[]} shown best first
 * @param {Group[] | null} before
 * @returns {Group[]}
 */
export function newestStep(shown, before) {
  if (before && before.length < shown.length) return shown.slice(0, shown.length - before.length);
  return shown.slice(0, PAGE_GROUPS);
}

/**
 * Cuts groups into pages that a screen can hold. A group too large for one continues on the next.
 *
 * @param {Group[]} groups
 * @param {number} names per page
 * @returns {Group[][]}
 */
export function pages(groups, names) {
  /** @type {Group[][]} */
  const all = [];
  let room = 0;
  for (const group of groups) {
    for (let at = 0; at < group.names.length; ) {
      if (room === 0) {
        all.push([]);
        room = names;
      }
      const part = group.names.slice(at, at + room);
      all[all.length - 1].push({ ...group, names: part });
      at += part.length;
      room -= part.length;
    }
  }
  return all;
}

/**
 * "Places 50 to 41", "Place 7".
 *
 * @param {Group[]} groups best first
 */
export function placesOf(groups) {
  const best = groups[0].place;
  const worst = groups[groups.length - 1].place;
  return best === worst ? `Place ${best}` : `Places ${worst} to ${best}`;
}
