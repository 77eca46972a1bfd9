//! The first message of a socket: who it is, and whether it is admitted.

use std::sync::Arc;

use crate::actors::active_room::ActiveRoom;
use crate::actors::pod::Pod;
use crate::actors::rooms::{RoomUnavailable, Rooms};
use crate::auth::{SignIn, VoterToken};
use crate::domain::ids::{RoomCode, VoterId};
use crate::domain::room::Room;
use crate::ledger::{ResumeRequest, fresh_card};
use crate::wire::client::{Hello, Role};
use crate::wire::codes::CloseCode;
use crate::wire::server::{BallotView, You};

/// How the names of all cookies begin.
pub const COOKIE_PREFIX: &str = "tallycast_";
/// Name of the cookie with an emcee's sign-in.
pub const EMCEE_COOKIE: &str = "tallycast_emcee";
/// Name of the cookie with a voter's token; the room's id follows.
pub const VOTER_COOKIE: &str = "tallycast_voter_";

/// What came with a socket's handshake.
#[derive(Debug, Clone, Default)]
pub struct HandshakeContext {
    /// This server's cookies, by name; kept only if the Origin header names this server itself.
    pub cookies: Vec<(String, String)>,
    /// True if emcees are served on the port that the socket came to.
    pub serves_emcee: bool,
}

impl HandshakeContext {
    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The emcee's sign-in, if it is valid and not expired. Whether it was signed out is not checked.
    pub fn sign_in(&self, pod: &Pod) -> Option<SignIn> {
        pod.auth.read_sign_in(self.cookie(EMCEE_COOKIE)?, pod.clock.now())
    }
}

/// What a valid hello has found.
pub struct Admission {
    /// The room.
    pub room: Arc<ActiveRoom>,
    /// What the client says it is.
    pub role: Role,
    /// A voter's own part of the first state.
    pub you: Option<You>,
    /// The voter, for that role.
    pub voter: Option<VoterId>,
    /// Sign-in and device of an emcee; no sign-in if it came with the emcee key.
    pub desk: Option<(Option<String>, String)>,
}

/// Judges a hello.
///
/// # Errors
/// The code to close the socket with. A code that tells the client not to come back is used only if the ledger has answered.
pub async fn admit(rooms: Arc<Rooms>, context: HandshakeContext, hello: Hello) -> Result<Admission, CloseCode> {
    let code = RoomCode::parse(&hello.room).map_err(|_| CloseCode::NoSuchRoom)?;
    let pod = rooms.pod.clone();
    let room = rooms.enter(&code).await.map_err(|absent| match absent {
        RoomUnavailable::NoSuchRoom => CloseCode::NoSuchRoom,
        RoomUnavailable::Ledger(error) => {
            pod.note_ledger_error(&error);
            CloseCode::Restart
        }
    })?;
    let empty = Admission { room, role: hello.role, you: None, voter: None, desk: None };
    match hello.role {
        Role::Stage => Ok(empty),
        Role::Emcee => {
            let desk = emcee(&pod, &context, hello.token.as_deref()).await?;
            Ok(Admission { desk: Some(desk), ..empty })
        }
        Role::Voter => {
            let record = empty.room.board.room();
            let token = voter_token(&pod, &context, &record, hello.token.as_deref()).ok_or(CloseCode::BadToken)?;
            voter(&pod, empty, token).await
        }
    }
}

fn voter_token(pod: &Pod, context: &HandshakeContext, room: &Room, token: Option<&str>) -> Option<VoterToken> {
    let token = match token {
        Some(token) => token,
        None => context.cookie(&format!("{VOTER_COOKIE}{}", room.id))?,
    };
    pod.token_key(room).read(token)
}

async fn voter(pod: &Arc<Pod>, empty: Admission, token: VoterToken) -> Result<Admission, CloseCode> {
    let record = empty.room.board.room();
    let take = record.current_take();
    let greeting = ResumeRequest { voter: token.voter, name: token.name, card: fresh_card(), take };
    let (voter, ballot) = empty.room.greet(pod, greeting).await.map_err(|error| {
        pod.note_ledger_error(&error);
        CloseCode::Restart
    })?;
    if voter.removed {
        return Err(CloseCode::Removed);
    }
    let ballot = take.map(|(round, take)| BallotView::new(round, take, ballot.votes, record.votes_per_round, None));
    let you =
        You { voter: voter.voter.to_string(), name: voter.name.to_string(), card: voter.card.to_string(), ballot };
    Ok(Admission { you: Some(you), voter: Some(voter.voter), ..empty })
}

/// The sign-in that an emcee's socket belongs to, and the device.
async fn emcee(
    pod: &Pod,
    context: &HandshakeContext,
    token: Option<&str>,
) -> Result<(Option<String>, String), CloseCode> {
    if !context.serves_emcee {
        return Err(CloseCode::BadToken);
    }
    if let Some(token) = token {
        return match pod.auth.is_emcee_key(token) {
            true => Ok((None, "key".to_owned())),
            false => Err(CloseCode::BadToken),
        };
    }
    let sign_in = context.sign_in(pod).ok_or(CloseCode::BadToken)?;
    match pod.command_ledger.is_signed_out(&sign_in.id).await {
        Ok(false) => Ok((Some(sign_in.id), sign_in.device)),
        Ok(true) => Err(CloseCode::BadToken),
        Err(error) => {
            pod.note_ledger_error(&error);
            Err(CloseCode::Restart)
        }
    }
}
