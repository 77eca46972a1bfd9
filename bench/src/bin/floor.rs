//! The floor: the cost of a WebSocket server that only moves bytes. One thread, epoll, one buffer.
//!
//! A text that begins with `v` is answered with `a` and the rest; `b` broadcasts `--payload` bytes to every client. A
//! broadcast is one encoded frame and one write for each client; a client that would block is skipped. It checks nothing and
//! stores nothing, so no useful server can be cheaper through the same calls.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use clap::Parser;
use client::frame;
use client::tungstenite::handshake::derive_accept_key;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// A WebSocket server that only moves bytes.
#[derive(Parser)]
struct Args {
    /// Port on 127.0.0.1; 0: any free one. It is printed.
    #[arg(long)]
    port: u16,
    /// Bytes of a broadcast's text.
    #[arg(long, default_value_t = 100)]
    payload: usize,
}

struct Client {
    stream: TcpStream,
    upgraded: bool,
    /// Bytes of an incomplete request or frame.
    rest: Vec<u8>,
    /// Bytes that the kernel did not accept.
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
    floor.run()
}

impl Floor {
    fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(at) => self.serve(at),
                }
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

    /// Handles what a client sent. A client with an invalid request, or a closed connection, is dropped.
    fn serve(&mut self, at: usize) {
        let Some(client) = &mut self.clients[at] else { return };
        let mut asked = 0;
        if client.serve(&mut self.buffer, &mut asked).is_err() {
            self.clients[at] = None;
            self.free.push(at);
        }
        (0..asked).for_each(|_| self.broadcast());
    }

    fn broadcast(&mut self) {
        for client in self.clients.iter_mut().flatten() {
            if client.upgraded && client.unsent.is_empty() {
                // an error is reported again by the client's next event
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
                Ok(0) => anyhow::bail!("closed"),
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
        let accept = derive_accept_key(key.context("no key")?.as_bytes());
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
                (frame::CLOSE, _) => anyhow::bail!("closed"),
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
