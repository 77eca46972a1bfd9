/** Which screen the voter sees, and what the banner above it says. Pure, so that it is the same after every return. */

import { currentRound } from "../lib/known.js";
import { counted } from "../lib/format.js";

/**
 * @typedef {import("../lib/known.js").Known} Known
 * @typedef {import("../lib/socket.js").Link} Link
 * @typedef {import("../lib/ballot.js").Slips} Slips
 * @typedef {import("../lib/wire.js").Room} Room
 *
 * @typedef {object} View all that a screen may draw from
 * @property {Known} known
 * @property {Room} room
 * @property {Slips | null} slips
 * @property {number} now the ledger's time
 * @property {boolean} timed whether the ledger's time is known
 *
 * @typedef {{ el: HTMLElement, update: (view: View) => void }} Screen
 */

/** A short loss is not worth a word. */
const LOSS_MS = 2000;

/**
 * @param {Known} known
 * @returns {"waiting" | "lobby" | "vote" | "again" | "result" | "reveal"}
 */
export function screenOf({ room, reveal }) {
  if (!room) return "waiting";
  if (room.phase === "reveal" || room.phase === "finished" || reveal) return "reveal";
  const round = currentRound(room);
  if (!round) return "lobby";
  if (round.phase === "open") return "vote";
  return round.phase === "ready" ? "again" : "result";
}

/**
 * What is wrong, if anything, and whose problem it is.
 *
 * @param {{ link: Link, online: boolean, known: Known, flying: number, now: number }} facts `now` is this device's clock
 * @returns {{ text: string, alert: boolean } | null}
 */
export function bannerOf({ link, online, known, flying, now }) {
  const kept = flying > 0 ? ` ${counted(flying, "vote")} of yours ${flying === 1 ? "is" : "are"} kept here and sent when it is back.` : "";
  const down = link.phase === "lost" || link.phase === "connecting";
  if (down && now - link.since >= LOSS_MS) {
    const text = online
      ? `The server cannot be reached. Your votes are kept; this page comes back by itself.${kept}`
      : `Your phone is offline. Check its network or mobile data.${kept}`;
    return { text, alert: link.phase === "lost" };
  }
  if (down) return null;
  if (known.room?.recovering) return { text: `The count is being secured. Votes wait a moment and are not lost.`, alert: false };
  if (known.ledger === "down") return { text: `The count does not answer right now. Votes wait and are sent by themselves.`, alert: false };
  return null;
}
