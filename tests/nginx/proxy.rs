//! A real nginx with the shipped configuration, for one process or as in compose.yaml, and a TLS client for it.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The shipped configuration, in a proxy's own directory.
const SHIPPED: &str = "shipped";

pub type Tls = TlsStream<TcpStream>;

/// nginx in front of one process. Dropped, it is stopped with its workers.
pub struct Proxy {
    /// The port for https.
    pub port: u16,
    /// The port for http, which only sends to https.
    pub redirect: u16,
    /// The port for the probe.
    pub probe: u16,
    directory: TempDir,
    child: Option<Child>,
}

/// A port nobody listens on, not from the range that the system hands out: that may begin at 1,024, and only root may
/// listen below.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(600);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port >= 1_024 {
            return crate::support::free_port();
        }
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

impl Proxy {
    /// Copies the shipped configuration for this upstream, with certificates by the shipped script. Nothing runs yet.
    pub fn prepared(upstream: SocketAddr) -> Proxy {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // nginx' workers, which are not root, keep large answers in it
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its own directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let certs = directory.path().join("certs");
        let made = Command::new(root.join("scripts/certs.sh")).env("CERTS", &certs).output().expect("a shell");
        assert!(made.status.success(), "{made:?}");
        let (port, redirect, probe) = (free_port(), free_port(), free_port());
        // the strings that nginx.conf says to replace elsewhere
        let swaps = [
            ("127.0.0.1:8080", upstream.to_string()),
            ("8443", port.to_string()),
            ("8082", redirect.to_string()),
            ("8081", probe.to_string()),
            ("/etc/tallycast/tls/", format!("{}/", certs.display())),
            ("/tmp/nginx", format!("{}/nginx", directory.path().display())),
        ];
        let shipped = directory.path().join(SHIPPED);
        fs::create_dir(&shipped).expect("its own directory");
        for entry in fs::read_dir(root.join("manifests/base/nginx")).expect("the shipped configuration") {
            let path = entry.expect("an entry").path();
            let mut text = fs::read_to_string(&path).expect("a text");
            for (from, to) in &swaps {
                text = text.replace(from, to);
            }
            fs::write(shipped.join(path.file_name().expect("a name")), text).expect("its own directory");
        }
        Proxy { port, redirect, probe, directory, child: None }
    }

    /// Starts nginx in front of this process and waits until it answers its probe.
    pub async fn start(upstream: SocketAddr) -> Proxy {
        let proxy = Proxy::prepared(upstream);
        let command = proxy.nginx(&[]);
        proxy.run(command).await
    }

    /// As compose.yaml starts it: in front of every process that this name leads to, at this port.
    pub async fn compose(name: &str, port: u16, name_server: SocketAddr) -> Proxy {
        let proxy = Proxy::prepared(name_server);
        let folder = proxy.directory.path().display().to_string();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/nginx.sh");
        let script = fs::read_to_string(script).expect("the shipped script");
        let script = script.replace("/etc/tallycast/nginx", &format!("{folder}/{SHIPPED}"));
        let script = script.replace("/tmp/conf", &format!("{folder}/conf"));
        let mut command = Command::new("sh");
        command.args(["-c", &script, "nginx.sh", &format!("{name}:{port}")]).env("RESOLVER", name_server.to_string());
        proxy.run(command).await
    }

    async fn run(mut self, mut command: Command) -> Proxy {
        let log = fs::File::create(self.directory.path().join("log")).expect("its own directory");
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().expect("nginx is installed"));
        let since = Instant::now();
        loop {
            if TcpStream::connect(("127.0.0.1", self.probe)).await.is_ok() {
                return self;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("its own child"));
            assert!(ended.is_none() && since.elapsed() < Duration::from_secs(20), "nginx does not start: {ended:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The result of nginx' own test of the configuration.
    pub fn verdict(&self) -> Output {
        self.nginx(&["-t"]).output().expect("nginx is installed")
    }

    fn nginx(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nginx");
        let config = self.directory.path().join(SHIPPED).join("nginx.conf");
        command.arg("-c").arg(config).arg("-p").arg(self.directory.path()).args(["-e", "stderr"]).args(arguments);
        command
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The root that signed the certificate.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("certs/ca.crt")
    }

    /// A TCP connection to the port for https, from this address of the machine.
    pub async fn tcp(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await.expect("nginx listens")
    }

    /// A connection from 127.0.0.1 that trusts only the shipped script's root.
    pub async fn tls(&self) -> Tls {
        self.tls_from([127, 0, 0, 1]).await
    }

    async fn tls_from(&self, from: [u8; 4]) -> Tls {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(self.root()).expect("a root")).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp(from).await).await.expect("the certificate is good")
    }

    /// Sends a request on a new connection, and reads until nginx closes it.
    pub async fn ask(&self, request: &str) -> String {
        self.ask_from([127, 0, 0, 1], request).await
    }

    /// As `ask`, from another address of this machine.
    pub async fn ask_from(&self, from: [u8; 4], request: &str) -> String {
        let mut stream = self.tls_from(from).await;
        stream.write_all(request.as_bytes()).await.expect("nginx reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("nginx answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // not SIGKILL: its workers would live on
            let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- nginx on port {} ---\n{log}", self.port);
        }
    }
}
