//! What pods share through the ledger: the feed, presence, and ended sign-ins.

use async_trait::async_trait;

use super::error::LedgerError;
use super::feed::{Feed, FeedEvent};
use crate::domain::LedgerMs;
use crate::domain::ids::{RoomId, VoterId};

/// What pods share through the ledger.
#[async_trait]
pub trait PodStore: Send + Sync + 'static {
    /// A subscription to the feed, for one pod.
    fn feed(&self) -> Box<dyn Feed>;

    /// Publishes a message to all pods.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn announce(&self, event: &FeedEvent) -> Result<(), LedgerError>;

    /// Notes which voters connected to and disconnected from `pod`. Expires 10 s after the pod's last note.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn note_present(
        &self,
        room: &RoomId,
        pod: &str,
        came: &[VoterId],
        left: &[VoterId],
    ) -> Result<(), LedgerError>;

    /// For each voter, whether one of these pods has noted them as present.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn present(&self, room: &RoomId, pods: &[String], voters: &[VoterId]) -> Result<Vec<bool>, LedgerError>;

    /// Ends an emcee's sign-in, which would expire at `until`, and tells all pods.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn sign_out(&self, sign_in: &str, until: LedgerMs) -> Result<(), LedgerError>;

    /// True if the sign-in was ended.
    ///
    /// # Errors
    /// See [`LedgerError`].
    async fn is_signed_out(&self, sign_in: &str) -> Result<bool, LedgerError>;
}
