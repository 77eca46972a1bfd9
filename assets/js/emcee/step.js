/** The one recommended step, as the largest button on the desk. */

import { h, setText } from "../lib/dom.js";
import { REST_MS, RESTING } from "./rest.js";
import { closeRound } from "./rounds.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("./fits.js").Step} Step
 * @typedef {import("./actions.js").Actions} Actions
 */

/**
 * @param {Actions} actions
 * @param {import("./commands.js").Commands} commands
 * @param {import("./keys.js").Keys} keys
 * @param {() => number} top how many places the reveal shows
 * @param {() => void} stop ends an automatic reveal
 * @returns {Section}
 */
export function stepCard(actions, commands, keys, top, stop) {
  /** @type {Step | null} */
  let step = null;
  const button = keys.button("n", "", () => step && take(step, actions, top(), stop));
  button.classList.add("primary", "step");
  const why = h("p", { class: "muted" });
  const el = h("section", { class: "card next", "aria-label": "Next step" }, h("div", { class: "stack" }, h("h2", { class: "eyebrow" }, "Next step"), button, why), commands.el, commands.status);
  return {
    el,
    update(view) {
      step = view.step;
      setText(/** @type {Element} */ (button.firstElementChild), step.label);
      setText(why, step.why);
      // not `disabled`, which would remove the focus when it is pressed by Enter
      const resting = view.resting > 0 && step.kind !== "wait";
      button.setAttribute("aria-disabled", String(resting || step.kind === "wait" || commands.waiting));
      button.title = resting ? RESTING : "";
      button.classList.toggle("resting", resting);
      button.style.setProperty("--rest", String(view.resting / REST_MS));
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
      return closeRound(step.round, actions);
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
