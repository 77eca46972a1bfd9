//! Arrivals, as peers and headers describe them.

use super::*;
use crate::settings::Settings;

/// A network with these settings of the section `server`.
fn network(settings: &[(&str, &str)]) -> Network {
    let variables = settings.iter().map(|(name, value)| (format!("TALLYCAST__SERVER__{name}"), (*value).to_owned()));
    Network::new(&Settings::from_environment(variables.collect()).unwrap().server, "hall-laptop.example.net")
}

fn arrival(network: &Network, peer: &str, headers: &[(&'static str, &str)]) -> Arrival {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(header::HeaderName::from_static(name), value.parse().unwrap());
    }
    network.arrival(Some(SocketAddr::new(peer.parse().unwrap(), 40_000)), &map)
}

/// What a stranger would like this server to believe.
const LIES: [(&str, &str); 5] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=6.6.6.6;proto=https;host=evil.example"),
    ("host", "10.0.0.7:8080"),
];

#[test]
fn headers_of_a_peer_that_is_no_trusted_hop_are_ignored() {
    for (hops, peer) in [("", "127.0.0.1"), ("", "10.0.0.9"), ("10.1.0.0/16", "10.2.0.1"), ("127.0.0.1", "127.0.0.2")] {
        let arrived = arrival(&network(&[("TRUSTED_HOPS", hops)]), peer, &LIES);
        let address: IpAddr = peer.parse().unwrap();
        let told = (arrived.address, arrived.is_tls, arrived.base_url());
        assert_eq!(told, (address, false, "http://10.0.0.7:8080".to_owned()), "{hops:?} {peer}");
    }
}

#[test]
fn headers_of_a_trusted_hop_count_and_forwarded_never_does() {
    let network = network(&[("TRUSTED_HOPS", "127.0.0.1, 10.1.0.0/16 fd00::/8")]);
    for peer in ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "fd00::7"] {
        let arrived = arrival(&network, peer, &LIES);
        assert_eq!(arrived.address, IpAddr::from([6, 6, 6, 6]), "{peer}");
        assert_eq!(arrived.base_url(), "https://evil.example", "{peer}");
    }
    let only_forwarded = arrival(&network, "127.0.0.1", &LIES[3..]);
    let told = (only_forwarded.address, only_forwarded.base_url());
    assert_eq!(told, (IpAddr::from([127, 0, 0, 1]), "http://10.0.0.7:8080".to_owned()));
}

#[test]
fn the_client_is_the_last_address_that_is_no_trusted_hop() {
    let network = network(&[("TRUSTED_HOPS", "10.0.0.0/8")]);
    for (lines, client) in [
        (&["1.1.1.1"][..], "1.1.1.1"),
        (&["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        (&["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
        (&["6.6.6.6", "1.1.1.1,10.0.0.2"], "1.1.1.1"),
        (&["1.1.1.1:5000"], "1.1.1.1"),
        (&["[2001:db8::1]:5000"], "2001:db8::1"),
        (&["::ffff:1.1.1.1"], "1.1.1.1"),
        (&["10.0.0.3"], "10.0.0.3"),
        (&["6.6.6.6, unknown"], "10.0.0.1"),
        (&["6.6.6.6, unknown, 10.0.0.4"], "10.0.0.4"),
        (&[""], "10.0.0.1"),
        (&[], "10.0.0.1"),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let arrived = arrival(&network, "10.0.0.1", &headers);
        assert_eq!(arrived.address, client.parse::<IpAddr>().unwrap(), "{lines:?}");
    }
}

#[test]
fn the_scheme_and_host_are_those_that_the_nearest_hop_has_written() {
    let network = network(&[("TRUSTED_HOPS", "10.0.0.1")]);
    let base = |headers: &[(&'static str, &str)]| arrival(&network, "10.0.0.1", headers).base_url();
    assert_eq!(base(&[("host", "a.example"), ("x-forwarded-proto", "https, http")]), "http://a.example");
    assert_eq!(base(&[("host", "a.example"), ("x-forwarded-proto", "HTTPS")]), "https://a.example");
    assert_eq!(base(&[("host", "a.example"), ("x-forwarded-proto", "ftp")]), "http://a.example");
    assert_eq!(
        base(&[("host", "a.example"), ("x-forwarded-host", "evil.example, b.example:81")]),
        "http://b.example:81"
    );
    assert_eq!(base(&[("host", "a.example"), ("x-forwarded-host", "")]), "http://a.example");
}

fn allows(network: &Network, host: &str) -> bool {
    network.check_host(&arrival(network, "10.0.0.9", &[("host", host)])).is_ok()
}

#[test]
fn names_that_the_public_dns_resolves_must_be_known() {
    let bare = network(&[]);
    for local in [
        "10.0.0.7:8080",
        "192.168.1.20",
        "[fe80::1]:8080",
        "[::1]",
        "localhost",
        "localhost:8080",
        "LocalHost",
        "localhost.",
        "laptop",
        "laptop:8080",
        "laptop.local",
        "a.laptop.LOCAL:81",
        "hall-laptop.example.net:8080",
    ] {
        assert!(allows(&bare, local), "{local}");
    }
    for foreign in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.7.evil.example",
        "local.evil.example",
        "evil.example.",
        "laptop.lan",
    ] {
        assert!(!allows(&bare, foreign), "{foreign}");
    }
    for invalid in ["", "a b", "user@127.0.0.1", "127.0.0.1/evil.example", "127.0.0.1#", "[::1", "127.0.0.1:99999", "é"]
    {
        assert!(!allows(&bare, invalid), "{invalid:?}");
    }
    let twice = arrival(&bare, "10.0.0.9", &[("host", "localhost"), ("host", "localhost")]);
    assert!(bare.check_host(&twice).is_err() && bare.check_host(&arrival(&bare, "10.0.0.9", &[])).is_err());
}

#[test]
fn the_names_of_the_urls_and_of_the_list_are_allowed() {
    let network = network(&[
        ("PUBLIC_URL", "https://vote.example.org/"),
        ("ADMIN_URL", "https://desk.example.org:8443"),
        ("ALLOWED_HOSTS", "tallycast.tallycast.svc, Other.Example.org"),
    ]);
    for known in [
        "vote.example.org",
        "VOTE.example.org:444",
        "vote.example.org.",
        "desk.example.org:8443",
        "tallycast.tallycast.svc",
        "other.example.org",
        "10.0.0.7",
    ] {
        assert!(allows(&network, known), "{known}");
    }
    for foreign in ["example.org", "a.vote.example.org", "vote.example.org.evil.example", "evil.example"] {
        assert!(!allows(&network, foreign), "{foreign}");
    }
}

#[test]
fn an_origin_is_own_with_its_scheme_host_and_port() {
    let network = network(&[("PUBLIC_URL", "https://vote.example.org/"), ("TRUSTED_HOPS", "10.0.0.1")]);
    let plain = arrival(&network, "10.0.0.9", &[("host", "10.0.0.7:8080")]);
    for own in ["http://10.0.0.7:8080", "https://vote.example.org", "https://VOTE.example.org"] {
        assert!(network.is_own_origin(&plain, own), "{own}");
    }
    for foreign in [
        "https://10.0.0.7:8080",
        "http://10.0.0.7",
        "http://10.0.0.7:8081",
        "http://evil.example",
        "http://10.0.0.7:8080.evil.example",
        "http://user@10.0.0.7:8080",
        "http://10.0.0.7:8080/",
        "https://vote.example.org.evil.example",
        "https://vote.example.org:8443",
        "http://vote.example.org",
        "null",
        "",
    ] {
        assert!(!network.is_own_origin(&plain, foreign), "{foreign}");
    }
    let tls = arrival(&network, "10.0.0.1", &[("host", "10.0.0.7"), ("x-forwarded-proto", "https")]);
    assert!(network.is_own_origin(&tls, "https://10.0.0.7") && !network.is_own_origin(&tls, "http://10.0.0.7"));
    let nowhere = arrival(&network, "10.0.0.9", &[]);
    assert!(!network.is_own_origin(&nowhere, "null") && !network.is_own_origin(&nowhere, ""));
}

#[test]
fn only_a_public_name_by_https_is_told_to_stay_with_it() {
    let network = network(&[("TRUSTED_HOPS", "10.0.0.1")]);
    let stays = |host, scheme| {
        arrival(&network, "10.0.0.1", &[("host", host), ("x-forwarded-proto", scheme)]).is_tls_under_public_name()
    };
    assert!(stays("vote.example.org", "https") && stays("vote.example.org:8443", "https"));
    assert!(!stays("vote.example.org", "http"));
    for local in ["localhost:8443", "127.0.0.1", "[::1]", "laptop.local", "laptop"] {
        assert!(!stays(local, "https"), "{local}");
    }
}

#[test]
fn only_this_machine_itself_is_loopback() {
    let network = network(&[]);
    let is_loopback = |host| arrival(&network, "10.0.0.9", &[("host", host)]).is_to_loopback();
    for this in ["localhost", "localhost:8080", "127.0.0.1", "127.8.9.10:80", "[::1]:80", "[::ffff:127.0.0.1]"] {
        assert!(is_loopback(this), "{this}");
    }
    for other in ["localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7", "laptop", "[::2]", ""] {
        assert!(!is_loopback(other), "{other}");
    }
}
