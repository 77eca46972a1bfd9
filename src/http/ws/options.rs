//! What the kernel is asked to do for a socket. Every call is a wish: a system that has none of them still works, with
//! staler frames for slow readers.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::platform;

/// The kernel takes new bytes while it holds fewer unsent ones. Without it, it swallows minutes of stale tallies before
/// it says that it is full.
const UNSENT_BYTES: u32 = 4 * 1024;
/// What the kernel keeps for a peer that does not take it, and of a peer that is not read.
const SEND_BUFFER_BYTES: usize = 32 * 1024;
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
/// How long sent bytes may be without an answer from the other side's kernel.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Tunes a connection that has become a socket. Before, it was one for pages, and those want large buffers.
pub fn tune(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    platform::bound_sending(&socket, UNSENT_BYTES, ANSWER_WITHIN);
}

/// Lets the kernel forget what is unsent as soon as the connection is dropped.
pub fn forget_unsent(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}
