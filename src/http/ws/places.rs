//! How many sockets this process holds, and may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::actors::Pod;

/// Shared by all workers.
pub struct Places {
    pod: Arc<Pod>,
    most: usize,
    taken: AtomicUsize,
}

/// Room for one socket; free again when it is dropped.
pub struct Place(Arc<Places>);

impl Places {
    /// Room for `most` sockets.
    pub fn new(pod: Arc<Pod>, most: usize) -> Arc<Self> {
        pod.metrics.sessions_capacity.set(most as i64);
        Arc::new(Self { pod, most, taken: AtomicUsize::new(0) })
    }

    /// A place, unless all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.pod.metrics.sockets_refused.inc();
            return None;
        }
        self.pod.metrics.sockets.inc();
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pod.metrics.sockets.dec();
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
