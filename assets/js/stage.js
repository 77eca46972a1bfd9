/** The stage: no controls, and the last picture stays when the signal goes. */

import { badge, choicesOf } from "./lib/choices.js";
import { LedgerClock } from "./lib/clock.js";
import { byId, fill, h, redraw, setText } from "./lib/dom.js";
import { ago, counted, countdown } from "./lib/format.js";
import { learn, NOTHING } from "./lib/known.js";
import { TIE_RULE } from "./lib/rules.js";
import { Socket } from "./lib/socket.js";
import { sight } from "./lib/split.js";
import { fitAll } from "./stage/fit.js";
import { newestStep, pictureOf, shownSeq } from "./stage/picture.js";
import { rankingPictures, winnerPictures } from "./stage/ranking.js";
import { introPicture, roundPicture } from "./stage/rounds.js";

/**
 * @typedef {import("./lib/wire.js").Room} Room
 * @typedef {import("./lib/wire.js").Group} Group
 * @typedef {import("./stage/rounds.js").Picture} Picture
 */

const TICK_MS = 100;
/** How long one page of many is shown. */
const PAGE_MS = 6000;
/** A loss shorter than this is not shown. */
const LOSS_MS = 2000;

const code = (location.pathname.split("/")[2] ?? "").toUpperCase();
const stage = byId("stage");
const corner = byId("corner");
const mark = byId("mark");
const clock = new LedgerClock();

let known = NOTHING;
/** @type {import("./lib/socket.js").Link} */
let link = { phase: "connecting", since: Date.now() };
/** What is on the screen, as a key, and the picture that keeps it moving. */
let shown = "";
/** @type {Picture | null} */
let picture = null;
/** @type {Group[] | null} the groups before the newest step of the reveal */
let before = null;
/** @type {Group[]} */
let latest = [];

const socket = new Socket({
  hello: () => ({ room: code, role: "stage" }),
  frame: (kind, body) => {
    known = learn(known, kind, body);
    noteReveal();
    draw();
  },
  link: (now) => {
    link = now;
    draw();
  },
  time: (sentAt, receivedAt, now) => clock.sample(sentAt, receivedAt, now),
  showing: () => (known.room ? { screen: pictureOf(known).screen, seq: shownSeq(known) } : undefined),
});
socket.connect();
setInterval(draw, TICK_MS);
addEventListener("resize", () => fitAll(stage));
document.fonts?.ready.then(() => fitAll(stage));
keepAwake();

/** Remembers what stood before the newest step, so that the step can be shown by itself. */
function noteReveal() {
  const groups = known.reveal?.shown ?? null;
  if (!groups) {
    before = null;
    latest = [];
  } else if (groups.length !== latest.length) {
    before = groups.length > latest.length && (latest.length > 0 || before !== null) ? latest : null;
    latest = groups;
  } else if (groups.length === 0) {
    before = [];
  }
}

function draw() {
  drawMark();
  const { room } = known;
  if (!room) return;
  document.title = `Stage · ${room.title}`;
  drawCorner({ url: urlOf(room), show: !!room.stage?.join_code && pictureOf(known).screen !== "join" && pictureOf(known).screen !== "black", rehearsal: room.rehearsal });
  const { screen, round } = pictureOf(known);
  // counts move inside a picture; anything else makes a new one
  const key = JSON.stringify([screen, round && { ...round, tally: sight(round, clock.now()), closes_at: null }, room.title, room.stage, screen === "reveal" || screen === "winner" ? known.reveal?.shown : room.rounds.length]);
  if (key !== shown) {
    shown = key;
    document.body.dataset.screen = screen;
    picture = build(screen, round, room);
    fill(stage, picture.el);
    picture.update({ room, now: clock.now(), timed: clock.known });
    fitAll(stage);
    socket.report();
  }
  picture?.update({ room, now: clock.now(), timed: clock.known });
}

/**
 * @param {import("./stage/picture.js").Screen} screen
 * @param {import("./lib/wire.js").Round | undefined} round
 * @param {Room} room
 * @returns {Picture}
 */
function build(screen, round, room) {
  switch (screen) {
    case "join":
      return joinPicture(room);
    case "intro":
      return round ? introPicture(round, room) : message(room.title);
    case "open":
    case "result":
      return round ? roundPicture(round, room, clock.now()) : message(room.title);
    case "reveal":
      return known.reveal ? turning(rankingPictures(known.reveal, newestStep(known.reveal.shown, before))) : message(room.title);
    case "winner":
      return known.reveal ? turning(winnerPictures(known.reveal)) : message(room.title);
    case "break":
      return breakPicture(room);
    case "black":
      return { el: h("section", {}), update: () => {} };
    default:
      return message(room.title, room.stage?.message);
  }
}

/**
 * @param {string} title
 * @param {string} [text]
 * @returns {Picture}
 */
function message(title, text = "") {
  return { el: h("section", { class: "message" }, h("h1", { "data-fit": "6 18" }, title), h("p", { class: "sub" }, text)), update: () => {} };
}

/**
 * @param {Room} room
 * @returns {Picture}
 */
function breakPicture(room) {
  const left = h("p", { class: "timer" });
  const el = h("section", { class: "message" }, h("h1", { "data-fit": "6 18" }, room.stage?.message || "A short break"), left);
  return { el, update: ({ room, now, timed }) => setText(left, room.stage?.until && timed ? countdown(room.stage.until - now) : "") };
}

/**
 * @param {Room} room
 * @returns {Picture}
 */
function joinPicture(room) {
  const joined = h("p", { class: "joined number" });
  const first = room.rounds[0];
  const el = h(
    "section",
    { class: "join" },
    h("h1", { "data-fit": "4 11" }, room.title),
    h("div", { class: "qr" }, qr()),
    h(
      "div",
      { class: "how" },
      h("p", {}, "Scan with your phone, or go to"),
      h("p", { class: "address" }, address(room)),
      h("p", {}, "and enter"),
      h("p", { class: "code mono" }, code),
      joined,
    ),
    h("p", { class: "rule" }, first && choicesOf(first).length > 0 ? h("span", { class: "badges" }, ...choicesOf(first).map(badge)) : null, `${counted(room.rounds.length, "round")}, ${counted(room.votes_per_round, "vote")} each. ${TIE_RULE}`),
  );
  return {
    el,
    update: () => setText(joined, known.presence ? `${counted(known.presence.voters, "voter")} ${known.presence.voters === 1 ? "is" : "are"} in` : ""),
  };
}

/**
 * Shows one page after the other.
 *
 * @param {HTMLElement[]} all
 * @returns {Picture}
 */
function turning(all) {
  if (all.length === 1) return { el: all[0], update: () => {} };
  const el = h("div", { class: "turning" }, all[0]);
  const start = Date.now();
  let at = 0;
  return {
    el,
    update() {
      const next = Math.floor((Date.now() - start) / PAGE_MS) % all.length;
      if (next === at) return;
      at = next;
      fill(el, all[at]);
      fitAll(el);
    },
  };
}

function qr() {
  return h("img", { src: `/api/v1/rooms/${code}/qr.svg`, alt: "QR code of the voters' link" });
}

/** @param {Room} room */
function urlOf(room) {
  return room.url ?? `${location.origin}/r/${code}`;
}

/** The address to type: the part before the room's own path. @param {Room} room */
function address(room) {
  return new URL(urlOf(room)).host;
}

const drawCorner = redraw(corner, (/** @type {{ url: string, show: boolean, rehearsal: boolean }} */ { url, show, rehearsal }) => {
  corner.hidden = !show && !rehearsal;
  document.body.classList.toggle("with-corner", show);
  return [
    rehearsal && h("p", { class: "rehearsal" }, "Rehearsal"),
    show && h("div", { class: "corner-join" }, qr(), h("p", {}, new URL(url).host, h("br"), h("strong", { class: "mono" }, code))),
  ];
});

function drawMark() {
  const lost = Date.now() - link.since;
  if (link.phase === "ended") {
    mark.hidden = false;
    const gone = link.code === 4404 || link.reason === "room_deleted";
    if (!known.room) fill(stage, message(gone ? `There is no room ${code}` : "Load this page anew").el), fitAll(stage);
    setText(mark, gone ? "This room is gone" : "Disconnected; load this page anew");
  } else {
    mark.hidden = link.phase === "up" || lost < LOSS_MS;
    setText(mark, `No signal for ${ago(lost)}${known.room ? "; this is the last picture" : ""}`);
  }
}

/** Keeps the screen on if the browser allows it, again each time the page becomes visible. */
function keepAwake() {
  const ask = () => document.visibilityState === "visible" && navigator.wakeLock?.request("screen").catch(() => {});
  document.addEventListener("visibilitychange", ask);
  ask();
}
