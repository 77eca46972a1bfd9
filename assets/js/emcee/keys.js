/** Keyboard shortcuts, printed on the buttons they press. They work wherever the focus is, except where one types, and not while a box is open. */

import { h, isDisabled } from "../lib/dom.js";

/** Kinds of `input` that take no text. */
const TEXTLESS = new Set(["checkbox", "radio", "range", "color", "file", "button", "submit", "reset", "image"]);

/**
 * Whether letters typed here are text.
 *
 * @param {{ tagName?: string, type?: string, isContentEditable?: boolean }} field
 */
export function takesText({ tagName, type, isContentEditable }) {
  if (tagName === "INPUT") return !TEXTLESS.has(type ?? "text");
  return tagName === "TEXTAREA" || isContentEditable === true;
}

export class Keys {
  /** @type {Map<string, HTMLButtonElement>} */
  #buttons = new Map();
  #watching = new AbortController();

  constructor() {
    document.addEventListener("keydown", (event) => this.#pressed(event), { signal: this.#watching.signal });
  }

  /**
   * A button with a key.
   *
   * @param {string} key one letter
   * @param {string} label
   * @param {() => void} action
   */
  button(key, label, action) {
    const press = () => isDisabled(button) || action();
    /** @type {HTMLButtonElement} */
    const button = h("button", { type: "button", onclick: press, "aria-keyshortcuts": key }, h("span", { class: "text" }, label), h("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
    this.#buttons.set(key, button);
    return button;
  }

  stop() {
    this.#watching.abort();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { target } = event;
    // a key that is held down presses once
    if (event.repeat && event.key === "Enter" && target instanceof HTMLButtonElement) return event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ((target instanceof HTMLElement && takesText(target)) || document.querySelector("dialog[open]")) return;
    const button = this.#buttons.get(event.key.toLowerCase());
    if (!button) return;
    event.preventDefault(); // also when it does nothing now: a list would take the letter for one of its words
    if (!event.repeat && !button.closest("[hidden]")) button.click();
  }
}
