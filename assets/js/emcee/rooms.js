/** The list of rooms, and the form that makes one. */

import { call } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { counted } from "../lib/format.js";
import { reasonOf } from "./commands.js";
import { emptyPlan, eventEditor } from "./editor.js";
import { unreadable } from "./health.js";

/**
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {{ open: (code: string) => void, make: () => void, signedOut: () => void }} Ways
 */

/**
 * @param {Ways} ways
 * @param {string} notice what happened before the list was shown
 */
export function roomsPage(ways, notice) {
  const list = h("ul", { class: "stack" });
  const el = h(
    "section",
    { class: "narrow stack" },
    notice !== "" && h("p", { class: "card", role: "status" }, notice),
    h("div", { class: "row spread" }, h("h1", {}, "Rooms"), h("button", { type: "button", class: "primary", onclick: ways.make }, "New room")),
    list,
  );
  load();

  async function load() {
    fill(list, h("li", { class: "muted", role: "status" }, "Reading the rooms …"));
    try {
      const { rooms, unreadable: apart = [] } = await call("GET", "/rooms?deleted=true");
      fill(
        list,
        ...apart.map((/** @type {import("../lib/wire.js").Unreadable} */ room) => h("li", { class: "error", role: "alert" }, unreadable(room))),
        ...rooms.map((/** @type {Room} */ room) => roomRow(room, ways)),
        rooms.length === 0 && h("li", { class: "muted" }, "There is no room yet."),
      );
    } catch (error) {
      if (error instanceof Error && "status" in error && error.status === 401) return ways.signedOut();
      fill(list, h("li", { class: "error", role: "alert" }, reasonOf(error)), h("li", {}, h("button", { type: "button", onclick: load }, "Try again")));
    }
  }
  return el;
}

/**
 * @param {Room} room
 * @param {Ways} ways
 */
function roomRow(room, ways) {
  if (room.deleted_at) return h("li", {}, deletedCard(room, ways));
  const done = room.rounds.filter((round) => round.phase === "closed").length;
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "room-row", onclick: () => ways.open(room.room) },
      h("strong", { class: "name" }, room.title),
      h("span", { class: "mono" }, room.room),
      h("span", { class: "muted" }, `${room.phase}, ${done} of ${counted(room.rounds.length, "round")} run${room.rehearsal ? ", rehearsal" : ""}`),
    ),
  );
}

/**
 * A deleted room, which can be brought back until it is purged.
 *
 * @param {Room} room
 * @param {Ways} ways
 */
function deletedCard({ room: code, title }, ways) {
  const problem = h("p", { class: "error", role: "alert" });
  const undelete = async () => {
    try {
      await call("POST", `/rooms/${code}/undelete`);
      ways.open(code);
    } catch (error) {
      fill(problem, reasonOf(error));
    }
  };
  return h("div", { class: "card stack" }, h("div", { class: "row spread" }, h("span", {}, "Deleted: ", h("strong", { class: "name" }, title)), h("button", { type: "button", onclick: undelete }, "Bring it back")), problem);
}

/**
 * @param {(code: string) => void} made
 * @param {() => void} cancel
 */
export function newRoomPage(made, cancel) {
  const editor = eventEditor(emptyPlan(), { fresh: true });
  const problem = h("p", { class: "error", role: "alert" });
  const button = h("button", { class: "primary" }, "Make the room");
  const file = h("input", { type: "file", id: "event-file", accept: ".json,application/json" });
  const form = h("form", { class: "card stack" }, editor.el, problem, h("div", { class: "row" }, button, h("button", { type: "button", onclick: cancel }, "Cancel")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    make(editor.value());
  });
  file.addEventListener("change", async () => {
    try {
      await make(JSON.parse((await file.files?.[0]?.text()) ?? ""));
    } catch {
      fill(problem, "This file is no event file.");
    }
    file.value = "";
  });

  /** @param {unknown} plan */
  async function make(plan) {
    button.disabled = true;
    fill(problem);
    try {
      const room = await call("POST", "/rooms", { body: plan });
      made(room.room);
    } catch (error) {
      fill(problem, reasonOf(error));
    }
    button.disabled = false;
  }
  return h("section", { class: "narrow stack" }, h("h1", {}, "New room"), h("label", { for: "event-file" }, h("span", {}, "From an event file, or fill in below"), file), form);
}
