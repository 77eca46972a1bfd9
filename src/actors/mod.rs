//! The actors of one process.
//!
//! ```text
//!  client ─ws─ Session ──Casts──▶ RoundCoordinator ──one batch at a time──▶ Ledger
//!    ▲                               │        │ counts                         │
//!    │                               │        ▼                                │ feed
//!    │                               │      board ◀──gates, rooms── Subscriber ◀┘
//!    │                               │        │
//!    │                  CastResults  ▼        ▼ BoardChanged
//!    └────────frames──────────── RoomRegistry (one shard for each worker thread)
//! ```
//!
//! `Session`: one for each socket. `RoomRegistry`: one shard for each worker thread. `RoundCoordinator` (one for each
//! active room) and `Subscriber` (one) live on a thread of their own, the control arbiter, so that no voter's traffic
//! delays them. `Worker` does the jobs that follow from a change, such as a post to the chat.
//!
//! In the order in which a vote passes them:
//!
//! | file | is |
//! | --- | --- |
//! | [`messages`] | what the actors send to each other |
//! | [`session`] | one socket: hello, casts, pings |
//! | [`in_flight`] | the one cast that a socket may have unanswered |
//! | [`coordinator`] | commits and commands of a room |
//! | [`subscriber`] | the ledger's feed, and the comparison of each second |
//! | [`registry`] | the subscriptions of a thread, and what they are sent |
//! | [`active_room`], [`rooms`] | a room in use, and all of them |
//! | `hello_batcher` | hellos that are read from the ledger together; here and not in the registry, because it belongs to a room, not to a thread |
//! | [`coordinator::handle`], [`registry_handle`], `session_handle` | how to reach each actor without importing it |
//! | [`worker`] | jobs |
//! | [`pod`], [`quarantine`] | what all of them share; rooms that cannot be read |

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
