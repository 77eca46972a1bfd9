//! The way to a coordinator, for whoever need not know the actor.

use actix::prelude::*;

use crate::actors::messages::{Casts, Conduct, Moved};

/// One for each message that a coordinator takes.
pub struct CoordinatorHandle {
    /// Votes.
    pub casts: Recipient<Casts>,
    /// Commands of the emcee.
    pub conduct: Recipient<Conduct>,
    /// Something else is due.
    pub moved: Recipient<Moved>,
}

impl CoordinatorHandle {
    /// To an actor that takes all of them.
    pub fn new<A>(coordinator: &Addr<A>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Casts> + Handler<Conduct> + Handler<Moved>,
    {
        let (casts, conduct) = (coordinator.clone().recipient(), coordinator.clone().recipient());
        Self { casts, conduct, moved: coordinator.clone().recipient() }
    }
}
