/** The stage's pictures of a round: its announcement, the moving bars, and the result. */

import { badge, choiceOf, choicesOf, nameOf, paint, titleOf } from "../lib/choices.js";
import { h, setText } from "../lib/dom.js";
import { counted, countdown, number, shortSeal } from "../lib/format.js";
import { percentages, sight, sightNote } from "../lib/split.js";

/**
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Choice} Choice
 * @typedef {{ room: Room, now: number, timed: boolean }} Moment
 * @typedef {{ el: HTMLElement, update: (moment: Moment) => void }} Picture
 */

const LAST_MS = 10_000;

/**
 * @param {Round} round
 * @param {Room} room
 * @param {...(HTMLElement | null)} right
 */
function head(round, room, ...right) {
  return h(
    "header",
    {},
    h("div", { class: "heading" }, h("p", { class: "eyebrow" }, `Round ${round.round} of ${room.rounds.length}`), h("h1", { "data-fit": "3 7" }, titleOf(round))),
    ...right,
  );
}

/**
 * @param {Round} round
 * @param {Room} room
 * @returns {Picture}
 */
export function introPicture(round, room) {
  const choices = choicesOf(round);
  const panels = choices.map((choice) => {
    const panel = h("li", { class: "panel" }, badge(choice), h("p", { class: "label", "data-fit": "1.4 12" }, choice.label));
    paint(panel, choice);
    return panel;
  });
  const el = h("section", { class: "round" }, head(round, room), barsOf(panels), h("footer", {}, h("p", {}, `${counted(room.votes_per_round, "vote")} for everybody`)));
  return { el, update: () => {} };
}

/**
 * The bars of a round, open or closed.
 *
 * @param {Round} round
 * @param {Room} room
 * @param {number} now the ledger's time; a picture is redrawn when the split becomes hidden
 * @returns {Picture}
 */
export function roundPicture(round, room, now) {
  const choices = choicesOf(round);
  const timer = h("p", { class: "timer", role: "timer" });
  const total = h("p", { class: "total number" });
  const note = h("p", { class: "note" });
  const seal = h("p", { class: "seal" });
  const secret = h("div", { class: "secret" }, h("p", { class: "secret-total number" }), h("p", {}, "votes"));
  const bars = choices.map(bar);
  const barList = barsOf(bars.map((each) => each.el));
  const verdict = verdictOf(round);
  const unseen = sight(round, now) !== "votes";
  const el = h("section", { class: unseen ? "round unseen" : "round" }, head(round, room, verdict, timer), secret, barList, h("footer", {}, total, seal, note));
  return {
    el,
    update({ room, now, timed }) {
      const current = room.rounds[round.round - 1];
      const left = current.phase === "open" && current.closes_at && timed ? current.closes_at - now : null;
      setText(timer, left === null ? "" : countdown(left));
      timer.hidden = left === null;
      timer.classList.toggle("last", left !== null && left < LAST_MS);

      const seen = sight(current, now);
      const votes = seen === "votes" ? (current.tally?.votes ?? null) : null;
      const shares = percentages(votes ?? []);
      bars.forEach((each, index) => each.update(votes ? votes[index] : null, shares[index] ?? 0, current));
      const count = current.tally?.total ?? 0;
      setText(/** @type {Element} */ (secret.firstElementChild), number(count));
      secret.hidden = votes !== null;
      setText(total, votes === null ? "" : counted(count, "vote"));
      setText(note, noteOf(current, votes === null ? seen : "votes"));
      setText(seal, current.seal ? `Seal ${shortSeal(current.seal)}` : "");
    },
  };
}

/** @param {HTMLElement[]} panels */
function barsOf(panels) {
  const el = h("ul", { class: `bars ${panels.length > 2 ? "many" : "two"}` }, ...panels);
  el.style.setProperty("--rows", String(panels.length));
  return el;
}

/**
 * @param {Round} round
 * @param {import("../lib/split.js").Sight} seen
 */
function noteOf(round, seen) {
  if (seen === "votes") return round.phase === "open" ? "" : `${counted(round.tally?.voters ?? 0, "voter")}`;
  if (round.phase === "closed") return "";
  return seen === "held" ? "The split is hidden until the result is shown." : sightNote(seen);
}

/** @param {Round} round */
function verdictOf(round) {
  if (round.phase !== "closed") return null;
  if (round.winner === undefined) return h("p", { class: "verdict draw" }, "Result to come");
  const winner = choiceOf(round, round.winner);
  if (!winner) return h("p", { class: "verdict draw" }, "A draw");
  const el = h("p", { class: "verdict" }, badge(winner), h("span", { class: "verdict-name" }, `${winner.letter.toUpperCase()} wins`), round.decided_by === "emcee" && h("small", {}, "decided on stage"));
  paint(el, winner);
  return el;
}

/** @param {Choice} choice */
function bar(choice) {
  const percent = h("p", { class: "percent number" });
  const count = h("p", { class: "count number" });
  const level = h("span", { class: "level" });
  const el = h("li", { class: "panel", "aria-label": nameOf(choice) }, level, badge(choice), h("p", { class: "label", "data-fit": "1.4 9" }, choice.label), percent, count);
  paint(el, choice);
  return {
    el,
    /** @param {number | null} votes @param {number} share @param {Round} round */
    update(votes, share, round) {
      level.style.setProperty("--share", `${votes === null ? 0 : share}%`);
      setText(percent, votes === null ? "?" : `${share} %`);
      setText(count, votes === null ? "" : number(votes));
      el.classList.toggle("won", round.winner === choice.letter);
      el.classList.toggle("lost", round.phase === "closed" && !!round.winner && round.winner !== choice.letter);
    },
  };
}
