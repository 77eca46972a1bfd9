//! The arithmetic of `loadtest plan`. docs/loadtest.md has the formulas in words.

use serde::Deserialize;

/// Share of a core or of a memory limit that may be in use. The rest is for bursts and for the loss of a pod.
pub const MAX_UTILISATION: f64 = 0.6;
/// Voters of a pod: 90 % of 20,000 open files.
pub const MAX_POD_SOCKETS: f64 = 18_000.0;
/// Cores of a pod.
pub const POD_CORES: f64 = 1.0;
/// Memory limit of a pod.
pub const POD_BYTES: f64 = 512.0 * 1024.0 * 1024.0;
/// Memory of a process without voters.
pub const BASE_BYTES: f64 = 24.0 * 1024.0 * 1024.0;
/// Seconds in which everybody joins.
pub const JOIN_SECONDS: f64 = 60.0;
/// Rounds whose ballots are kept.
pub const ROUNDS: f64 = 7.0;
/// Publishes per second and partition, at most. The commit itself limits them.
pub const PUBLISHES: f64 = 10.0;
/// Length of a commit, with the network round trip to Redis.
pub const COMMIT_SECONDS: f64 = 0.002;
/// Redis CPU of a commit besides its votes.
pub const CALL_US: f64 = 20.0;
/// Redis CPU for delivering one publish to one pod.
pub const DELIVERY_US: f64 = 1.0;
/// Seconds between two pings of a voter's page.
pub const PING_SECONDS: f64 = 3.0;
/// A ping or pong on the wire, without TCP and IP.
pub const PING_BYTES: f64 = 60.0;
/// Ethernet, IP and TCP around every frame.
pub const PACKET_BYTES: f64 = 66.0;
/// Partitions that a room may have.
pub const MAX_PARTITIONS: f64 = 64.0;

/// The cost of a unit of work, as `make bench` measures it. Names end in their unit; `_us` is CPU time.
#[derive(Debug, Clone, Deserialize)]
pub struct Constants {
    /// A tally to one socket.
    pub frame_us: f64,
    /// A cast read, committed and answered.
    pub vote_us: f64,
    /// Connection, handshake, hello and first state.
    pub hello_us: f64,
    /// The HTTP call that joins.
    pub join_us: f64,
    /// A connected voter for a second.
    pub idle_us_per_voter_s: f64,
    /// Redis for a vote in a large batch, `appendfsync everysec`.
    pub redis_vote_us_everysec: f64,
    /// Redis for a vote in a large batch, `appendfsync always`.
    pub redis_vote_us_always: f64,
    /// Server memory of a connected voter.
    pub voter_bytes: f64,
    /// Kernel memory of a connection.
    pub socket_kernel_bytes: f64,
    /// A tally, without TCP and IP.
    pub frame_bytes: f64,
    /// A cast, without TCP and IP.
    pub cast_bytes: f64,
    /// The answer to a cast, without TCP and IP.
    pub ack_bytes: f64,
    /// A ballot of ten votes in Redis.
    pub ballot_redis_bytes: f64,
    /// A voter in Redis.
    pub voter_redis_bytes: f64,
    /// A message on the feed.
    pub publish_bytes: f64,
}

/// The input of an estimate.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Connected voters.
    pub voters: f64,
    /// Taps per second of all voters.
    pub taps_per_second: f64,
    /// Shortest time between two tallies to a socket.
    pub tick_seconds: f64,
    /// Fixed number of pods.
    pub pods: Option<f64>,
}

/// The result of an estimate.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// As in the question.
    pub voters: f64,
    /// As in the question.
    pub taps_per_second: f64,
    /// Processes of the server.
    pub pods: f64,
    /// What decides their number.
    pub pods_by: &'static str,
    /// Tallies per second and socket: fewer than the tick allows if the pods have no CPU time for more.
    pub tallies_per_second: f64,
    /// Cores of all pods while everybody votes.
    pub voting_cores: f64,
    /// Cores of all pods while everybody joins.
    pub joining_cores: f64,
    /// Share of the pods' cores in use at the worse of both.
    pub utilisation: f64,
    /// Memory of all pods.
    pub server_bytes: f64,
    /// Kernel memory of all connections.
    pub kernel_bytes: f64,
    /// Partitions of the room. Each may be on a Redis core of its own.
    pub partitions: f64,
    /// Commits in a second.
    pub redis_calls_per_second: f64,
    /// Cores of Redis, `appendfsync everysec`.
    pub redis_cores_everysec: f64,
    /// Cores of Redis, `appendfsync always`.
    pub redis_cores_always: f64,
    /// Memory of Redis.
    pub redis_bytes: f64,
    /// Publishes in a second.
    pub publishes_per_second: f64,
    /// Publishes times pods: what Redis delivers per second.
    pub feed_messages_per_second: f64,
    /// Network from Redis to all pods.
    pub feed_mbit_per_second: f64,
    /// Network from the voters.
    pub in_mbit_per_second: f64,
    /// Network to the voters.
    pub out_mbit_per_second: f64,
}

/// Computes an estimate.
pub fn need(question: Question, c: &Constants) -> Need {
    let Question { voters, taps_per_second: taps, tick_seconds, pods: given } = question;
    // a tally is sent only after a change
    let wanted = (1.0 / tick_seconds).min(taps);
    let core = |us: f64| us / 1e6;
    let joining_cores = core(voters / JOIN_SECONDS * (c.join_us + c.hello_us));
    let rest = core(taps * c.vote_us + voters * c.idle_us_per_voter_s);
    let fan_out = core(voters * c.frame_us);

    let by_cpu = ((rest + fan_out * wanted).max(joining_cores) / (POD_CORES * MAX_UTILISATION)).ceil();
    let by_sockets = (voters / MAX_POD_SOCKETS).ceil();
    let by_memory =
        (voters * (c.voter_bytes + c.socket_kernel_bytes) / (POD_BYTES * MAX_UTILISATION - BASE_BYTES)).ceil();
    let (pods, pods_by) = match given {
        Some(pods) => (pods, "as asked"),
        None => [(by_cpu, "CPU"), (by_sockets, "sockets"), (by_memory, "memory")]
            .into_iter()
            .fold((1.0, "one is enough"), |most, next| if next.0 > most.0 { next } else { most }),
    };
    // pods without CPU time for every tick skip some and send the newest tally: conflation
    let time_left = (pods * POD_CORES * MAX_UTILISATION - rest).max(0.0);
    let tallies = if fan_out > 0.0 { wanted.min(time_left / fan_out) } else { wanted };
    let voting_cores = rest + fan_out * tallies;

    let partitions = (core(taps * c.redis_vote_us_always) / MAX_UTILISATION).ceil().clamp(1.0, MAX_PARTITIONS);
    let publishes = PUBLISHES.min(taps) * partitions;
    let deliveries = publishes * pods;
    // one commit at a time for each pod and partition; a busy Redis answers later, and batches grow
    let free = (partitions * MAX_UTILISATION - core(taps * c.redis_vote_us_always + deliveries * DELIVERY_US)).max(0.0);
    let calls = taps.min(pods * partitions / COMMIT_SECONDS).min(free * 1e6 / CALL_US);
    let redis = |vote_us: f64| core(taps * vote_us + calls * CALL_US + deliveries * DELIVERY_US);

    let mbit = |bytes: f64| bytes * 8.0 / 1e6;
    let pings = voters / PING_SECONDS * (PING_BYTES + PACKET_BYTES);
    Need {
        voters,
        taps_per_second: taps,
        pods,
        pods_by,
        tallies_per_second: tallies,
        voting_cores,
        joining_cores,
        utilisation: voting_cores.max(joining_cores) / (pods * POD_CORES),
        server_bytes: voters * c.voter_bytes + pods * BASE_BYTES,
        kernel_bytes: voters * c.socket_kernel_bytes,
        partitions,
        redis_calls_per_second: calls,
        redis_cores_everysec: redis(c.redis_vote_us_everysec),
        redis_cores_always: redis(c.redis_vote_us_always),
        redis_bytes: voters * (c.voter_redis_bytes + ROUNDS * c.ballot_redis_bytes),
        publishes_per_second: publishes,
        feed_messages_per_second: deliveries,
        feed_mbit_per_second: mbit(deliveries * (c.publish_bytes + PACKET_BYTES)),
        in_mbit_per_second: mbit(taps * (c.cast_bytes + PACKET_BYTES) + pings),
        out_mbit_per_second: mbit(
            voters * tallies * (c.frame_bytes + PACKET_BYTES) + taps * (c.ack_bytes + PACKET_BYTES) + pings,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constants() -> Constants {
        Constants {
            frame_us: 4.0,
            vote_us: 8.0,
            hello_us: 60.0,
            join_us: 140.0,
            idle_us_per_voter_s: 2.0,
            redis_vote_us_everysec: 1.0,
            redis_vote_us_always: 2.0,
            voter_bytes: 5000.0,
            socket_kernel_bytes: 5000.0,
            frame_bytes: 134.0,
            cast_bytes: 60.0,
            ack_bytes: 70.0,
            ballot_redis_bytes: 100.0,
            voter_redis_bytes: 300.0,
            publish_bytes: 300.0,
        }
    }

    fn question(voters: f64) -> Question {
        Question { voters, taps_per_second: voters / 10.0, tick_seconds: 0.1, pods: None }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} and not {expected}");
    }

    #[test]
    fn ten_thousand_voters_need_one_pod() {
        let need = need(question(10_000.0), &constants());
        // 1,000 votes, 10,000 idlers, 100,000 frames
        near(need.voting_cores, 0.008 + 0.02 + 0.4);
        near(need.joining_cores, 10_000.0 / 60.0 * 200e-6);
        near(need.out_mbit_per_second, (100_000.0 * 200.0 + 1000.0 * 136.0 + 10_000.0 / 3.0 * 126.0) * 8.0 / 1e6);
        near(need.redis_bytes, 10_000.0 * 1000.0);
        assert_eq!((need.pods, need.partitions, need.tallies_per_second), (1.0, 1.0, 10.0));
    }

    #[test]
    fn the_resource_that_runs_out_first_decides_the_number_of_pods() {
        assert_eq!(need(question(1e6), &constants()).pods_by, "CPU");
        let calm = Question { tick_seconds: 2.0, ..question(1e6) };
        let need = need(calm, &constants());
        assert_eq!((need.pods, need.pods_by), (56.0, "sockets"));
    }

    #[test]
    fn too_few_pods_send_fewer_tallies() {
        let need = need(Question { pods: Some(1.0), ..question(100_000.0) }, &constants());
        near(need.voting_cores, 0.6);
        near(need.tallies_per_second, (0.6 - 0.08 - 0.2) / 0.4);
    }

    #[test]
    fn a_giant_room_is_spread_over_redis_cores() {
        let need = need(question(1e7), &constants());
        // a million votes a second at 2 us are two cores, at 60 % of each
        assert_eq!(need.partitions, 4.0);
        near(need.publishes_per_second, 40.0);
        near(need.feed_messages_per_second, 40.0 * need.pods);
        assert!(need.redis_cores_always <= 4.0 * MAX_UTILISATION + 1e-9, "{}", need.redis_cores_always);
    }

    #[test]
    fn without_taps_there_are_no_tallies_and_no_commits() {
        let need = need(Question { taps_per_second: 0.0, ..question(1000.0) }, &constants());
        assert_eq!((need.tallies_per_second, need.publishes_per_second, need.redis_calls_per_second), (0.0, 0.0, 0.0));
        near(need.voting_cores, 0.002);
    }
}
