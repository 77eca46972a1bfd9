//! The autoscaler of these tests against what the documentation of the HorizontalPodAutoscaler says.

use crate::autoscaler::{Autoscaler, Trigger};
use std::time::{Duration, Instant};

const MANIFEST: &str = r#"
spec:
  minReplicaCount: 3
  maxReplicaCount: 12
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          stabilizationWindowSeconds: 0
          selectPolicy: Max
          policies: [{type: Percent, value: 100, periodSeconds: 30}, {type: Pods, value: 4, periodSeconds: 30}]
        scaleDown:
          stabilizationWindowSeconds: 300
          selectPolicy: Max
          policies: [{type: Pods, value: 1, periodSeconds: 60}]
  triggers:
    - {metricType: AverageValue, metadata: {query: sessions, threshold: "0.5"}}
    - {metricType: AverageValue, metadata: {query: commits, threshold: "1"}}
"#;

#[test]
fn the_formula_is_the_documented_one() {
    let half = Trigger { query: String::new(), target: 0.5 };
    for (value, pods, wish) in
        [(1.5, 3, 3), (1.64, 3, 3), (1.66, 3, 4), (1.36, 3, 3), (1.34, 3, 3), (0.9, 3, 2), (3.1, 3, 7), (0.0, 3, 0)]
    {
        assert_eq!(Autoscaler::wish(&half, value, pods), wish, "{value} with {pods} pods");
    }
}

/// Decisions at given seconds, each with the pods that the one before gave.
fn decisions(steps: &[(u64, Option<f64>, Option<f64>)]) -> Vec<u32> {
    let mut autoscaler = Autoscaler::read(MANIFEST, 1);
    let (start, mut pods) = (Instant::now(), 3);
    let decide = |(second, sessions, commits): &(u64, Option<f64>, Option<f64>)| {
        pods = autoscaler.decide(start + Duration::from_secs(*second), pods, &[*sessions, *commits]);
        pods
    };
    steps.iter().map(decide).collect()
}

#[test]
fn the_larger_request_counts_and_growth_is_limited_by_policies_and_maximum() {
    let steps =
        [(0, Some(2.5), Some(0.0)), (15, Some(2.5), Some(6.0)), (30, Some(9.0), None), (60, Some(9.0), Some(0.0))];
    // five by sessions, six by commits; seven is as far as four more within 30 s go; twelve is the most
    assert_eq!(decisions(&steps), [5, 6, 10, 12]);
}

#[test]
fn scaling_down_removes_one_pod_a_minute_after_five_quiet_minutes_and_never_without_metrics() {
    let steps = [
        (0, Some(3.0), Some(0.0)),
        (15, Some(1.0), Some(0.0)),
        (300, Some(1.0), Some(0.0)),
        (301, Some(1.0), Some(0.0)),
        (330, Some(1.0), Some(0.0)),
        (361, Some(1.0), None),
        (661, Some(1.0), Some(0.0)),
        (662, Some(1.0), Some(0.0)),
        (722, Some(1.0), Some(0.0)),
    ];
    assert_eq!(decisions(&steps), [6, 6, 6, 5, 5, 5, 5, 4, 3]);
}
