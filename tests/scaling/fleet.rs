//! The Deployment: a number of server processes, each started and stopped as a pod is.

use crate::service::Service;
use crate::support::prometheus::{Prometheus, ScrapeTarget};
use crate::support::server::Server;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub struct Fleet {
    settings: Vec<(&'static str, String)>,
    service: Service,
    pods: Vec<(String, Server)>,
    started: usize,
    ending: JoinSet<Ended>,
    /// They are scraped until they are gone.
    leaving: Vec<(String, SocketAddr)>,
    pub ended: Vec<Ended>,
}

/// How a pod that was taken away has ended.
#[derive(Debug)]
pub struct Ended {
    pub name: String,
    pub address: SocketAddr,
    pub status: ExitStatus,
    pub took: Duration,
    pub at: Instant,
}

impl Fleet {
    pub fn new(settings: Vec<(&'static str, String)>, service: Service) -> Fleet {
        Fleet { settings, service, pods: vec![], started: 0, ending: JoinSet::new(), leaving: vec![], ended: vec![] }
    }

    /// Pods that are wanted, including those that are not ready yet.
    pub fn size(&self) -> u32 {
        u32::try_from(self.pods.len()).expect("few pods")
    }

    /// Starts or stops pods until there are this many.
    pub async fn scale(&mut self, wanted: u32, prometheus: &Prometheus) {
        while self.size() < wanted {
            self.started += 1;
            let settings: Vec<_> = self.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let server = Server::spawn(&settings);
            self.service.add(server.address());
            self.pods.push((format!("tallycast-server-{}", self.started), server));
        }
        while self.size() > wanted {
            // Kubernetes promises no order; the oldest has the most voters, so its drain is the hardest
            let (name, mut server) = self.pods.remove(0);
            self.leaving.push((name.clone(), server.address()));
            self.ending.spawn(async move {
                let since = Instant::now();
                server.signal("TERM");
                let status = server.exit().await;
                Ended { name, address: server.address(), status, took: since.elapsed(), at: Instant::now() }
            });
        }
        while let Some(ended) = self.ending.try_join_next() {
            self.forget(ended.expect("no panic"));
        }
        self.update_targets(prometheus);
    }

    /// Waits for the pods that are being stopped.
    pub async fn all_ended(&mut self, prometheus: &Prometheus) {
        while let Some(ended) = self.ending.join_next().await {
            self.forget(ended.expect("no panic"));
        }
        self.update_targets(prometheus);
    }

    fn forget(&mut self, ended: Ended) {
        self.service.remove(ended.address);
        self.leaving.retain(|(name, _)| *name != ended.name);
        self.ended.push(ended);
    }

    fn update_targets(&self, prometheus: &Prometheus) {
        let staying = self.pods.iter().map(|(name, server)| (name.clone(), server.address()));
        let target = |(pod, address)| ScrapeTarget { pod, component: "server", address };
        prometheus.watch(&staying.chain(self.leaving.iter().cloned()).map(target).collect::<Vec<_>>());
    }
}
