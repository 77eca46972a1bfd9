/** The screens between the votes: lobby, a round to be run again, and the result. */

import { tokens } from "../lib/ballot.js";
import { badge, choiceOf, choicesOf, nameOf, paint, titleOf } from "../lib/choices.js";
import { h, redraw } from "../lib/dom.js";
import { counted, number, shortSeal } from "../lib/format.js";
import { currentRound } from "../lib/known.js";
import { TIE_RULE } from "../lib/rules.js";
import { percentages } from "../lib/split.js";
import { splitBar } from "../lib/splitbar.js";

/**
 * @typedef {import("./picture.js").Screen} Screen
 * @typedef {import("./picture.js").View} View
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/ballot.js").Slips} Slips
 * @typedef {import("./seals.js").Finding} Finding
 */

/** @returns {Screen} */
export function lobbyScreen() {
  const el = h("section", { class: "page" });
  const draw = redraw(el, (/** @type {{ name: string, rounds: number, votes: number, voters: number }} */ { name, rounds, votes, voters }) => [
    h("p", { class: "big-mark", "aria-hidden": "true" }, "✓"),
    h("h1", {}, "You are in, ", h("span", { class: "name" }, name), "."),
    h("p", {}, "Keep this page open. It changes by itself when the first round opens."),
    h(
      "div",
      { class: "card stack" },
      h("h2", {}, "How it works"),
      h("p", {}, `${counted(rounds, "round")}, ${counted(votes, "vote")} for you in each. Tap to vote, in any mix. A vote stands once it is given.`),
      h("p", {}, "Every vote on a round's winner is a point for your score."),
      h("p", {}, TIE_RULE),
    ),
    voters > 1 && h("p", { class: "muted number" }, `${number(voters)} voters are in.`),
  ]);
  return {
    el,
    update: ({ known, room }) =>
      draw({ name: known.you?.name ?? "", rounds: room.rounds.length, votes: room.votes_per_round, voters: known.presence?.voters ?? 0 }),
  };
}

/** @returns {Screen} */
export function againScreen() {
  const el = h("section", { class: "page" });
  const draw = redraw(el, (/** @type {Round} */ round) => [
    h("p", { class: "big-mark", "aria-hidden": "true" }, "↻"),
    h("p", { class: "eyebrow" }, `Round ${round.round}`),
    h("h1", {}, "This round will be run again"),
    h("p", {}, "The votes of its first run stay on record but do not count. You get all your votes anew when it opens."),
  ]);
  return { el, update: ({ room }) => draw(/** @type {Round} */ (currentRound(room))) };
}

/**
 * @param {(round: Round, slips: Slips) => Finding} findingOf what is known of the voter's votes under the round's seal
 * @returns {Screen}
 */
export function resultScreen(findingOf) {
  const el = h("section", { class: "page" });
  const draw = redraw(el, (/** @type {{ room: Room, slips: Slips | null, finding: Finding }} */ { room, slips, finding }) => {
    const round = /** @type {Round} */ (currentRound(room));
    return [
      h("div", {}, h("p", { class: "eyebrow" }, `Round ${round.round} of ${room.rounds.length}`), h("h1", {}, titleOf(round))),
      verdict(round),
      slips && ownPart(round, slips),
      sealLine(finding),
      sharesOf(round),
      soFar(room),
      sealsOf(room),
    ];
  });
  return {
    el,
    update({ room, slips }) {
      const round = /** @type {Round} */ (currentRound(room));
      const isOwn = slips !== null && slips.round === round.round && slips.take === round.take;
      draw({ room, slips, finding: isOwn ? findingOf(round, slips) : "unknown" });
    },
  };
}

/** @param {Finding} finding */
function sealLine(finding) {
  if (finding === "proved") return h("p", { class: "muted small-text" }, "✓ Your votes are in the sealed record.");
  if (finding === "broken") return h("p", { class: "error", role: "alert" }, "Your votes could not be found in the sealed record. Keep this page open and tell the organiser.");
  return null;
}

/** @param {Room} room */
function sealsOf(room) {
  const sealed = room.rounds.filter((round) => round.seal);
  if (sealed.length === 0) return null;
  const rows = sealed.map((round) => h("li", {}, h("span", {}, `${round.round}. ${titleOf(round)}`), h("code", {}, shortSeal(round.seal ?? ""))));
  const about = h("p", { class: "muted small-text" }, "Each seal is computed from a record, its ballots and the seal before. If any of them is changed later, the seals differ from these.");
  return h("details", { class: "seals" }, h("summary", {}, "The sealed records"), h("ol", {}, ...rows), about);
}

/** @param {Round} round */
function verdict(round) {
  if (round.winner === undefined) {
    return h("div", { class: "winner", role: "status" }, h("h2", {}, "The round is closed"), h("p", {}, "The result comes from the stage."));
  }
  const winner = choiceOf(round, round.winner);
  if (!winner) {
    return h("div", { class: "winner", role: "status" }, h("h2", {}, "A draw"), h("p", {}, "Nobody scores in this round."));
  }
  const box = h("div", { class: "winner", role: "status" }, badge(winner), h("h2", {}, winner.label), h("p", {}, decision(round)));
  paint(box, winner);
  return box;
}

/** @param {Round} round */
function decision(round) {
  return round.decided_by === "emcee" ? `${(round.winner ?? "").toUpperCase()} wins, as decided on stage` : `${(round.winner ?? "").toUpperCase()} wins`;
}

/**
 * @param {Round} round
 * @param {Slips} slips
 */
function ownPart(round, slips) {
  const on = [...slips.stored].filter((letter) => letter === round.winner).length;
  const late = slips.returned.length;
  const flying = tokens(slips, false).filter((token) => token.fate === "flying").length;
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "gain" }, gainWords(round, slips, on)),
    flying > 0 && h("p", { class: "muted" }, `${counted(flying, "vote")} of yours: waiting for the answer whether ${flying === 1 ? "it was" : "they were"} in time.`),
    late > 0 && h("p", { class: "error" }, returnedWords(slips)),
  );
}

/**
 * @param {Round} round
 * @param {Slips} slips
 * @param {number} on
 */
function gainWords(round, slips, on) {
  const cast = slips.stored.length;
  if (cast === 0) return "You did not vote in this round.";
  if (round.winner === undefined) return `${counted(cast, "vote")} of yours counted.`;
  if (round.winner === null) return `${counted(cast, "vote")} of yours counted. No points in a draw.`;
  return on > 0 ? `${counted(on, "vote")} of yours on the winner: +${on}` : `None of your ${counted(cast, "vote")} was on the winner.`;
}

/** @param {Slips} slips */
function returnedWords({ returned, why }) {
  const votes = counted(returned.length, "vote");
  switch (why) {
    case "closed":
      return `${votes} came too late: the round had closed.`;
    case "out_of_votes":
      return `${votes} went back: all your votes were used on another device.`;
    case "stale_take":
      return `${votes} went back: the round was started anew.`;
    default:
      return `${votes} went back and did not count.`;
  }
}

/** @param {Round} round */
function sharesOf(round) {
  const votes = round.tally?.votes;
  if (!votes) return null;
  const shares = percentages(votes);
  const bar = splitBar(choicesOf(round));
  bar.update(votes);
  const rows = choicesOf(round).map((choice, index) =>
    h("li", {}, badge(choice), h("span", {}, choice.label), h("span", { class: "share number" }, `${shares[index]} %`, h("br"), h("span", { class: "muted small-text" }, number(votes[index])))),
  );
  return h("div", { class: "card stack" }, bar.el, h("ul", { class: "results" }, ...rows));
}

/** @param {Room} room */
function soFar(room) {
  const before = room.rounds.filter((round) => round.phase === "closed" && round.winner !== undefined && round.round !== room.round);
  if (before.length === 0) return null;
  const rows = before.map((round) => {
    const winner = choiceOf(round, round.winner);
    return h("li", {}, h("span", {}, `${round.round}. ${titleOf(round)}`), h("strong", {}, winner ? nameOf(winner) : "draw"));
  });
  return h("details", { class: "so-far" }, h("summary", {}, "Rounds so far"), h("ol", {}, ...rows));
}
