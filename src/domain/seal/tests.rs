use proptest::prelude::*;

use super::*;

fn voter(name: &str) -> VoterId {
    VoterId::parse(name).unwrap()
}

fn ballot(votes: &str, time_ms: u64) -> Ballot {
    Ballot { votes: votes.into(), time_ms }
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|number| leaf(Digest([7; 32]), &voter("v"), &ballot("a", number))).collect()
}

/// MTH of RFC 6962, section 2.1, word for word.
fn root_of(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest(Sha256::digest([]).into()),
        [leaf] => *leaf,
        more => {
            let mut split = 1;
            while split * 2 < more.len() {
                split *= 2;
            }
            node(&root_of(&more[..split]), &root_of(&more[split..]))
        }
    }
}

/// The check of RFC 9162, section 2.1.3.2.
fn root_by_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    let (mut at, mut last) = (index, size.checked_sub(1).filter(|last| index <= *last)?);
    let mut root = leaf;
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(beside, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node(&root, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[test]
fn the_tree_is_that_of_rfc_6962() {
    for count in 0..40 {
        let leaves = leaves(count);
        assert_eq!(Tree::new(leaves.clone()).root(), root_of(&leaves), "{count} leaves");
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Tree::new(vec![]).root().to_string(), empty, "the hash of nothing");
}

#[test]
fn each_leaf_has_a_path_to_the_root_and_only_its_own() {
    for count in 1..40 {
        let leaves = leaves(count);
        let tree = Tree::new(leaves.clone());
        for (index, leaf) in (0..).zip(&leaves) {
            assert_eq!(tree.index_of(leaf), Some(index));
            let path = tree.path(index);
            assert_eq!(root_by_path(*leaf, index, count, &path), Some(tree.root()), "{index} of {count}");
            let wrong = leaves[(index as usize + 1) % leaves.len()];
            if count > 1 {
                assert_ne!(root_by_path(wrong, index, count, &path), Some(tree.root()), "{index} of {count}");
            }
        }
    }
    assert_eq!(Tree::new(leaves(3)).index_of(&leaves(4)[3]), None);
}

#[test]
fn a_node_and_a_leaf_of_the_same_bytes_differ() {
    let of_leaf = Hasher::new(0).raw(&[1; 32]).raw(&[2; 32]).finish();
    assert_ne!(of_leaf, node(&Digest([1; 32]), &Digest([2; 32])));
}

/// Computed by hand from the description at the top of the module, so that it cannot change unnoticed: clients and kept
/// exports rely on it.
#[test]
fn leaf_and_seal_have_the_described_bytes() {
    let bytes = |parts: &[&[u8]]| Digest(Sha256::digest(parts.concat()).into());
    let number = |number: u64| number.to_be_bytes();
    let salt = [9; 32];
    let leaf_bytes: [&[u8]; 8] = [&[0], &number(32), &salt, &number(4), b"anna", &number(3), b"aab", &number(1_732)];
    assert_eq!(leaf(Digest(salt), &voter("anna"), &ballot("aab", 1_732)), bytes(&leaf_bytes));
    let root = Digest([3; 32]);
    let contents = Contents {
        number: 2,
        round: 5,
        take: 1,
        votes: &[7, 8],
        voters: 4,
        opened_at: 10,
        closed_at: 20,
        by: "emcee",
        leaves: 4,
        root,
        previous: None,
    };
    let numbers = [2, 5, 1, 2, 7, 8, 4, 10, 20, 5].map(number).concat();
    let seal_bytes: [&[u8]; 7] = [&[2], &numbers, b"emcee", &number(4), &number(32), &root.0, &number(0)];
    assert_eq!(contents.seal(), bytes(&seal_bytes));
    let chained = Contents { previous: Some(Digest([4; 32])), ..contents };
    let previous: [&[u8]; 2] = [&number(32), &[4; 32]];
    assert_eq!(chained.seal(), bytes(&[&seal_bytes[..6], &previous].concat()));
}

#[test]
fn every_field_of_a_record_changes_its_seal() {
    let base = Contents {
        number: 1,
        round: 1,
        take: 1,
        votes: &[3, 4],
        voters: 2,
        opened_at: 100,
        closed_at: 200,
        by: "emcee",
        leaves: 2,
        root: Digest([1; 32]),
        previous: None,
    };
    let others = [
        Contents { number: 2, ..base },
        Contents { round: 2, ..base },
        Contents { take: 2, ..base },
        Contents { votes: &[4, 3], ..base },
        Contents { votes: &[3, 4, 0], ..base },
        Contents { voters: 3, ..base },
        Contents { opened_at: 101, ..base },
        Contents { closed_at: 201, ..base },
        Contents { by: "deadline", ..base },
        Contents { leaves: 3, ..base },
        Contents { root: Digest([2; 32]), ..base },
        Contents { previous: Some(Digest([1; 32])), ..base },
    ];
    let mut seals: Vec<Digest> = others.iter().map(Contents::seal).chain([base.seal()]).collect();
    seals.sort();
    seals.dedup();
    assert_eq!(seals.len(), others.len() + 1, "all differ");
}

#[test]
fn salts_differ_by_room_round_take_and_voter() {
    let (ours, theirs) = (Salts::new(b"ours"), Salts::new(b"theirs"));
    let mut salts = vec![theirs.of((1, 1), &voter("anna"))];
    for (take, name) in [((1, 1), "anna"), ((1, 1), "annb"), ((1, 2), "anna"), ((2, 1), "anna"), ((257, 1), "anna")] {
        assert_eq!(ours.of(take, &voter(name)), ours.of(take, &voter(name)));
        salts.push(ours.of(take, &voter(name)));
    }
    let count = salts.len();
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), count);
}

#[test]
fn a_digest_is_read_as_it_is_written() {
    let digest = Digest([0xab; 32]);
    assert_eq!(Digest::parse(&digest.to_string()).unwrap(), digest);
    assert_eq!(serde_json::to_value(digest).unwrap(), "ab".repeat(32));
    for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32), &format!("{} ", "ab".repeat(31))] {
        assert!(Digest::parse(text).is_err(), "{text:?}");
    }
}

proptest! {
    /// Two ballots that differ in anything have different leaves, whatever the borders between their fields.
    #[test]
    fn different_ballots_have_different_leaves(
        a in ("[a-c]{1,4}", "[a-c]{0,4}", 0u64..3),
        b in ("[a-c]{1,4}", "[a-c]{0,4}", 0u64..3),
    ) {
        let leaf_of = |(name, votes, time): &(String, String, u64)| leaf(Digest([0; 32]), &voter(name), &ballot(votes, *time));
        prop_assert_eq!(a == b, leaf_of(&a) == leaf_of(&b));
    }
}
