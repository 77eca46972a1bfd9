/** Keyboard shortcuts, printed on the buttons they press. They rest while a field has the focus or a box is open. */

import { h } from "../lib/dom.js";

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
    const button = h("button", { type: "button", onclick: action, "aria-keyshortcuts": key }, h("span", { class: "text" }, label), h("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
    this.#buttons.set(key, button);
    return button;
  }

  stop() {
    this.#watching.abort();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target;
    if (target instanceof HTMLElement && target.closest("input, textarea, select, dialog")) return;
    if (document.querySelector("dialog[open]")) return;
    const button = this.#buttons.get(event.key.toLowerCase());
    if (!button || button.disabled || button.closest("[hidden]")) return;
    event.preventDefault();
    button.click();
  }
}
