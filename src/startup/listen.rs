//! Binding the ports.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context;

/// Connections that may wait to be accepted: a whole hall joins within a minute.
pub(super) const BACKLOG: u32 = 4_096;

/// Binds a port and listens on it.
///
/// # Errors
/// The host is not an IP address, or the port cannot be bound. The text says what to do.
pub fn bind(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    let address: IpAddr =
        host.parse().with_context(|| format!("settings: server.host must be an IP address, not \"{host}\""))?;
    let address = SocketAddr::new(address, port);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    crate::platform::allow_rebinding(&socket)?;
    socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG as i32)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} is in use by another process; stop it, or choose another port with SERVER_PORT"
        ),
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "port {port} needs rights that this user does not have; choose one above 1023 with SERVER_PORT"
            )
        }
        _ => anyhow::anyhow!("{address} cannot be listened on: {error}"),
    })?;
    Ok(socket.into())
}
