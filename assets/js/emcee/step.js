/** The one recommended step, as the largest button on the desk. */

import { h, setText } from "../lib/dom.js";
import { nextStep } from "./fits.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("./fits.js").Step} Step
 * @typedef {import("./actions.js").Actions} Actions
 */

/** After a change the button rests this long, so that a double press of one step never becomes the next one. */
const REST_MS = 800;

/**
 * @param {Actions} actions
 * @param {import("./commands.js").Commands} commands
 * @param {import("./keys.js").Keys} keys
 * @param {() => number} top how many places the reveal shows
 * @param {() => void} stop ends a reveal that goes on by itself
 * @returns {Section}
 */
export function stepCard(actions, commands, keys, top, stop) {
  /** @type {Step | null} */
  let step = null;
  let changedAt = 0;
  const button = keys.button("n", "", () => step && take(step, actions, top(), stop));
  button.classList.add("primary", "step");
  const why = h("p", { class: "muted" });
  const el = h("section", { class: "card next", "aria-label": "Next step" }, h("div", { class: "stack" }, h("h2", { class: "eyebrow" }, "Next step"), button, why), commands.el, commands.status);
  return {
    el,
    update({ room, known }) {
      const now = nextStep(room, known.reveal, top());
      if (step?.label !== now.label) changedAt = Date.now();
      step = now;
      setText(/** @type {Element} */ (button.firstElementChild), now.label);
      setText(why, now.why);
      const resting = Date.now() - changedAt < REST_MS || now.kind === "wait" || commands.waiting;
      if (button.disabled !== resting) button.disabled = resting;
    },
  };
}

/**
 * @param {Step} step
 * @param {Actions} actions
 * @param {number} top
 * @param {() => void} stop
 */
function take(step, actions, top, stop) {
  switch (step.kind) {
    case "open":
      return actions.open(step.round);
    case "close":
      return actions.close(step.round);
    case "show":
      return actions.show(step.round);
    case "reveal":
      return actions.reveal(step.place, top, step.label);
    case "stop":
      return stop();
    case "wait":
      return undefined;
  }
}
