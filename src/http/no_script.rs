//! The voter's page without script: plain forms that do the whole evening.
//!
//! Each form carries the slip that it is for, so a form sent twice is a repeat and counts once.

use std::fmt::Write;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Deserialize;

use super::auth::{Origin, VoterCredentials, cross_origin};
use super::error::{Answer, ApiError};
use super::joining::{cookie, join_room, joined, known_voter};
use super::site::Site;
use super::voters::cast;
use crate::actors::active_room::ActiveRoom;
use crate::domain::ballot::{Ballot, Refusal};
use crate::domain::room::{Room, RoomPhase, letter};
use crate::domain::visibility::{Audience, sees_programme, sees_result, sees_split};
use crate::ledger::Voter;
use crate::wire::client::CastMessage;
use crate::wire::http::JoinBody;

/// How often the page asks anew, in seconds.
const REFRESH_SECS: u32 = 5;

/// `/r/{room}/plain` and its two forms.
pub fn routes(service: &mut web::ServiceConfig) {
    service
        .route("/r/{room}/plain", web::get().to(page))
        .route("/r/{room}/plain/join", web::post().to(join))
        .route("/r/{room}/plain/vote", web::post().to(vote));
}

#[derive(Deserialize)]
struct PageQuery {
    /// What became of the last vote.
    refused: Option<Refusal>,
}

async fn page(
    site: web::Data<Site>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    query: web::Query<PageQuery>,
) -> Answer {
    let room = site.room(&path).await?;
    let refused = query.refused.map(|refusal| ApiError::conflict(refusal.as_str(), in_words(refusal)));
    show(&site, &room, &credentials, refused).await
}

fn in_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Closed => "the round was closed before this vote arrived",
        Refusal::StaleTake => "the round was started afresh; vote again",
        Refusal::OutOfVotes => "all your votes in this round are used",
        Refusal::Busy => "no answer yet; vote again, nothing counts twice",
        Refusal::BadChoice | Refusal::Gap | Refusal::Conflict => "this page was old; look at your votes below",
    }
}

async fn join(
    request: HttpRequest,
    site: web::Data<Site>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    form: web::Form<JoinBody>,
) -> Answer {
    own_page(&request, &site)?;
    let room = site.room(&path).await?;
    let JoinBody { name, card, invite } = form.into_inner();
    let body = JoinBody { name: given(name), card: given(card), invite: given(invite) };
    match join_room(&site, &room, None, body).await {
        Ok((voter, _)) => {
            let token = joined(&site, &room, &voter).token;
            Ok(HttpResponse::SeeOther()
                .cookie(cookie(&request, &site, &room, token))
                .insert_header((header::LOCATION, format!("/r/{}/plain", room.board.code)))
                .finish())
        }
        Err(error) => show(&site, &room, &credentials, Some(error)).await,
    }
}

/// Fields of a form that were left empty are not given.
fn given(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.trim().is_empty())
}

#[derive(Deserialize)]
struct VoteForm {
    round: u16,
    take: u16,
    slip: u32,
    votes: String,
}

async fn vote(
    request: HttpRequest,
    site: web::Data<Site>,
    path: web::Path<String>,
    credentials: VoterCredentials,
    form: web::Form<VoteForm>,
) -> Answer {
    own_page(&request, &site)?;
    let room = site.room(&path).await?;
    let voter = credentials.voter(&site, &room.board.room())?.voter;
    let VoteForm { round, take, slip, votes } = form.into_inner();
    let ballot = cast(&site, &room, voter, CastMessage { round, take, slip, votes }).await?;
    let refused = match ballot.refused {
        None => String::new(),
        Some(refusal) => format!("?refused={}", refusal.as_str()),
    };
    let back = format!("/r/{}/plain{refused}", room.board.code);
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, back)).finish())
}

fn own_page(request: &HttpRequest, site: &Site) -> Answer<()> {
    match Origin::of(request.headers(), &site.own_urls()) {
        Origin::Foreign => Err(cross_origin()),
        Origin::Own | Origin::None => Ok(()),
    }
}

async fn show(site: &Site, room: &Arc<ActiveRoom>, credentials: &VoterCredentials, error: Option<ApiError>) -> Answer {
    let voter = match credentials.voter(site, &room.board.room()) {
        Ok(token) => Some(known_voter(site, room, token).await?),
        Err(_) => None,
    };
    let record = room.board.room();
    let mut html = head(&record, voter.is_some());
    if let Some(error) = &error {
        let _ = write!(html, "<p role=\"alert\"><strong>{}</strong></p>", escape(&error.to_string()));
    }
    match &voter {
        None => html.push_str(&join_form(&record)),
        Some((voter, ballot)) => html.push_str(&evening(site, room, &record, voter, ballot)),
    }
    html.push_str("</main></body></html>");
    let status = error.map_or(actix_web::http::StatusCode::OK, |error| error.status_code());
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html))
}

fn head(room: &Room, refresh: bool) -> String {
    let title = escape(room.title.as_str());
    let refresh = match refresh {
        true => format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_SECS};url=/r/{}/plain\">", room.code),
        false => String::new(),
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/assets/css/base.css\">\
         <link rel=\"stylesheet\" href=\"/assets/css/plain.css\"></head>\
         <body class=\"plain\"><main><h1>{title}</h1>"
    )
}

fn join_form(room: &Room) -> String {
    format!(
        "<form method=\"post\" action=\"/r/{code}/plain/join\">\
         <p><label>Your name <input name=\"name\" maxlength=\"48\" autocomplete=\"nickname\"></label></p>\
         <p><label>Your card, if you were here before <input name=\"card\" maxlength=\"12\"></label></p>\
         <p><label>Your invite, if you have one <input name=\"invite\" maxlength=\"12\"></label></p>\
         <p><button>Join</button></p></form>",
        code = room.code
    )
}

fn evening(site: &Site, active: &ActiveRoom, room: &Room, voter: &Voter, ballot: &Ballot) -> String {
    let mut html = format!(
        "<p>You are <strong>{}</strong>. Your way back on another phone: card <strong>{}</strong>.</p>",
        escape(voter.name.as_str()),
        voter.card
    );
    let _ = match room.phase() {
        RoomPhase::Lobby => write!(
            html,
            "<p>You are in. Votes on winners count. Same score? The faster voter is ahead: the time from the opening \
             to your last vote, in the rounds where you scored.</p>"
        ),
        RoomPhase::Voting => write!(html, "{}", open_round(site, active, room, ballot)),
        RoomPhase::Between => write!(html, "{}<p>The next round opens soon.</p>", last_result(room, ballot)),
        RoomPhase::Reveal | RoomPhase::Finished => match active.board.standing(&voter.voter) {
            Some((_, standing)) => write!(
                html,
                "<p>Your place: <strong>{}</strong> of {}, with {} votes on winners.</p>",
                standing.place, standing.of, standing.score
            ),
            None => write!(html, "<p>The ranking is being revealed on stage.</p>"),
        },
    };
    html
}

fn open_round(site: &Site, active: &ActiveRoom, room: &Room, ballot: &Ballot) -> String {
    let Some((number, take)) = room.current_take() else { return String::new() };
    let Some(round) = room.round(number) else { return String::new() };
    let (_, gates) = active.board.record_and_counts();
    let mut html = format!("<h2>Round {number}: {}</h2>", escape(round.title.as_str()));
    let used = ballot.votes.len();
    let left = usize::from(room.votes_per_round).saturating_sub(used);
    let _ = write!(html, "<p>Your votes: <strong>{}</strong>. {left} left.</p>", escape(&ballot.votes.to_uppercase()));
    for (index, choice) in (0u8..).zip(&round.choices) {
        let letter = letter(index);
        let _ = write!(
            html,
            "<form method=\"post\" action=\"/r/{code}/plain/vote\">\
             <input type=\"hidden\" name=\"round\" value=\"{number}\"><input type=\"hidden\" name=\"take\" value=\"{take}\">\
             <input type=\"hidden\" name=\"slip\" value=\"{slip}\"><input type=\"hidden\" name=\"votes\" value=\"{letter}\">\
             <p><button{disabled}>{upper}: {label}</button></p></form>",
            code = room.code,
            slip = used + 1,
            disabled = if left == 0 { " disabled" } else { "" },
            upper = letter.to_ascii_uppercase(),
            label = escape(choice.label.as_str()),
        );
    }
    if let Some(gates) = gates.filter(|gates| (gates.round, gates.take) == (number, take)) {
        let _ = write!(html, "<p>{} votes so far.</p>", gates.tally.total());
        if sees_split(room, number, active.board.blackout(site.now()), Audience::Public) {
            html.push_str(&counts(round, &gates.tally.votes));
        }
    }
    html
}

fn last_result(room: &Room, ballot: &Ballot) -> String {
    let number = room.last_round;
    let Some(round) = room.round(number).filter(|_| sees_programme(room, number, Audience::Public)) else {
        return String::new();
    };
    let mut html = format!("<h2>Round {number}: {}</h2>", escape(round.title.as_str()));
    let _ = write!(html, "<p>Your votes: <strong>{}</strong>.</p>", escape(&ballot.votes.to_uppercase()));
    let Some(take) = round.counted() else { return html };
    if !sees_result(room, number, Audience::Public) {
        html.push_str("<p>The result comes later.</p>");
        return html;
    }
    match take.winner() {
        Some(index) => {
            let label = round.choices.get(usize::from(index)).map_or("", |choice| choice.label.as_str());
            let _ = write!(html, "<p>The winner is <strong>{}</strong>.</p>", escape(label));
        }
        None => html.push_str("<p>It is a draw: nobody scores.</p>"),
    }
    html.push_str(&counts(round, &take.tally.votes));
    html
}

fn counts(round: &crate::domain::room::Round, votes: &[u64]) -> String {
    let rows = round.choices.iter().zip(votes).zip(0u8..).map(|((choice, votes), index)| {
        let letter = letter(index).to_ascii_uppercase();
        format!("<li>{letter}: {} — {votes}</li>", escape(choice.label.as_str()))
    });
    format!("<ul>{}</ul>", rows.collect::<String>())
}

/// Makes a text safe between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_people_write_is_never_markup() {
        assert_eq!(escape("<b a=\"x\" b='y'>&"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }
}
