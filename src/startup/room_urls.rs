//! The URLs that a terminal shows at the start, and the sample room of the first start.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::bail;

use super::listen::Addresses;
use crate::actors::Pod;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{Room, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;
use crate::ledger::Creation;
use crate::settings::Settings;

/// The URLs of a room.
#[derive(Debug, Clone)]
pub struct RoomUrls {
    /// The voters' page, for phones.
    pub voter: String,
    /// The stage, for the projector.
    pub stage: String,
    /// The emcee's desk. It holds the key.
    pub emcee: String,
    /// True if they use the address of a container, which phones cannot reach.
    pub inside_container: bool,
}

/// The URLs of the newest room. If there is none, as at the first start, a sample room of seven rounds is made.
///
/// # Errors
/// The ledger cannot be read, or the sample cannot be stored.
pub async fn of_newest_room(settings: &Settings, pod: &Pod, addresses: &Addresses) -> anyhow::Result<RoomUrls> {
    let rooms = pod.list_rooms().await?.rooms;
    let newest = rooms.into_iter().filter(|room| room.deleted_at.is_none()).max_by_key(|room| room.created_at);
    let room = match newest {
        Some(room) => room,
        None => create_sample(pod).await?,
    };
    let (public, admin) = (found_url(settings, addresses.main), admin_url(settings, addresses));
    Ok(RoomUrls {
        voter: format!("{public}/r/{}", room.code),
        stage: format!("{public}/stage/{}", room.code),
        emcee: format!("{admin}/emcee#{}", pod.auth.emcee_key()),
        inside_container: are_inside_container(settings),
    })
}

/// The URL for voters: `server.public_url` if it is set. Otherwise a process that is the only one finds the address of
/// its machine, and others have none.
pub fn voters_url(settings: &Settings, main: SocketAddr, is_only_process: bool) -> Option<String> {
    let is_known = is_only_process || !settings.server.public_url.is_empty();
    is_known.then(|| found_url(settings, main))
}

/// `server.public_url` if it is set, otherwise this process by the address of its machine.
pub fn found_url(settings: &Settings, main: SocketAddr) -> String {
    match settings.server.public_url.trim_end_matches('/') {
        "" => format!("http://{}", reachable(main)),
        url => url.to_owned(),
    }
}

/// `server.admin_url` if it is set, otherwise the emcee's own port by the address of this machine, or the URL for voters.
pub fn admin_url(settings: &Settings, addresses: &Addresses) -> String {
    match (settings.server.admin_url.trim_end_matches('/'), addresses.admin) {
        ("", Some(admin)) => format!("http://{}", reachable(admin)),
        ("", None) => found_url(settings, addresses.main),
        (url, _) => url.to_owned(),
    }
}

/// True if the address was found and not set, and this is a container: then only its own machine reaches that address.
/// The image sets the variable `container`, as podman, LXC and systemd-nspawn do.
fn are_inside_container(settings: &Settings) -> bool {
    settings.server.public_url.is_empty() && std::env::var_os("container").is_some_and(|engine| !engine.is_empty())
}

/// An address that phones can reach. For a process that listens on every interface this is the one that leads out of the
/// machine.
fn reachable(main: SocketAddr) -> SocketAddr {
    if !main.ip().is_unspecified() {
        return main;
    }
    // connecting a UDP socket sends nothing: the kernel only chooses the address that it would use
    let outward = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let ip = outward.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    SocketAddr::new(if ip.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { ip }, main.port())
}

/// Makes a room with seven rounds of two choices each.
async fn create_sample(pod: &Pod) -> anyhow::Result<Room> {
    type Side = (&'static str, &'static str);
    const COFFEE: Side = ("Coffee", "#b5713a");
    const TEA: Side = ("Tea", "#6fae4e");
    const RED: Side = ("Team Red", "#d7263d");
    const BLUE: Side = ("Team Blue", "#2274a5");
    const ROUNDS: [(&str, Side, Side); 7] = [
        ("Warm-up", COFFEE, TEA),
        ("The song", RED, BLUE),
        ("The dance", RED, BLUE),
        ("The joke", RED, BLUE),
        ("The quiz", RED, BLUE),
        ("The cake", RED, BLUE),
        ("The final", RED, BLUE),
    ];
    let choice = |(label, color): Side| (label.to_owned(), Some(color.to_owned()));
    let round =
        |(title, a, b): &(&str, Side, Side)| RoundPlan::new(title, &[choice(*a), choice(*b)], None, Split::Live, 0);
    let plan = Plan::new(Title::parse("Our evening")?, ROUNDS.iter().map(round).collect::<Result<_, _>>()?);
    let room =
        plan.into_room(RoomId::from_entropy(rand::random()), RoomCode::from_entropy(rand::random()), pod.clock.now())?;
    match pod.ledger.create_room(&room).await? {
        Creation::Created(room) => Ok(room),
        Creation::CodeTaken | Creation::RefTaken(_) => bail!("the sample room could not be made"),
    }
}
