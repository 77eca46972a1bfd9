/**
 * The one place that touches a WebSocket. Says hello, notices a dead connection that looks alive, and comes back by itself.
 * Frames go out to the page as they come; what they mean is none of this module's business.
 */

const PING_MS = 3000;
/** No pong within this time means that the socket is dead, whatever its state. */
const PONG_MS = 4000;
/** From the first attempt to the `state` that answers hello. */
const HELLO_MS = 8000;
/** At most one ping a second is allowed. */
const PING_GAP_MS = 1000;
/** A socket whose page was hidden for this long is replaced without a ping: phones keep dead ones "open". */
const ASLEEP_MS = 10_000;
/** Only a connection that lasted this long makes the next wait short again. */
const STEADY_MS = 5000;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;

const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009, 4401, 4403, 4404, 4409]);

/**
 * Whether a connection that ended with this code may come back.
 *
 * @param {number} code
 */
export function mayReturn(code) {
  return !FINAL_CODES.has(code);
}

/**
 * How long to wait before the next attempt: exponential with full jitter, so that a hall that was cut off at once does not
 * return at once. A time that the server asked for is respected, with jitter.
 *
 * @param {number} attempt from 0
 * @param {number | undefined} retryMs
 * @param {() => number} [random]
 */
export function waitBefore(attempt, retryMs, random = Math.random) {
  if (retryMs !== undefined) return retryMs * (1 + random() / 2);
  return random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt);
}

/**
 * @typedef {object} Link
 * @property {"connecting" | "up" | "lost" | "ended"} phase `up` from the first `state`; `ended` does not come back by itself
 * @property {number} since this device's time of the last change, for "lost since"
 * @property {number} [code] close code, when ended
 * @property {string} [reason] the word of `bye`, when ended
 */

/**
 * @typedef {object} Hooks
 * @property {() => object} hello what to say first
 * @property {(kind: string, body: any) => void} frame
 * @property {(link: Link) => void} link
 * @property {(sentAt: number, receivedAt: number, now: number) => void} time a sample of the ledger's clock
 * @property {() => { screen: string, seq: number } | undefined} [showing] what a stage shows
 */

export class Socket {
  /** @type {Hooks} */
  #hooks;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Link} */
  #link = { phase: "connecting", since: Date.now() };
  /** @type {{ reason: string, retry_ms?: number } | null} */
  #bye = null;
  #attempt = 0;
  #upAt = 0;
  #heardAt = 0;
  #hiddenAt = 0;
  #pingId = 0;
  #pingAt = 0;
  /** @type {number | undefined} */
  #pinger;
  /** @type {number | undefined} runs out when the other side owes an answer for too long */
  #deadline;
  /** @type {number | undefined} */
  #reporter;
  /** @type {number | undefined} */
  #retry;
  #watching = new AbortController();

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    const { signal } = this.#watching;
    window.addEventListener("online", () => this.#wake(), { signal });
    window.addEventListener("pageshow", (event) => event.persisted && this.#wake(), { signal });
    document.addEventListener("visibilitychange", () => this.#seen(), { signal });
  }

  /** Opens a new connection at once, and drops an old one. */
  connect() {
    this.#release();
    this.#bye = null;
    if (this.#link.phase !== "lost") this.#tell({ phase: "connecting", since: Date.now() });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`, "tallycast.v1");
    this.#socket = socket;
    this.#deadline = window.setTimeout(() => this.#lose(), HELLO_MS);
    socket.onopen = () => {
      this.send("hello", this.#hooks.hello());
      this.#ping();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code);
  }

  /**
   * Sends one message if the connection is open. Whether it arrives is for the answer to say.
   *
   * @param {string} kind
   * @param {object} body
   */
  send(kind, body) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ [kind]: body }));
  }

  /** Pings as soon as the rate allows: what is shown has changed. */
  report() {
    window.clearTimeout(this.#reporter);
    this.#reporter = window.setTimeout(() => this.#link.phase === "up" && this.#ping(), this.#pingAt + PING_GAP_MS - Date.now());
  }

  /** Gives the connection up for dead and makes another. */
  restart() {
    if (this.#link.phase !== "ended") this.#lose();
  }

  /** Ends it for good. */
  stop() {
    this.#watching.abort();
    this.#release();
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = Date.now();
    /** @type {[string, any] | undefined} */
    let entry;
    try {
      entry = Object.entries(JSON.parse(String(data)))[0];
    } catch {
      return; // not for this version of the page
    }
    if (!entry) return;
    const [kind, body] = entry;
    if (kind === "pong") this.#pong(body);
    if (kind === "bye") this.#bye = body;
    if (kind === "state" && this.#link.phase !== "up") this.#up();
    this.#hooks.frame(kind, body);
  }

  #up() {
    window.clearTimeout(this.#deadline);
    this.#upAt = Date.now();
    this.#pinger = window.setInterval(() => this.#ping(), PING_MS);
    this.#tell({ phase: "up", since: this.#upAt });
  }

  #ping() {
    const now = Date.now();
    if (now - this.#pingAt < PING_GAP_MS) return;
    this.#pingAt = now;
    this.#pingId += 1;
    this.send("ping", { id: this.#pingId, showing: this.#hooks.showing?.() });
    if (this.#link.phase !== "up") return; // the wait for `state` covers it
    window.clearTimeout(this.#deadline);
    this.#deadline = window.setTimeout(() => this.#lose(), PONG_MS);
  }

  /** @param {import("./wire.js").Pong} pong */
  #pong(pong) {
    if (pong.id !== this.#pingId) return;
    if (this.#link.phase === "up") window.clearTimeout(this.#deadline);
    this.#hooks.time(this.#pingAt, Date.now(), pong.now);
  }

  /** @param {number} code */
  #closed(code) {
    const bye = this.#bye;
    const final = !mayReturn(code) || (bye !== null && bye.reason !== "draining");
    if (!final) return this.#lose();
    this.#release();
    this.#tell({ phase: "ended", since: Date.now(), code, reason: bye?.reason });
  }

  #lose() {
    const retryMs = this.#bye?.retry_ms;
    if (this.#link.phase === "up" && Date.now() - this.#upAt > STEADY_MS) this.#attempt = 0;
    this.#release();
    if (this.#link.phase !== "lost") this.#tell({ phase: "lost", since: Date.now() });
    this.#retry = window.setTimeout(() => this.connect(), waitBefore(this.#attempt, retryMs));
    this.#attempt += 1;
  }

  /** The page was hidden or is seen again. */
  #seen() {
    if (document.visibilityState === "hidden") {
      this.#hiddenAt = Date.now();
    } else {
      this.#wake();
    }
  }

  /** Checks the connection at once: the network or the person is back. */
  #wake() {
    if (this.#link.phase === "ended") return;
    const now = Date.now();
    const asleep = (this.#hiddenAt > 0 && now - this.#hiddenAt > ASLEEP_MS) || now - this.#heardAt > ASLEEP_MS;
    this.#hiddenAt = 0;
    if (this.#link.phase === "up" && !asleep) return this.#ping();
    this.#attempt = 0;
    this.connect();
  }

  #release() {
    window.clearTimeout(this.#deadline);
    window.clearTimeout(this.#retry);
    window.clearTimeout(this.#reporter);
    window.clearInterval(this.#pinger);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {Link} link */
  #tell(link) {
    this.#link = link;
    this.#hooks.link(link);
  }
}
