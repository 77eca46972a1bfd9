//! The cost of the pure parts alone: `cargo bench`. They are a small part of the cost of a vote or a frame and must stay
//! so. `make bench` measures the whole path.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tallycast::auth::Auth;
use tallycast::board::Frame;
use tallycast::domain::ballot::{Ballot, Cast, GateCheck, judge};
use tallycast::domain::ids::{RoomId, VoterId};
use tallycast::domain::ranking::Scores;
use tallycast::domain::text::Name;
use tallycast::wire::client::ClientMessage;
use tallycast::wire::room::TallyView;
use tallycast::wire::server::{BallotView, ServerMessage, TallyMessage};

/// Voters of the ranking.
const VOTERS: usize = 100_000;

fn the_cast_rule(criterion: &mut Criterion) {
    let open = GateCheck::Open { choices: 2, votes_per_round: 10 };
    let cast = |slip, votes: &str| Cast::parse(slip, votes.to_owned()).unwrap();
    let cases = [
        ("the first vote", "", cast(1, "a")),
        ("three more", "aabba", cast(6, "abb")),
        ("a repeat", "aabbaabb", cast(6, "abb")),
        ("a conflict", "aabbaabb", cast(6, "bbb")),
    ];
    let mut group = criterion.benchmark_group("the cast rule");
    for (name, ballot, cast) in &cases {
        group.bench_function(*name, |bencher| bencher.iter(|| judge(black_box(ballot), black_box(cast), open)));
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    let tally =
        TallyView { version: 1_763_651_234_567, total: 54_321, voters: 9_876, votes: Some(vec![30_000, 24_321]) };
    let message = ServerMessage::Tally(TallyMessage { round: 3, take: 1, tally });
    group.bench_function("a tally", |bencher| bencher.iter(|| Frame::new(&black_box(&message).encode())));
    let answer = |votes: String| ServerMessage::Ballot(BallotView::new(3, 1, votes, 10, None));
    group.bench_function("a ballot", |bencher| {
        bencher.iter(|| Frame::new(&answer(black_box("aabbaabba").to_owned()).encode()));
    });
    let cast = r#"{"cast":{"round":3,"take":1,"slip":7,"votes":"abb"}}"#;
    group.bench_function("reading a cast", |bencher| {
        bencher.iter(|| serde_json::from_str::<ClientMessage>(black_box(cast)).unwrap());
    });
    group.finish();
}

fn tokens(criterion: &mut Criterion) {
    let auth = Auth::new("the emcee's key".to_owned().into(), &"the secret that signs".to_owned().into());
    let (room, voter) = (RoomId::from_entropy([7; 16]), VoterId::from_entropy([9; 16]));
    let name = Name::parse("Zoë").unwrap();
    let token = auth.token_key(&room, None).sign(&voter, &name);
    let mut group = criterion.benchmark_group("tokens");
    group.bench_function("signing", |bencher| {
        bencher.iter(|| auth.token_key(&room, None).sign(&voter, black_box(&name)))
    });
    group.bench_function("reading", |bencher| {
        bencher.iter(|| auth.token_key(&room, None).read(black_box(&token)).unwrap())
    });
    group.finish();
}

fn ranking(criterion: &mut Criterion) {
    // ballots of ten letters that differ from voter to voter, cast within a minute
    let ballots: Vec<(VoterId, Ballot)> = (0..VOTERS)
        .map(|number| {
            let votes = (0..10).map(|bit| if number >> bit & 1 == 0 { 'a' } else { 'b' }).collect();
            let voter = VoterId::parse(&format!("voter-{number}")).unwrap();
            (voter, Ballot { votes, time_ms: (number as u64 * 7_919) % 60_000 })
        })
        .collect();
    let gathered = || {
        let mut scores = Scores::default();
        ballots.iter().for_each(|(voter, ballot)| scores.add(voter.clone(), 1, Some(0), ballot));
        scores
    };
    let mut group = criterion.benchmark_group("ranking of 100,000 voters");
    group.throughput(Throughput::Elements(VOTERS as u64)).sample_size(10);
    group.bench_function("gathering", |bencher| bencher.iter(gathered));
    group.bench_function("ordering", |bencher| {
        bencher.iter_batched_ref(gathered, |scores| scores.rank(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, the_cast_rule, frames, tokens, ranking);
criterion_main!(benches);
