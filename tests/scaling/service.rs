//! A Service: one address that hands each new connection to one of the pods that are ready, and leaves it there. It
//! polls `/readyz` of the pods, as the kubelet does.

use crate::support::http::Http;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Between two probes; the manifests probe every 2 s.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// For each direction of a connection: thousands of phones go through here.
const BUFFER_BYTES: usize = 2048;

#[derive(Clone)]
pub struct Service {
    pub address: SocketAddr,
    endpoints: Arc<Mutex<Vec<Endpoint>>>,
    next: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
struct Endpoint {
    pod: SocketAddr,
    ready: bool,
}

impl Service {
    /// Listens on a free port until the runtime ends.
    pub async fn open() -> Service {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let service = Service { address, endpoints: Arc::default(), next: Arc::default() };
        tokio::spawn(service.clone().accept(listener));
        tokio::spawn(service.clone().watch());
        service
    }

    pub fn add(&self, pod: SocketAddr) {
        self.endpoints.lock().expect("no panic").push(Endpoint { pod, ready: false });
    }

    pub fn remove(&self, pod: SocketAddr) {
        self.endpoints.lock().expect("no panic").retain(|endpoint| endpoint.pod != pod);
    }

    /// Pods that new connections go to.
    pub fn ready(&self) -> Vec<SocketAddr> {
        let endpoints = self.endpoints.lock().expect("no panic");
        endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.pod).collect()
    }

    async fn watch(self) {
        let http = Http::new();
        loop {
            let pods: Vec<SocketAddr> = self.endpoints.lock().expect("no panic").iter().map(|e| e.pod).collect();
            let mut asked = JoinSet::new();
            for pod in pods {
                let http = http.clone();
                asked.spawn(async move {
                    let answer = http.get(&format!("http://{pod}/readyz")).await;
                    (pod, answer.is_ok_and(|answer| answer.status == 200))
                });
            }
            while let Some(Ok((pod, ready))) = asked.join_next().await {
                let mut endpoints = self.endpoints.lock().expect("no panic");
                endpoints.iter_mut().filter(|endpoint| endpoint.pod == pod).for_each(|e| e.ready = ready);
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let (phone, _) = listener.accept().await.expect("open files are left: try ulimit -n 20000");
            let ready = self.ready();
            // no pod is ready: the connection ends, as it does behind a Service without endpoints
            let Some(pod) = ready.get(self.next.fetch_add(1, Ordering::Relaxed) % ready.len().max(1)).copied() else {
                continue;
            };
            tokio::spawn(hand_over(phone, pod));
        }
    }
}

async fn hand_over(mut phone: TcpStream, pod: SocketAddr) {
    let Ok(mut pod) = TcpStream::connect(pod).await else { return };
    let _ = (phone.set_nodelay(true), pod.set_nodelay(true));
    // either side may break off at any moment, which ends the other
    let _ = copy_bidirectional_with_sizes(&mut phone, &mut pod, BUFFER_BYTES, BUFFER_BYTES).await;
}
