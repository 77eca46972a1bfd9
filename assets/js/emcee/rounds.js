/** The desk's list of rounds, and the card of the one in hand with all its controls. */

import { badge, choiceOf, choicesOf, nameOf, paint, titleOf } from "../lib/choices.js";
import { h, redraw, setText } from "../lib/dom.js";
import { ago, counted, countdown, number } from "../lib/format.js";
import { percentages, sight } from "../lib/split.js";
import { ageWords } from "./age.js";
import { confirmDrastic, openDialog } from "./dialog.js";
import { isEmpty, unfit } from "./fits.js";
import { RESTING } from "./rest.js";
import { takesDialog } from "./takes.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("./actions.js").Actions} Actions
 * @typedef {import("../lib/wire.js").Round} Round
 */

const EXTEND_MS = 30_000;
const SHORT_MS = 10_000;

/**
 * @param {(round: number) => void} select
 * @returns {Section}
 */
export function roundList(select) {
  const list = h("ol", { class: "round-list figures" });
  const el = h("nav", { class: "card", "aria-label": "Rounds" }, h("h2", {}, "Rounds"), list);
  const draw = redraw(list, (/** @type {{ rounds: Round[], selected: number }} */ { rounds, selected }) =>
    rounds.map((round) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: `round-row ${round.phase}`, "aria-current": round.round === selected ? "true" : null, onclick: () => select(round.round) },
          h("span", { class: "number" }, round.round),
          h("span", { class: "round-title" }, titleOf(round)),
          h("span", { class: "round-state" }, stateWords(round)),
        ),
      ),
    ),
  );
  return { el, update: ({ room, selected }) => draw({ rounds: room.rounds.map((round) => ({ ...round, tally: undefined, closes_at: null })), selected }) };
}

/** @param {Round} round */
function stateWords(round) {
  const take = round.take > 1 ? ` (take ${round.take})` : "";
  if (round.phase === "open") return `open${take}`;
  if (round.phase === "ready") return take ? `again${take}` : "";
  if (round.winner === undefined) return `closed${take}`;
  const winner = choiceOf(round, round.winner);
  return (winner ? `${winner.letter.toUpperCase()} won` : "draw") + take;
}

/**
 * The round in hand.
 *
 * @param {string} code
 * @param {Actions} actions
 * @param {import("./keys.js").Keys} keys
 * @returns {Section}
 */
export function roundCard(code, actions, keys) {
  /** @type {View} */
  let view;
  const round = () => view.room.rounds[view.selected - 1];
  const heading = h("div");
  const timer = h("p", { class: "timer", role: "timer" });
  const bars = h("ul", { class: "desk-bars" });
  const totals = h("p", { class: "number totals" });
  const seconds = h("input", { type: "number", id: "seconds", min: 5, max: 86400, step: 1, class: "short", placeholder: "planned" });

  const open = () => {
    const given = seconds.value === "" ? undefined : Number(seconds.value);
    actions.open(round(), given);
    seconds.value = "";
  };
  const extend = () => {
    const { closes_at } = round();
    actions.deadline(round(), Math.max(closes_at ?? 0, view.now) + EXTEND_MS, closes_at ? "30 s more" : "30 s from now");
  };
  const buttons = {
    open: keys.button("o", "Open", open),
    close: keys.button("c", "Close", () => closeRound(round(), actions)),
    extend: keys.button("e", "+30 s", extend),
    shorten: h("button", { type: "button", onclick: () => actions.deadline(round(), view.now + SHORT_MS, "10 s left") }, "10 s left"),
    endless: h("button", { type: "button", onclick: () => actions.deadline(round(), null, "no deadline") }, "No deadline"),
    show: keys.button("s", "Show result", () => actions.show(round())),
    decide: keys.button("d", "Decide …", () => decideDialog(round(), actions)),
    takes: keys.button("v", "Void, takes …", () => takesDialog(code, round(), actions)),
  };
  const el = h(
    "section",
    { class: "card stack", "aria-label": "The round in hand" },
    h("div", { class: "stack figures" }, h("div", { class: "row spread" }, heading, timer), bars, totals),
    h(
      "div",
      { class: "controls" },
      h("div", { class: "row" }, h("label", { class: "inline", for: "seconds" }, h("span", {}, "Seconds"), seconds), buttons.open, buttons.close),
      h("div", { class: "row" }, buttons.extend, buttons.shorten, buttons.endless),
      h("div", { class: "row" }, buttons.show, buttons.decide, buttons.takes),
    ),
  );

  const drawHeading = redraw(heading, (/** @type {Round} */ round) => [
    h("p", { class: "eyebrow" }, `Round ${round.round}${round.take > 1 ? `, take ${round.take}` : ""} · ${phaseWords(round)}`),
    h("h2", {}, titleOf(round)),
    outcomeWords(round) && h("p", {}, h("strong", {}, outcomeWords(round))),
    round.outage_ms && h("p", { class: "warn" }, `Its deadline passed while the server was down; it was closed ${ago(round.outage_ms)} later, as of the deadline.`),
  ]);
  const drawBars = redraw(bars, (/** @type {{ round: Round, votes: number[] | null }} */ { round, votes }) => barRows(round, votes));

  return {
    el,
    update(now) {
      view = now;
      const current = round();
      drawHeading({ ...current, tally: undefined, closes_at: null });
      const left = current.phase === "open" && current.closes_at && view.timed ? current.closes_at - view.now : null;
      setText(timer, left === null ? "" : countdown(left));
      drawBars({ round: { ...current, tally: undefined, closes_at: null }, votes: current.tally?.votes ?? null });
      const count = current.tally && `${counted(current.tally.total, "vote")} by ${counted(current.tally.voters, "voter")}${publicWords(current, view.now)}`;
      setText(totals, [count, ageWords(view.age)].filter(Boolean).join(" · "));

      const { room } = view;
      const resting = view.resting > 0 ? RESTING : null;
      fitButton(buttons.open, unfit(room, current, "open") ?? resting);
      seconds.disabled = unfit(room, current, "open") !== null;
      if (current.seconds) seconds.placeholder = `${current.seconds} s`;
      else seconds.placeholder = "planned";
      fitButton(buttons.close, unfit(room, current, "close") ?? resting);
      for (const button of [buttons.extend, buttons.shorten]) fitButton(button, unfit(room, current, "deadline"));
      fitButton(buttons.endless, unfit(room, current, "deadline") ?? (current.closes_at ? null : "It has none."));
      fitButton(buttons.show, unfit(room, current, "show") ?? resting);
      fitButton(buttons.decide, unfit(room, current, "decide"));
      fitButton(buttons.takes, unfit(room, current, "take"));
    },
  };
}

/**
 * Closes a round. One without a vote only after a question: the hall takes it for a draw.
 *
 * @param {Round} round
 * @param {Actions} actions
 */
export async function closeRound(round, actions) {
  const agreed =
    !isEmpty(round) ||
    (await confirmDrastic({
      title: `Close round ${round.round} without a vote?`,
      consequence: `No vote has come in so far. The phones stop taking votes, ${round.split === "held" ? "the result is" : "the hall sees"} a draw, and nobody scores. To run the round again you would have to void it.`,
      yes: "Close the round",
    }));
  if (agreed) actions.close(round);
}

/**
 * @param {HTMLButtonElement} button
 * @param {string | null} reason
 */
export function fitButton(button, reason) {
  if (button.disabled !== (reason !== null)) button.disabled = reason !== null;
  if (button.title !== (reason ?? "")) button.title = reason ?? "";
}

/** @param {Round} round */
function phaseWords(round) {
  const split = { live: "split live", hidden: "split hidden until the close", held: "result held until shown" }[round.split];
  const dark = round.blackout_seconds > 0 ? `, last ${round.blackout_seconds} s in the dark` : "";
  return `${round.closing ? "closing" : round.phase} · ${split}${dark}`;
}

/** @param {Round} round */
function outcomeWords(round) {
  if (round.phase !== "closed") return "";
  if (round.winner === undefined) return round.shown ? "" : "Closed, not shown yet";
  const winner = choiceOf(round, round.winner);
  const by = round.decided_by === "emcee" ? ", decided by you" : "";
  return winner ? `${nameOf(winner)} won${by}` : `A draw${by}: nobody scores`;
}

/**
 * What the hall sees of these counts.
 *
 * @param {Round} round
 * @param {number} now
 */
function publicWords(round, now) {
  if (round.phase === "open" && round.split !== "live") return " · the hall sees only the total";
  if (sight(round, now) === "dark") return " · in the dark: the hall sees only the total";
  return round.phase === "closed" && round.split === "held" && !round.shown ? " · the hall does not see it yet" : "";
}

/**
 * @param {Round} round
 * @param {number[] | null} votes
 */
function barRows(round, votes) {
  const shares = percentages(votes ?? []);
  return choicesOf(round).map((choice, index) => {
    const row = h(
      "li",
      {},
      badge(choice),
      h("span", { class: "label" }, choice.label),
      h("span", { class: "track" }, h("span", { class: "level" })),
      h("span", { class: "number share" }, votes ? `${shares[index]} %` : "–"),
      h("span", { class: "number muted count" }, votes ? number(votes[index]) : ""),
    );
    paint(row, choice);
    row.style.setProperty("--share", `${votes ? shares[index] : 0}%`);
    return row;
  });
}

/**
 * @param {Round} round
 * @param {Actions} actions
 */
function decideDialog(round, actions) {
  openDialog(`Who wins round ${round.round}?`, (close) => {
    const option = (/** @type {string} */ label, /** @type {string | null} */ winner) =>
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            actions.decide(round, winner);
            close();
          },
        },
        label,
      );
    return [
      h("p", {}, "The outcome on stage may differ from the votes: every vote on the winner that you name is a point. You can change it until the ranking is shown."),
      h("div", { class: "stack" }, ...choicesOf(round).map((choice) => option(nameOf(choice), choice.letter)), option("A draw: nobody scores", null), option("As the votes say", "votes")),
      h("button", { type: "button", onclick: close }, "Cancel"),
    ];
  });
}
