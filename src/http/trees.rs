//! The trees of sealed takes, hashed once and kept for all proofs.
//!
//! After a close a whole hall asks for its proofs at once. The first to ask has the ballots read and hashed, on a thread of
//! its own; the others wait for that. The trees that are kept are bounded, and so is how often one is made: who asks for
//! one old round after another cannot keep the ledger busy.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::error::ApiError;
use crate::domain::seal::{Digest, Seal, Tree};
use crate::ledger::LedgerError;
use crate::rate_limit::{Limit, RateLimit};

/// Most ballots of all trees that are kept; a ballot takes 64 bytes, so this is 16 MB. Also the most of one tree.
const MAX_BALLOTS: u64 = 250_000;
/// How often a tree may be made. An evening has one for each round.
const BUILDS: Limit = Limit { burst: 20, interval: Duration::from_secs(1) };

/// A tree that is being made, or is there. `None`: the ballots are not the sealed ones.
type Making = Shared<BoxFuture<'static, Result<Option<Arc<Tree>>, LedgerError>>>;

/// See the [module](self).
pub struct Trees(Mutex<Kept>);

struct Kept {
    /// The least recently used first.
    trees: Vec<KeptTree>,
    builds: RateLimit,
    /// Seals that do not fit their ballots, as far as somebody has found out.
    broken: HashSet<Digest>,
}

struct KeptTree {
    /// No two takes have the same seal.
    seal: Digest,
    ballots: u64,
    tree: Making,
}

impl Default for Trees {
    fn default() -> Self {
        Self(Mutex::new(Kept { trees: vec![], builds: RateLimit::new(BUILDS), broken: HashSet::new() }))
    }
}

impl Trees {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("the lock is never poisoned")
    }

    /// Notes that a seal does not fit its ballots. True the first time.
    pub fn is_first_broken(&self, seal: &Seal) -> bool {
        self.kept().broken.insert(seal.seal)
    }

    /// The tree of a sealed take: a kept one, or the one that `make` makes of the ballots. `None` if the ballots are not the
    /// sealed ones any more.
    ///
    /// # Errors
    /// 404 `too_many_voters` for a take with more than [`MAX_BALLOTS`]; 503 `busy` if too many trees are being made; 503 if
    /// the ledger does not answer.
    pub async fn get<M>(&self, seal: &Seal, make: impl FnOnce() -> M) -> Result<Option<Arc<Tree>>, ApiError>
    where
        M: Future<Output = Result<Tree, LedgerError>> + Send + 'static,
    {
        let making = self.kept().find_or_make(seal, make)?;
        let made = making.clone().await;
        if made.is_err() {
            // the next to ask tries again
            self.kept().trees.retain(|kept| !kept.tree.ptr_eq(&making));
        }
        Ok(made?)
    }
}

impl Kept {
    fn find_or_make<M>(&mut self, seal: &Seal, make: impl FnOnce() -> M) -> Result<Making, ApiError>
    where
        M: Future<Output = Result<Tree, LedgerError>> + Send + 'static,
    {
        if let Some(index) = self.trees.iter().position(|kept| kept.seal == seal.seal) {
            let kept = self.trees.remove(index);
            let tree = kept.tree.clone();
            self.trees.push(kept);
            return Ok(tree);
        }
        if seal.leaves > MAX_BALLOTS {
            let detail = "this round has too many voters for single proofs; its export can be verified";
            return Err(ApiError::not_found("too_many_voters", detail));
        }
        if !self.builds.allows(Instant::now()) {
            return Err(ApiError::busy());
        }
        let root = seal.root;
        let making = make();
        let tree = async move { Ok(Some(making.await?).filter(|tree| tree.root() == root).map(Arc::new)) };
        let tree = tree.boxed().shared();
        while !self.trees.is_empty() && self.ballots() + seal.leaves > MAX_BALLOTS {
            self.trees.remove(0);
        }
        self.trees.push(KeptTree { seal: seal.seal, ballots: seal.leaves, tree: tree.clone() });
        Ok(tree)
    }

    fn ballots(&self) -> u64 {
        self.trees.iter().map(|kept| kept.ballots).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn tree(number: u8) -> Tree {
        Tree::new(vec![Digest::parse(&hex::encode([number; 32])).unwrap(); 3])
    }

    /// The seal of a tree; its own value is `number`.
    fn seal(number: u8, leaves: u64) -> Seal {
        let digest = |number: u8| Digest::parse(&hex::encode([number; 32])).unwrap();
        Seal { number: 1, leaves, root: tree(number).root(), previous: None, seal: digest(number) }
    }

    #[derive(Default)]
    struct Ledger {
        reads: Arc<AtomicUsize>,
    }

    impl Ledger {
        /// Reads a tree, after everybody else had a turn.
        fn read(&self, number: u8) -> impl Future<Output = Result<Tree, LedgerError>> + Send + 'static {
            let reads = self.reads.clone();
            async move {
                tokio::task::yield_now().await;
                reads.fetch_add(1, Ordering::SeqCst);
                Ok(tree(number))
            }
        }

        fn reads(&self) -> usize {
            self.reads.swap(0, Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn a_thousand_voters_who_ask_at_once_cost_one_read() {
        let (trees, ledger) = (Trees::default(), Ledger::default());
        let sealed = seal(1, 3);
        let asked = join_all((0..1_000).map(|_| trees.get(&sealed, || ledger.read(1)))).await;
        assert!(asked.into_iter().all(|found| found.unwrap().is_some_and(|found| *found == tree(1))));
        assert_eq!(ledger.reads(), 1);
        trees.get(&sealed, || ledger.read(1)).await.unwrap();
        assert_eq!(ledger.reads(), 0, "and it is kept");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_what_was_used_last_stays() {
        let (trees, ledger) = (Trees::default(), Ledger::default());
        let half = MAX_BALLOTS / 2;
        for number in [1, 2, 1, 3] {
            trees.get(&seal(number, half), || ledger.read(number)).await.unwrap();
        }
        assert_eq!((ledger.reads(), trees.kept().ballots()), (3, MAX_BALLOTS));
        trees.get(&seal(1, half), || ledger.read(1)).await.unwrap();
        assert_eq!(ledger.reads(), 0, "used before 3 came");
        trees.get(&seal(2, half), || ledger.read(2)).await.unwrap();
        assert_eq!(ledger.reads(), 1);
        let too_large = trees.get(&seal(4, MAX_BALLOTS + 1), || ledger.read(4)).await;
        assert!(too_large.unwrap_err().to_string().starts_with("too_many_voters"));
    }

    #[tokio::test]
    async fn one_old_round_after_another_is_limited() {
        let (trees, ledger) = (Trees::default(), Ledger::default());
        let mut refused = 0;
        for number in 0..100 {
            // each needs all the room there is, so none is kept for long
            refused += usize::from(trees.get(&seal(number, MAX_BALLOTS), || ledger.read(number)).await.is_err());
        }
        let most = BUILDS.burst as usize + 1;
        assert!(ledger.reads() <= most && refused >= 100 - most, "{refused} were refused");
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let (trees, ledger) = (Trees::default(), Ledger::default());
        let down = || async { Err(LedgerError::NotApplied("down".into())) };
        assert!(trees.get(&seal(1, 3), down).await.is_err());
        assert!(trees.get(&seal(1, 3), || ledger.read(1)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn ballots_that_are_not_the_sealed_ones_give_no_tree() {
        let (trees, ledger) = (Trees::default(), Ledger::default());
        for _ in 0..2 {
            assert!(trees.get(&seal(1, 3), || ledger.read(2)).await.unwrap().is_none());
        }
        assert_eq!(ledger.reads(), 1, "which is kept too");
    }
}
