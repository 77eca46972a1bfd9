/**
 * Asks for the proof of each sealed round, once, and remembers what came of it. The whole hall learns of a seal in the same
 * second, so each phone waits a random time before it asks.
 */

import { ApiError } from "../lib/api.js";
import { isProved } from "./proof.js";

/**
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {"proved" | "broken" | "unknown"} Finding `unknown` also while it is being found out
 */

/** Within this time all phones ask. */
const SPREAD_MS = 15_000;
/** How often it is asked again where that may help. */
const MAX_TRIES = 4;

export class SealCheck {
  /** @type {Map<string, Finding>} by seal */
  #findings = new Map();
  #ask;
  #changed;
  #random;

  /**
   * @param {object} world
   * @param {(round: number) => Promise<any>} world.ask the server's proof for a round
   * @param {() => void} world.changed called when a finding has changed
   * @param {() => number} [world.random]
   */
  constructor({ ask, changed, random = Math.random }) {
    this.#ask = ask;
    this.#changed = changed;
    this.#random = random;
  }

  /**
   * What is known of the voter's votes in a round. The first call for a sealed round starts the check.
   *
   * @param {Round} round
   * @param {string} voter
   * @param {string} votes what was acknowledged in this take
   * @returns {Finding}
   */
  of({ round, take, seal }, voter, votes) {
    if (!seal || votes === "") return "unknown";
    const known = this.#findings.get(seal);
    if (known) return known;
    this.#findings.set(seal, "unknown");
    this.#later(0, { round, take, seal, voter, votes });
    return "unknown";
  }

  /**
   * @param {number} tries
   * @param {import("./proof.js").Own} own
   */
  #later(tries, own) {
    setTimeout(() => this.#check(tries, own), this.#random() * SPREAD_MS * 2 ** tries);
  }

  /**
   * @param {number} tries
   * @param {import("./proof.js").Own} own
   */
  async #check(tries, own) {
    try {
      this.#found(own, (await isProved(await this.#ask(own.round), own)) ? "proved" : "broken");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.code === "seal_broken") this.#found(own, "broken");
      else if (error.passing && tries + 1 < MAX_TRIES) this.#later(tries + 1, own);
    }
  }

  /**
   * @param {import("./proof.js").Own} own
   * @param {Finding} finding
   */
  #found({ seal }, finding) {
    this.#findings.set(seal, finding);
    this.#changed();
  }
}
