//! The text that `/metrics` answers, at one moment.

use super::http::Http;
use super::server::Server;
use std::time::{Duration, Instant};

pub struct Metrics(pub String);

impl Metrics {
    pub async fn of(server: &Server) -> Metrics {
        Metrics(Http::new().get(&format!("http://{}/metrics", server.metrics_address())).await.expect("metrics").text)
    }

    /// The value of the one series with this name and these labels.
    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// As `find`, for a series that must be there.
    pub fn value(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("{series} is missing in\n{}", self.0))
    }

    /// The sum of a series over its labels; 0 where there is none.
    pub fn sum(&self, name: &str) -> f64 {
        let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = self.0.lines().filter(is_of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

/// A series of the server's metrics.
pub async fn metric(server: &Server, series: &str) -> f64 {
    Metrics::of(server).await.value(series)
}

/// Waits until a series has a value that fits.
pub async fn metric_becomes(server: &Server, series: &str, within: Duration, fits: impl Fn(f64) -> bool) {
    let give_up = Instant::now() + within;
    loop {
        let value = metric(server, series).await;
        if fits(value) {
            return;
        }
        assert!(Instant::now() < give_up, "{series} is {value} after {within:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
