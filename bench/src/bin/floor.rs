//! The floor: what a WebSocket server costs that does nothing but move bytes. One thread, epoll, one buffer.
//!
//! A text that begins with `v` is answered with `a` and the rest; `b` broadcasts `--payload` bytes to everybody, and
//! `--hz` does so by itself. A broadcast is one encoded frame and one write for each client; whoever would block is
//! skipped. It checks nothing and stores nothing: no server with a purpose can be cheaper through the same calls.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bench::gauge::frame;
use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use sha1::{Digest, Sha1};

/// What makes an accept key out of a key (RFC 6455, 1.3).
const ACCEPT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const LISTENER: Token = Token(usize::MAX);

/// A WebSocket server that only moves bytes.
#[derive(Parser)]
struct Args {
    /// Port on 127.0.0.1; 0: any free one, which is printed.
    #[arg(long)]
    port: u16,
    /// Broadcasts a second by itself.
    #[arg(long, default_value_t = 0.0)]
    hz: f64,
    /// Bytes of a broadcast's text.
    #[arg(long, default_value_t = 100)]
    payload: usize,
}

struct Client {
    stream: TcpStream,
    upgraded: bool,
    /// Bytes of a request or a frame that is not whole yet.
    rest: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    /// By token.
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    broadcast: Vec<u8>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))
        .with_context(|| format!("listening on port {}", args.port))?;
    println!("{}", listener.local_addr()?);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let broadcast = frame::from_server(frame::TEXT, &vec![b't'; args.payload]);
    let mut floor = Floor { poll, listener, clients: vec![], free: vec![], buffer: vec![0; 64 * 1024], broadcast };
    floor.run((args.hz > 0.0).then(|| Duration::from_secs_f64(1.0 / args.hz)))
}

impl Floor {
    fn run(&mut self, period: Option<Duration>) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut next = period.map(|period| Instant::now() + period);
        loop {
            let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(at) => self.serve(at),
                }
            }
            if let (Some(due), Some(period)) = (next, period)
                && Instant::now() >= due
            {
                next = Some(due + period);
                self.tell_everybody();
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting"),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            self.clients[at] = Some(Client { stream, upgraded: false, rest: vec![], unsent: vec![] });
        }
    }

    /// Takes what a client sent; one that is broken or speaks otherwise is dropped.
    fn serve(&mut self, at: usize) {
        let Some(client) = &mut self.clients[at] else { return };
        let mut asked = 0;
        if client.serve(&mut self.buffer, &mut asked).is_err() {
            self.clients[at] = None;
            self.free.push(at);
        }
        (0..asked).for_each(|_| self.tell_everybody());
    }

    fn tell_everybody(&mut self) {
        for client in self.clients.iter_mut().flatten() {
            if client.upgraded && client.unsent.is_empty() {
                // an error comes again with the client's next event
                let _ = client.send(&self.broadcast);
            }
        }
    }
}

impl Client {
    fn serve(&mut self, buffer: &mut [u8], asked: &mut usize) -> Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        if !unsent.is_empty() {
            self.send(&unsent)?;
        }
        loop {
            let kept = self.rest.len();
            buffer.get_mut(..kept).context("a frame too long")?.copy_from_slice(&self.rest);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => anyhow::bail!("gone"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.rest.clear();
            let bytes = &mut buffer[..kept + read];
            let taken = if self.upgraded { self.frames(bytes, asked)? } else { self.upgrade(bytes)? };
            self.rest.extend_from_slice(&bytes[taken..]);
            if kept + read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn upgrade(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
        let head = std::str::from_utf8(&bytes[..end])?;
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let accept = STANDARD.encode(Sha1::digest(format!("{}{ACCEPT}", key.context("no key")?)));
        self.upgraded = true;
        self.send(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        Ok(end + 4)
    }

    fn frames(&mut self, bytes: &mut [u8], asked: &mut usize) -> Result<usize> {
        let mut at = 0;
        while let Some(found) = frame::first(&bytes[at..]) {
            let text = &mut bytes[at + found.start..at + found.end];
            at += found.end;
            text.iter_mut().zip(found.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            match (found.opcode, text.first()) {
                (frame::TEXT, Some(b'v')) => {
                    text[0] = b'a';
                    self.send(&frame::from_server(frame::TEXT, text))?;
                }
                (frame::TEXT, Some(b'b')) => *asked += 1,
                (frame::PING, _) => self.send(&frame::from_server(frame::PONG, text))?,
                (frame::CLOSE, _) => anyhow::bail!("goodbye"),
                _ => {}
            }
        }
        Ok(at)
    }

    fn send(&mut self, wire: &[u8]) -> Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(wire);
            return Ok(());
        }
        let sent = match self.stream.write(wire) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        self.unsent.extend_from_slice(&wire[sent..]);
        Ok(())
    }
}
