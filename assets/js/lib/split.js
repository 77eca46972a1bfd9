/** Who is ahead, by how much, and whether that may be seen. */

/**
 * @typedef {import("./wire.js").Round} Round
 * @typedef {"votes" | "dark" | "hidden" | "held" | "none"} Sight
 */

/**
 * Whole percentages that add up to 100: the largest remainders are rounded up.
 *
 * @param {number[]} votes
 * @returns {number[]}
 */
export function percentages(votes) {
  const total = votes.reduce((sum, count) => sum + count, 0);
  if (total === 0) return votes.map(() => 0);
  const exact = votes.map((count) => (count * 100) / total);
  const whole = exact.map(Math.floor);
  const missing = 100 - whole.reduce((sum, part) => sum + part, 0);
  const byRemainder = exact.map((part, index) => ({ index, rest: part - whole[index] })).sort((a, b) => b.rest - a.rest);
  for (const { index } of byRemainder.slice(0, missing)) whole[index] += 1;
  return whole;
}

/**
 * What may be seen of a round's split at the ledger's time `now`. The server sends nothing that is hidden; this tells the
 * reason, and lets a live split go dark on the second.
 *
 * @param {Round} round
 * @param {number} now
 * @returns {Sight}
 */
export function sight(round, now) {
  if (round.phase === "ready" || !round.tally) return "none";
  if (round.phase === "open" && round.split === "live" && isDark(round, now)) return "dark";
  if (round.tally.votes) return "votes";
  if (round.split === "live") return "dark";
  return round.split;
}

/**
 * @param {Round} round
 * @param {number} now
 */
function isDark(round, now) {
  return !!round.dark || (round.blackout_seconds > 0 && !!round.closes_at && now >= round.closes_at - round.blackout_seconds * 1000);
}

/**
 * Why there is no split to see, in words for everybody.
 *
 * @param {Sight} why
 */
export function sightNote(why) {
  switch (why) {
    case "dark":
      return "In the dark: the split stays hidden until the close. Votes still count.";
    case "hidden":
      return "The split stays hidden until the round closes.";
    case "held":
      return "The result comes from the stage.";
    default:
      return "";
  }
}
