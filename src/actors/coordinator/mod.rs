//! `RoundCoordinator`: one for each active room of a pod. Takes its casts, carries out its commands, and does what is
//! due by itself.
//!
//! In: [`Casts`](super::messages::Casts) from shards and HTTP, [`Execute`](super::messages::Execute) from HTTP, [`Reschedule`](super::messages::Reschedule) when the board has news. Out: batches to the
//! ledger, counts to the board, verdicts to whoever asked: those of a batch in one message to each shard. Mailbox:
//! 1,024 messages; when it is full the sender answers `busy` by itself. A message holds what a thread has read in one
//! turn. At most 32,000 casts wait for a partition, and none that was answered `busy` meanwhile.
//!
//! **Group commit without a timer**: a cast that finds its writer free is committed at once; casts that come while a
//! commit is under way wait and go together in the next. So an idle room answers at once, and a busy one batches by
//! itself. A batch holds each voter at most once, for both casts would be appended to the same old ballot.
//!
//! **Order**: the counts of a commit go on the board before its verdicts are handed out, so an acknowledged vote is
//! part of every later tally on the same socket.

mod actor;
mod commit;
mod commit_queue;
pub mod handle;
mod partition;
mod replies;

pub use actor::{ANSWER_WITHIN, RoundCoordinator};
