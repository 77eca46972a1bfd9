//! The ledger in Redis 7, shared by many pods: one server, or one that sentinels replace. Keys and scripts are made so
//! that they would also run on a cluster.
//!
//! | file | holds |
//! | --- | --- |
//! | `ledger`, `options` | [`RedisLedger`], and how it reaches Redis |
//! | `connections` | connection pool, connections of their own, timeouts, confirmation by replicas |
//! | `primary` | where the primary is: at a fixed address, or where the sentinels say |
//! | `error` | what a failure means: not applied, maybe applied, corrupt |
//! | `keys` | every key and channel name |
//! | `scripts` | one Lua script per change |
//! | `rooms`, `votes`, `voters`, `ranking`, `jobs`, `imports`, `pods` | the parts of the contract |
//! | `gate_codec`, `voter_codec` | the stored form of a gate and of a voter |
//! | `partition_writer` | commits to one gate |
//! | `roster` | pages of the emcee's list of voters |
//! | `job_hints` | the directory's list of rooms that have jobs |
//! | `import_units` | writes of an import, fenced by its token |
//! | `purge` | removing a room's keys |
//! | `feed`, `feed_task`, `lossy_sender` | a pod's subscription to the feed, and the task behind it |
//! | `health`, `slow_log` | whether Redis answers, takes writes and keeps them; which commands it found slow |
//!
//! Every change is one script that checks everything first and writes last, because Redis does not roll back. A change
//! that spans several units is a sequence of scripts, each of which can be repeated.

mod connections;
mod error;
mod feed;
mod feed_task;
mod gate_codec;
mod health;
mod import_units;
mod imports;
mod job_hints;
mod jobs;
mod keys;
mod ledger;
mod lossy_sender;
mod options;
mod partition_writer;
mod pods;
mod primary;
mod purge;
mod ranking;
mod rooms;
mod roster;
mod scripts;
mod slow_log;
mod voter_codec;
mod voters;
mod votes;

pub use ledger::RedisLedger;
pub use options::RedisOptions;
