/** Numbers and times as people read them. */

const NUMBER = new Intl.NumberFormat("en");

/** @param {number} value */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/**
 * Time left as `0:07`, `12:30` or `1:02:03`. Rounded up, so that 0:00 means over.
 *
 * @param {number} ms
 */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = String(seconds % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/**
 * How long ago, in words as short as they can be.
 *
 * @param {number} ms
 */
export function ago(ms) {
  if (ms < 60_000) return `${Math.max(0, Math.round(ms / 1000))} s`;
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

/**
 * Names as a list in words: "A", "A and B", "A, B and C".
 *
 * @param {string[]} names
 */
export function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/**
 * A seal as people compare it: its first 24 digits, in groups of four.
 *
 * @param {string} seal
 */
export function shortSeal(seal) {
  return (seal.slice(0, 24).match(/.{1,4}/g) ?? []).join(" ");
}
