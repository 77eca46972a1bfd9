/** Questions before what cannot be taken lightly, and other boxes above the page. */

import { h } from "../lib/dom.js";

/**
 * Shows a box above the page. Focus returns to where it was.
 *
 * @param {string} title
 * @param {(close: () => void) => (Node | string | false | null)[]} build
 * @param {{ [attribute: string]: string }} [attributes]
 */
export function openDialog(title, build, attributes = {}) {
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", ...attributes });
  const close = () => dialog.close();
  dialog.addEventListener("close", () => dialog.remove());
  const parts = build(close).filter((part) => part !== false && part !== null);
  dialog.append(h("h2", { id: "dialog-title" }, title), ...parts);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something drastic, saying what it means.
 *
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.consequence
 * @param {string} question.yes
 * @param {string} [question.typed] a text that has to be typed first
 * @returns {Promise<boolean>}
 */
export function confirmDrastic({ title, consequence, yes, typed }) {
  return new Promise((resolve) => {
    let agreed = false;
    const build = (/** @type {() => void} */ close) => {
      const button = h("button", { class: "danger", disabled: typed !== undefined }, yes);
      const input = h("input", { id: "typed", autocomplete: "off" });
      input.addEventListener("input", () => (button.disabled = input.value !== typed));
      const form = h(
        "form",
        { class: "stack" },
        h("p", { id: "consequence" }, consequence),
        typed !== undefined && h("label", { for: "typed" }, h("span", {}, `Type “${typed}” to confirm`), input),
        h("div", { class: "row" }, button, h("button", { type: "button", autofocus: true, onclick: close }, "Cancel")),
      );
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        agreed = true;
        close();
      });
      return [form];
    };
    const dialog = openDialog(title, build, { role: "alertdialog", "aria-describedby": "consequence" });
    dialog.addEventListener("close", () => resolve(agreed));
  });
}
