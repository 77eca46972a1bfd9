/** Which command fits when, and which step comes next. Pure; the server decides, this only keeps wrong buttons from the hand. */

import { titleOf } from "../lib/choices.js";
import { currentRound } from "../lib/known.js";

/**
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Reveal} Reveal
 *
 * @typedef {"open" | "close" | "deadline" | "show" | "decide" | "take"} Command
 *
 * @typedef {{ kind: "open" | "close" | "show", round: Round, label: string, why: string }} RoundStep
 * @typedef {{ kind: "reveal", place: number, label: string, why: string }} RevealStep
 * @typedef {{ kind: "stop", label: string, why: string }} StopStep
 * @typedef {{ kind: "wait", label: string, why: string }} WaitStep
 * @typedef {RoundStep | RevealStep | StopStep | WaitStep} Step
 */

/** Places are shown in pages of ten down to here, and name by name after. */
const SINGLE_FROM = 10;

/**
 * Why a command does not fit a round now, in words, or null if it does.
 *
 * @param {Room} room
 * @param {Round} round
 * @param {Command} command
 * @returns {string | null}
 */
export function unfit(room, round, command) {
  const other = room.rounds.find((each) => each.phase === "open" && each.round !== round.round);
  if (command === "close" || command === "deadline") return round.phase === "open" ? null : "This round is not open.";
  if (other) return `Round ${other.round} is open.`;
  if (room.reveal) return "The ranking is shown. Take it away first.";
  switch (command) {
    case "open":
      if (round.phase === "open") return "This round is open.";
      return round.phase === "closed" ? "This round was run. Void it to run it again." : null;
    case "take":
      return round.phase === "ready" && round.take === 1 ? "This round was not run yet." : null;
    case "decide":
      return round.phase === "closed" ? null : "This round is not closed.";
    case "show":
      if (round.phase !== "closed") return "This round is not closed.";
      return unshown(round) ? null : "Its result is shown.";
  }
}

/**
 * Why the reveal does not fit now, or null if it does.
 *
 * @param {Room} room
 */
export function unfitReveal(room) {
  if (room.rounds.some((round) => round.phase === "open")) return "A round is open.";
  if (!room.rounds.some((round) => round.phase === "closed")) return "No round is closed yet.";
  const held = room.rounds.find(unshown);
  return held ? `The result of round ${held.round} was not shown yet.` : null;
}

/** @param {Round} round */
function unshown(round) {
  return round.phase === "closed" && round.split === "held" && !round.shown;
}

/**
 * Whether a close would end the round without a vote, as far as is known here.
 *
 * @param {Round} round
 */
export function isEmpty(round) {
  return (round.tally?.total ?? 0) === 0;
}

/**
 * The one step to recommend.
 *
 * @param {Room} room
 * @param {Reveal | null} reveal
 * @param {number} top how many places the reveal will show
 * @returns {Step}
 */
export function nextStep(room, reveal, top) {
  if (room.recovering) return { kind: "wait", label: "One moment", why: "The count is being secured after a fault. Votes wait and are not lost." };
  if (reveal) return revealStep(reveal);

  const open = room.rounds.find((round) => round.phase === "open");
  if (open) return closeStep(open);

  const current = currentRound(room);
  if (current && unshown(current)) return showStep(current);
  const next = room.rounds.find((round) => round.phase === "ready" && round.round >= room.round) ?? room.rounds.find((round) => round.phase === "ready");
  if (next) return { kind: "open", round: next, label: `Open round ${next.round}`, why: openWords(next, current) };

  const held = room.rounds.find(unshown);
  if (held) return showStep(held);
  return { kind: "reveal", place: top + 1, label: "Start the reveal", why: `All rounds are run. The best ${top} come next, from the last place up; nothing is shown yet at the start.` };
}

/** @param {Round} round @returns {Step} */
function showStep(round) {
  return { kind: "show", round, label: `Show the result of round ${round.round}`, why: `${titleOf(round)} is closed, and its result is held back until now.` };
}

/** @param {Round} round @returns {Step} */
function closeStep(round) {
  if (round.closing) return { kind: "wait", label: "Closing …", why: "Votes are refused already. The record is completed by itself." };
  const why = round.closes_at ? "It closes by itself when the time is over. This closes it now." : "It has no deadline. Votes count until you close it.";
  return { kind: "close", round, label: `Close round ${round.round}`, why };
}

/**
 * @param {Round} next
 * @param {Round | undefined} current
 */
function openWords(next, current) {
  const isDraw = current?.phase === "closed" && current.winner === null && current.decided_by !== "emcee";
  const draw = isDraw ? ` Round ${current.round} ended in a draw: nobody scores, unless you decide it.` : "";
  const take = next.take > 1 ? `, take ${next.take}` : "";
  return `${titleOf(next)}${take}.${draw}`;
}

/** @param {Reveal} reveal @returns {Step} */
function revealStep(reveal) {
  if (reveal.done || reveal.next === undefined) return { kind: "wait", label: "All is shown", why: "The evening is complete. The exports are below." };
  if (reveal.auto_ms) return { kind: "stop", label: "Stop here", why: `Goes on by itself, a place each ${reveal.auto_ms / 1000} s.` };
  const place = nextPlace(reveal.next);
  if (place === reveal.next) return { kind: "reveal", place, label: `Show place ${place}`, why: place === 1 ? "The winner." : "Name by name from here on." };
  return { kind: "reveal", place, label: `Show places ${reveal.next}–${place}`, why: "A page of places. Name by name begins at ten." };
}

/**
 * How far the next step of the reveal goes: to the end of the page of ten, then place by place.
 *
 * @param {number} next the place of the group to come
 */
export function nextPlace(next) {
  return next > SINGLE_FROM ? Math.floor((next - 1) / 10) * 10 + 1 : next;
}

/**
 * Where a step back leads: the best shown group is hidden again.
 *
 * @param {Reveal} reveal
 */
export function placeBefore(reveal) {
  return reveal.shown[1]?.place ?? reveal.top + 1;
}
