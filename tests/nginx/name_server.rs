//! A name server with changing answers, as in a compose network when containers are recreated.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Bytes of a DNS header (RFC 1035, 4.1.1).
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// Longer than any test: nginx must ask more often than this.
const TTL_SECONDS: u32 = 600;

/// Answers every query for addresses with the same ones.
pub struct NameServer {
    pub address: SocketAddr,
    hosts: Arc<Mutex<Vec<Ipv4Addr>>>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub async fn resolving_to(hosts: &[Ipv4Addr]) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("its address");
        let hosts = Arc::new(Mutex::new(hosts.to_vec()));
        let known = hosts.clone();
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let hosts = {
                    let mut known = known.lock().expect("no test panics with it");
                    // as docker does, whose answers begin with another each time
                    let turn = usize::from(known.len() > 1);
                    known.rotate_left(turn);
                    known.clone()
                };
                let _ = socket.send_to(&answer(&question[..length], &hosts), from).await;
            }
        });
        NameServer { address, hosts, task }
    }

    /// Changes the answers from now on.
    pub fn resolve_to(&self, hosts: &[Ipv4Addr]) {
        *self.hosts.lock().expect("no test panics with it") = hosts.to_vec();
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer to a question about one name; without hosts the name does not exist.
fn answer(question: &[u8], hosts: &[Ipv4Addr]) -> Vec<u8> {
    let end_of_name = HEADER + question[HEADER..].iter().position(|byte| *byte == 0).expect("a name") + 1;
    let hosts = if question[end_of_name..].starts_with(&TYPE_A) { hosts } else { &[] };
    let no_such_name = if hosts.is_empty() { 3 } else { 0 };
    let count = u8::try_from(hosts.len()).expect("a few");
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | no_such_name, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[HEADER..end_of_name + 4]);
    for host in hosts {
        // the name is that of the question; class IN
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1]);
        answer.extend(TTL_SECONDS.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(host.octets());
    }
    answer
}
