//! The embedded ledger: one file, one process, no server beside it.
//!
//! ```text
//!  callers ──write──▶ queue ──▶ Writer (one thread) ──one transaction, one commit──▶ file
//!     ▲                            │ replies, after the commit                         │
//!     ├────────────────────────────┘ events ──▶ feeds                                  │
//!     └──read (blocking pool, at most a few at once)◀──committed states only───────────┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `ledger` | [`EmbeddedLedger`]: opening, closing, health |
//! | `file`, `read_only_overlay` | opening the file, and refusing without touching it what is not a ledger |
//! | `tables` | keys and values |
//! | `clock` | the ledger's time |
//! | `store` | what callers, readers and the writer share |
//! | `write_request`, `write_transaction` | a change that waits for the writer, and what it works with |
//! | `writer` | the one thread that writes: group commit, and what happens when the disk fails |
//! | `rooms`, `votes`, `voters`, `ranking`, `jobs`, `imports`, `pods` | the parts of the contract |
//! | `joining` | who may join, and under which name |
//! | `purge`, `claims`, `presence` | removing a room's data, claims of imports, who is connected |

mod claims;
mod clock;
mod file;
mod imports;
mod jobs;
mod joining;
mod ledger;
mod pods;
mod presence;
mod purge;
mod ranking;
mod read_only_overlay;
mod rooms;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod voters;
mod votes;
mod write_request;
mod write_transaction;
mod writer;

pub use file::OpenError;
pub use ledger::EmbeddedLedger;
