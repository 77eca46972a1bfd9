/** What this browser remembers. A private window may refuse storage; then it lasts as long as the page. */

/** @type {Map<string, string>} */
const memory = new Map();
const PREFIX = "tallycast.";

/**
 * @param {string} key
 * @returns {any} what was kept, or null
 */
export function recall(key) {
  let text = memory.get(PREFIX + key) ?? null;
  try {
    text = localStorage.getItem(PREFIX + key) ?? text;
  } catch {
    // refused: the copy in memory has to do
  }
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
export function keep(key, value) {
  const text = JSON.stringify(value);
  memory.set(PREFIX + key, text);
  try {
    localStorage.setItem(PREFIX + key, text);
  } catch {
    // full or refused: the copy in memory has to do
  }
}

/** @param {string} key */
export function forget(key) {
  memory.delete(PREFIX + key);
  try {
    localStorage.removeItem(PREFIX + key);
  } catch {
    // refused: there was nothing to remove
  }
}
