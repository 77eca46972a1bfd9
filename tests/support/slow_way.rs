//! A way to a server on this machine whose answers can be held up, as on a network that stalls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Forwards connections until it is dropped.
pub struct SlowWay {
    pub port: u16,
    delay_ms: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl SlowWay {
    /// A way to `port` that holds nothing up yet.
    pub async fn to(port: u16) -> SlowWay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = delay_ms.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((asked, told), (answers, asks)) = (client.into_split(), server.into_split());
                tokio::spawn(forward(asked, asks, Arc::default()));
                tokio::spawn(forward(answers, told, delay.clone()));
            }
        });
        SlowWay { port: own, delay_ms, task }
    }

    /// From now on an answer takes so much longer; answers keep their order.
    pub fn hold_up(&self, answers: Duration) {
        self.delay_ms.store(answers.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads on while what was read before is still being held up.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: Arc<AtomicU64>) {
    let (sender, mut held) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = held.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes).await {
        let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
        if read == 0 || sender.send((due, bytes[..read].to_vec())).is_err() {
            return;
        }
    }
}
