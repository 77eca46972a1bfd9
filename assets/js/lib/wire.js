/**
 * The shapes of the wire contract, for the type checker alone: this module holds no code.
 * Fields that the server may leave out are optional here, and every reader must bear that.
 * Times are milliseconds of the ledger's clock.
 *
 * @typedef {{ letter: string, label: string, color?: string }} Choice
 *
 * @typedef {{ version: number, total: number, voters: number, votes?: number[] }} Counts
 * `votes` is by choice, and missing while it may not be seen.
 *
 * @typedef {object} Round
 * @property {number} round
 * @property {number} take
 * @property {string} [title] missing in a secret programme, as `choices`
 * @property {Choice[]} [choices]
 * @property {"ready" | "open" | "closed"} phase
 * @property {"live" | "hidden" | "held"} split
 * @property {number} blackout_seconds
 * @property {number} [seconds]
 * @property {number | null} [closes_at]
 * @property {number} [opened_at]
 * @property {boolean} [closing] votes are refused already, the record is still being written
 * @property {boolean} [dark] the blackout has begun
 * @property {number} [outage_ms] how long after its deadline it was closed, because no server ran
 * @property {boolean} shown
 * @property {Counts} [tally]
 * @property {string | null} [winner] null is a draw, missing is "not to be seen yet"
 * @property {"votes" | "emcee"} [decided_by]
 * @property {string} [seal] missing until it was made, and while the result may not be seen
 * @property {Take[]} [takes] for the emcee: every running that has a record
 *
 * @typedef {{ take: number, counted: boolean, record?: { votes: number[], voters: number } }} Take
 *
 * @typedef {object} Stage
 * @property {"auto" | "holding" | "join" | "intro" | "result" | "break" | "black"} screen
 * @property {number} [round]
 * @property {boolean} [join_code]
 * @property {string} [message]
 * @property {number} [until]
 *
 * @typedef {{ place: number, score: number, names: string[] }} Group all voters who share a place
 *
 * @typedef {object} Reveal
 * @property {number} seq
 * @property {number} top
 * @property {number} of
 * @property {number} place every group at this place or worse is shown
 * @property {number} [next] place of the group to come
 * @property {Group[]} shown best first
 * @property {number} [auto_ms]
 * @property {boolean} done
 *
 * @typedef {object} Room
 * @property {string} room
 * @property {string} title
 * @property {"lobby" | "voting" | "between" | "reveal" | "finished"} phase
 * @property {number} votes_per_round
 * @property {"open" | "invite" | "closed"} join
 * @property {"open" | "secret"} programme
 * @property {boolean} rehearsal
 * @property {number} round open or last round, 0 before the first
 * @property {Round[]} rounds
 * @property {Stage} [stage]
 * @property {Reveal} [reveal]
 * @property {boolean} [recovering]
 * @property {string} [url] the voters' link
 * @property {number} [deleted_at] for the emcee
 * @property {number} seq
 * @property {number} [now] over HTTP only
 *
 * @typedef {{ round: number, take: number, votes: string, left: number, refused?: string }} Ballot
 * @typedef {{ voter: string, name: string, card?: string, ballot?: Ballot }} You
 * @typedef {{ round: number, take: number, slip: number, votes: string }} Cast
 *
 * @typedef {object} Standing
 * @property {number} place
 * @property {number} score
 * @property {number} of
 * @property {string} [claim]
 * @property {{ round: number, on_winner: number }[]} rounds
 *
 * @typedef {object} Desk
 * @property {number} connected
 * @property {number} voters
 * @property {number} votes_per_s
 * @property {number} acknowledged
 * @property {number} stored
 * @property {number} shown
 * @property {number} oldest_unshown_ms
 * @property {{ screen: string, seq: number, seen_ms: number }[]} stages
 * @property {{ device: string, seen_ms: number }[]} desks
 * @property {{ name: string, ready: boolean, sessions: number }[]} pods
 * @property {{ state: string, commit_p99_ms: number, durable: boolean | string }} ledger
 * @property {Unreadable[]} [unreadable] rooms that the server cannot read
 *
 * @typedef {{ id: string, room?: string }} Unreadable
 * @typedef {{ connected: number, voters: number }} Presence
 * @typedef {{ next: Group[] }} Preview
 * @typedef {{ id: number, now: number, seq: number, ledger: "ok" | "slow" | "down" }} Pong
 */

export {};
