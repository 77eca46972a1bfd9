/** Starts the real server on a ledger of its own, and talks to its API as an organiser's script would. */

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const KEY = "browser-test-key-0123456789";
const START_MS = 30_000;
const STOP_MS = 15_000;
const POLL_MS = 50;

/** A port that is free at this moment. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Waits until `check` gives something true, and returns it.
 *
 * @template T
 * @param {string} what for the message if it never does
 * @param {() => Promise<T> | T} check
 */
export async function until(what, check, ms = 10_000) {
  const deadline = Date.now() + ms;
  let problem;
  while (Date.now() < deadline) {
    try {
      const result = await check();
      if (result) return result;
    } catch (error) {
      problem = error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`not within ${ms} ms: ${what}${problem ? ` (${problem})` : ""}`);
}

/**
 * @param {string} publicUrl the address for phones, which is not the server's own port when a simulated network is between
 */
export async function startServer(publicUrl, port) {
  const binary = process.env.TALLYCAST_BIN;
  if (!binary) throw new Error("set TALLYCAST_BIN to the server's binary");
  const folder = await mkdtemp(join(tmpdir(), "tallycast-browser-"));
  const url = `http://127.0.0.1:${port}`;
  const options = {
    cwd: folder,
    env: {
      ...process.env,
      SERVER_PORT: String(port),
      TALLYCAST__SERVER__HOST: "127.0.0.1",
      TALLYCAST__SERVER__PUBLIC_URL: publicUrl,
      TALLYCAST__SERVER__ADMIN_URL: url,
      TALLYCAST__EMCEE__KEY: KEY,
      TALLYCAST__LEDGER__URL: `embedded:${join(folder, "ledger.redb")}`,
    },
    stdio: ["ignore", "pipe", "pipe"],
  };
  let output = "";
  let child, ended;

  async function start() {
    child = spawn(binary, [], options);
    ended = new Promise((resolve) => child.once("exit", resolve));
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output = (output + data).slice(-20_000)));
    try {
      await until("the server is ready", async () => (await fetch(`${url}/readyz`)).status === 200, START_MS);
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error(`${error}\n${output}`);
    }
  }

  async function end() {
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  await start();
  return {
    url,
    /** Ends the server as Ctrl-C does; the ledger stays. */
    end,
    /** Ends the server as a power cut does; the ledger stays. */
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    /** Starts it again on the same ledger and port. */
    start,
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * The API under `/api/v1`.
 *
 * @param {string} url
 */
export function apiOf(url) {
  const call = async (method, path, body, token = KEY) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  };
  return {
    call,
    makeRoom: (event) => call("POST", "/rooms", event),
    command: (room, round, what, body = {}) => call("POST", `/rooms/${room}/rounds/${round}/${what}`, body),
    /** A voter without a page. */
    join: (room, name) => call("POST", `/rooms/${room}/join`, { name }),
    vote: (room, voter, round, votes, slip = 1) => call("POST", `/rooms/${room}/votes`, { round, take: 1, slip, votes }, voter.token),
    /** The ballot of a voter, found by name, in the counted take of a round, as the record holds it. */
    async ballotOf(room, name, round) {
      const all = await call("GET", `/rooms/${room}/export?format=json`);
      const { voter } = all.voters.find((each) => each.name === name) ?? {};
      const take = all.rounds.find((each) => each.round === round).takes.find((each) => each.counted);
      return take.ballots.find((ballot) => ballot.voter === voter)?.votes ?? "";
    },
  };
}
