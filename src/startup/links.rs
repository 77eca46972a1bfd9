//! Where the evening is, for whoever started the process; and the evening to begin with.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::bail;

use crate::actors::Pod;
use crate::domain::ids::{RoomCode, RoomId};
use crate::domain::room::{Room, Split};
use crate::domain::setup::{Plan, RoundPlan};
use crate::domain::text::Title;
use crate::ledger::Creation;
use crate::settings::Settings;

/// What the terminal shows.
#[derive(Debug, Clone)]
pub struct Links {
    /// For phones.
    pub voter: String,
    /// For the projector.
    pub stage: String,
    /// For the emcee, with the key.
    pub emcee: String,
    /// They lead to the container's own address, which phones do not reach.
    pub inside_container: bool,
}

/// The links of the newest room; the first start makes a sample of seven rounds.
pub async fn find(settings: &Settings, pod: &Pod, main: SocketAddr) -> anyhow::Result<Links> {
    let rooms = pod.list_rooms().await?.rooms;
    let newest = rooms.into_iter().filter(|room| room.deleted_at.is_none()).max_by_key(|room| room.created_at);
    let room = match newest {
        Some(room) => room,
        None => sample(pod).await?,
    };
    let public = pod.voters_url.clone().unwrap_or_else(|| format!("http://{main}"));
    let admin = match settings.server.admin_url.trim_end_matches('/') {
        "" => public.clone(),
        admin => admin.to_owned(),
    };
    Ok(Links {
        voter: format!("{public}/r/{}", room.code),
        stage: format!("{public}/stage/{}", room.code),
        emcee: format!("{admin}/emcee#{}", pod.auth.emcee_key()),
        inside_container: are_inside_container(settings),
    })
}

/// Where voters reach this server: as set; a process alone finds the address that leads out of its machine.
pub fn voters_url(settings: &Settings, main: SocketAddr, alone: bool) -> Option<String> {
    match settings.server.public_url.trim_end_matches('/') {
        "" => alone.then(|| format!("http://{}", reachable(main))),
        url => Some(url.to_owned()),
    }
}

/// Whether the address that was found is that of a container, where nobody outside of its machine comes. The image says of
/// itself that it is one, by the variable that podman, LXC and systemd-nspawn set too.
fn are_inside_container(settings: &Settings) -> bool {
    settings.server.public_url.is_empty() && std::env::var_os("container").is_some_and(|engine| !engine.is_empty())
}

/// An address that phones can reach: where everything is listened on, the one that leads out of this machine.
fn reachable(main: SocketAddr) -> SocketAddr {
    if !main.ip().is_unspecified() {
        return main;
    }
    // connecting a UDP socket sends nothing: it only asks which address would be used
    let leads_out = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let ip = leads_out.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    SocketAddr::new(if ip.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { ip }, main.port())
}

/// Seven rounds of A against B, to begin with.
async fn sample(pod: &Pod) -> anyhow::Result<Room> {
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
        Creation::CodeTaken | Creation::RefTaken(_) => bail!("the first room could not be made"),
    }
}
