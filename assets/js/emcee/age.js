/** How old the desk's figures are. What is not known to be true now must not look like it. */

import { ago } from "../lib/format.js";

/** The server sends something each second. After this long without a message, figures are stale, whatever the socket's state. */
const SILENT_MS = 3000;

/**
 * The age of figures, or null while they are fresh. They are not once the connection is gone.
 *
 * @param {boolean} connected
 * @param {number} heardAt this device's time of the last word about them
 * @param {number} now this device's time
 * @returns {number | null} milliseconds
 */
export function ageOf(connected, heardAt, now) {
  const age = Math.max(0, now - heardAt);
  return connected && age < SILENT_MS ? null : age;
}

/** @param {number | null} age */
export function ageWords(age) {
  return age === null ? "" : `as of ${ago(age)} ago`;
}
