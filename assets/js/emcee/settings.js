/** What is set before or between: title and rounds, doors, the stage's corner; and the records, and the end of a room. */

import { call } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { counted } from "../lib/format.js";
import { reasonOf } from "./commands.js";
import { confirmDrastic } from "./dialog.js";
import { eventEditor } from "./editor.js";
import { folded } from "./people.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("./actions.js").Actions} Actions
 * @typedef {import("./editor.js").EventPlan} EventPlan
 * @typedef {import("../lib/wire.js").Room} Room
 */

/**
 * Title, rules and rounds. The plan is read from the server when the fold opens, so that nothing that the room's state does
 * not carry gets lost.
 *
 * @param {string} code
 * @param {Actions} actions
 * @param {() => Room | null} room
 */
export function planSection(code, actions, room) {
  const box = h("div", { class: "stack" });
  async function load() {
    fill(box, h("p", { role: "status" }, "Reading the programme …"));
    try {
      /** @type {EventPlan} */
      const plan = await call("GET", `/rooms/${code}/export?format=event`);
      const opened = Math.max(0, ...(room()?.rounds ?? []).filter((round) => round.phase !== "ready" || round.take > 1).map((round) => round.round));
      const editor = eventEditor(plan, { fresh: false, opened });
      const before = editor.value();
      const form = h("form", { class: "stack" }, editor.el, h("div", { class: "row" }, h("button", { class: "primary" }, "Save"), h("button", { type: "button", onclick: load }, "Start over")));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const fields = changed(before, editor.value());
        if (Object.keys(fields).length > 0) actions.change(fields, `Change ${Object.keys(fields).join(", ").replaceAll("_", " ")}`).then(load);
      });
      fill(box, form);
    } catch (error) {
      fill(box, h("p", { class: "error", role: "alert" }, reasonOf(error)), h("button", { type: "button", onclick: load }, "Try again"));
    }
  }
  return folded("Programme and rules", [box], load);
}

/**
 * Only differences are sent: a field that can no longer change would make the server refuse the rest.
 *
 * @param {EventPlan} before
 * @param {EventPlan} after
 */
function changed(before, after) {
  const old = /** @type {{ [field: string]: unknown }} */ (before);
  return Object.fromEntries(Object.entries(after).filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(old[field])));
}

/**
 * The doors and the join code on stage: what is switched during the show.
 *
 * @param {Actions} actions
 * @returns {Section}
 */
export function switchesCard(actions) {
  /** @type {View} */
  let view;
  const doors = h("select", { id: "doors" }, h("option", { value: "open" }, "open to all"), h("option", { value: "invite" }, "by invite"), h("option", { value: "closed" }, "closed"));
  doors.addEventListener("change", () => actions.change({ join: doors.value }, `Doors: ${doors.selectedOptions[0].text}`));
  const corner = h("input", { type: "checkbox", id: "corner" });
  corner.addEventListener("change", () => actions.stage({ ...stageOf(view.room), join_code: corner.checked }, corner.checked ? "Show the join code on stage" : "Hide the join code on stage"));
  const auto = h("button", { type: "button", class: "small", onclick: () => actions.stage({ screen: "auto", join_code: corner.checked }, "Stage follows the show") }, "Let the stage follow the show");
  const el = h(
    "section",
    { class: "card stack", "aria-label": "Doors and stage" },
    h("label", { class: "inline", for: "doors" }, h("span", {}, "Doors"), doors),
    h("label", { class: "check", for: "corner" }, corner, h("span", {}, "Join code in the stage's corner")),
    auto,
  );
  return {
    el,
    update(now) {
      view = now;
      if (document.activeElement !== doors) doors.value = now.room.join;
      corner.checked = !!now.room.stage?.join_code;
      auto.hidden = (now.room.stage?.screen ?? "auto") === "auto";
    },
  };
}

/** @param {Room} room @returns {import("../lib/wire.js").Stage} */
function stageOf(room) {
  return room.stage ?? { screen: "auto" };
}

/**
 * Exports and the recount.
 *
 * @param {string} code
 */
export function recordsSection(code) {
  const link = (/** @type {string} */ format, /** @type {string} */ label) => h("a", { class: "button", href: `/api/v1/rooms/${code}/export?format=${format}`, download: `tallycast-${code}.${format === "event" ? "event.json" : format}` }, label);
  const result = h("div", { class: "stack", role: "status" });
  const button = h("button", { type: "button", onclick: audit }, "Recount all ballots");
  async function audit() {
    button.disabled = true;
    fill(result, h("p", {}, "Recounting …"));
    try {
      const answer = await call("GET", `/rooms/${code}/audit`);
      fill(result, ...auditResult(answer));
    } catch (error) {
      fill(result, h("p", { class: "error" }, reasonOf(error)));
    }
    button.disabled = false;
  }
  return folded("Exports and recount", [h("div", { class: "row" }, link("json", "JSON"), link("csv", "CSV"), link("ndjson", "NDJSON"), link("event", "Event file")), h("div", { class: "row" }, button), result]);
}

/** @param {{ ok: boolean, rounds: { round: number, take: number, tally: number[], recount: number[], voters: number }[] }} audit */
function auditResult({ ok, rounds }) {
  const head = h("tr", {}, ...["Round", "Take", "Counted", "Recounted", "Voters"].map((title) => h("th", { scope: "col" }, title)));
  const rows = rounds.map((row) => {
    const same = JSON.stringify(row.tally) === JSON.stringify(row.recount);
    return h("tr", { class: same ? "" : "error" }, ...[row.round, row.take, row.tally.join(" : "), row.recount.join(" : "), row.voters].map((cell) => h("td", { class: "number" }, cell)));
  });
  return [
    h("p", { class: ok ? "good" : "error" }, ok ? `✓ Every count equals its ballots (${counted(rounds.length, "running")}).` : "A count differs from its ballots: tell the operator."),
    h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)),
  ];
}

/**
 * @param {string} code
 * @param {import("./commands.js").Commands} commands
 * @param {() => Room | null} room
 * @param {(title: string) => void} deleted
 */
export function deleteSection(code, commands, room, deleted) {
  const remove = async () => {
    const title = room()?.title ?? "";
    const agreed = await confirmDrastic({
      title: "Delete this room?",
      consequence: "All phones and the stage are sent away, and the room's votes, voters and results go with it. It can be brought back from the list of rooms until the server purges it.",
      yes: "Delete the room",
      typed: title,
    });
    if (agreed) commands.run("Delete the room", () => call("DELETE", `/rooms/${code}?title=${encodeURIComponent(title)}`), () => deleted(title));
  };
  return folded("Delete the room", [h("p", {}, "Export it first if anybody may ask later."), h("div", { class: "row" }, h("button", { type: "button", class: "danger", onclick: remove }, "Delete the room …"))]);
}
