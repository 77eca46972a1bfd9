//! Rows 8 and 9: memory of a joined voter, CPU time without activity, and CPU time when everybody connects at once.

use std::time::Duration;

use anyhow::{Result, bail};

use super::trials::{in_turn, middle};
use crate::lab::{Aof, Deployment, Lab, Store};
use crate::measuring::{Crowd, Dialect, MAX_CASTS_PER_ROUND};
use crate::procs::{Meter, kernel_object_bytes, resident_bytes};
use crate::table::{FLOOR, Limit, Row, SOCKETIO};

/// Votes on each ballot when memory is read.
const LETTERS: u32 = 10;
/// Time for work after the last hello: presence, allocators that return memory.
const SETTLE: Duration = Duration::from_secs(2);
/// Voters who join over HTTP, for `loadtest plan`.
const JOINERS: usize = 300;

/// Memory of a voter, and CPU time of all of them.
struct Memory {
    server: f64,
    kernel: f64,
    redis_voter: f64,
    redis_ballot: f64,
    /// Share of a core without activity.
    idle: f64,
}

/// Row 8.
pub fn memory(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let voters = lab.count(10_000);
    let [ours] = &in_turn(lab, [("Tallycast", &|| memory_of_ours(lab, voters))])?;
    let [socketio] = &in_turn(lab, [(SOCKETIO, &|| memory_of_socketio(lab, voters))])?;
    let kib = middle(ours, |memory| memory.server) / 1024.0;
    let idle = middle(ours, |memory| memory.idle);
    lab.note("voter_bytes", kib * 1024.0);
    lab.note("socket_kernel_bytes", middle(ours, |memory| memory.kernel));
    lab.note("voter_redis_bytes", middle(ours, |memory| memory.redis_voter));
    lab.note("ballot_redis_bytes", middle(ours, |memory| memory.redis_ballot));
    lab.note("idle_us_per_voter_s", idle * 1e6 / voters as f64);
    let name = format!("resident memory per joined voter with a ballot, {voters} voters");
    let row = Row::new(8, name, "KiB", kib).beside("Socket.IO, bare", middle(socketio, |bytes| bytes / 1024.0));
    report(row.must([Limit::most(8.0)]).aim([Limit::most(5.0)]));
    let name = format!("CPU of a server with {voters} joined voters who do nothing");
    report(Row::new(8, name, "% of a core", idle * 100.0).must([Limit::most(2.0)]));
    Ok(())
}

fn memory_of_ours(lab: &Lab, voters: usize) -> Result<Memory> {
    let deployment = lab.deploy(Store::Redis(Aof::Always), 1)?;
    let mut hall = deployment.pod().hall(voters, 1, MAX_CASTS_PER_ROUND)?;
    hall.open_next()?;
    let (pid, redis) = (deployment.pod().pid(), deployment.redis());
    let used = || redis.info("memory", "used_memory");
    let (server, kernel, empty) = (resident_bytes(pid)?, kernel_object_bytes()?, used()?);

    let mut crowd = Crowd::connect(&deployment.ports(), hall.dialect(), voters)?;
    crowd.listen(SETTLE)?;
    let joined = used()?;
    // both ends of a connection are on this machine
    let kernel = kernel_object_bytes()?.saturating_sub(kernel) as f64 / 2.0;
    crowd.closed_loop(LETTERS)?;
    crowd.listen(SETTLE)?;
    let each = |bytes: f64| bytes / voters as f64;
    let (server, voted) = (resident_bytes(pid)?.saturating_sub(server) as f64, used()?);

    let (meter, length) = (Meter::start(&[pid])?, lab.length(20.0));
    crowd.listen(length)?;
    let idle = meter.read()?[0] / 1e6 / length.as_secs_f64();
    Ok(Memory {
        server: each(server),
        kernel: each(kernel),
        redis_voter: each(joined - empty),
        redis_ballot: each(voted - joined),
        idle,
    })
}

fn memory_of_socketio(lab: &Lab, voters: usize) -> Result<f64> {
    let reference = lab.socketio(1, None)?;
    let before = resident_bytes(reference.pid)?;
    let mut crowd = Crowd::connect(&[reference.port], Dialect::socketio(), voters)?;
    crowd.listen(SETTLE)?;
    Ok(resident_bytes(reference.pid)?.saturating_sub(before) as f64 / voters as f64)
}

/// Row 9.
pub fn storm(lab: &Lab, report: &mut dyn FnMut(Row)) -> Result<()> {
    let voters = lab.count(10_000);
    let ours = || {
        let deployment = lab.deploy(Store::Redis(Aof::Always), 1)?;
        let mut hall = deployment.pod().hall(voters, 1, MAX_CASTS_PER_ROUND)?;
        hall.open_next()?;
        let pid = deployment.pod().pid();
        let first = storm_of(pid, deployment.ports(), hall.dialect(), voters)?;
        wait_until_empty(&deployment)?;
        let again = storm_of(pid, deployment.ports(), hall.dialect(), voters)?;
        wait_until_empty(&deployment)?;
        let meter = Meter::start(&[pid])?;
        (0..JOINERS).try_for_each(|number| hall.join(&format!("Guest {number}")).map(drop))?;
        Ok([first, again, meter.read()?[0] / JOINERS as f64])
    };
    let floor = || {
        let reference = lab.floor(1)?;
        storm_of(reference.pid, vec![reference.port], Dialect::floor(), voters).map(|us| [us; 3])
    };
    let socketio = || {
        let reference = lab.socketio(1, None)?;
        storm_of(reference.pid, vec![reference.port], Dialect::socketio(), voters).map(|us| [us; 3])
    };
    let [ours, floor, socketio] = &in_turn(lab, [("Tallycast", &ours), (FLOOR, &floor), (SOCKETIO, &socketio)])?;
    let [first, again, join] = [0, 1, 2].map(|at| middle(ours, |trial| trial[at]));
    lab.note("hello_us", again);
    lab.note("join_us", join);
    let row = |name: &str, ours| {
        let name = format!("connect, hello and first state, CPU per voter in a storm of {voters}, {name}");
        let row = Row::new(9, name, "µs", ours).beside("floor, bare", middle(floor, |trial| trial[0]));
        row.beside("Socket.IO, bare", middle(socketio, |trial| trial[0]))
    };
    let known = row("known voters", again).note(format!("a join over HTTP before it: {join:.0} µs"));
    let known = known.must([Limit::most(60.0), Limit::most(0.25).times("Socket.IO, bare")]);
    report(known.aim([Limit::most(35.0)]));
    report(row("voters whom the ledger must write", first));
    Ok(())
}

/// CPU time of the server for each voter in µs, with the work right after the last hello.
fn storm_of(pid: u32, ports: Vec<u16>, dialect: Dialect, voters: usize) -> Result<f64> {
    let meter = Meter::start(&[pid])?;
    let mut crowd = Crowd::connect(&ports, dialect, voters)?;
    crowd.listen(Duration::from_millis(200))?;
    Ok(meter.read()?[0] / voters as f64)
}

fn wait_until_empty(deployment: &Deployment) -> Result<()> {
    for _ in 0..200 {
        if deployment.pod().metric("tallycast_sockets")? == 0.0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("reset sockets are still counted after ten seconds")
}
