//! Commits of the server by how long they took, from its own histogram before and after a run.

use serde::{Deserialize, Serialize};

/// Commits by how long they took, over all pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commits {
    /// Upper bound of each bucket in seconds; the last has none.
    pub bounds: Vec<Option<f64>>,
    /// Commits in each bucket.
    pub counts: Vec<u64>,
}

impl Commits {
    /// Commits by the text of their bound.
    pub fn by_bound(&self) -> Vec<(String, f64)> {
        let name = |bound: &Option<f64>| match bound {
            Some(seconds) if *seconds >= 1.0 => format!("{seconds} s"),
            Some(seconds) => format!("{} ms", (seconds * 1000.0).round()),
            None => "more".to_owned(),
        };
        self.bounds.iter().map(name).zip(self.counts.iter().map(|count| *count as f64)).collect()
    }
}

const BUCKET: &str = "tallycast_commit_seconds_bucket{le=\"";

/// Commits between two readings of every pod's metrics; `None` if there are none.
pub fn commits(before: &[String], after: &[String]) -> Option<Commits> {
    let (before, after) = (cumulative(before), cumulative(after));
    let mut commits = Commits { bounds: vec![], counts: vec![] };
    let mut below = 0;
    for (bound, count) in &after {
        let earlier = before.iter().find(|(known, _)| known == bound).map_or(0, |(_, count)| *count);
        // a restarted pod counts from 0
        let up_to = count.saturating_sub(earlier);
        commits.bounds.push(bound.parse().ok());
        commits.counts.push(up_to.saturating_sub(below));
        below = up_to.max(below);
    }
    commits.bounds.iter_mut().for_each(|bound| *bound = bound.filter(|bound: &f64| bound.is_finite()));
    (below > 0).then_some(commits)
}

/// Bounds and cumulative counts, summed over pods, in the order of the metrics.
fn cumulative(pods: &[String]) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = vec![];
    for line in pods.iter().flat_map(|text| text.lines()) {
        let Some((bound, count)) = line.strip_prefix(BUCKET).and_then(|rest| rest.split_once("\"}")) else { continue };
        let Ok(count) = count.trim().parse::<u64>() else { continue };
        match sums.iter_mut().find(|(known, _)| known == bound) {
            Some((_, sum)) => *sum += count,
            None => sums.push((bound.to_owned(), count)),
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(counts: [u64; 3]) -> String {
        let [a, b, c] = counts;
        format!(
            "# TYPE tallycast_commit_seconds histogram\ntallycast_commit_seconds_bucket{{le=\"0.001\"}} {a}\n\
             tallycast_commit_seconds_bucket{{le=\"0.01\"}} {b}\ntallycast_commit_seconds_bucket{{le=\"+Inf\"}} {c}\n\
             tallycast_commit_seconds_sum 3\n"
        )
    }

    #[test]
    fn buckets_are_differences_over_all_pods() {
        let before = [metrics([1, 2, 2]), metrics([0, 0, 0])];
        let after = [metrics([5, 8, 9]), metrics([1, 1, 1])];
        let commits = commits(&before, &after).unwrap();
        assert_eq!(commits.bounds, [Some(0.001), Some(0.01), None]);
        assert_eq!(commits.counts, [5, 2, 1]);
    }

    #[test]
    fn without_metrics_there_are_no_commits() {
        assert_eq!(commits(&[String::new()], &[String::new()]), None);
        assert_eq!(commits(&[metrics([1, 1, 1])], &[metrics([1, 1, 1])]), None);
    }
}
