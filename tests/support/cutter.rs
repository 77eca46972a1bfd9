//! A way to Redis that can be cut at a chosen command: before Redis hears it, or after Redis has
//! carried it out and before anybody hears the answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// On which side of a command the way is cut.
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
enum Way {
    Open,
    /// A command is held or its answer is awaited: nothing passes any more.
    Cut,
}

pub struct Cutter {
    pub port: u16,
    armed: Arc<Mutex<Option<Cut>>>,
    way: Arc<watch::Sender<Way>>,
}

impl Cutter {
    /// Listens on a port of its own and passes everything on to `redis`.
    pub async fn before(redis: SocketAddr) -> Cutter {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let armed = Arc::new(Mutex::new(None));
        let way = Arc::new(watch::channel(Way::Open).0);
        let (cuts, ways) = (armed.clone(), way.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, redis, cuts.clone(), ways.clone()));
            }
        });
        Cutter { port, armed, way }
    }

    pub fn arm(&self, cut: Cut) {
        *self.armed.lock().expect("no panic") = Some(cut);
    }

    /// Nothing is cut any more.
    pub fn disarm(&self) {
        *self.armed.lock().expect("no panic") = None;
    }

    /// Resolves when the way is cut.
    pub async fn cut(&self) {
        is_cut(&mut self.way.subscribe()).await;
    }

    /// Connections may be made again; those from before the cut are gone.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

/// One connection, until either end closes it or the way is cut.
async fn pass(mut client: TcpStream, redis: SocketAddr, armed: Arc<Mutex<Option<Cut>>>, way: Arc<watch::Sender<Way>>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(redis).await else { return };
    let mut ways = way.subscribe();
    // an answer is awaited, and then the way is cut
    let mut awaited = false;
    let (mut asked, mut told) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            () = is_cut(&mut ways) => return,
            read = client.read(&mut asked) => {
                let Ok(1..) = read else { return };
                let bytes = &asked[..read.unwrap_or(0)];
                let cut = take_cut(&armed, bytes);
                match cut.map(|cut| cut.side) {
                    Some(Side::Before) => {
                        way.send_replace(Way::Cut);
                        return;
                    }
                    Some(Side::After) => awaited = true,
                    None => {}
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut told) => {
                let Ok(1..) = read else { return };
                let bytes = &told[..read.unwrap_or(0)];
                // a script that Redis does not have yet is sent and asked for once more
                if awaited && !contains(bytes, "-NOSCRIPT") && !is_script_loaded(bytes) {
                    way.send_replace(Way::Cut);
                    return;
                }
                if client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn is_cut(ways: &mut watch::Receiver<Way>) {
    // an error: the cutter is gone, and its connections with it
    let _ = ways.wait_for(|way| *way == Way::Cut).await;
}

/// The cut that these bytes ask for; it is made once.
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
