//! Kernel options of a socket. Every call is best effort: a system without an option still works, with older frames for
//! slow readers.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::platform;

/// The kernel takes new bytes while it holds fewer unsent ones than this. Without the limit it takes minutes of outdated
/// tallies before it reports that it is full.
const KERNEL_UNSENT_BYTES: u32 = 4 * 1024;
/// What the kernel buffers for a peer that does not read, and from a peer that is not read.
const SEND_BUFFER_BYTES: usize = 32 * 1024;
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
/// How long the other side's kernel may leave sent bytes unacknowledged.
const ACK_TIMEOUT: Duration = Duration::from_secs(15);

/// Tunes a connection that has become a socket. Before, it served pages, which need large buffers.
pub fn tune(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    platform::bound_sending(&socket, KERNEL_UNSENT_BYTES, ACK_TIMEOUT);
}

/// Makes the kernel discard what is unsent as soon as the connection is dropped.
pub fn discard_unsent(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}
