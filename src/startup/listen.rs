//! Binding the ports.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context;

use crate::settings::Settings;

/// Connections that may wait to be accepted: a whole hall joins within a minute.
pub(super) const BACKLOG: u32 = 4_096;

/// The addresses that a process listens on.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pages, API, sockets.
    pub main: SocketAddr,
    /// The same for the emcee, if that has a port of its own.
    pub admin: Option<SocketAddr>,
    /// Metrics and probes, if they have a port of their own.
    pub metrics: Option<SocketAddr>,
}

/// The ports of a process. A worker has one, for metrics and probes.
pub(super) struct Listeners {
    pub main: TcpListener,
    pub admin: Option<TcpListener>,
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    /// Binds the ports that the settings name.
    ///
    /// # Errors
    /// See [`bind`].
    pub fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let on = |port: u32| bind(&settings.server.host, port as u16);
        let unless_0 = |port: u32| if port == 0 { Ok(None) } else { on(port).map(Some) };
        let (port, metrics) = (settings.server.port, settings.metrics.port);
        if !settings.server.role.serves_people() {
            return Ok(Self { main: on(if metrics == 0 { port } else { metrics })?, admin: None, metrics: None });
        }
        Ok(Self { main: on(port)?, admin: unless_0(settings.server.admin_port)?, metrics: unless_0(metrics)? })
    }

    /// The addresses as bound: a port that was set to 0 has its number here.
    ///
    /// # Errors
    /// The system does not tell them.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses { main: self.main.local_addr()?, admin: of(&self.admin)?, metrics: of(&self.metrics)? })
    }
}

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
