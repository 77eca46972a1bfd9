use std::time::Duration;

use super::*;

const SMALL: &str = r#"
title = "small"
thresholds = ["ack.p99 < 1s"]
[hall]
voters = 10
[[phase]]
name = "in"
duration = "2s"
join = 1.0
[[phase]]
name = "vote"
duration = "3s"
round = "new"
repeat = 2
taps_per_voter = 4
stall = 0.2
"#;

fn error(text: &str) -> String {
    Scenario::parse(text, "test.toml").unwrap_err().to_string()
}

#[test]
fn every_shipped_scenario_is_valid_and_has_thresholds() {
    for (name, _) in SHIPPED {
        assert!(!Scenario::load(name).unwrap().thresholds.is_empty(), "{name}");
    }
}

#[test]
fn phases_become_steps_with_rounds_and_voters() {
    let scenario = Scenario::parse(SMALL, "test.toml").unwrap();
    let steps = steps(&scenario);
    let seen: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.joined, step.opens)).collect();
    assert_eq!(seen, [("in", 0, None), ("vote 1", 10, Some(1)), ("vote 2", 10, Some(2))]);
    assert_eq!((steps[1].stalled(&scenario), steps[1].tapping(&scenario), steps[1].taps(&scenario)), (2, 8, 32));
    assert_eq!(scenario.duration(), Duration::from_secs(8));
}

#[test]
fn a_scenario_that_cannot_run_is_refused_with_what_to_do() {
    for (from, to, words) in [
        ("voters = 10", "voters = 0", "hall.voters is 0"),
        ("join = 1.0", "join = 1.5", "join is a share"),
        ("join = 1.0", "", "nobody has joined"),
        ("taps_per_voter = 4", "taps_per_voter = 11", "raise hall.votes_per_round"),
        ("taps_per_voter = 4", "taps_per_voter = 4\ntaps_per_second = 1.0", "leave one out"),
        ("round = \"new\"", "", "set round = \"new\""),
        ("duration = \"3s\"", "duration = \"soon\"", "expected a duration"),
        ("repeat = 2", "repeat = 101", "at most 100"),
        ("ack.p99 < 1s", "ack.p99 < 1", "needs a unit"),
        ("ack.p99 < 1s", "speed > 1", "no metric \"speed\""),
    ] {
        let error = error(&SMALL.replace(from, to));
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn rates_follow_the_number_of_voters() {
    let text = SMALL.replace("taps_per_voter = 4", "taps_per_second = 20.0");
    let scenario = Scenario::parse(&text, "test.toml").unwrap().with_voters(100);
    assert_eq!(scenario.phases[1].taps_per_second, 200.0);
    assert!(scenario.check().is_ok());
}
