/**
 * The network between the phones and the server, which a test can cut, mute and restore. Chromium's own offline switch
 * leaves open WebSockets alone, so the cables are pulled here.
 */

import { connect, createServer } from "node:net";

/**
 * @param {number} target the server's port
 */
export async function startNetwork(target) {
  let state = "up";
  /** @type {Set<import("node:net").Socket>} */
  const cables = new Set();
  /** @type {Set<{ frozen: boolean }>} one for each connection */
  const lines = new Set();
  const server = createServer((near) => {
    if (state === "cut") return near.destroy();
    const far = connect(target, "127.0.0.1");
    const line = { frozen: false };
    lines.add(line);
    near.on("close", () => lines.delete(line));
    for (const [cable, other] of [
      [near, far],
      [far, near],
    ]) {
      cables.add(cable);
      cable.on("error", () => {});
      cable.on("close", () => {
        cables.delete(cable);
        other.destroy();
      });
    }
    near.on("data", (data) => {
      if (!line.frozen) far.write(data);
    });
    far.on("data", (data) => {
      if (!line.frozen && state !== "mute") near.write(data);
    });
    far.on("end", () => near.end());
    near.on("end", () => far.end());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const pull = () => cables.forEach((cable) => cable.destroy());
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Every connection ends, and no new one is made. */
    cut() {
      state = "cut";
      pull();
    },
    /** What the phones send arrives; what the server says does not. */
    mute() {
      state = "mute";
    },
    /** Existing connections look open and transfer nothing, as on a phone that changed its network; new ones work. */
    freeze() {
      for (const line of lines) line.frozen = true;
    },
    restore() {
      if (state === "mute") pull();
      state = "up";
    },
    stop() {
      pull();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
