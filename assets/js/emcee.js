/** The emcee's page: signs in, lists the rooms, and opens the desk of one. */

import { ApiError, call } from "./lib/api.js";
import { byId, fill, h } from "./lib/dom.js";
import { keep, recall } from "./lib/store.js";
import { reasonOf } from "./emcee/commands.js";
import { openDesk } from "./emcee/desk.js";
import { newRoomPage, roomsPage } from "./emcee/rooms.js";

const RETRY_MS = 3000;
const main = byId("main");
const bar = byId("bar");

/** @type {{ el: HTMLElement, stop: () => void } | null} */
let desk = null;
/** What the list of rooms says on top, once. */
let notice = "";

const given = readFragment(location.hash);
if (given.key !== null) {
  setRoom(given.room); // a key does not stay in the address bar
  signIn({ key: given.key });
} else if (given.handover !== null) {
  setRoom(given.room);
  signIn({ handover: given.handover });
} else {
  arrive();
}
addEventListener("hashchange", () => {
  const { key } = readFragment(location.hash);
  if (key !== null) location.reload();
  else showRoomOfAddress();
});

/**
 * A fragment is a key, or fields, or both: `#KEY&room=CODE`.
 *
 * @param {string} hash
 * @returns {{ key: string | null, handover: string | null, room: string | null }}
 */
function readFragment(hash) {
  const parts = hash.replace(/^#/, "").split("&").filter(Boolean);
  const isField = (/** @type {string} */ part) => /^(room|handover)=/.test(part);
  const key = parts.find((part) => !isField(part));
  const fields = new URLSearchParams(parts.filter(isField).join("&"));
  return { key: key === undefined ? null : decodeURIComponent(key), handover: fields.get("handover"), room: fields.get("room")?.toUpperCase() ?? null };
}

/** @param {string | null} code */
function setRoom(code) {
  history.replaceState(null, "", code ? `#room=${code}` : location.pathname);
}

/** Goes in with the cookie if there is one: to the room of the address, to the only one, or to the list. */
async function arrive() {
  fill(main, h("p", { class: "narrow", role: "status" }, "One moment …"));
  try {
    const { rooms } = await call("GET", "/rooms");
    if (!readFragment(location.hash).room && rooms.length === 1) setRoom(rooms[0].room);
    showRoomOfAddress();
  } catch (error) {
    if (error instanceof ApiError && error.passing) return tryLater(error, arrive);
    showSignIn("");
  }
}

/** @param {ApiError} error @param {() => void} again */
function tryLater(error, again) {
  fill(main, h("section", { class: "narrow stack", role: "alert" }, h("h1", {}, "One moment"), h("p", {}, `${error.detail} This page tries again by itself.`)));
  setTimeout(again, RETRY_MS);
}

/** @param {{ key: string } | { handover: string }} proof */
async function signIn(proof) {
  try {
    await call("POST", "/session", { body: { ...proof, device: deviceName() } });
    if (readFragment(location.hash).room) showRoomOfAddress();
    else await arrive();
  } catch (error) {
    showSignIn(signInWords(error));
  }
}

/** @param {unknown} error */
function signInWords(error) {
  if (error instanceof ApiError && error.code === "bad_key") return "This key is not right.";
  if (error instanceof ApiError && error.code === "too_many") return "Too many tries. Wait a minute, then try again.";
  return reasonOf(error);
}

/** @param {string} problem */
function showSignIn(problem) {
  leaveDesk();
  bar.hidden = true;
  const key = h("input", { type: "password", id: "key", required: true, autocomplete: "current-password" });
  const device = h("input", { id: "device", value: deviceName(), maxlength: 40 });
  const form = h(
    "form",
    { class: "card stack" },
    h("label", { for: "key" }, h("span", {}, "Emcee key, as the server printed it at its start"), key),
    h("label", { for: "device" }, h("span", {}, "This device's name, for the other desks"), device),
    problem !== "" && h("p", { class: "error", role: "alert" }, problem),
    h("button", { class: "primary" }, "Sign in"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep("device", device.value.trim());
    signIn({ key: key.value.trim() });
  });
  fill(main, h("section", { class: "narrow stack" }, h("h1", {}, "The emcee's desk"), form));
  key.focus();
}

function deviceName() {
  return recall("device") || (/Mobi|Android|iPhone|iPad/.test(navigator.userAgent) ? "phone" : "laptop");
}

function showRoomOfAddress() {
  const { room } = readFragment(location.hash);
  if (room) showDesk(room);
  else showRooms();
}

function showRooms() {
  leaveDesk();
  drawBar(false);
  document.title = "Desk · Tallycast";
  fill(main, roomsPage({ open: goTo, make: showNewRoom, signedOut: () => showSignIn("") }, notice));
  notice = "";
}

function showNewRoom() {
  scrollTo(0, 0);
  drawBar(true);
  fill(main, newRoomPage(goTo, showRooms));
}

/** @param {string} code */
function goTo(code) {
  if (location.hash === `#room=${code}`) showDesk(code);
  else location.hash = `room=${code}`;
}

/** @param {string} code */
function showDesk(code) {
  leaveDesk();
  drawBar(true);
  desk = openDesk(code, {
    signedOut: () => showSignIn("You are signed out. Sign in again to go on."),
    gone: (why) => {
      notice = why;
      backToRooms();
    },
    deleted: (title) => {
      notice = `${title} is deleted. It can be brought back here until it is purged.`;
      backToRooms();
    },
  });
  fill(main, desk.el);
}

function backToRooms() {
  setRoom(null);
  showRooms();
}

function leaveDesk() {
  scrollTo(0, 0);
  desk?.stop();
  desk = null;
}

/** @param {boolean} inside whether there is a way back to the list */
function drawBar(inside) {
  bar.hidden = false;
  const signOut = async () => {
    await call("DELETE", "/session").catch(() => null);
    setRoom(null);
    showSignIn("");
  };
  fill(
    bar,
    h("span", { class: "brand" }, "Tallycast desk"),
    h("span", { class: "row" }, inside && h("button", { type: "button", class: "small", onclick: backToRooms }, "Rooms"), h("button", { type: "button", class: "small", onclick: signOut }, "Sign out")),
  );
}
