/**
 * Casts the voter's slips: one cast at a time, saved in the browser before it is sent, and repeated until there is an answer.
 * What the slips mean is decided in `ballot.js`; here are only the socket's ups and downs and the waiting.
 */

import * as ballot from "../lib/ballot.js";

/**
 * @typedef {import("../lib/ballot.js").Slips} Slips
 * @typedef {import("../lib/wire.js").Room} Room
 * @typedef {import("../lib/wire.js").You} You
 * @typedef {import("../lib/wire.js").Ballot} Ballot
 * @typedef {import("../lib/wire.js").Cast} Cast
 *
 * @typedef {object} Ways
 * @property {(cast: Cast) => void} send
 * @property {() => void} restart the socket owes an answer for too long
 * @property {(slips: Slips) => void} save
 * @property {() => Slips | null} saved
 * @property {() => void} changed
 * @property {() => number} [random]
 */

/** Every cast is answered within 5 s or its socket closes; this is that and a little. */
const ANSWER_MS = 6000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 4000;

export class Caster {
  /** @type {Ways} */
  #ways;
  /** @type {Slips | null} */
  #slips = null;
  #up = false;
  /** @type {Cast | null} the cast on this socket that has no answer yet */
  #flight = null;
  #refusals = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} an answer is owed, or a wait after `busy` runs */
  #timer;
  #waiting = false;

  /** @param {Ways} ways */
  constructor(ways) {
    this.#ways = ways;
  }

  get slips() {
    return this.#slips;
  }

  /**
   * Takes in a state. With `you` it has the ledger's state of this voter; the first after hello always does.
   *
   * @param {Room} room
   * @param {You | undefined} you
   */
  state(room, you) {
    if (you) this.#up = true;
    const round = room.rounds[room.round - 1];
    if (!round || round.phase === "ready") {
      this.#slips = null;
      return;
    }
    let slips = this.#slipsOf(round.round, round.take, room.votes_per_round);
    if (you) {
      const same = you.ballot?.round === round.round && you.ballot.take === round.take;
      slips = ballot.learnStored(slips, same && you.ballot ? you.ballot.votes : "");
    }
    slips = round.phase === "open" && !round.closing ? ballot.opened(slips) : ballot.closed(slips);
    const over = round.phase === "closed" && round.winner !== undefined;
    // with the result out there is nothing left to save; what the ledger says is the record
    if (over && slips.stored.length < slips.kept.length) slips = { ...slips, kept: slips.stored };
    this.#set(slips);
    this.#pump();
  }

  /** @param {string} letter */
  tap(letter) {
    if (!this.#slips) return false;
    const slips = ballot.tap(this.#slips, letter);
    if (slips === this.#slips) return false;
    this.#set(slips);
    this.#pump();
    return true;
  }

  /**
   * Takes in the answer to the cast.
   *
   * @param {Ballot} answer
   */
  answer(answer) {
    const cast = this.#flight;
    const slips = this.#slips;
    clearTimeout(this.#timer);
    this.#flight = null;
    if (!slips) return;
    if (cast && !isOf(slips, cast)) {
      // sent in an earlier take, so the refusal is not about these slips
      if (isOf(slips, answer)) this.#set(ballot.learnStored(slips, answer.votes));
      return this.#pump();
    }
    this.#set(ballot.answered(slips, answer));
    if (answer.refused) return this.#wait();
    this.#refusals = 0;
    this.#pump();
  }

  /**
   * The ballot grew through another socket of this voter.
   *
   * @param {Ballot} grown
   */
  mine(grown) {
    const slips = this.#slips;
    if (!slips || !isOf(slips, grown) || grown.votes.length < slips.stored.length) return;
    this.#set(ballot.learnStored(slips, grown.votes));
    this.#pump();
  }

  /** The socket is gone, and the answer with it. The next hello says what was stored. */
  down() {
    clearTimeout(this.#timer);
    this.#up = false;
    this.#flight = null;
    this.#waiting = false;
  }

  /**
   * @param {number} round
   * @param {number} take
   * @param {number} budget
   */
  #slipsOf(round, take, budget) {
    const slips = [this.#slips, this.#ways.saved()].find((each) => each && isOf(each, { round, take }));
    return slips ? { ...slips, budget } : ballot.blank(round, take, budget);
  }

  /** A refused cast is not repeated at once: the wait grows with each refusal, with jitter. */
  #wait() {
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#refusals);
    this.#refusals += 1;
    this.#waiting = true;
    const wait = longest * (0.5 + (this.#ways.random ?? Math.random)() / 2);
    this.#timer = setTimeout(() => {
      this.#waiting = false;
      this.#pump();
    }, wait);
  }

  #pump() {
    if (!this.#slips || !this.#up || this.#flight || this.#waiting) return;
    const { slips, cast } = ballot.nextCast(this.#slips);
    if (!cast) return;
    this.#set(slips);
    this.#flight = cast;
    this.#timer = setTimeout(() => this.#ways.restart(), ANSWER_MS);
    this.#ways.send(cast);
  }

  /** @param {Slips} slips */
  #set(slips) {
    this.#slips = slips;
    this.#ways.save(slips);
    this.#ways.changed();
  }
}

/**
 * Whether something is of the same round and take as these slips.
 *
 * @param {Slips} slips
 * @param {{ round: number, take: number }} other
 */
function isOf(slips, other) {
  return slips.round === other.round && slips.take === other.take;
}
