/** The desk of one room: keeps what is known of it, and draws every part from that. */

import { h, redraw, setText } from "../lib/dom.js";
import { LedgerClock } from "../lib/clock.js";
import { ago } from "../lib/format.js";
import { learn, learnRoom, NOTHING } from "../lib/known.js";
import { Socket } from "../lib/socket.js";
import { Actions } from "./actions.js";
import { ageOf } from "./age.js";
import { Commands } from "./commands.js";
import { nextStep } from "./fits.js";
import { healthCard, linksCard } from "./health.js";
import { Keys } from "./keys.js";
import { invitesSection, votersSection } from "./people.js";
import { Rest } from "./rest.js";
import { revealCard } from "./reveal.js";
import { roundCard, roundList } from "./rounds.js";
import { deleteSection, planSection, recordsSection, switchesCard } from "./settings.js";
import { stepCard } from "./step.js";

/**
 * @typedef {import("../lib/known.js").Known} Known
 * @typedef {import("../lib/wire.js").Room} Room
 *
 * @typedef {object} View
 * @property {Known} known
 * @property {Room} room
 * @property {number} selected the round in hand
 * @property {number} now the ledger's time
 * @property {boolean} timed
 * @property {import("./fits.js").Step} step what comes next
 * @property {number} resting for so many milliseconds more no step is taken
 * @property {number | null} age of the show's figures in milliseconds, null while they are fresh
 * @property {number | null} deskAge the same of the machine's
 *
 * @typedef {{ el: HTMLElement, update: (view: View) => void }} Section
 *
 * @typedef {object} Ways
 * @property {() => void} signedOut the server no longer knows this emcee
 * @property {(notice: string) => void} gone the room can no longer be shown
 * @property {(title: string) => void} deleted
 */

const TICK_MS = 200;
const LOSS_MS = 2000;
const CONNECTED = "● connected";

/**
 * @param {string} code
 * @param {Ways} ways
 * @returns {{ el: HTMLElement, stop: () => void }}
 */
export function openDesk(code, ways) {
  /** @type {Known} */
  let known = NOTHING;
  /** @type {import("../lib/socket.js").Link} */
  let link = { phase: "connecting", since: Date.now() };
  /** The round picked by hand; it gives way to any round that opens. */
  let picked = 0;
  let opened = 0;
  let drawing = 0;
  /** This device's time of the server's last word, and of its last figures about the machine. */
  let heardAt = Date.now();
  let deskAt = Date.now();

  const clock = new LedgerClock();
  const keys = new Keys();
  const rest = new Rest();
  const commands = new Commands(ways.signedOut, () => known);
  const actions = new Actions(code, commands, learned, revealed);
  const reveal = revealCard(actions, keys);
  const sections = [
    stepCard(actions, commands, keys, reveal.top, reveal.stop),
    roundCard(code, actions, keys),
    reveal,
    roundList((round) => {
      picked = round;
      draw();
    }),
    healthCard(),
    switchesCard(actions),
    linksCard(code),
  ];
  const [step, round, ranking, rounds, health, switches, links] = sections.map((section) => section.el);
  const banner = h("div", { class: "banner" });
  const title = h("div", { class: "row desk-title" });
  const el = h(
    "div",
    { class: "desk" },
    title,
    banner,
    h("div", { class: "side rounds-side" }, rounds),
    h(
      "div",
      { class: "stack middle" },
      step,
      round,
      ranking,
      votersSection(code, commands),
      invitesSection(code, commands),
      planSection(code, actions, () => known.room),
      recordsSection(code),
      deleteSection(code, commands, () => known.room, ways.deleted),
    ),
    h("div", { class: "side stack" }, health, switches, links),
  );

  const socket = new Socket({
    hello: () => ({ room: code, role: "emcee" }),
    frame: (kind, body) => {
      heardAt = Date.now();
      if (kind === "desk") deskAt = heardAt;
      known = learn(known, kind, body);
      draw();
    },
    link: (now) => {
      link = now;
      if (now.phase === "ended") ended(now);
      draw();
    },
    time: (sentAt, receivedAt, now) => clock.sample(sentAt, receivedAt, now),
  });
  socket.connect();
  const ticking = setInterval(draw, TICK_MS);

  /** @param {Room} room the answer to a command, which may be here before the socket's word */
  function learned(room) {
    heardAt = Date.now();
    known = learnRoom(known, room);
    draw();
  }

  /** @param {{ reveal: import("../lib/wire.js").Reveal | null, preview: import("../lib/wire.js").Preview | null }} answer */
  function revealed(answer) {
    known = answer.reveal ? learn(known, "reveal", answer.reveal) : { ...known, reveal: null, preview: [] };
    if (answer.preview) known = learn(known, "preview", answer.preview);
    draw();
  }

  /** @param {import("../lib/socket.js").Link} end */
  function ended({ code: reason, reason: word }) {
    if (reason === 4401 || word === "signed_out") ways.signedOut();
    else if (reason === 4404 || word === "room_deleted") ways.gone("This room is gone.");
    else ways.gone("The server ended this desk's connection. Open the room again.");
  }

  function draw() {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      render();
    });
  }

  const drawTitle = redraw(title, (/** @type {{ title: string, phase: string, rehearsal: boolean, linked: string }} */ data) => [
    h("h1", { class: "name" }, data.title),
    h("span", { class: "mono code" }, code),
    h("span", { class: "tag figures" }, data.phase),
    data.rehearsal && h("span", { class: "rehearsal" }, "Rehearsal"),
    h("span", { class: data.linked === CONNECTED ? "tag good" : "tag warn" }, data.linked),
  ]);
  const lostFor = h("span");
  // the duration is outside the alert, which would be read out again each second
  const drawBanner = redraw(banner, (/** @type {string | null} */ text) => [text && h("p", {}, h("span", { role: "alert" }, text), lostFor)]);

  function render() {
    commands.settle();
    const lost = link.phase === "up" ? 0 : Date.now() - link.since;
    drawBanner(bannerText(lost));
    setText(lostFor, lost > LOSS_MS ? ` (${ago(lost)})` : "");
    const { room } = known;
    if (!room) return;
    document.title = `Desk · ${room.title}`;
    const up = link.phase === "up";
    const age = ageOf(up, heardAt, Date.now());
    el.classList.toggle("stale", age !== null);
    drawTitle({ title: room.title, phase: room.phase, rehearsal: room.rehearsal, linked: !up ? "○ not connected" : age === null ? CONNECTED : "○ no word from the server" });
    const step = nextStep(room, known.reveal, reveal.top());
    const view = {
      known,
      room,
      selected: selected(room),
      now: clock.now(),
      timed: clock.known,
      step,
      resting: rest.left(step.label, performance.now()),
      age,
      deskAge: ageOf(up, deskAt, Date.now()),
    };
    for (const section of sections) section.update(view);
  }

  /** @param {number} lost milliseconds without a connection */
  function bannerText(lost) {
    if (lost > LOSS_MS) {
      return navigator.onLine ? "The server cannot be reached. The show on the phones stands as it was; this desk comes back by itself." : "This device is offline. The show goes on without it.";
    }
    if (known.ledger === "down") return "The count does not answer. Votes wait on the phones and are not lost.";
    return known.room?.recovering ? "The count is being secured after a fault. Votes wait and are not lost." : null;
  }

  /** @param {Room} room */
  function selected(room) {
    const open = room.rounds.find((round) => round.phase === "open")?.round ?? 0;
    if (open !== opened) {
      opened = open;
      if (open) picked = 0;
    }
    return picked && picked <= room.rounds.length ? picked : Math.max(1, room.round);
  }

  draw();
  return {
    el,
    stop() {
      clearInterval(ticking);
      cancelAnimationFrame(drawing);
      drawing = -1; // draws no more
      socket.stop();
      keys.stop();
    },
  };
}
