//! The HTML of the page without script. The templates escape everything that people write.

use maud::{DOCTYPE, Markup, html};

use crate::domain::ballot::Ballot;
use crate::domain::gate::Tally;
use crate::domain::room::{Room, Round, letter};
use crate::domain::visibility::{Audience, sees_programme, sees_result};
use crate::ledger::Voter;
use crate::wire::reveal::StandingView;

/// How often the page of a voter loads itself again, in seconds.
const REFRESH_SECS: u32 = 5;

/// The whole page. A page that refreshes loads itself again and again; `alert` is an error in words.
pub fn document(room: &Room, refreshes: bool, alert: Option<&str>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if refreshes {
                    meta http-equiv="refresh" content={ (REFRESH_SECS) ";url=/r/" (room.code) "/plain" };
                }
                title { (room.title) }
                link rel="stylesheet" href="/assets/css/base.css";
                link rel="stylesheet" href="/assets/css/plain.css";
            }
            body.plain {
                main {
                    h1 { (room.title) }
                    @if let Some(alert) = alert {
                        p role="alert" { strong { (alert) } }
                    }
                    (content)
                }
            }
        }
    }
}

/// For somebody who is not a voter of the room yet.
pub fn join_form(room: &Room) -> Markup {
    html! {
        form method="post" action={ "/r/" (room.code) "/plain/join" } {
            p { label { "Your name " input name="name" maxlength="48" autocomplete="nickname"; } }
            p { label { "Your card, if you were here before " input name="card" maxlength="12"; } }
            p { label { "Your invite, if you have one " input name="invite" maxlength="12"; } }
            p { button { "Join" } }
        }
    }
}

/// The voter's name and card, above what the phase of the room shows.
pub fn voter(voter: &Voter, phase: &Markup) -> Markup {
    html! {
        p {
            "You are " strong { (voter.name) } ". Your way back on another phone: card " strong { (voter.card) } "."
        }
        (phase)
    }
}

/// Before the first round.
pub fn lobby() -> Markup {
    html! {
        p {
            "You are in. Votes on winners count. Same score? The faster voter is ahead: the time from the opening to \
             your last vote, in the rounds where you scored."
        }
    }
}

/// A round that is open.
pub struct OpenRound<'r> {
    /// The room's record.
    pub room: &'r Room,
    /// The round, with its number and the take that runs.
    pub round: &'r Round,
    pub number: u16,
    pub take: u16,
    /// The voter's ballot in this take.
    pub ballot: &'r Ballot,
    /// The votes so far, if they are known.
    pub tally: Option<&'r Tally>,
    /// True if the votes of each choice may be shown.
    pub shows_split: bool,
}

/// A form for each choice, and the votes so far.
pub fn open_round(open: &OpenRound<'_>) -> Markup {
    let OpenRound { room, round, number, take, ballot, tally, shows_split } = open;
    let used = ballot.votes.len();
    let left = usize::from(room.votes_per_round).saturating_sub(used);
    html! {
        h2 { "Round " (number) ": " (round.title) }
        p { "Your votes: " strong { (ballot.votes.to_uppercase()) } ". " (left) " left." }
        @for (index, choice) in (0u8..).zip(&round.choices) {
            form method="post" action={ "/r/" (room.code) "/plain/vote" } {
                input type="hidden" name="round" value=(number);
                input type="hidden" name="take" value=(take);
                input type="hidden" name="slip" value=(used + 1);
                input type="hidden" name="votes" value=(letter(index));
                p {
                    button disabled[left == 0] { (letter(index).to_ascii_uppercase()) ": " (choice.label) }
                }
            }
        }
        @if let Some(tally) = tally {
            p { (tally.total()) " votes so far." }
            @if *shows_split { (counts(round, &tally.votes)) }
        }
    }
}

/// Between two rounds: the result of the last one, as far as voters may see it.
pub fn between_rounds(room: &Room, ballot: &Ballot) -> Markup {
    html! {
        (last_result(room, ballot))
        p { "The next round opens soon." }
    }
}

fn last_result(room: &Room, ballot: &Ballot) -> Markup {
    let number = room.last_round;
    let Some(round) = room.round(number).filter(|_| sees_programme(room, number, Audience::Public)) else {
        return Markup::default();
    };
    html! {
        h2 { "Round " (number) ": " (round.title) }
        p { "Your votes: " strong { (ballot.votes.to_uppercase()) } "." }
        @if let Some(take) = round.counted() {
            @if sees_result(room, number, Audience::Public) {
                @if let Some(index) = take.winner() {
                    p {
                        "The winner is "
                        strong { @if let Some(choice) = round.choices.get(usize::from(index)) { (choice.label) } }
                        "."
                    }
                } @else {
                    p { "It is a draw: nobody scores." }
                }
                (counts(round, &take.tally.votes))
            } @else {
                p { "The result comes later." }
            }
        }
    }
}

/// While the ranking is revealed, and after it. `None`: the voter's place is not revealed yet.
pub fn ranking(standing: Option<&StandingView>) -> Markup {
    html! {
        @if let Some(standing) = standing {
            p {
                "Your place: " strong { (standing.place) } " of " (standing.of) ", with " (standing.score)
                " votes on winners."
            }
        } @else {
            p { "The ranking is being revealed on stage." }
        }
    }
}

/// The votes of each choice.
fn counts(round: &Round, votes: &[u64]) -> Markup {
    html! {
        ul {
            @for (index, (choice, votes)) in (0u8..).zip(round.choices.iter().zip(votes)) {
                li { (letter(index).to_ascii_uppercase()) ": " (choice.label) " — " (votes) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Card, RoomCode, RoomId, VoterId};
    use crate::domain::room::Split;
    use crate::domain::setup::{Plan, RoundPlan};
    use crate::domain::text::{Name, Title};

    const MARKUP: &str = "<q a=\"x\">&";
    const ESCAPED: &str = "&lt;q a=&quot;x&quot;&gt;&amp;";

    fn room(title: &str) -> Room {
        let choices = [(title.to_owned(), None), ("Tea".to_owned(), None)];
        let round = RoundPlan::new(title, &choices, None, Split::Live, 0).unwrap();
        let plan = Plan::new(Title::parse(title).unwrap(), vec![round]);
        plan.into_room(RoomId::from_entropy([0; 16]), RoomCode::parse("EVENTS").unwrap(), 0).unwrap()
    }

    fn open<'r>(room: &'r Room, ballot: &'r Ballot, tally: &'r Tally) -> OpenRound<'r> {
        OpenRound { room, round: &room.rounds[0], number: 1, take: 1, ballot, tally: Some(tally), shows_split: true }
    }

    #[test]
    fn what_people_write_is_never_markup() {
        let room = room(MARKUP);
        let person = Voter {
            voter: VoterId::from_entropy([0; 16]),
            name: Name::parse(MARKUP).unwrap(),
            card: Card::from_entropy([0; 12]),
            removed: false,
        };
        let tally = Tally { votes: vec![1, 2], voters: 3, version: 1 };
        let round = open_round(&open(&room, &Ballot::default(), &tally));
        let html = document(&room, true, Some(MARKUP), &voter(&person, &round)).into_string();
        assert!(!html.contains("<q") && !html.contains("a=\"x\""), "{html}");
        let places = ["title", "h1", "alert", "name", "h2", "button", "count"];
        assert_eq!(html.matches(ESCAPED).count(), places.len(), "{html}");
    }

    #[test]
    fn a_form_holds_the_slip_that_it_is_for_and_is_disabled_when_no_vote_is_left() {
        let room = room("Coffee");
        let tally = Tally { votes: vec![4, 1], voters: 3, version: 1 };
        let page = |votes: String| {
            let ballot = Ballot { votes, ..Ballot::default() };
            open_round(&open(&room, &ballot, &tally)).into_string()
        };
        let html = page("ab".to_owned());
        assert!(html.starts_with("<h2>Round 1: Coffee</h2><p>Your votes: <strong>AB</strong>. 8 left.</p>"), "{html}");
        assert!(
            html.contains(
                "<form method=\"post\" action=\"/r/EVENTS/plain/vote\">\
                 <input type=\"hidden\" name=\"round\" value=\"1\"><input type=\"hidden\" name=\"take\" value=\"1\">\
                 <input type=\"hidden\" name=\"slip\" value=\"3\"><input type=\"hidden\" name=\"votes\" value=\"b\">\
                 <p><button>B: Tea</button></p></form>"
            ),
            "{html}"
        );
        assert!(html.ends_with("<p>5 votes so far.</p><ul><li>A: Coffee — 4</li><li>B: Tea — 1</li></ul>"), "{html}");
        assert!(page("a".repeat(10)).contains("<p><button disabled>A: Coffee</button></p>"));
    }
}
