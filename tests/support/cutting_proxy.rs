//! A TCP proxy in front of Redis that cuts its connections at a chosen command: before Redis receives it, or after
//! Redis has executed it and before the client receives the answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// On which side of a command the connections are cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Before,
    After,
}

/// Where to cut: at the first command that contains one of these words.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub words: &'static [&'static str],
    pub side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Open,
    /// A command was withheld, or an answer: nothing passes until `mend`.
    Cut,
}

pub struct CuttingProxy {
    pub port: u16,
    armed: Arc<Mutex<Option<Cut>>>,
    link: Arc<watch::Sender<Link>>,
}

impl CuttingProxy {
    /// Listens on a port of its own and forwards everything to `redis`.
    pub async fn to(redis: SocketAddr) -> CuttingProxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let armed = Arc::new(Mutex::new(None));
        let link = Arc::new(watch::channel(Link::Open).0);
        let (cuts, links) = (armed.clone(), link.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, redis, cuts.clone(), links.clone()));
            }
        });
        CuttingProxy { port, armed, link }
    }

    /// Makes this cut once, at the next command that fits.
    pub fn arm(&self, cut: Cut) {
        *self.armed.lock().expect("no panic") = Some(cut);
    }

    /// Takes back a cut that was not made yet.
    pub fn disarm(&self) {
        *self.armed.lock().expect("no panic") = None;
    }

    /// Resolves when the connections are cut.
    pub async fn cut(&self) {
        is_cut(&mut self.link.subscribe()).await;
    }

    /// Connections may be made again; those from before the cut are gone.
    pub fn mend(&self) {
        self.link.send_replace(Link::Open);
    }
}

/// One connection, until either end closes it or it is cut.
async fn forward(
    mut client: TcpStream,
    redis: SocketAddr,
    armed: Arc<Mutex<Option<Cut>>>,
    link: Arc<watch::Sender<Link>>,
) {
    if *link.borrow() == Link::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(redis).await else { return };
    let mut links = link.subscribe();
    // the answer to come is the one to withhold
    let mut awaited = false;
    let (mut commands, mut answers) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            () = is_cut(&mut links) => return,
            read = client.read(&mut commands) => {
                let Ok(1..) = read else { return };
                let bytes = &commands[..read.unwrap_or(0)];
                let cut = take_cut(&armed, bytes);
                match cut.map(|cut| cut.side) {
                    Some(Side::Before) => {
                        link.send_replace(Link::Cut);
                        return;
                    }
                    Some(Side::After) => awaited = true,
                    None => {}
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answers) => {
                let Ok(1..) = read else { return };
                let bytes = &answers[..read.unwrap_or(0)];
                // a script that Redis does not have yet is loaded and called once more
                if awaited && !contains(bytes, "-NOSCRIPT") && !is_script_loaded(bytes) {
                    link.send_replace(Link::Cut);
                    return;
                }
                if client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn is_cut(links: &mut watch::Receiver<Link>) {
    // an error: the proxy is gone, and its connections with it
    let _ = links.wait_for(|link| *link == Link::Cut).await;
}

/// The cut that fits these bytes; each is made once.
fn take_cut(armed: &Mutex<Option<Cut>>, bytes: &[u8]) -> Option<Cut> {
    let mut armed = armed.lock().expect("no panic");
    let hit = armed.is_some_and(|cut| cut.words.iter().any(|word| contains(bytes, word)));
    if hit { armed.take() } else { None }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The answer to SCRIPT LOAD: a SHA-1 in hexadecimal, as a bulk string.
fn is_script_loaded(bytes: &[u8]) -> bool {
    bytes.starts_with(b"$40\r\n") && bytes.len() == 47
}
