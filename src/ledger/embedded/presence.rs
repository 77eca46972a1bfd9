//! Which voters are connected. Kept in memory: it is lost with the process, and so are the sockets.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::{RoomId, VoterId};

/// A pod that has noted nothing for this long is considered gone, and its voters with it.
const EXPIRY: Duration = Duration::from_secs(10);

/// The voters who are present, by room and pod.
#[derive(Default)]
pub struct Presence(Mutex<HashMap<(RoomId, String), Present>>);

struct Present {
    noted_at: Instant,
    voters: HashSet<VoterId>,
}

impl Presence {
    /// Notes who connected and who disconnected. A voter in both lists is present: sockets return faster than they end.
    pub fn note(&self, room: &RoomId, pod: &str, came: &[VoterId], left: &[VoterId]) {
        let now = Instant::now();
        let mut pods = self.lock();
        pods.retain(|_, present| now - present.noted_at < EXPIRY);
        let fresh = || Present { noted_at: now, voters: HashSet::new() };
        let present = pods.entry((room.clone(), pod.to_owned())).or_insert_with(fresh);
        present.noted_at = now;
        for voter in left {
            present.voters.remove(voter);
        }
        present.voters.extend(came.iter().cloned());
    }

    /// For each of these voters, whether any of these pods has noted them.
    pub fn of(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Vec<bool> {
        let noted = self.lock();
        let pods = pods.iter().filter_map(|pod| noted.get(&(room.clone(), pod.clone())));
        let pods: Vec<_> = pods.filter(|present| present.noted_at.elapsed() < EXPIRY).collect();
        voters.iter().map(|voter| pods.iter().any(|present| present.voters.contains(voter))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RoomId, String), Present>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
