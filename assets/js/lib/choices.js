/** How choices look. They differ by letter, side, shape and colour, so that no single one of these is needed. */

/** @typedef {import("./wire.js").Choice} Choice */
/** @typedef {import("./wire.js").Round} Round */

/** Used where the round names no colour; the same as the server gives then. */
const COLORS = ["#3d7dff", "#ff9f1c", "#00b894", "#e84393", "#a66cff", "#ffd23f", "#00c2d1", "#c0c6d1"];

/**
 * The colour of a choice. Only plain hexadecimal ones are taken from outside.
 *
 * @param {Choice} choice
 */
export function colorOf(choice) {
  const given = choice.color ?? "";
  if (/^#[0-9a-f]{6}$/i.test(given)) return given;
  if (/^#[0-9a-f]{3}$/i.test(given)) return `#${[...given.slice(1)].map((digit) => digit + digit).join("")}`;
  return defaultColor(indexOf(choice.letter));
}

/** @param {number} index */
export function defaultColor(index) {
  return COLORS[index % COLORS.length];
}

/**
 * Black or white, whichever reads better on a colour (WCAG relative luminance).
 *
 * @param {string} color as `#rrggbb`
 */
export function inkOn(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#05070f" : "#ffffff";
}

/** @param {string} letter */
function indexOf(letter) {
  return Math.max(0, letter.charCodeAt(0) - 97);
}

/**
 * Gives an element the colours of a choice, for the style sheets to use.
 *
 * @param {HTMLElement} element
 * @param {Choice} choice
 */
export function paint(element, choice) {
  const color = colorOf(choice);
  element.style.setProperty("--choice", color);
  element.style.setProperty("--choice-ink", inkOn(color));
}

/**
 * The badge of a choice: its letter on its shape. Says nothing to screen readers, which get the words.
 *
 * @param {Choice} choice
 */
export function badge(choice) {
  const element = document.createElement("span");
  element.className = `badge shape-${choice.letter}`;
  element.setAttribute("aria-hidden", "true");
  element.textContent = choice.letter.toUpperCase();
  paint(element, choice);
  return element;
}

/**
 * @param {Round} round
 * @returns {Choice[]}
 */
export function choicesOf(round) {
  return round.choices ?? [];
}

/**
 * @param {Round} round
 * @param {string | null | undefined} letter
 * @returns {Choice | undefined}
 */
export function choiceOf(round, letter) {
  return choicesOf(round).find((choice) => choice.letter === letter);
}

/** @param {Choice} choice as words: its letter and its label, once where they are the same */
export function nameOf(choice) {
  const letter = choice.letter.toUpperCase();
  return choice.label.toUpperCase() === letter ? letter : `${letter} · ${choice.label}`;
}

/** @param {Round} round */
export function titleOf(round) {
  return round.title || `Round ${round.round}`;
}
