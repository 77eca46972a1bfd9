//! A real Prometheus with the rules that are shipped. Its targets carry the labels that a PodMonitor gives them.

use super::free_port;
use super::http::Http;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A process that is scraped, under the labels that a PodMonitor gives it.
pub struct ScrapeTarget {
    pub pod: String,
    /// `server`, `admin` or `worker`.
    pub component: &'static str,
    pub address: SocketAddr,
}

pub struct Prometheus {
    url: String,
    http: Http,
    targets: PathBuf,
    _child: Child,
    _dir: TempDir,
}

impl Prometheus {
    pub async fn start() -> Prometheus {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let targets = dir.path().join("targets.json");
        std::fs::write(&targets, "[]").expect("a file");
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/monitoring/rules/*.yml");
        // JSON is YAML
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "tallycast/tallycast", "file_sd_configs": [{"files": [targets]}]}],
        });
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("a file");
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is installed (Debian package prometheus)");
        let prometheus =
            Prometheus { url: format!("http://{address}"), http: Http::new(), targets, _child: child, _dir: dir };
        let since = Instant::now();
        while !prometheus.http.get(&format!("{}/-/ready", prometheus.url)).await.is_ok_and(|a| a.status == 200) {
            assert!(since.elapsed() < START_LIMIT, "prometheus does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    /// Scrapes these pods from now on, and no others.
    pub fn watch(&self, pods: &[ScrapeTarget]) {
        let target = |ScrapeTarget { pod, component, address }: &ScrapeTarget| {
            let labels = json!({"namespace": "tallycast", "pod": pod, "component": component});
            json!({"targets": [address], "labels": labels})
        };
        let all: Value = pods.iter().map(target).collect();
        let fresh = self.targets.with_extension("new");
        std::fs::write(&fresh, all.to_string()).expect("a file");
        std::fs::rename(&fresh, &self.targets).expect("the same directory");
    }

    /// The single number that a query answers; `None` if it answers nothing, as KEDA takes it.
    pub async fn number(&self, query: &str) -> Option<f64> {
        let found = self.ask(query).await?;
        assert!(found.len() <= 1, "{query} has to answer one number: {found:?}");
        found.first()?["value"][1].as_str()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Critical alerts that fired within the last ten minutes, with their labels.
    pub async fn alarms(&self) -> Vec<Value> {
        self.fired(r#"severity="critical""#).await
    }

    /// Alerts with these labels that fired within the last ten minutes.
    pub async fn fired(&self, labels: &str) -> Vec<Value> {
        let fired = format!(r#"last_over_time(ALERTS{{alertstate="firing", {labels}}}[10m])"#);
        self.ask(&fired).await.expect("prometheus answers")
    }

    /// Every alert that is pending or firing now.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.http.get(&format!("{}/api/v1/alerts", self.url)).await.expect("prometheus answers");
        answer.body["data"]["alerts"].as_array().unwrap_or_else(|| panic!("no alerts in {}", answer.text)).clone()
    }

    async fn ask(&self, query: &str) -> Option<Vec<Value>> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.url)).expect("an address");
        url.query_pairs_mut().append_pair("query", query);
        let answer = self.http.get(url.as_str()).await.ok()?;
        assert_eq!(answer.body["status"], "success", "{query}: {}", answer.text);
        Some(answer.body["data"]["result"].as_array().expect("a vector").clone())
    }
}
