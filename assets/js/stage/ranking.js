/** The stage's pictures of the reveal: a page of places, one place alone, and the winner. */

import { h } from "../lib/dom.js";
import { counted, number } from "../lib/format.js";
import { pages, placesOf } from "./picture.js";

/** @typedef {import("../lib/wire.js").Group} Group */
/** @typedef {import("../lib/wire.js").Reveal} Reveal */

/** As many names fit on one page so that the back row can read them. */
const NAMES_PER_PAGE = 30;
/** A group of more than this is a page of names rather than a spotlight. */
const SPOTLIGHT_NAMES = 6;

/**
 * Every page of the newest step. There is one, but for very many names.
 *
 * @param {Reveal} reveal
 * @param {Group[]} step groups of the newest step, best first
 * @returns {HTMLElement[]}
 */
export function rankingPictures(reveal, step) {
  if (step.length === 0) {
    return [h("section", { class: "message" }, h("p", { class: "eyebrow" }, "The ranking"), h("h1", { "data-fit": "8 22" }, `The best ${number(Math.min(reveal.top, reveal.of))}`), h("p", { class: "sub" }, `of ${counted(reveal.of, "voter")}`))];
  }
  if (step.length === 1 && step[0].names.length <= SPOTLIGHT_NAMES) return [spotlight(step[0], false)];
  // worst first, as a countdown is read
  const cut = pages([...step].reverse(), NAMES_PER_PAGE);
  return cut.map((page, index) =>
    h(
      "section",
      { class: "ranking" },
      h("header", {}, h("h1", {}, placesOf(step)), cut.length > 1 && h("p", { class: "eyebrow" }, `${index + 1} of ${cut.length}`)),
      h("ol", { class: nameCount(page) > 12 ? "places columns" : "places", "data-fit": "2 7" }, ...page.flatMap(rows)),
    ),
  );
}

/** @param {Group[]} page */
function nameCount(page) {
  return page.reduce((sum, group) => sum + group.names.length, 0);
}

/** @param {Group} group */
function rows({ place, score, names }) {
  return names.map((name) => h("li", {}, h("span", { class: "place number" }, place), h("span", { class: "name" }, name), h("span", { class: "score number" }, number(score))));
}

/**
 * One place alone.
 *
 * @param {Group} group
 * @param {boolean} won
 */
function spotlight({ place, score, names }, won) {
  return h(
    "section",
    { class: won ? "spotlight won" : "spotlight" },
    won && h("p", { class: "eyebrow" }, names.length > 1 ? "The winners" : "The winner"),
    h("h1", { class: "place number" }, place),
    h("div", { class: "names", "data-fit": "4 17" }, ...names.map((name) => h("p", { class: "name" }, name))),
    h("p", { class: "sub number" }, counted(score, "point"), names.length > 1 && `, ${names.length} share the place`),
  );
}

/**
 * The end: who won, and who came next.
 *
 * @param {Reveal} reveal
 * @returns {HTMLElement[]}
 */
export function winnerPictures(reveal) {
  const [first, ...others] = reveal.shown;
  if (!first) return [h("section", { class: "message" }, h("h1", { "data-fit": "8 18" }, "Nobody scored"), h("p", { class: "sub" }, "There is no ranking this time."))];
  if (first.names.length > SPOTLIGHT_NAMES) return rankingPictures(reveal, [first]);
  const next = pages(others, 9)[0] ?? [];
  return [
    h(
      "section",
      { class: "finale" },
      spotlight(first, true),
      next.length > 0 && h("ol", { class: "places", "data-fit": "1.6 4.5" }, ...next.flatMap(rows)),
    ),
  ];
}
