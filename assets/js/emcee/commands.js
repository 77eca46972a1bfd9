/**
 * Every command of the emcee, from the press to the answer: sent, arrived, or failed with the reason and a button to repeat
 * it. Commands say what must be, so a repeat does nothing twice.
 */

import { ApiError } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";

/**
 * @typedef {import("../lib/known.js").Known} Known
 * @typedef {import("./about.js").About} About
 *
 * @typedef {object} Entry
 * @property {number} id
 * @property {string} label
 * @property {"sent" | "arrived" | "failed"} state
 * @property {number} ms
 * @property {string} reason
 * @property {() => boolean} moot whether it is obsolete: its subject has changed since it was given
 * @property {() => void} again
 */

/** How many commands the strip shows. */
const SHOWN = 4;

export class Commands {
  /** @type {Entry[]} newest first */
  #entries = [];
  #id = 0;
  #signedOut;
  #known;
  el = h("ol", { class: "commands", "aria-label": "Last commands" });
  #status = h("div", { role: "status", class: "off-screen" });

  /**
   * @param {() => void} signedOut called when the server no longer knows this emcee
   * @param {() => Known} known
   */
  constructor(signedOut, known) {
    this.#signedOut = signedOut;
    this.#known = known;
    this.#draw();
  }

  /** The words for a screen reader; belongs somewhere on the page. */
  get status() {
    return this.#status;
  }

  /** Whether any command has no answer yet. */
  get waiting() {
    return this.#entries.some((entry) => entry.state === "sent");
  }

  /**
   * Carries out one command.
   *
   * @template T
   * @param {string} label what it does, in words
   * @param {() => Promise<T>} send
   * @param {(answer: T) => void} [done] takes the answer, also that of a repetition
   * @param {About} [about] what it is about; left out, a failure stays until somebody has seen it
   */
  async run(label, send, done, about) {
    this.#id += 1;
    const found = about?.(this.#known());
    const moot = () => about !== undefined && about(this.#known()) !== found;
    /** @type {Entry} */
    const entry = { id: this.#id, label, state: "sent", ms: 0, reason: "", moot, again: () => this.#repeat(entry, send, done, about) };
    // a failed one of the same words is settled by this one
    this.#entries = [entry, ...this.#entries.filter((other) => other.label !== label || other.state === "sent")];
    await this.#send(entry, send, done);
  }

  /**
   * @template T
   * @param {Entry} entry
   * @param {() => Promise<T>} send
   * @param {(answer: T) => void} [done]
   * @param {About} [about]
   */
  async #repeat(entry, send, done, about) {
    this.#drop(entry);
    await this.run(entry.label, send, done, about);
  }

  /** Drops the failures that no longer matter. To be called when more is known. */
  settle() {
    for (const entry of this.#entries) if (entry.state === "failed" && entry.moot()) this.#drop(entry);
  }

  /** @param {Entry} entry */
  #drop(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#draw();
  }

  /**
   * @template T
   * @param {Entry} entry
   * @param {() => Promise<T>} send
   * @param {(answer: T) => void} [done]
   */
  async #send(entry, send, done) {
    this.#draw();
    const start = performance.now();
    try {
      const answer = await send();
      entry.state = "arrived";
      entry.ms = Math.round(performance.now() - start);
      done?.(answer);
    } catch (error) {
      entry.state = "failed";
      entry.reason = reasonOf(error);
      if (error instanceof ApiError && error.status === 401) this.#signedOut();
    }
    this.#draw();
  }

  #draw() {
    const failed = this.#entries.filter((entry) => entry.state === "failed");
    const others = this.#entries.filter((entry) => entry.state !== "failed");
    this.#entries = [...failed, ...others].sort((a, b) => b.id - a.id).slice(0, 20);
    const shown = [...failed, ...others.slice(0, Math.max(1, SHOWN - failed.length))];
    fill(this.el, ...shown.map((entry) => this.#row(entry)), this.#entries.length === 0 && h("li", { class: "muted" }, "Commands appear here with their outcome."));
    const newest = this.#entries[0];
    if (newest) fill(this.#status, `${newest.label}: ${newest.state === "failed" ? newest.reason : newest.state}`);
  }

  /** @param {Entry} entry */
  #row(entry) {
    return h(
      "li",
      { class: entry.state },
      h("span", { class: "mark", "aria-hidden": "true" }, { sent: "…", arrived: "✓", failed: "✗" }[entry.state]),
      h("span", {}, h("strong", {}, entry.label), " ", h("span", { class: "muted" }, outcome(entry))),
      entry.state === "failed" &&
        h("span", { class: "row" }, h("button", { type: "button", class: "small", onclick: entry.again }, "Try again"), h("button", { type: "button", class: "small", onclick: () => this.#drop(entry) }, "Got it")),
    );
  }
}

/** @param {Entry} entry */
function outcome({ state, ms, reason }) {
  if (state === "sent") return "sent, waiting for the answer";
  return state === "arrived" ? `arrived (${ms} ms)` : reason;
}

/**
 * Why a call failed, in words for somebody with a microphone in the other hand.
 *
 * @param {unknown} error
 */
export function reasonOf(error) {
  if (!(error instanceof ApiError)) return `This page stumbled: ${String(error)}`;
  return REASONS[error.code] ?? error.detail;
}

/** @type {{ [code: string]: string }} */
const REASONS = {
  unreachable: "Did not arrive: the server cannot be reached.",
  no_answer: "No answer in time. It may have arrived; trying again does no harm.",
  ledger_unavailable: "The count does not answer right now. It may have arrived; trying again does no harm.",
  closing: "Votes are refused already, but a part of the count cannot be reached. It is completed by itself.",
  busy: "The server is busy. Try again in a moment.",
  too_many: "Too many tries. Wait a moment.",
  another_round_open: "Another round is open.",
  already_closed: "This round was run already. Void it to run it again.",
  other_take: "The round is in another take by now.",
  ranking_shown: "The ranking is shown. Take it away first.",
  not_open: "The round is not open.",
  not_closed: "The round is not closed.",
  round_open: "A round is open.",
  nothing_closed: "No round is closed yet.",
  not_shown: "A held result was not shown yet.",
  no_such_room: "This room is gone.",
  cross_origin: "This page was opened under an address that the server does not know as its own.",
};
