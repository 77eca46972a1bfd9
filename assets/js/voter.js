/** The voter's page: enters a room, then draws what the server's last state and the voter's own slips say. */

import { ApiError, call } from "./lib/api.js";
import { flying } from "./lib/ballot.js";
import { titleOf } from "./lib/choices.js";
import { LedgerClock } from "./lib/clock.js";
import { byId, fill, h, redraw, setText } from "./lib/dom.js";
import { currentRound, learn, NOTHING } from "./lib/known.js";
import { Socket } from "./lib/socket.js";
import { keep, recall } from "./lib/store.js";
import { Caster } from "./voter/caster.js";
import { endPage, ownCorner } from "./voter/ends.js";
import { codePage, joinPage } from "./voter/entry.js";
import { hints, join, myself, rememberRoom, roomCode } from "./voter/me.js";
import { bannerOf, screenOf } from "./voter/picture.js";
import { canCheck } from "./voter/proof.js";
import { rankingScreen } from "./voter/ranking.js";
import { againScreen, lobbyScreen, resultScreen } from "./voter/rest.js";
import { SealCheck } from "./voter/seals.js";
import { fateWords, voteScreen } from "./voter/vote.js";

/**
 * @typedef {import("./lib/wire.js").Room} Room
 * @typedef {import("./voter/me.js").Me} Me
 */

const TICK_MS = 200;
const RETRY_MS = 3000;
/** A token refused again within this time is not helped by another. */
const REJOIN_GAP_MS = 20_000;

const top = byId("top");
const main = byId("main");
const footer = h("footer", { id: "foot" });
main.after(footer);

const code = roomCode(location.pathname.split("/")[2] ?? "");
if (code) enter(code);
else fill(main, codePage(location.pathname.startsWith("/r/") ? "This link has no valid room code." : ""));

/**
 * Joins with the token or card of this phone or the link, or asks for a name.
 *
 * @param {string} code
 */
async function enter(code) {
  const given = hints(location.hash);
  const me = myself(code);
  if (me && (!given.card || given.card === me.card)) return live(code, me);
  ask(code, given);
}

/**
 * @param {string} code
 * @param {{ name?: string, card?: string, invite?: string }} given
 * @param {string} [notice]
 */
async function ask(code, given, notice) {
  try {
    /** @type {Room} */
    const room = await call("GET", `/rooms/${code}`);
    document.title = room.title;
    const joined = (/** @type {Me} */ me) => {
      history.replaceState(null, "", location.pathname); // a card or invite in the address is for this phone only
      live(code, myself(code) ?? me);
    };
    fill(main, joinPage({ room, given, notice, joined }));
    document.getElementById("name")?.focus();
  } catch (error) {
    if (error instanceof ApiError && error.code === "no_such_room") {
      fill(main, codePage(`There is no room ${code}. Check the six characters, or scan the code again.`));
      return;
    }
    const detail = error instanceof ApiError ? error.detail : String(error);
    fill(main, h("section", { class: "page middle", role: "alert" }, h("h1", {}, "One moment"), h("p", {}, `${detail} This page tries again by itself.`)));
    setTimeout(() => ask(code, given, notice), RETRY_MS * (0.5 + Math.random()));
  }
}

/**
 * The page from the moment that the voter is known.
 *
 * @param {string} code
 * @param {Me} me
 */
function live(code, me) {
  let known = NOTHING;
  /** @type {import("./lib/socket.js").Link} */
  let link = { phase: "connecting", since: Date.now() };
  let drawing = 0;
  let rejoinedAt = 0;
  let shown = "";
  let spoken = "";
  /** @type {import("./voter/picture.js").Screen | null} */
  let screen = null;
  const clock = new LedgerClock();

  const socket = new Socket({
    hello: () => ({ room: code, role: "voter", token: me.token }),
    frame,
    link: (now) => {
      link = now;
      if (now.phase !== "up") caster.down();
      if (now.phase === "ended") ended();
      else draw();
    },
    time: (sentAt, receivedAt, now) => clock.sample(sentAt, receivedAt, now),
  });
  const caster = new Caster({
    send: (cast) => socket.send("cast", cast),
    restart: () => socket.restart(),
    save: (slips) => keep(`slips.${code}`, { voter: me.voter, slips }),
    saved: () => {
      const saved = recall(`slips.${code}`);
      return saved?.voter === me.voter ? saved.slips : null;
    },
    changed: draw,
  });

  const seals = canCheck() ? new SealCheck({ ask: (round) => call("GET", `/rooms/${code}/me/proof?round=${round}`, { token: me.token }), changed: draw }) : null;

  fill(main, h("section", { class: "page middle" }, h("p", { role: "status" }, "Connecting …")));
  socket.connect();
  const ticking = setInterval(draw, TICK_MS);
  for (const event of ["online", "offline"]) window.addEventListener(event, draw);

  /** @param {string} kind @param {any} body */
  function frame(kind, body) {
    known = learn(known, kind, body);
    if (kind === "state" && known.room) {
      if (known.you) nameIs(known.you);
      caster.state(known.room, body.you);
    }
    if (kind === "ballot") caster.answer(body);
    if (kind === "mine") caster.mine(body);
    draw();
  }

  /** @param {{ name: string, card?: string }} you */
  function nameIs({ name, card }) {
    if (name === me.name && (!card || card === me.card)) return;
    me = { ...me, name, card: card ?? me.card };
    keep(`me.${code}`, me);
    drawCorner(me);
  }

  function draw() {
    // a hidden page draws nothing, and all at once when it is seen again
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      if (link.phase !== "ended") render();
    });
  }

  const drawTop = redraw(top, (/** @type {{ title: string, name: string, rehearsal: boolean }} */ { title, name, rehearsal }) => [
    h("span", { class: "title name" }, title),
    rehearsal && h("span", { class: "rehearsal" }, "Rehearsal"),
    h("span", { class: "who name" }, name),
  ]);
  const drawBanner = redraw(byId("banner"), (/** @type {ReturnType<typeof bannerOf>} */ banner) => [banner && h("p", { role: banner.alert ? "alert" : "status" }, banner.text)]);
  const drawCorner = redraw(footer, (/** @type {Me} */ me) => [ownCorner(code, me)]);
  drawCorner(me);

  function render() {
    const { room } = known;
    const slips = caster.slips;
    drawBanner(bannerOf({ link, online: navigator.onLine, known, flying: slips ? flying(slips) : 0, now: Date.now() }));
    if (!room) return;
    drawTop({ title: room.title, name: known.you?.name ?? me.name, rehearsal: room.rehearsal });
    if (document.title !== room.title) {
      document.title = room.title;
      rememberRoom(code, room.title);
    }

    const kind = screenOf(known);
    const round = currentRound(room);
    const key = kind === "vote" && round ? `vote ${round.round} ${round.take} ${JSON.stringify([round.title, round.choices])}` : kind;
    if (key !== shown || !screen) {
      shown = key;
      screen = build(kind, room);
      fill(main, screen.el);
      scrollTo(0, 0);
    }
    footer.hidden = kind === "vote";
    screen.update({ known, room, slips, now: clock.now(), timed: clock.known });
    speak(kind, room);
  }

  /**
   * @param {ReturnType<typeof screenOf>} kind
   * @param {Room} room
   */
  function build(kind, room) {
    const round = currentRound(room);
    if (kind === "vote" && round) return voteScreen(round, room.rounds.length, tap);
    if (kind === "again") return againScreen();
    if (kind === "result") return resultScreen((round, slips) => seals?.of(round, me.voter, slips.kept) ?? "unknown");
    return kind === "reveal" ? rankingScreen() : lobbyScreen();
  }

  /** @param {string} letter */
  function tap(letter) {
    if (caster.tap(letter)) navigator.vibrate?.(12);
  }

  /**
   * Announces to a screen reader what changed, in one line, and only once it no longer changes.
   *
   * @param {ReturnType<typeof screenOf>} kind
   * @param {Room} room
   */
  function speak(kind, room) {
    const round = currentRound(room);
    let words = "";
    if (kind === "vote" && round) {
      const slips = caster.slips;
      if (slips && flying(slips) > 0) return;
      words = `${titleOf(round)} is open. ${slips ? fateWords(slips, slips.shut) : ""}`;
    }
    if (words === spoken) return;
    spoken = words;
    setText(byId("say"), words);
  }

  /** The connection is over for good, unless the token was only outdated and the card opens the door again. */
  function ended() {
    if (link.code === 4401) {
      if (Date.now() - rejoinedAt > REJOIN_GAP_MS) {
        rejoin();
      } else {
        stop();
        ask(code, { name: me.name, card: me.card });
      }
      return;
    }
    fill(byId("banner"));
    footer.hidden = true;
    shown = "";
    const again = () => socket.connect();
    fill(main, endPage(link, again));
  }

  async function rejoin() {
    rejoinedAt = Date.now();
    try {
      await join(code, { name: me.name, card: me.card });
      me = myself(code) ?? me;
      socket.connect();
    } catch (error) {
      if (error instanceof ApiError && error.passing) {
        setTimeout(rejoin, RETRY_MS * (0.5 + Math.random()));
        return;
      }
      stop();
      ask(code, { name: me.name, card: me.card }, error instanceof ApiError ? error.detail : undefined);
    }
  }

  function stop() {
    clearInterval(ticking);
    socket.stop();
    footer.replaceChildren();
  }
}
