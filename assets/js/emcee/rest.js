/** The pause after each step of the show, so that a second press of the same button never becomes the next step. */

/** How long the next step is disabled, in milliseconds. */
export const REST_MS = 2000;
/** The text of a button meanwhile. */
export const RESTING = "A moment: the last step was just taken.";

export class Rest {
  /** @type {string | null} */
  #step = null;
  #until = 0;

  /**
   * How long the next step is still disabled, in milliseconds. It begins when the next step changes, whatever caused that:
   * this desk, another one, or a deadline.
   *
   * @param {string} step the step that comes next, in words
   * @param {number} now milliseconds of a clock that is never set back
   */
  left(step, now) {
    if (this.#step !== null && step !== this.#step) this.#until = now + REST_MS;
    this.#step = step;
    return Math.max(0, this.#until - now);
  }
}
