/** Who this phone is in a room: its name, its token, and its card, the way back when the token is lost. */

import { call } from "../lib/api.js";
import { forget, keep, recall } from "../lib/store.js";

/** @typedef {{ voter: string, name: string, token: string, card: string }} Me */
/** @typedef {{ name: string, card?: string, invite?: string }} Arrival */

const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const CARD_LENGTH = 12;
const RECENT_ROOMS = 4;

/**
 * A room's code as the server writes it, or null if this is none.
 *
 * @param {string} text
 */
export function roomCode(text) {
  const code = text.replace(/[\s-]/g, "").toUpperCase();
  return /^[A-HJ-NP-Z2-9]{6}$/.test(code) ? code : null;
}

/**
 * What a link carries in its fragment, which no server ever logs.
 *
 * @param {string} hash
 * @returns {{ invite?: string, card?: string, name?: string }}
 */
export function hints(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const { invite, card, name } = Object.fromEntries(fields);
  return { invite, card: card?.toUpperCase(), name };
}

/** A new card. Made here, so that a join whose answer is lost can be repeated. */
function newCard() {
  const bytes = crypto.getRandomValues(new Uint8Array(CARD_LENGTH));
  return [...bytes].map((byte) => ALPHABET[byte % ALPHABET.length]).join("");
}

/**
 * @param {string} code
 * @returns {Me | null}
 */
export function myself(code) {
  return recall(`me.${code}`);
}

/**
 * Joins the room, or comes back to it. The card is kept before it is sent. Cookies stay out of it: who left the room on this
 * phone would come back as the same voter, and a card given here would be overruled.
 *
 * @param {string} code
 * @param {Arrival} arrival
 * @returns {Promise<Me>}
 */
export async function join(code, { name, card, invite }) {
  const mine = card || recall(`card.${code}`) || newCard();
  if (!card) keep(`card.${code}`, mine);
  const body = { ...(name ? { name } : {}), card: mine, ...(invite ? { invite } : {}) };
  const me = await call("POST", `/rooms/${code}/join`, { body, anonymous: true });
  keep(`me.${code}`, { voter: me.voter, name: me.name, token: me.token, card: me.card ?? mine });
  forget(`card.${code}`);
  return me;
}

/**
 * @param {string} code
 * @param {string} name
 */
export function rename(code, name) {
  const me = myself(code);
  if (me) keep(`me.${code}`, { ...me, name });
}

/** @param {string} code */
export function forgetMe(code) {
  forget(`me.${code}`);
  forget(`card.${code}`);
  forget(`slips.${code}`);
}

/**
 * A link that brings another phone to where this one is.
 *
 * @param {string} code
 * @param {Me} me
 */
export function wayBack(code, me) {
  const fields = new URLSearchParams({ card: me.card, name: me.name });
  return `${location.origin}/r/${code}#${fields}`;
}

/** @returns {{ code: string, title: string }[]} rooms this phone was in, newest first */
export function recentRooms() {
  return recall("recent") ?? [];
}

/**
 * @param {string} code
 * @param {string} title
 */
export function rememberRoom(code, title) {
  const others = recentRooms().filter((room) => room.code !== code);
  keep("recent", [{ code, title }, ...others].slice(0, RECENT_ROOMS));
}
