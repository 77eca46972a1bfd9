//! How many sockets this process holds, and may hold.
//!
//! Everybody gets one of the common connection_limit, until all are taken. Then the pod is full, and says so until one in twenty
//! is free again: a pod at its limit would else be in and out of its Service with each phone that goes. Emcees have a
//! few further connection_limit, so that a full hall never keeps them out. Who is one is told by the handshake alone, since what
//! a hello says is known only when a place is taken: so no crowd can take them, however fast it comes.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::actors::Pod;

/// ConnectionLimit that only emcees get, beyond the common ones: their desks, stages, and phones to try it with.
const RESERVED: usize = 16;
/// A full pod has room again when so many of a hundred connection_limit are taken.
const ROOM_AGAIN_PERCENT: usize = 95;

/// Shared by all workers.
pub struct ConnectionLimit {
    pod: Arc<Pod>,
    /// Voters are sent here: being full makes this pod unready.
    serves_audience: bool,
    taken: Mutex<Taken>,
}

/// Which connection_limit a socket may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everybody gets them.
    Common,
    /// For an emcee who finds those taken.
    Reserved,
}

/// Room for one socket; free again when it is dropped.
pub struct Permit {
    connection_limit: Arc<ConnectionLimit>,
    kind: Kind,
}

/// # Invariants
/// `common <= most` and `reserved <= most_reserved`.
struct Taken {
    most: usize,
    most_reserved: usize,
    common: usize,
    reserved: usize,
    /// All common ones were taken, and there is no room again yet.
    full: bool,
}

impl Taken {
    fn take(&mut self, kind: Kind) -> bool {
        let (taken, most) = match kind {
            Kind::Common => (&mut self.common, self.most),
            Kind::Reserved => (&mut self.reserved, self.most_reserved),
        };
        let fits = *taken < most;
        *taken += usize::from(fits);
        self.full |= self.common == self.most;
        fits
    }

    fn give_back(&mut self, kind: Kind) {
        match kind {
            Kind::Common => self.common -= 1,
            Kind::Reserved => self.reserved -= 1,
        }
        self.full &= self.common * 100 > self.most * ROOM_AGAIN_PERCENT;
    }
}

impl ConnectionLimit {
    /// Room for `most` sockets, and for some of emcees where they are served.
    pub fn new(pod: Arc<Pod>, most: usize, serves_audience: bool) -> Arc<Self> {
        pod.metrics.sessions_capacity.set(most as i64);
        let most_reserved = if pod.serves_emcee { RESERVED } else { 0 };
        let taken = Mutex::new(Taken { most, most_reserved, common: 0, reserved: 0, full: false });
        Arc::new(Self { pod, serves_audience, taken })
    }

    /// A place, unless all of that kind are taken.
    pub fn take(self: &Arc<Self>, kind: Kind) -> Option<Permit> {
        let mut taken = self.lock();
        let fits = taken.take(kind);
        self.tell(&taken);
        drop(taken);
        fits.then(|| {
            self.pod.metrics.sockets.inc();
            Permit { connection_limit: self.clone(), kind }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("the lock is never poisoned")
    }

    /// Readiness follows at once, in the order in which connection_limit are taken and given back.
    fn tell(&self, taken: &Taken) {
        self.pod.health.set_full(taken.full && self.serves_audience);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connection_limit.pod.metrics.sockets.dec();
        let mut taken = self.connection_limit.lock();
        taken.give_back(self.kind);
        self.connection_limit.tell(&taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_at_the_last_place_and_room_again_at_95_percent() {
        for (most, room_again) in [(1, 0), (3, 2), (20, 19), (40, 38), (10_000, 9_500)] {
            let mut taken = Taken { most, most_reserved: 2, common: 0, reserved: 0, full: false };
            for place in 1..=most {
                assert!(taken.take(Kind::Common));
                assert_eq!(taken.full, place == most, "{place} of {most}");
            }
            assert!(!taken.take(Kind::Common), "{most} are all");
            assert!(taken.take(Kind::Reserved) && taken.take(Kind::Reserved) && !taken.take(Kind::Reserved));
            taken.give_back(Kind::Reserved);
            assert!(taken.full && taken.common == most, "the reserve is no part of it");
            for left in (0..most).rev() {
                taken.give_back(Kind::Common);
                assert_eq!(taken.full, left > room_again, "{left} of {most}");
            }
            assert!(taken.take(Kind::Common), "and again");
        }
    }
}
