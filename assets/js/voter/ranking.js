/** The reveal on the phone: the list as far as it was shown, and the own place once that may be known. */

import { titleOf } from "../lib/choices.js";
import { h, redraw } from "../lib/dom.js";
import { counted, number } from "../lib/format.js";
import { TIE_RULE } from "../lib/rules.js";

/**
 * @typedef {import("./picture.js").Screen} Screen
 * @typedef {import("../lib/wire.js").Reveal} Reveal
 * @typedef {import("../lib/wire.js").Standing} Standing
 * @typedef {import("../lib/wire.js").Room} Room
 */

/** @returns {Screen} */
export function rankingScreen() {
  const own = h("div", { role: "status" });
  const listed = h("div", { class: "stack" });
  const el = h("section", { class: "page" }, own, listed);

  const drawOwn = redraw(own, (/** @type {{ standing: Standing | null, room: Room, done: boolean }} */ { standing, room, done }) => [
    standing ? standingCard(standing, room) : h("p", { class: "card" }, done ? "You have no place: no vote of yours was counted." : "Your own place comes here when it is shown, at the latest at the end."),
  ]);
  const drawList = redraw(listed, (/** @type {{ reveal: Reveal | null, name: string }} */ { reveal, name }) => {
    if (!reveal) return [h("h1", {}, "The ranking is coming"), h("p", {}, "Watch the stage.")];
    return [
      h("h1", {}, reveal.done ? "The ranking" : "Counting down"),
      !reveal.done && reveal.next !== undefined && h("p", { class: "muted number" }, reveal.shown.length === 0 ? `The best ${number(reveal.top)} of ${number(reveal.of)}. First comes place ${reveal.next}.` : `Next: place ${reveal.next}`),
      h("ol", { class: "ranking" }, ...reveal.shown.map((group) => row(group, name))),
      h("p", { class: "muted small-text" }, TIE_RULE),
    ];
  });

  return {
    el,
    update({ known, room }) {
      drawOwn({ standing: known.standing, room, done: known.reveal?.done ?? room.phase === "finished" });
      drawList({ reveal: known.reveal, name: known.you?.name ?? "" });
    },
  };
}

/**
 * @param {import("../lib/wire.js").Group} group
 * @param {string} name
 */
function row(group, name) {
  const names = group.names.map((each) => h("span", { class: "name" }, each));
  return h(
    "li",
    { class: group.names.includes(name) ? "own" : null },
    h("span", { class: "place number" }, `${group.place}.`),
    h("span", {}, ...names),
    h("strong", { class: "number" }, number(group.score)),
  );
}

/**
 * @param {Standing} standing
 * @param {Room} room
 */
function standingCard(standing, room) {
  const rounds = standing.rounds.map(({ round, on_winner }) =>
    h("li", {}, h("span", {}, `${round}. ${room.rounds[round - 1] ? titleOf(room.rounds[round - 1]) : ""}`), h("strong", { class: "number" }, `+${on_winner}`)),
  );
  return h(
    "div",
    { class: "card standing" },
    h("p", { class: "eyebrow" }, "Your place"),
    h("p", { class: "place number" }, standing.place),
    h("p", { class: "number" }, `of ${number(standing.of)}, with ${counted(standing.score, "point")}`),
    standing.claim && h("div", {}, h("p", { class: "small-text muted" }, "Show this at the stage; it changes each minute"), h("p", { class: "claim" }, standing.claim)),
    h("details", { class: "so-far" }, h("summary", {}, "Round by round"), h("ol", {}, ...rounds)),
  );
}
