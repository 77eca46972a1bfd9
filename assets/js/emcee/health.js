/** What the desk knows of the machine: who is connected, whether the three numbers agree, and what the stage shows. */

import { copyButton, h, redraw, setText } from "../lib/dom.js";
import { ago, counted, number } from "../lib/format.js";
import { ageWords } from "./age.js";

/**
 * @typedef {import("./desk.js").View} View
 * @typedef {import("./desk.js").Section} Section
 * @typedef {import("../lib/wire.js").Desk} Desk
 */

/** Shown may be behind stored for this long before it is red. */
const TRAIL_MS = 5000;
/** A screen that was silent for longer is probably gone. */
const SILENT_MS = 10_000;

/** A stage may be this late with a change, including the time until it reports it. */
const BEHIND_MS = 6000;

/** @returns {Section} */
export function healthCard() {
  let newest = 0;
  let newestAt = 0;
  const age = h("p", { class: "warn age" });
  const figures = h("div", { class: "stack figures" });
  const el = h("section", { class: "card stack health", "aria-label": "Health" }, h("h2", {}, "The hall"), age, figures);
  const draw = redraw(figures, (/** @type {{ desk: Desk | null, presence: View["known"]["presence"], due: number, since: number }} */ { desk, presence, due, since }) => [
    h(
      "dl",
      { class: "facts" },
      fact("Connected", `${number(desk?.connected ?? presence?.connected ?? 0)} of ${number(desk?.voters ?? presence?.voters ?? 0)}`),
      desk && fact("Votes per second", number(Math.round(desk.votes_per_s))),
    ),
    ...(desk ? machine(desk, due, since) : [h("p", { class: "muted" }, "Waiting for the server's numbers …")]),
  ]);
  return {
    el,
    update({ known, room, deskAge }) {
      const seq = Math.max(room.seq, known.reveal?.seq ?? 0);
      if (seq !== newest) newestAt = Date.now();
      newest = seq;
      el.classList.toggle("stale", deskAge !== null);
      setText(age, ageWords(deskAge));
      // whole seconds, so that nothing is redrawn in between
      const since = Math.floor((deskAge ?? 0) / 1000) * 1000;
      draw({ desk: known.desk, presence: known.presence, due: Date.now() - newestAt > BEHIND_MS ? seq : 0, since });
    },
  };
}

/**
 * @param {Desk} desk
 * @param {number} due what every stage should show by now
 * @param {number} since milliseconds since these figures came, 0 while they are fresh
 */
function machine(desk, due, since) {
  const trailing = desk.oldest_unshown_ms >= TRAIL_MS;
  const wrong = desk.acknowledged > desk.stored || desk.shown > desk.stored;
  const bad = trailing || wrong;
  const { ledger } = desk;
  return [
    h("h3", {}, "Votes"),
    h("dl", { class: "facts" }, fact("Acknowledged", number(desk.acknowledged)), fact("Stored", number(desk.stored)), fact("Shown", number(desk.shown))),
    h("p", { class: bad ? "error" : "good", role: bad && since === 0 ? "alert" : null }, agreement(desk, wrong)),
    h("h3", {}, "Count"),
    h("p", { class: ledger.state === "ok" ? "good" : "error" }, `${ledger.state}, commits within ${Math.round(ledger.commit_p99_ms * 10) / 10} ms${ledger.durable === true ? "" : `, durable: ${ledger.durable}`}`),
    h("ul", {}, ...desk.pods.map((pod) => h("li", { class: pod.ready ? "" : "error" }, `${pod.name}: ${pod.ready ? "ready" : "not ready"}, ${counted(pod.sessions, "socket")}`))),
    ...(desk.unreadable ?? []).map((room) => h("p", { class: "error" }, unreadable(room))),
    h("h3", {}, "Stage"),
    desk.stages.length === 0
      ? h("p", { class: "warn" }, "No stage is open.")
      : h("ul", {}, ...desk.stages.map((stage) => h("li", { class: stage.seen_ms + since > SILENT_MS || stage.seq < due ? "error" : "" }, `shows ${stage.screen}${stage.seq < due ? ", but not the newest" : ""}, seen ${ago(stage.seen_ms + since)} ago`))),
    h("h3", {}, "Desks"),
    h("ul", {}, ...desk.desks.map((other) => h("li", {}, `${other.device || "unnamed"}, seen ${ago(other.seen_ms + since)} ago`))),
  ];
}

/**
 * @param {Desk} desk
 * @param {boolean} wrong
 */
function agreement(desk, wrong) {
  if (wrong) return "The numbers contradict each other: tell the operator.";
  return desk.shown === desk.stored ? "✓ All stored votes are shown" : `Oldest vote not shown yet: ${ago(desk.oldest_unshown_ms)}`;
}

/**
 * The text about a room that the server cannot read.
 *
 * @param {import("../lib/wire.js").Unreadable} room
 */
export function unreadable({ id, room }) {
  return `Room ${room ?? id} cannot be read and is quarantined. Nothing of it is deleted; the server's log names it as ${id}.`;
}

/** @param {string} name @param {string} value */
function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", { class: "number" }, value));
}

/**
 * The links to hand out.
 *
 * @param {string} code
 * @returns {Section}
 */
export function linksCard(code) {
  let voters = `${location.origin}/r/${code}`;
  const stage = `${location.origin}/stage/${code}`;
  const el = h(
    "section",
    { class: "card stack", "aria-label": "Links" },
    h("h2", {}, "Links"),
    h("div", { class: "row" }, h("img", { class: "qr", src: `/api/v1/rooms/${code}/qr.svg`, alt: "QR code of the voters' link" }), h("p", { class: "mono code" }, code)),
    h("div", { class: "row" }, copyButton("Copy voters' link", () => voters), h("a", { class: "button small-text", href: stage, target: "_blank", rel: "noopener" }, "Open the stage")),
  );
  return {
    el,
    update: ({ room }) => {
      if (room.url) voters = room.url;
    },
  };
}
