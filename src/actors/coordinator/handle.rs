//! How to reach a coordinator without knowing the actor.

use actix::prelude::*;

use crate::actors::messages::{Casts, Execute, Reschedule};

/// A coordinator's mailbox, one recipient for each message that it takes.
pub struct CoordinatorHandle {
    /// Takes votes.
    pub casts: Recipient<Casts>,
    /// Takes commands of the emcee.
    pub execute: Recipient<Execute>,
    /// Is told that something else may be due.
    pub reschedule: Recipient<Reschedule>,
}

impl CoordinatorHandle {
    /// The handle of a running coordinator.
    pub fn new<A>(coordinator: &Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Casts> + Handler<Execute> + Handler<Reschedule>,
    {
        let (casts, execute) = (coordinator.clone().recipient(), coordinator.clone().recipient());
        Self { casts, execute, reschedule: coordinator.clone().recipient() }
    }
}
