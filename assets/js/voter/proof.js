/**
 * The check of a proof: that this voter's own votes are in the sealed record. Every hash is computed here again, as
 * docs/protocol.md describes; what the server says about them is only compared.
 *
 * @typedef {object} Own what this phone knows by itself
 * @property {number} round
 * @property {number} take
 * @property {string} voter
 * @property {string} votes the letters that were acknowledged here
 * @property {string} seal the seal that everybody was shown
 */

const DIGEST = /^[0-9a-f]{64}$/;

/** Whether this browser computes hashes for pages: it does on secure pages only, so not over plain HTTP in a hall. */
export function canCheck() {
  return globalThis.crypto?.subtle !== undefined;
}

/**
 * Whether a proof shows that these votes are under this seal. Anything else in its place is no proof.
 *
 * @param {any} proof the answer of `GET /rooms/{room}/me/proof`
 * @param {Own} own
 */
export async function isProved(proof, own) {
  try {
    return isAboutMe(proof, own) && (await isSealed(proof, own));
  } catch {
    return false;
  }
}

/**
 * The voter may have voted on another phone after this one, so the ballot may be longer than what is known here.
 *
 * @param {any} proof
 * @param {Own} own
 */
function isAboutMe({ voter, votes, seal, record }, own) {
  const named = voter === own.voter && record.round === own.round && record.take === own.take;
  return named && votes.startsWith(own.votes) && seal === own.seal;
}

/**
 * @param {any} proof
 * @param {Own} own
 */
async function isSealed({ leaf, path, index, size, voter, votes, time_ms, salt, record }, own) {
  const hashed = await hash(0, [text(digest(salt)), text(words(voter)), text(words(votes)), number(time_ms)]);
  if (hex(hashed) !== leaf || size !== record.leaves) return false;
  const root = await rootAbove(hashed, index, size, path);
  return root !== null && hex(root) === record.root && (await sealOf(record)) === own.seal;
}

/**
 * The root at the end of a path: RFC 9162, section 2.1.3.2. Null if the path is too short or too long.
 *
 * @param {Uint8Array} leaf
 * @param {number} index
 * @param {number} size
 * @param {string[]} path
 */
async function rootAbove(leaf, index, size, path) {
  if (!(index >= 0 && index < size)) return null;
  let [at, last, root] = [index, size - 1, leaf];
  for (const beside of path) {
    if (last === 0) return null;
    if (at % 2 === 1 || at === last) {
      root = await hash(1, [digest(beside), root]);
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else {
      root = await hash(1, [root, digest(beside)]);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 ? root : null;
}

/** @param {any} record */
async function sealOf(record) {
  const { seal_number, round, take, votes, voters, opened_at, closed_at, by, leaves, root, previous } = record;
  const numbers = [seal_number, round, take, votes.length, ...votes, voters, opened_at, closed_at].map(number);
  const before = previous === undefined ? new Uint8Array() : digest(previous);
  return hex(await hash(2, [...numbers, text(words(by)), number(leaves), text(digest(root)), text(before)]));
}

/**
 * @param {number} kind 0 for a leaf, 1 for a node, 2 for a seal
 * @param {Uint8Array[]} parts
 */
async function hash(kind, parts) {
  const bytes = Uint8Array.from([kind, ...parts.flatMap((part) => [...part])]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** @param {number} value 8 bytes, big-endian */
function number(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError("not a count");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

/** @param {Uint8Array} bytes after their length */
function text(bytes) {
  return Uint8Array.from([...number(bytes.length), ...bytes]);
}

/** @param {string} value */
function words(value) {
  return new TextEncoder().encode(value);
}

/** @param {string} value 64 hexadecimal digits */
function digest(value) {
  if (!DIGEST.test(value)) throw new TypeError("not a hash");
  return Uint8Array.from({ length: 32 }, (_, index) => Number.parseInt(value.slice(2 * index, 2 * index + 2), 16));
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
