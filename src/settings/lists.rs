//! Settings that are lists: an array in a file, or texts between commas or spaces in a variable.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use url::Host;

#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Text(String),
    Items(Vec<String>),
}

fn items<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let items = match List::deserialize(source)? {
        List::Text(text) => text.split([',', ' ']).map(str::to_owned).collect(),
        List::Items(items) => items,
    };
    Ok(items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
}

/// `server.trusted_hops`: networks as in 10.1.0.0/16, or single addresses.
///
/// # Errors
/// An item is neither.
pub fn trusted_hops<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |item: &String| {
        let network = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| D::Error::custom(wrong("server.trusted_hops", "networks, as in 10.1.0.0/16", item)))
    };
    items(source)?.iter().map(network).collect()
}

/// `server.allowed_hosts`: names, in lower case and without a dot at their end.
///
/// # Errors
/// An item is not a host, or has a scheme or a port.
pub fn allowed_hosts<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let host = |item: &String| match Host::parse(item.trim_end_matches('.')) {
        Ok(host) => Ok(host.to_string()),
        Err(_) => Err(D::Error::custom(wrong("server.allowed_hosts", "hosts without scheme and port", item))),
    };
    items(source)?.iter().map(host).collect()
}

fn wrong(key: &str, what: &str, item: &str) -> String {
    format!("{key} must be a list of {what}, not \"{item}\"")
}
