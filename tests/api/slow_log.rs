//! The slow log of Redis, as the metrics tell it.

use crate::support::cluster::Cluster;
use crate::support::http::Http;
use crate::support::server::Server;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(20);
const SERIES: &str = "tallycast_redis_slow_commands_total";

async fn counted(http: &Http, pod: &Server) -> Option<u64> {
    let text = http.get(&pod.url("/metrics")).await.expect("metrics").text;
    text.lines().find_map(|line| line.strip_prefix(SERIES)?.trim().parse().ok())
}

/// Holds Redis up until the server has noticed: after a failure it looks at Redis as a whole, and so at its slow log.
async fn look_again(cluster: &Cluster, http: &Http) {
    let redis = cluster.redis.as_ref().expect("a Redis");
    redis.signal("STOP");
    let noticed = async {
        while http.get(&cluster.pods[0].url("/readyz")).await.is_ok_and(|answer| answer.status == 200) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, noticed).await.expect("it is noticed");
    redis.signal("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_commands_of_redis_are_counted_and_a_redis_that_forbids_slowlog_works() {
    let cluster = Cluster::redis(1).await;
    let http = Http::new();
    assert_eq!(counted(&http, &cluster.pods[0]).await, Some(0), "{SERIES}");
    let redis = cluster.redis.as_ref().expect("a Redis");
    // now every command is slow
    redis.command("CONFIG SET slowlog-log-slower-than 0").await;
    look_again(&cluster, &http).await;
    let rises = async {
        while counted(&http, &cluster.pods[0]).await == Some(0) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, rises).await.expect("slow commands are counted");

    // as some providers have it
    redis.command("ACL SETUSER default -slowlog").await;
    let url = redis.url();
    let another = Server::start(&[("TALLYCAST__LEDGER__URL", url.as_str())]).await;
    assert_eq!(counted(&http, &another).await, Some(0), "it is ready, and knows nothing of slow commands");
}
