//! Limits of this machine: open files, and ports for outgoing connections. Checked before anything starts.

use std::net::IpAddr;

use crate::console::usage_error;
use crate::platform;

/// Open files besides WebSockets: the program's own, and connections that join.
const OTHER_FILES: u64 = 200;

/// Raises the soft limit on open files to the hard one, and checks that it is enough.
///
/// # Errors
/// It is not enough: says what to do.
pub fn check_files(voters: u32, processes: u32) -> anyhow::Result<()> {
    let need = u64::from(voters.div_ceil(processes)) + OTHER_FILES;
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    if need <= limit {
        return Ok(());
    }
    let room = limit.saturating_sub(OTHER_FILES).max(1);
    let enough = u64::from(voters).div_ceil(room);
    Err(usage_error(format!(
        "{voters} voters in {processes} process(es) need {need} open files each, and the limit is {limit}; raise it with \
         `ulimit -n {need}`, or spread the voters with --processes {enough}"
    )))
}

/// Checks that there are enough ports for the connections to each pod.
///
/// # Errors
/// There are not enough: says what to do.
pub fn check_ports(voters: u32, pods: usize, sources: &[IpAddr]) -> anyhow::Result<()> {
    check_ports_of(platform::ports(), voters, pods, sources.len())
}

fn check_ports_of(ports: u64, voters: u32, pods: usize, sources: usize) -> anyhow::Result<()> {
    // a bound source address uses each port for one socket only, wherever that connects to, and only every other port:
    // Linux 6.18 stops after 14,100 of 28,232
    let (pairs, every, ports) = match sources {
        0 => (pods as u64, "one pod", ports),
        sources => (sources as u64, "one source address", ports / 2),
    };
    let need = u64::from(voters).div_ceil(pairs.max(1));
    // some ports are in use, or not free again yet
    let usable = ports * 9 / 10;
    if need <= usable {
        return Ok(());
    }
    let usable_if_bound = if sources == 0 { usable / 2 } else { usable };
    let enough = u64::from(voters).div_ceil(usable_if_bound.max(1));
    let list = (2..2 + enough).map(|last| format!("127.0.0.{last}")).collect::<Vec<_>>().join(",");
    Err(usage_error(format!(
        "{need} connections with {every} need as many ports, and about {usable} of {ports} are free; give several \
         addresses to connect from, as in --source {list}, or several pods with --url"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_ports_are_refused_with_the_option_that_helps() {
        assert!(check_ports_of(28_232, 25_000, 1, 0).is_ok());
        assert!(check_ports_of(28_232, 50_000, 2, 0).is_ok());
        let error = check_ports_of(28_232, 60_000, 1, 0).unwrap_err().to_string();
        assert!(error.contains("--source 127.0.0.2,127.0.0.3,127.0.0.4"), "{error}");
        assert!(check_ports_of(28_232, 60_000, 1, 3).is_err(), "a bound source has half of them");
        assert!(check_ports_of(28_232, 60_000, 1, 5).is_ok());
        assert!(check_ports_of(28_232, 60_000, 4, 1).is_err(), "one source has each port once");
    }
}
