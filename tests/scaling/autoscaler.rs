//! The autoscaler as documented, with the numbers of the manifest.
//!
//! KEDA makes a HorizontalPodAutoscaler of a ScaledObject. With targets of the type AverageValue that wants
//! `ceil(value / target)` pods, stays where it is within 10 %, takes the largest wish of all metrics, and takes nothing
//! away while a metric is missing. Then `behavior` slows it down.

use serde_norway::Value;
use std::time::{Duration, Instant};

/// Requests this close to the current number change nothing.
const TOLERANCE: f64 = 0.1;

/// A number from Prometheus, and its target for each pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    pub query: String,
    pub target: f64,
}

/// How far the number of pods may move within a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub percent: bool,
    pub value: u32,
    pub period: Duration,
}

/// One direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Behavior {
    pub window: Duration,
    pub policies: Vec<Policy>,
}

pub struct Autoscaler {
    pub least: u32,
    pub most: u32,
    pub triggers: Vec<Trigger>,
    up: Behavior,
    down: Behavior,
    wishes: Vec<(Instant, u32)>,
    /// Pods started (or, if negative, taken away), and when.
    moves: Vec<(Instant, i64)>,
}

impl Autoscaler {
    /// Reads a ScaledObject. All its times are divided by `speed_up`.
    pub fn read(manifest: &str, speed_up: u32) -> Autoscaler {
        let object: Value = serde_norway::from_str(manifest).expect("the manifest is YAML");
        let spec = &object["spec"];
        let behavior = |direction: &str| {
            let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"][direction];
            // the default; the manifests leave it out where scripts/hold.sh sets it
            let select = behavior["selectPolicy"].as_str().unwrap_or("Max");
            assert_eq!(select, "Max", "another choice is not performed here");
            let policy = |policy: &Value| Policy {
                percent: policy["type"] == "Percent",
                value: small(&policy["value"]),
                period: Duration::from_secs(small(&policy["periodSeconds"]).into()) / speed_up,
            };
            Behavior {
                window: Duration::from_secs(small(&behavior["stabilizationWindowSeconds"]).into()) / speed_up,
                policies: list(&behavior["policies"]).iter().map(policy).collect(),
            }
        };
        let trigger = |trigger: &Value| {
            assert_eq!(trigger["metricType"], "AverageValue", "another type is not performed here");
            let text = |key: &str| trigger["metadata"][key].as_str().unwrap_or_else(|| panic!("a trigger has {key}"));
            Trigger { query: text("query").to_owned(), target: text("threshold").parse().expect("a number") }
        };
        Autoscaler {
            least: small(&spec["minReplicaCount"]),
            most: small(&spec["maxReplicaCount"]),
            // the CPU is left out: the servers are not alone on this machine
            triggers: list(&spec["triggers"]).iter().filter(|trigger| trigger["type"] != "cpu").map(trigger).collect(),
            up: behavior("scaleUp"),
            down: behavior("scaleDown"),
            wishes: vec![],
            moves: vec![],
        }
    }

    /// How many pods one trigger wants.
    pub fn wish(trigger: &Trigger, value: f64, pods: u32) -> u32 {
        let ratio = value / (trigger.target * f64::from(pods));
        if (ratio - 1.0).abs() <= TOLERANCE {
            return pods;
        }
        (value / trigger.target).ceil() as u32
    }

    /// The number of pods to have now; `values` are those of the triggers, as far as Prometheus knows them.
    pub fn decide(&mut self, now: Instant, pods: u32, values: &[Option<f64>]) -> u32 {
        let wishes = self.triggers.iter().zip(values);
        let wish = wishes.filter_map(|(trigger, value)| Some(Self::wish(trigger, (*value)?, pods))).max();
        let mut wish = wish.unwrap_or(pods);
        if values.contains(&None) {
            wish = wish.max(pods);
        }
        self.wishes.push((now, wish));
        let window = self.up.window.max(self.down.window);
        self.wishes.retain(|(at, _)| now - *at <= window);
        let within = |window: Duration| self.wishes.iter().filter(move |(at, _)| now - *at <= window).map(|(_, w)| *w);
        let up = within(self.up.window).min().unwrap_or(wish);
        let down = within(self.down.window).max().unwrap_or(wish);
        let steady = if pods < up { up } else { pods.min(down) };
        let decided = self.limited(now, pods, steady).clamp(self.least, self.most);
        if decided != pods {
            self.moves.push((now, i64::from(decided) - i64::from(pods)));
        }
        decided
    }

    /// Limits a change by the policies; the most generous one counts.
    fn limited(&self, now: Instant, pods: u32, wish: u32) -> u32 {
        let up = wish > pods;
        let policies = if up { &self.up.policies } else { &self.down.policies };
        let reach = policies.iter().map(|policy| {
            let lately = self.moves.iter().filter(|(at, by)| now - *at < policy.period && (*by > 0) == up);
            let start = (i64::from(pods) - lately.map(|(_, by)| by).sum::<i64>()) as f64;
            let step = f64::from(policy.value) * if policy.percent { start / 100.0 } else { 1.0 };
            if up { start + step } else { start - step }
        });
        if up {
            wish.min(reach.fold(0.0, f64::max).ceil() as u32).max(pods)
        } else {
            wish.max(reach.fold(f64::MAX, f64::min).ceil() as u32).min(pods)
        }
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_sequence().expect("a list")
}

fn small(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a small number")
}
