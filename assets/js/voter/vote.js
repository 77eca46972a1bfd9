/** The open round: the choices under the thumb, the split as far as it may be seen, and the fate of every vote. */

import { free, flying, tokens, votesOn } from "../lib/ballot.js";
import { badge, choicesOf, paint, titleOf } from "../lib/choices.js";
import { h, onTap, redraw, setText } from "../lib/dom.js";
import { counted, countdown, number } from "../lib/format.js";
import { percentages, sight, sightNote } from "../lib/split.js";
import { splitBar } from "../lib/splitbar.js";

/**
 * @typedef {import("./picture.js").Screen} Screen
 * @typedef {import("./picture.js").View} View
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Choice} Choice
 * @typedef {import("../lib/ballot.js").Slips} Slips
 */

/** From here on the countdown is drawn as urgent. */
const LAST_MS = 10_000;
/** How far the countdown may run out before taps are refused here: this clock is a guess, the ledger's counts. */
const OVERTIME_MS = 1000;
/** More votes than this are drawn small. */
const CROWD = 20;

/**
 * @param {Round} round
 * @param {number} rounds
 * @param {(letter: string) => void} tap
 * @returns {Screen}
 */
export function voteScreen(round, rounds, tap) {
  const choices = choicesOf(round);
  const timer = h("p", { class: "timer", role: "timer" });
  const sightBox = h("div", { class: "sight" });
  const total = h("p", { class: "small-text muted number" });
  const bar = splitBar(choices);
  const note = h("p", { class: "small-text" });
  sightBox.append(bar.el, note, total);

  const buttons = choices.map((choice) => choiceButton(choice, tap));
  const tokenRow = h("div", { class: "tokens", role: "img" });
  const drawTokens = redraw(tokenRow, (/** @type {import("../lib/ballot.js").Token[]} */ all) => all.map((token) => tokenMark(token, choices)));
  const fates = h("p", { class: "fates number" });

  const title = h("h1", {}, titleOf(round));
  const el = h(
    "section",
    { class: "vote" },
    h("div", { class: "round-head" }, h("div", {}, h("p", { class: "eyebrow" }, `Round ${round.round} of ${rounds}`), title), timer),
    sightBox,
    h("div", { class: choices.length > 2 ? "choices many" : "choices" }, ...buttons.map((button) => button.el)),
    h("div", { class: "stack" }, tokenRow, fates),
  );

  return {
    el,
    update({ room, slips, now, timed }) {
      const current = room.rounds[round.round - 1];
      const left = current.closes_at ? current.closes_at - now : null;
      const ticking = left !== null && timed;
      setText(timer, ticking ? countdown(left) : "");
      timer.classList.toggle("last", ticking && left < LAST_MS);

      const seen = sight(current, now);
      const votes = seen === "votes" ? (current.tally?.votes ?? []) : null;
      bar.el.hidden = votes === null;
      if (votes) bar.update(votes);
      setText(note, seen === "votes" || seen === "none" ? "" : sightNote(seen));
      setText(total, current.tally ? `${counted(current.tally.total, "vote")} so far` : "");

      if (!slips) return;
      const over = slips.shut || (ticking && left < -OVERTIME_MS);
      const shares = votes && percentages(votes);
      buttons.forEach((button, index) => button.update(slips, over, shares && votes.some((count) => count > 0) ? shares[index] : null));
      tokenRow.classList.toggle("crowd", slips.budget > CROWD);
      drawTokens(tokens(slips, true));
      const words = fateWords(slips, over);
      setText(fates, words);
      if (tokenRow.getAttribute("aria-label") !== words) tokenRow.setAttribute("aria-label", words);
    },
  };
}

/**
 * @param {Choice} choice
 * @param {(letter: string) => void} tap
 */
function choiceButton(choice, tap) {
  const percent = h("span", { class: "percent" });
  const mine = h("span", { class: "mine" });
  const label = h("span", { class: "label" }, choice.label);
  const spoken = h("span", { class: "off-screen" }, `Vote for ${choice.letter.toUpperCase()}: `);
  const el = h("button", { type: "button", class: "choice", "data-letter": choice.letter }, badge(choice), spoken, label, percent, mine);
  paint(el, choice);
  onTap(el, () => tap(choice.letter));
  return {
    el,
    /** @param {Slips} slips @param {boolean} over @param {number | null} share */
    update(slips, over, share) {
      const { counted: stored, flying: waiting } = votesOn(slips, choice.letter);
      const all = stored + waiting;
      setText(percent, share === null ? "" : `${share} %`);
      setText(mine, all > 0 ? `yours: ${number(all)}` : "");
      el.style.setProperty("--share", `${share ?? 0}%`);
      el.setAttribute("aria-disabled", String(over || free(slips) === 0));
    },
  };
}

/**
 * @param {import("../lib/ballot.js").Token} token
 * @param {Choice[]} choices
 */
function tokenMark({ letter, fate }, choices) {
  const el = h("span", { class: `token ${fate}` }, letter.toUpperCase());
  const choice = choices.find((each) => each.letter === letter);
  if (choice) paint(el, choice);
  return el;
}

/**
 * The fate of all votes in one line.
 *
 * @param {Slips} slips
 * @param {boolean} over
 */
export function fateWords(slips, over) {
  const parts = [
    slips.stored.length > 0 && `${slips.stored.length} counted`,
    flying(slips) > 0 && `${flying(slips)} on the way`,
    !over && free(slips) > 0 && `${free(slips)} left`,
    !over && free(slips) === 0 && flying(slips) === 0 && "all your votes are in",
    over && "time is up",
  ];
  return parts.filter(Boolean).join(" · ");
}
