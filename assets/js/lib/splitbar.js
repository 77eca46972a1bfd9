/** The split drawn as one bar, a segment per choice. */

import { paint } from "./choices.js";
import { h, setText } from "./dom.js";
import { percentages } from "./split.js";

/** Below this share a segment has no room for its words. */
const NARROW_PERCENT = 20;

/**
 * @param {import("./wire.js").Choice[]} choices
 * @returns {{ el: HTMLElement, update: (votes: number[]) => void }}
 */
export function splitBar(choices) {
  const segments = choices.map((choice) => {
    const segment = h("span");
    paint(segment, choice);
    return segment;
  });
  const el = h("div", { class: "split number", role: "img" }, ...segments);
  return {
    el,
    update(votes) {
      const shares = percentages(votes);
      segments.forEach((segment, index) => {
        segment.style.setProperty("--share", String(votes[index] ?? 0));
        segment.classList.toggle("nothing", shares[index] < NARROW_PERCENT);
        setText(segment, shares[index] < NARROW_PERCENT ? "" : `${choices[index].letter.toUpperCase()} ${shares[index]} %`);
      });
      const words = choices.map((choice, index) => `${choice.letter.toUpperCase()} ${shares[index]} percent`).join(", ");
      if (el.getAttribute("aria-label") !== words) el.setAttribute("aria-label", words);
    },
  };
}
