//! How many sockets this process holds, and may hold.
//!
//! Everybody gets one of the common permits, until all are taken. Then the pod is full, and stays full until one permit
//! in twenty is free again: otherwise a pod at its limit would enter and leave its Service with each phone that leaves.
//!
//! Emcees have a few reserved permits, so that a full hall never keeps them out. Whether somebody is an emcee is decided
//! by the handshake alone, since a hello can be sent only by a socket that has its permit already. So no crowd can take
//! the reserved permits, however fast it arrives.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::actors::Pod;

/// Permits for emcees beyond the common ones: for their desks, their stages, and phones to try it with.
const RESERVED: usize = 16;
/// Common permits of a port of the emcee's own: for desks and stages.
pub const ADMIN_SOCKETS: usize = 64;
/// A full pod stops being full when this share of the common permits is taken, in percent.
const NOT_FULL_PERCENT: usize = 95;

/// Hands out the permits. All workers share it.
pub struct ConnectionLimit {
    pod: Arc<Pod>,
    /// Voters are sent to this port, so being full makes the pod unready.
    serves_audience: bool,
    taken: Mutex<Taken>,
}

/// Who may have a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitKind {
    /// Everybody.
    Common,
    /// An emcee, when all common permits are taken.
    Reserved,
}

/// Permission for one socket. Dropping it gives it back.
pub struct Permit {
    limit: Arc<ConnectionLimit>,
    kind: PermitKind,
}

/// How many permits are taken.
///
/// # Invariants
/// `common <= max_common` and `reserved <= max_reserved`.
struct Taken {
    max_common: usize,
    max_reserved: usize,
    common: usize,
    reserved: usize,
    /// All common permits were taken, and not enough have been given back since.
    full: bool,
}

impl Taken {
    /// False if all permits of this kind are taken.
    fn take(&mut self, kind: PermitKind) -> bool {
        let (taken, max) = match kind {
            PermitKind::Common => (&mut self.common, self.max_common),
            PermitKind::Reserved => (&mut self.reserved, self.max_reserved),
        };
        let is_free = *taken < max;
        *taken += usize::from(is_free);
        self.full |= self.common == self.max_common;
        is_free
    }

    fn give_back(&mut self, kind: PermitKind) {
        match kind {
            PermitKind::Common => self.common -= 1,
            PermitKind::Reserved => self.reserved -= 1,
        }
        self.full &= self.common * 100 > self.max_common * NOT_FULL_PERCENT;
    }
}

impl ConnectionLimit {
    /// The limit of the main port: `max_sockets`, plus the reserved permits if emcees are served there. Being full makes
    /// the pod unready where voters are sent to it.
    pub fn new(pod: Arc<Pod>, max_sockets: usize, serves_emcee: bool, serves_audience: bool) -> Arc<Self> {
        pod.metrics.sessions_capacity.set(max_sockets as i64);
        Self::with(pod, max_sockets, if serves_emcee { RESERVED } else { 0 }, serves_audience)
    }

    /// The limit of a port of the emcee's own.
    pub fn of_admin_port(pod: Arc<Pod>) -> Arc<Self> {
        Self::with(pod, ADMIN_SOCKETS, RESERVED, false)
    }

    fn with(pod: Arc<Pod>, max_common: usize, max_reserved: usize, serves_audience: bool) -> Arc<Self> {
        let taken = Taken { max_common, max_reserved, common: 0, reserved: 0, full: false };
        Arc::new(Self { pod, serves_audience, taken: Mutex::new(taken) })
    }

    /// A permit; `None` if all of this kind are taken.
    pub fn take(self: &Arc<Self>, kind: PermitKind) -> Option<Permit> {
        let mut taken = self.lock();
        let is_free = taken.take(kind);
        self.update_readiness(&taken);
        drop(taken);
        is_free.then(|| {
            self.pod.metrics.sockets.inc();
            Permit { limit: self.clone(), kind }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("the lock is never poisoned")
    }

    /// Called under the lock, so readiness changes in the order in which permits are taken and given back.
    fn update_readiness(&self, taken: &Taken) {
        if self.serves_audience {
            self.pod.health.set_full(taken.full);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.pod.metrics.sockets.dec();
        let mut taken = self.limit.lock();
        taken.give_back(self.kind);
        self.limit.update_readiness(&taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_full_at_its_last_permit_and_until_95_percent() {
        for (max_common, not_full_at) in [(1, 0), (3, 2), (20, 19), (40, 38), (10_000, 9_500)] {
            let mut taken = Taken { max_common, max_reserved: 2, common: 0, reserved: 0, full: false };
            for count in 1..=max_common {
                assert!(taken.take(PermitKind::Common));
                assert_eq!(taken.full, count == max_common, "{count} of {max_common}");
            }
            assert!(!taken.take(PermitKind::Common), "{max_common} are all");
            let mut reserved = || taken.take(PermitKind::Reserved);
            assert!(reserved() && reserved() && !reserved());
            taken.give_back(PermitKind::Reserved);
            assert!(taken.full && taken.common == max_common, "reserved permits do not count");
            for left in (0..max_common).rev() {
                taken.give_back(PermitKind::Common);
                assert_eq!(taken.full, left > not_full_at, "{left} of {max_common}");
            }
            assert!(taken.take(PermitKind::Common), "permits can be taken again");
        }
    }
}
