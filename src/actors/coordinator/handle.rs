//! The way to a coordinator, for whoever need not know the actor.

use actix::prelude::*;

use crate::actors::messages::{Casts, Execute, Reschedule};

/// One for each message that a coordinator takes.
pub struct CoordinatorHandle {
    /// Votes.
    pub casts: Recipient<Casts>,
    /// Commands of the emcee.
    pub execute: Recipient<Execute>,
    /// Something else is due.
    pub reschedule: Recipient<Reschedule>,
}

impl CoordinatorHandle {
    /// To an actor that takes all of them.
    pub fn new<A>(coordinator: &Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Casts> + Handler<Execute> + Handler<Reschedule>,
    {
        let (casts, execute) = (coordinator.clone().recipient(), coordinator.clone().recipient());
        Self { casts, execute, reschedule: coordinator.clone().recipient() }
    }
}
