/** The reveal: what comes next, and its pace. */

import { h, redraw, setText } from "../lib/dom.js";
import { counted, list } from "../lib/format.js";
import { ageWords } from "./age.js";
import { confirmDrastic } from "./dialog.js";
import { placeBefore, unfitReveal } from "./fits.js";
import { RESTING } from "./rest.js";
import { fitButton } from "./rounds.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("../lib/wire.js").Group} Group
 * @typedef {import("../lib/wire.js").Reveal} Reveal
 */

const DEFAULT_TOP = 50;
const DEFAULT_AUTO_S = 4;
/** A group of more names than this is shown as a number. */
const NAMES = 8;

/**
 * @param {import("./actions.js").Actions} actions
 * @param {import("./keys.js").Keys} keys
 * @returns {Section & { top: () => number, stop: () => void }}
 */
export function revealCard(actions, keys) {
  /** @type {View | null} */
  let view = null;
  const top = h("input", { type: "number", id: "top", class: "short", min: 1, max: 1000, value: DEFAULT_TOP });
  const pace = h("input", { type: "number", id: "pace", class: "short", min: 1, max: 600, value: DEFAULT_AUTO_S });
  const coming = h("ul", { class: "stack" });
  const heading = h("p", { class: "eyebrow" });

  const reveal = () => view?.known.reveal ?? null;
  /** How many places: as set here before the reveal, as the reveal has it after. */
  const places = () => reveal()?.top ?? (Number(top.value) || DEFAULT_TOP);
  const at = () => reveal()?.place ?? places() + 1;
  const start = () => actions.reveal(places() + 1, places(), "Start the reveal");
  const one = () => actions.reveal(reveal()?.next ?? 1, places(), `Show place ${reveal()?.next}`);
  const back = () => {
    const now = reveal();
    if (now) actions.reveal(placeBefore(now), places(), "One step back");
  };
  const auto = () => actions.reveal(at(), places(), `Go on by itself each ${pace.value} s`, Math.max(1, Number(pace.value)) * 1000);
  const stop = () => actions.reveal(at(), places(), "Stop going on by itself");
  const away = async () => {
    const agreed = await confirmDrastic({
      title: "Take the ranking away?",
      consequence: "It disappears from the stage and from all phones. Results can then be changed, and the next reveal starts anew.",
      yes: "Take it away",
    });
    if (agreed) actions.reveal(null, places(), "Take the ranking away");
  };

  const buttons = {
    start: h("button", { type: "button", onclick: start }, "Start the reveal"),
    one: keys.button("r", "Next place only", one),
    back: keys.button("b", "One step back", back),
    auto: h("button", { type: "button", onclick: auto }, "Go on by itself"),
    stop: h("button", { type: "button", onclick: stop }, "Stop"),
    away: h("button", { type: "button", class: "danger", onclick: away }, "Take the ranking away …"),
  };
  const el = h(
    "section",
    { class: "card stack", "aria-label": "Ranking" },
    h("h2", {}, "Ranking"),
    h("div", { class: "stack figures" }, heading, coming),
    h("div", { class: "row" }, h("label", { class: "inline", for: "top" }, h("span", {}, "Best"), top), buttons.start, buttons.one, buttons.back),
    h("div", { class: "row" }, h("label", { class: "inline", for: "pace" }, h("span", {}, "Every (s)"), pace), buttons.auto, buttons.stop, buttons.away),
  );
  const drawComing = redraw(coming, (/** @type {Group[]} */ groups) => groups.map(groupRow));

  return {
    el,
    top: places,
    stop,
    update(now) {
      view = now;
      const current = reveal();
      const unfit = unfitReveal(now.room);
      el.hidden = !now.room.rounds.some((round) => round.phase === "closed");
      setText(heading, [headingWords(current), ageWords(now.age)].filter(Boolean).join(" · "));
      drawComing(current && !current.done ? now.known.preview : []);
      el.classList.toggle("revealing", !!current);
      top.disabled = !!current;
      if (current && document.activeElement !== top) top.value = String(current.top);
      const running = current && !current.done ? null : current ? "All is shown." : "The reveal was not started.";
      const resting = now.resting > 0 ? RESTING : null;
      fitButton(buttons.start, (current ? "The ranking is shown." : unfit) ?? resting);
      fitButton(buttons.one, running ?? resting);
      fitButton(buttons.back, !current ? "The reveal was not started." : current.shown.length > 0 ? null : "Nothing is shown yet.");
      fitButton(buttons.auto, running);
      fitButton(buttons.stop, current?.auto_ms && !current.done ? null : "It does not go on by itself.");
      fitButton(buttons.away, current ? null : "No ranking is shown.");
    },
  };
}

/** @param {Reveal | null} reveal */
function headingWords(reveal) {
  if (!reveal) return "Not started. The hall sees nothing of it.";
  const shown = reveal.shown.length === 0 ? "nothing shown yet" : `shown from place ${reveal.shown[reveal.shown.length - 1].place} to ${reveal.shown[0].place}`;
  const auto = reveal.auto_ms && !reveal.done ? `, by itself each ${reveal.auto_ms / 1000} s` : "";
  return `Best ${reveal.top} of ${counted(reveal.of, "voter")}: ${reveal.done ? "all is shown" : shown}${auto}`;
}

/** @param {Group} group */
function groupRow({ place, score, names }) {
  const shown = names.length > NAMES ? `${list(names.slice(0, NAMES))} and ${names.length - NAMES} more` : list(names);
  return h("li", { class: "coming" }, h("strong", { class: "number" }, place), h("span", { class: "name" }, shown), h("span", { class: "muted number" }, counted(score, "point")));
}
