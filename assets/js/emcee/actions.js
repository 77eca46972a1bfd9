/** The calls behind the emcee's buttons. Each says what must be, and passes the room in the answer to the desk. */

import { call } from "../lib/api.js";
import { choiceOf } from "../lib/choices.js";
import * as about from "./about.js";

/**
 * @typedef {import("./commands.js").Commands} Commands
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/wire.js").Round} Round
 * @typedef {import("../lib/wire.js").Reveal} Reveal
 * @typedef {import("../lib/wire.js").Stage} Stage
 * @typedef {import("../lib/wire.js").Preview} Preview
 */

export class Actions {
  #code;
  #commands;
  #learned;
  #revealed;

  /**
   * @param {string} code
   * @param {Commands} commands
   * @param {(room: Room) => void} learned
   * @param {(answer: { reveal: Reveal | null, preview: Preview | null }) => void} revealed
   */
  constructor(code, commands, learned, revealed) {
    this.#code = code;
    this.#commands = commands;
    this.#learned = learned;
    this.#revealed = revealed;
  }

  /**
   * @param {string} label
   * @param {Round} round
   * @param {string} what
   * @param {object} [body]
   * @param {import("./about.js").About} [subject]
   */
  #round(label, { round }, what, body = {}, subject = about.show) {
    const path = `/rooms/${this.#code}/rounds/${round}/${what}`;
    return this.#commands.run(label, () => call("POST", path, { body }), this.#learned, subject);
  }

  /** @param {Round} round @param {number} [seconds] as planned, if left out */
  open(round, seconds) {
    const time = seconds === undefined ? "" : ` for ${seconds} s`;
    return this.#round(`Open round ${round.round}${time}`, round, "open", { take: round.take, ...(seconds === undefined ? {} : { seconds }) });
  }

  /** @param {Round} round */
  close(round) {
    return this.#round(`Close round ${round.round}`, round, "close", { take: round.take });
  }

  /** @param {Round} round @param {number | null} closesAt the ledger's time @param {string} words */
  deadline(round, closesAt, words) {
    return this.#round(`Round ${round.round}: ${words}`, round, "deadline", { closes_at: closesAt === null ? null : Math.round(closesAt) }, about.deadline(round));
  }

  /** @param {Round} round @param {number} take @param {string} label */
  take(round, take, label) {
    return this.#round(label, round, "take", { take });
  }

  /** @param {Round} round */
  show(round) {
    return this.#round(`Show the result of round ${round.round}`, round, "show");
  }

  /** @param {Round} round @param {string | null} winner a letter, null for a draw, or "votes" */
  decide(round, winner) {
    const choice = choiceOf(round, winner);
    const words = choice ? `${choice.letter.toUpperCase()} wins` : winner === null ? "a draw" : "as the votes say";
    return this.#round(`Decide round ${round.round}: ${words}`, round, "decide", { winner });
  }

  /** @param {number | null} place @param {number} top @param {string} label @param {number} [autoMs] */
  reveal(place, top, label, autoMs) {
    const body = { place, top, ...(autoMs ? { auto_ms: autoMs } : {}) };
    return this.#commands.run(label, () => call("PUT", `/rooms/${this.#code}/reveal`, { body }), this.#revealed, about.show);
  }

  /** @param {Stage} body @param {string} label */
  stage(body, label) {
    return this.#commands.run(label, () => call("PUT", `/rooms/${this.#code}/stage`, { body }), this.#learned, about.stage);
  }

  /** @param {{ [field: string]: unknown }} fields @param {string} label */
  change(fields, label) {
    return this.#commands.run(label, () => call("PATCH", `/rooms/${this.#code}`, { body: fields }), this.#learned, about.settings(Object.keys(fields)));
  }
}
