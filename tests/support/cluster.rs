//! The servers of one installation: one process with the embedded ledger, or several over one Redis.

use super::emcee::Emcee;
use super::redis::Redis;
use super::server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

pub struct Cluster {
    pub pods: Vec<Server>,
    pub redis: Option<Redis>,
    dir: TempDir,
}

impl Cluster {
    /// One process with an embedded ledger in its own directory.
    pub async fn embedded() -> Cluster {
        Cluster::embedded_with(&[]).await
    }

    /// As `embedded`, with further settings.
    pub async fn embedded_with(settings: &[(&str, &str)]) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = format!("embedded:{}", dir.path().join("tallycast.redb").display());
        let mut all = vec![("TALLYCAST__LEDGER__URL", ledger.as_str())];
        all.extend_from_slice(settings);
        Cluster { pods: vec![Server::start(&all).await], redis: None, dir }
    }

    /// `count` processes over one Redis.
    pub async fn redis(count: usize) -> Cluster {
        Cluster::redis_with(&vec![vec![]; count]).await
    }

    /// One process for each list of settings, over one Redis.
    pub async fn redis_with(settings: &[Vec<(&str, &str)>]) -> Cluster {
        Cluster::over(Redis::start().await, settings).await
    }

    /// As `redis_with`, over a Redis that runs already.
    pub async fn over(redis: Redis, settings: &[Vec<(&str, &str)>]) -> Cluster {
        let url = redis.url();
        let mut pods: Vec<Server> = Vec::new();
        for own in settings {
            let mut all = vec![("TALLYCAST__LEDGER__URL", url.as_str())];
            all.extend_from_slice(own);
            pods.push(Server::spawn(&all));
        }
        for pod in &mut pods {
            pod.ready().await;
        }
        Cluster { pods, redis: Some(redis), dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// The file of the embedded ledger.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("tallycast.redb")
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.pods.iter().map(Server::address).collect()
    }

    /// An emcee whose requests go to all processes in turn.
    pub fn emcee(&self) -> Emcee {
        Emcee::new(self.addresses())
    }

    /// Waits until every process says it can take voters.
    pub async fn ready(&mut self) {
        for pod in &mut self.pods {
            pod.ready().await;
        }
    }
}
