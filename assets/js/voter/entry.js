/** The way in: the room's code, then a name. */

import { ApiError } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { join, recentRooms, roomCode } from "./me.js";

/**
 * @typedef {import("./me.js").Me} Me
 * @typedef {import("../lib/wire.js").Room} Room
 */

/** How often a join without an answer is repeated, and how long between. */
const TRIES = 5;
const RETRY_MS = 1500;

/**
 * Asks for a room's code.
 *
 * @param {string} error why the last one did not work, or nothing
 */
export function codePage(error) {
  const problem = h("p", { class: "error", role: "alert" }, error);
  const input = h("input", {
    class: "code",
    id: "code",
    name: "code",
    required: true,
    maxlength: 8,
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: "false",
    placeholder: "ABC234",
    "aria-describedby": "code-help",
  });
  const form = h(
    "form",
    { novalidate: true },
    h("label", { for: "code" }, h("span", {}, "Room code"), input),
    h("p", { class: "muted small-text", id: "code-help" }, "Six letters and digits. They stand on the big screen."),
    problem,
    h("button", { class: "primary" }, "Enter the room"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const code = roomCode(input.value);
    if (code) location.assign(`/r/${code}`);
    else fill(problem, "A code has six letters and digits, without I, O, 0 and 1.");
  });
  const recent = recentRooms().map(({ code, title }) => h("li", {}, h("a", { class: "button", href: `/r/${code}` }, h("span", { class: "name" }, title), h("span", { class: "mono muted" }, code))));
  return h(
    "section",
    { class: "page" },
    h("h1", {}, "Vote live"),
    form,
    recent.length > 0 && h("div", { class: "stack" }, h("h2", {}, "Where you were"), h("ul", { class: "stack" }, ...recent)),
  );
}

/**
 * Asks for a name, and joins.
 *
 * @param {object} options
 * @param {Room} options.room
 * @param {{ name?: string, card?: string, invite?: string }} options.given what the link or this phone knows already
 * @param {string} [options.notice] why the page asks again
 * @param {(me: Me) => void} options.joined
 */
export function joinPage({ room, given, notice, joined }) {
  const name = h("input", { id: "name", name: "name", required: true, autocomplete: "nickname", value: given.name ?? "", "aria-describedby": "name-help problem" });
  const invite = h("input", { id: "invite", autocomplete: "off", autocapitalize: "characters", value: given.invite ?? "" });
  const card = h("input", { id: "card", class: "mono", autocomplete: "off", autocapitalize: "characters", maxlength: 20, value: given.card ?? "" });
  const problem = h("div", { class: "stack", id: "problem", role: "alert" });
  const button = h("button", { class: "primary" }, "Join");
  const inviteField = h("label", { for: "invite" }, h("span", {}, "Invite"), invite);
  const back = h("details", {}, h("summary", {}, "I was here before, on another phone"), h("label", { for: "card" }, h("span", {}, "Your card, 12 letters and digits"), card));
  inviteField.hidden = room.join !== "invite" && !given.invite;
  back.open = !!given.card;
  if (room.join === "closed") {
    back.open = true;
    fill(problem, h("p", {}, "The doors of this room are closed. Only those who were here before can come back, with their card."));
  }
  if (notice) fill(problem, h("p", { class: "error" }, notice));

  async function submit() {
    button.disabled = true;
    fill(problem);
    try {
      const arrival = { name: name.value.trim(), card: clean(card.value), invite: invite.value.trim() };
      joined(await joinPatiently(room.room, arrival, () => fill(problem, h("p", {}, "Many are coming in at once. One moment, this goes on by itself …"))));
    } catch (error) {
      button.disabled = false;
      explain(error instanceof ApiError ? error : new ApiError({ code: "page", detail: String(error) }));
    }
  }

  /** @param {ApiError} error */
  function explain({ code, detail, problem: fields }) {
    name.setAttribute("aria-invalid", String(code === "name_taken" || code === "bad_request"));
    if (code === "invite_needed" || code === "bad_invite") inviteField.hidden = false;
    const unknown = code === "bad_request" && name.value.trim() === "";
    fill(problem, h("p", { class: "error" }, unknown ? "This is not known here. Check it, or type your name to join anew." : words(code, detail)));
    if (code === "name_taken" && typeof fields.suggestion === "string") {
      const suggestion = fields.suggestion;
      const take = h("button", { type: "button" }, "Join as ", h("span", { class: "name" }, suggestion));
      take.addEventListener("click", () => {
        name.value = suggestion;
        submit();
      });
      problem.append(take);
    }
    (code === "invite_needed" || code === "bad_invite" ? invite : name).focus();
  }

  const form = h(
    "form",
    { novalidate: true },
    h("label", { for: "name" }, h("span", {}, "Your name, as the others will see it"), name),
    h("p", { class: "muted small-text", id: "name-help" }, "Up to 24 characters, and nobody else's in this room."),
    inviteField,
    problem,
    button,
    back,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const known = [name, card, invite].some((field) => field.value.trim() !== "");
    if (known) submit();
    else explain(new ApiError({ code: "no_name", detail: "" }));
  });
  return h("section", { class: "page" }, h("p", { class: "eyebrow" }, `Room ${room.room}`), h("h1", {}, room.title), form);
}

/**
 * Joins, and says it again while the server is only busy: a whole hall joins within a minute. The card makes that safe.
 *
 * @param {string} code
 * @param {{ name: string, card?: string, invite?: string }} arrival
 * @param {() => void} waiting
 */
async function joinPatiently(code, arrival, waiting) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await join(code, arrival);
    } catch (error) {
      if (!(error instanceof ApiError) || !error.passing || attempt === TRIES) throw error;
      waiting();
      const wait = Math.min(error.retryAfterMs ?? RETRY_MS, 15_000);
      await new Promise((resolve) => setTimeout(resolve, wait * (1 + Math.random())));
    }
  }
}

/** @param {string} card as typed, perhaps with spaces or dashes */
function clean(card) {
  return card.replace(/[^a-z0-9]/gi, "").toUpperCase();
}

/**
 * @param {string} code
 * @param {string} detail
 */
function words(code, detail) {
  switch (code) {
    case "no_name":
      return "Type your name first.";
    case "name_taken":
      return "Somebody here has that name already.";
    case "join_closed":
      return "The doors of this room are closed.";
    case "invite_needed":
      return "This room is for invited guests: type your invite, or open the link you were sent.";
    case "bad_invite":
      return "This invite is not known here. Check it against the one you were sent.";
    case "removed":
      return "The organiser has removed you from this room.";
    case "no_such_room":
      return "This room is gone.";
    case "too_many":
    case "busy":
      return "Too many are coming in right now. Try again in a moment.";
    case "ledger_unavailable":
      return "The server cannot take you in right now. Try again in a moment.";
    default:
      return detail;
  }
}
