//! Where a request came from and how: the client's address, the scheme, the host that it asked for.
//!
//! A proxy says so in `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. Anybody can send these headers, so
//! they count only from the networks in `server.trusted_hops`. A trusted hop must overwrite the last two. `Forwarded` is
//! never read. actix's own `connection_info` believes everybody, and is forbidden (`clippy.toml`).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use ipnet::IpNet;
use url::{Host, Url};

use super::error::ApiError;
use crate::settings::ServerSettings;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// Which proxies are believed, and under which names and origins this server is reached.
#[derive(Debug)]
pub struct Network {
    trusted_hops: Vec<IpNet>,
    /// Names beside those that [`is_local`] accepts.
    allowed_hosts: HashSet<String>,
    /// Origins of `server.public_url` and `server.admin_url`.
    own_origins: Vec<String>,
}

impl Network {
    /// As the settings say. `host_name` is the name of this machine, which is allowed too.
    pub fn new(settings: &ServerSettings, host_name: &str) -> Self {
        let urls = [&settings.public_url, &settings.admin_url];
        let urls: Vec<_> = urls.into_iter().filter_map(|url| Url::parse(url).ok()).collect();
        let mut allowed_hosts: HashSet<_> = settings.allowed_hosts.iter().cloned().collect();
        allowed_hosts.extend(urls.iter().filter_map(Url::host_str).map(str::to_owned));
        allowed_hosts.extend(Host::parse(host_name).ok().map(|name| name.to_string()));
        let own_origins = urls.iter().map(|url| url.origin().ascii_serialization()).collect();
        Self { trusted_hops: settings.trusted_hops.clone(), allowed_hosts, own_origins }
    }

    /// How a request came here. `peer` is the other end of its connection.
    pub fn arrival(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Arrival {
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
        let by_hop = |name| if self.trusts(peer) { last(headers, name) } else { None };
        let is_tls = by_hop(FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let scheme = if is_tls { "https" } else { "http" };
        let host = by_hop(FORWARDED_HOST).or_else(|| only(headers, header::HOST));
        let base = host.and_then(|host| base_of(scheme, host));
        Arrival { address: self.client(peer, headers), is_tls, base }
    }

    /// The address of the client: from right to left the first one in `X-Forwarded-For` that is no trusted hop.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).filter_map(|line| line.to_str().ok()).collect();
        let mut address = peer;
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.trusts(address) {
                break;
            }
            let Some(before) = address_in(entry.trim()) else { break };
            address = before;
        }
        address
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_hops.iter().any(|network| network.contains(&address))
    }

    /// Checks that the host is one of this server's. With DNS rebinding a foreign page asks this server under a name of
    /// its own. Such a name is one that the public DNS resolves, so only those must be known.
    ///
    /// # Errors
    /// 421 `unknown_host`.
    pub fn check_host(&self, arrival: &Arrival) -> Result<(), ApiError> {
        let host = arrival.host();
        let is_allowed = |host: &Host<&str>| is_local(host) || self.allowed_hosts.contains(&without_dot(host));
        if host.as_ref().is_some_and(is_allowed) {
            return Ok(());
        }
        let detail = match host {
            Some(host) => format!(
                "this server is not known as {host}; its operator can add that name to TALLYCAST__SERVER__ALLOWED_HOSTS"
            ),
            None => "the request must have one valid Host header".to_owned(),
        };
        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", detail))
    }

    /// True if `origin` is this server's own: that under which the request came, or that of a configured URL.
    pub fn is_own_origin(&self, arrival: &Arrival, origin: &str) -> bool {
        let own = arrival.base.as_ref().map(|base| base.origin().ascii_serialization());
        own.iter().chain(&self.own_origins).any(|own| own.eq_ignore_ascii_case(origin))
    }
}

/// How a request came here, see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The client's address, as far as it is known.
    pub address: IpAddr,
    /// True if the client came by https.
    pub is_tls: bool,
    /// Scheme, host and port; `None` if the request does not name one valid host.
    base: Option<Url>,
}

impl Arrival {
    fn host(&self) -> Option<Host<&str>> {
        self.base.as_ref()?.host()
    }

    /// The URL of this server as the client asked for it, without a slash at the end; empty if it named no host.
    pub fn base_url(&self) -> String {
        self.base.as_ref().map(|base| base.origin().ascii_serialization()).unwrap_or_default()
    }

    /// True if the client asked for this machine itself, which does not tell how others reach it.
    pub fn is_to_loopback(&self) -> bool {
        match self.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
            None => false,
        }
    }

    /// True if the client came by https under a name that the public DNS can resolve. Such a name has one certificate for
    /// all ports. `localhost` and names of a hall often have a port with https and others without.
    pub fn is_tls_under_public_name(&self) -> bool {
        self.is_tls && self.host().is_some_and(|host| !is_local(&host))
    }
}

/// True for what the public DNS cannot resolve: addresses, `localhost` and other names without a dot, names in `.local`.
fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            !name.contains('.') || name.ends_with(".local")
        }
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

/// The dot at the end of a full name makes no other host of it.
fn without_dot(host: &Host<&str>) -> String {
    host.to_string().trim_end_matches('.').to_owned()
}

/// The URL of a host, as browsers understand it. `None` if the text is anything but a host with or without a port.
fn base_of(scheme: &str, host: &str) -> Option<Url> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return None;
    }
    Url::parse(&format!("{scheme}://{host}/")).ok()
}

/// An entry of `X-Forwarded-For`: an address, which some proxies write with a port.
fn address_in(entry: &str) -> Option<IpAddr> {
    let address = entry.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The last value of a header that may be a list: what the hop next to this server has written.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get_all(name).last()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// The value of a header that must not be repeated.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests;
