/** The screens of a page that cannot continue by itself, and the footer with the card. */

import { ApiError, call } from "../lib/api.js";
import { copyButton, fill, h } from "../lib/dom.js";
import { forgetMe, rename, wayBack } from "./me.js";

/** @typedef {import("../lib/socket.js").Link} Link */

/**
 * Why the connection ended, and what can be done about it.
 *
 * @param {Link} link
 * @param {() => void} again connects again
 */
export function endPage(link, again) {
  const button = (/** @type {string} */ label, /** @type {() => void} */ action) => h("button", { type: "button", class: "primary", onclick: action }, label);
  const home = h("a", { class: "button", href: "/" }, "Enter another room");
  if (link.reason === "room_deleted" || link.code === 4404) return page("This room is gone", "The organiser has deleted it.", home);
  if (link.reason === "removed" || link.code === 4403) return page("You were removed", "The organiser has removed you from this room.", home);
  if (link.reason === "replaced" || link.code === 4409) {
    return page("Open elsewhere", "You have this room open in several places, and this one was the oldest.", button("Go on here", again));
  }
  return page("This page and the server do not understand each other", "Loading it anew usually helps. Your votes are kept.", button("Load anew", () => location.reload()));
}

/**
 * @param {string} title
 * @param {string} text
 * @param {...HTMLElement} ways
 */
function page(title, text, ...ways) {
  return h("section", { class: "page middle", role: "alert" }, h("h1", {}, title), h("p", {}, text), ...ways);
}

/**
 * The voter's own corner: the card, a link for another phone, a new name, and the way out.
 *
 * @param {string} code
 * @param {import("./me.js").Me} me
 */
export function ownCorner(code, me) {
  const problem = h("p", { class: "error", role: "alert" });
  const name = h("input", { id: "new-name", value: me.name, required: true });
  const form = h("form", { class: "row" }, h("label", { for: "new-name" }, h("span", {}, "Another name, until your first vote"), name), h("button", {}, "Change"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await call("PATCH", `/rooms/${code}/me`, { body: { name: name.value.trim() }, token: me.token });
      rename(code, answer?.name ?? name.value.trim());
      location.reload();
    } catch (error) {
      fill(problem, error instanceof ApiError ? error.detail : String(error));
    }
  });
  const leave = h("button", { type: "button", class: "small danger" }, "Leave this room on this phone");
  leave.addEventListener("click", () => {
    if (!confirm(`Leave? To come back as ${me.name} you need the card ${me.card}.`)) return;
    forgetMe(code);
    location.assign("/");
  });
  return h(
    "details",
    {},
    h("summary", {}, "Your way back on another phone"),
    h(
      "div",
      { class: "card stack" },
      h("p", {}, "Open the room there and give this name and card, or open the link. Whoever has the card is you: keep it to yourself."),
      h("p", {}, h("span", { class: "name" }, me.name)),
      h("p", { class: "card-code" }, me.card.replace(/(.{4})(?=.)/g, "$1 ")),
      h("div", { class: "row" }, copyButton("Copy the link", () => wayBack(code, me)), leave),
      form,
      problem,
    ),
  );
}
