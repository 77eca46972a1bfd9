//! The actors of one pod.
//!
//! ```text
//!  phone ─ws─ Session ──Cast──▶ RoundCoordinator ──one batch in flight──▶ Ledger
//!    ▲          ▲                 │ verdicts back to each Session            │
//!    │          │                 ▼ counts                                   │ feed
//!    └──frames──┴── RoomRegistry ◀─── board ◀─── Subscriber ◀────────────────┘
//! ```
//!
//! `Session`: one for each connection, on its worker's thread. `RoomRegistry`: one shard for each worker thread.
//! `RoundCoordinator` (one for each active room) and `Subscriber` (one for each pod) live on a thread of their own,
//! control, so that no voter's traffic delays them. `Worker` does what has to be done outside because of a change; it
//! is alone in a pod of role `worker`.
//!
//! | file | is |
//! | --- | --- |
//! | [`messages`] | what they say to each other |
//! | [`session`] | one socket |
//! | [`coordinator`] | commits and commands of a room |
//! | [`subscriber`] | the ledger's feed, and the comparison of each second |
//! | [`registry`] | the sockets of a thread, and what they are written |
//! | [`worker`] | jobs |
//! | [`active_room`], [`rooms`] | a room in use, and all of them |
//! | [`in_flight`] | the one cast that a socket may have unanswered |
//! | [`shards`], `line`, [`coordinator::handle`] | the ways to the registry's shards, to a session, to a coordinator |
//! | `hello_batcher` | hellos that are asked for together |
//! | [`pod`], [`apart`] | what all of them share; rooms that cannot be read |

pub mod active_room;
pub mod coordinator;
mod hello_batcher;
pub mod in_flight;
pub mod messages;
pub mod pod;
pub mod quarantine;
pub mod registry;
pub mod registry_handle;
pub mod rooms;
pub mod session;
mod session_handle;
pub mod subscriber;
pub mod worker;

pub use coordinator::RoundCoordinator;
pub use in_flight::InFlightCast;
pub use pod::Pod;
pub use registry::RoomRegistry;
pub use rooms::Rooms;
pub use session::Session;
pub use subscriber::Subscriber;
pub use worker::{Worker, WorkerOptions};
