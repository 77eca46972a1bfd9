/** Voiding a round, and bringing an earlier take back. Nothing is ever deleted by either. */

import { call } from "../lib/api.js";
import { choicesOf } from "../lib/choices.js";
import { fill, h } from "../lib/dom.js";
import { counted, number } from "../lib/format.js";
import { reasonOf } from "./commands.js";
import { openDialog } from "./dialog.js";

/**
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("./actions.js").Actions} Actions
 * @typedef {import("../lib/wire.js").Take} Take
 */

/**
 * Shows the takes of a round. Which number is the next unused one is read from the record, not guessed: an earlier take may
 * count now while later ones exist.
 *
 * @param {string} code
 * @param {Round} round
 * @param {Actions} actions
 */
export function takesDialog(code, round, actions) {
  openDialog(`Round ${round.round}: void it, or bring back a take`, (close) => {
    const box = h("div", { class: "stack" }, h("p", { role: "status" }, "Reading the record …"));
    readTakes(code, round).then(
      (takes) => fill(box, ...choicesBetween(round, takes, actions, close)),
      (error) => fill(box, h("p", { class: "error", role: "alert" }, reasonOf(error))),
    );
    return [box, h("button", { type: "button", onclick: close }, "Cancel")];
  });
}

/**
 * @param {string} code
 * @param {Round} round
 * @returns {Promise<Take[]>}
 */
async function readTakes(code, round) {
  if (round.takes) return round.takes;
  const all = await call("GET", `/rooms/${code}/export?format=json`);
  return all.rounds.find((/** @type {{ round: number }} */ each) => each.round === round.round)?.takes ?? [];
}

/**
 * @param {Round} round
 * @param {Take[]} takes
 * @param {Actions} actions
 * @param {() => void} close
 */
function choicesBetween(round, takes, actions, close) {
  const fresh = Math.max(round.take, ...takes.map((take) => take.take)) + 1;
  const act = (/** @type {number} */ take, /** @type {string} */ label) => () => {
    actions.take(round, take, label);
    close();
  };
  const rows = takes
    .filter((take) => take.record)
    .map((take) =>
      h(
        "li",
        { class: "row spread" },
        h("span", {}, h("strong", {}, `Take ${take.take}`), ` ${resultWords(round, take)}`),
        take.take === round.take
          ? h("span", { class: "muted" }, "counts now")
          : h("button", { type: "button", class: "small", onclick: act(take.take, `Bring back take ${take.take} of round ${round.round}`) }, "Bring back"),
      ),
    );
  const consequence =
    round.phase === "ready"
      ? "This take was not run yet."
      : `${round.phase === "open" ? "The round is closed at once. " : ""}The votes of take ${round.take} stay on record but no longer count, and everybody gets all votes anew when you open take ${fresh}. You can bring take ${round.take} back here.`;
  return [
    rows.length > 0 && h("ul", { class: "stack" }, ...rows),
    h("p", {}, consequence),
    round.phase !== "ready" && h("button", { type: "button", class: "danger", onclick: act(fresh, `Void round ${round.round}`) }, `Void round ${round.round} and run it again`),
  ];
}

/**
 * @param {Round} round
 * @param {Take} take
 */
function resultWords(round, { record }) {
  if (!record) return "";
  const parts = choicesOf(round).map((choice, index) => `${choice.letter.toUpperCase()} ${number(record.votes[index] ?? 0)}`);
  return `${parts.join(", ")} by ${counted(record.voters, "voter")}`;
}
