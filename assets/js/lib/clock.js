/**
 * The ledger's clock, seen from here. A device's own clock may be wrong by minutes, so countdowns never use it alone.
 */

/** A good sample is trusted this long before a worse one may replace it: clocks drift. */
const TRUST_MS = 60_000;

export class LedgerClock {
  /** @type {{ offset: number, slack: number, at: number } | null} */
  #best = null;

  /** Whether anything is known of the ledger's time yet. */
  get known() {
    return this.#best !== null;
  }

  /**
   * Takes in that the ledger's time was `now` at some moment between `sentAt` and `receivedAt` of this device's clock.
   * The shorter that span, the better the sample. One that contradicts the best so far means that this device's clock was
   * set, and counts at once.
   *
   * @param {number} sentAt
   * @param {number} receivedAt
   * @param {number} now
   */
  sample(sentAt, receivedAt, now) {
    const slack = Math.max(0, receivedAt - sentAt) / 2;
    const offset = now - (sentAt + slack);
    const best = this.#best;
    const better = !best || slack <= best.slack || receivedAt - best.at > TRUST_MS;
    const contradicts = best !== null && Math.abs(offset - best.offset) > slack + best.slack + 50;
    if (better || contradicts) this.#best = { offset, slack, at: receivedAt };
  }

  /** The ledger's time now, in milliseconds; this device's own before the first sample. */
  now() {
    return Date.now() + (this.#best?.offset ?? 0);
  }
}
