/** The voters, and the invites. */

import { call } from "../lib/api.js";
import { copyButton, fill, h } from "../lib/dom.js";
import { counted } from "../lib/format.js";
import { reasonOf } from "./commands.js";
import { confirmDrastic, openDialog } from "./dialog.js";

/**
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {{ voter: string, name: string, connected: boolean, removed?: boolean }} Voter
 */

const PAGE = 50;
const TYPING_MS = 250;

/**
 * @param {string} code
 * @param {Commands} commands
 */
export function votersSection(code, commands) {
  const query = h("input", { type: "search", id: "voter-query", autocomplete: "off" });
  const list = h("ul", { class: "people" });
  const note = h("p", { class: "muted", role: "status" });
  const more = h("button", { type: "button", class: "small", hidden: true, onclick: () => load(next) }, "More");
  /** @type {string | undefined} */
  let next;
  let asked = 0;
  let typing = 0;

  /** @param {string} [after] */
  async function load(after) {
    const turn = ++asked;
    const fields = new URLSearchParams({ q: query.value, limit: String(PAGE), ...(after ? { after } : {}) });
    try {
      /** @type {{ voters: Voter[], next?: string }} */
      const page = await call("GET", `/rooms/${code}/voters?${fields}`);
      if (turn !== asked) return; // a newer question is under way
      if (!after) fill(list);
      list.append(...page.voters.map((voter) => voterRow(code, commands, voter)));
      next = page.next;
      more.hidden = !next;
      note.textContent = list.childElementCount === 0 ? "Nobody found." : `${counted(list.childElementCount, "voter")} listed${next ? ", there are more" : ""}.`;
    } catch (error) {
      note.textContent = reasonOf(error);
    }
  }
  query.addEventListener("input", () => {
    clearTimeout(typing);
    typing = window.setTimeout(load, TYPING_MS);
  });
  return folded("Voters", [h("div", { class: "row" }, h("label", { for: "voter-query" }, h("span", {}, "Search by name"), query), h("button", { type: "button", class: "small", onclick: () => load() }, "Refresh")), note, list, more], () => load());
}

/**
 * @param {string} code
 * @param {Commands} commands
 * @param {Voter} voter
 */
function voterRow(code, commands, voter) {
  const row = h("li", { class: "row spread" });
  const change = (/** @type {{ name?: string, removed?: boolean }} */ fields, /** @type {string} */ label) =>
    commands.run(
      label,
      () => call("PATCH", `/rooms/${code}/voters/${voter.voter}`, { body: fields }),
      (answer) => {
        voter = { ...voter, ...fields, ...(answer?.name ? { name: answer.name } : {}) };
        draw();
      },
    );
  const rename = () =>
    openDialog(`Another name for ${voter.name}`, (close) => {
      const name = h("input", { id: "voter-name", value: voter.name, required: true });
      const form = h("form", { class: "stack" }, h("label", { for: "voter-name" }, h("span", {}, "Name"), name), h("div", { class: "row" }, h("button", { class: "primary" }, "Rename"), h("button", { type: "button", onclick: close }, "Cancel")));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        change({ name: name.value.trim() }, `Rename ${voter.name}`);
        close();
      });
      return [form];
    });
  const remove = async () => {
    const agreed = await confirmDrastic({
      title: `Remove ${voter.name}?`,
      consequence: "The phone is signed out at once and cannot come back. The votes stored so far count; there is no place in the ranking. You can bring the voter back.",
      yes: "Remove",
    });
    if (agreed) change({ removed: true }, `Remove ${voter.name}`);
  };
  function draw() {
    fill(
      row,
      h("span", {}, h("span", { class: voter.connected ? "dot on" : "dot", title: voter.connected ? "connected" : "not connected" }), h("span", { class: "name" }, voter.name), voter.removed && h("span", { class: "error" }, " removed"), h("span", { class: "off-screen" }, voter.connected ? ", connected" : ", not connected")),
      h(
        "span",
        { class: "row" },
        h("button", { type: "button", class: "small", onclick: rename }, "Rename"),
        voter.removed
          ? h("button", { type: "button", class: "small", onclick: () => change({ removed: false }, `Bring back ${voter.name}`) }, "Bring back")
          : h("button", { type: "button", class: "small", onclick: remove }, "Remove …"),
      ),
    );
  }
  draw();
  return row;
}

/**
 * @param {string} code
 * @param {Commands} commands
 */
export function invitesSection(code, commands) {
  const names = h("textarea", { id: "invite-names", placeholder: "Ada Lovelace\nGrace Hopper" });
  const file = h("input", { type: "file", id: "invite-file", accept: ".csv,text/csv" });
  const result = h("div", { class: "stack" });
  const show = (/** @type {{ invites: { name: string, invite: string, url: string }[] }} */ { invites }) => {
    const text = ["name,invite,url", ...invites.map((each) => [each.name, each.invite, each.url].map(csvCell).join(","))].join("\n");
    const area = h("textarea", { readonly: true, "aria-label": "Invites as CSV", class: "mono" });
    area.value = text;
    fill(result, h("div", { class: "row spread" }, h("strong", {}, counted(invites.length, "invite")), copyButton("Copy as CSV", () => text)), area);
  };
  const form = h(
    "form",
    { class: "stack" },
    h("p", { class: "muted" }, "A name that was invited before keeps its invite."),
    h("label", { for: "invite-names" }, h("span", {}, "Names, one per line"), names),
    h("label", { for: "invite-file" }, h("span", {}, "Or a CSV file with a column “name”"), file),
    h("div", { class: "row" }, h("button", {}, "Make invites")),
    result,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const csv = file.files?.[0] ? await file.files[0].text() : undefined;
    const typed = names.value
      .split("\n")
      .map((name) => name.trim())
      .filter(Boolean);
    if (csv === undefined && typed.length === 0) return fill(result, h("p", { class: "error", role: "alert" }, "Type or paste names first, or choose a file."));
    const options = csv === undefined ? { body: { names: typed } } : { csv };
    commands.run(csv === undefined ? `Invite ${counted(typed.length, "guest")}` : "Invite the guests of the file", () => call("POST", `/rooms/${code}/invites`, options), show);
  });
  return folded("Invites", [form]);
}

/** @param {string} text */
function csvCell(text) {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * A part of the desk that is opened when it is needed.
 *
 * @param {string} title
 * @param {(Node | string)[]} parts
 * @param {() => void} [opened]
 */
export function folded(title, parts, opened) {
  const el = h("details", { class: "card fold" }, h("summary", {}, title), h("div", { class: "stack" }, ...parts));
  if (opened) el.addEventListener("toggle", () => el.open && opened());
  return el;
}
