//! `tallycast plan` and `tallycast apply`: compare an event file with the room that has its `ref`, and change the room.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::{ApplyArguments, PlanArguments};
use super::client::{CallResult, Client};
use super::event::{Difference, EventFile, render};
use super::outcome::{Outcome, print};
use super::rooms::{self, KnownRoom};
use super::table::counted;
use crate::atomic_file::AtomicFile;
use crate::domain::text::Name;

/// Names in one call. So many of the longest names fit in a body.
const MAX_NAMES_PER_CALL: usize = 1_000;

/// An invite, as the server lists it.
#[derive(Debug, Clone, Deserialize)]
struct Invited {
    name: String,
    invite: String,
    url: String,
}

#[derive(Deserialize)]
struct InvitedList {
    invites: Vec<Invited>,
}

/// Prints what would change.
///
/// # Errors
/// The event file is not valid, or the server does not answer.
pub async fn plan(arguments: &PlanArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let event = EventFile::read(&arguments.file)?;
    let difference = compare(&client, &event).await?;
    match arguments.json {
        true => print(format_args!("{:#}", as_json(&event, &difference)))?,
        false => print(render(&event, &difference))?,
    }
    Ok(match difference.is_empty() {
        true => Outcome::Fine,
        false if difference.is_refused() => Outcome::Failed,
        false => Outcome::Differs,
    })
}

/// Prints what changes, and changes it.
///
/// # Errors
/// As [`plan`]; the plan is not the expected one, or the room was changed meanwhile.
pub async fn apply(arguments: &ApplyArguments) -> anyhow::Result<Outcome> {
    let ApplyArguments { plan, expect, invites_out } = arguments;
    let client = Client::new(&plan.server).await?;
    let event = EventFile::read(&plan.file)?;
    if invites_out.is_some() {
        ensure!(event.invites.is_some(), "{} has no invites to write", plan.file.display());
    }
    let difference = compare(&client, &event).await?;
    if !plan.json {
        print(render(&event, &difference))?;
    }
    if difference.is_refused() {
        if plan.json {
            print(format_args!("{:#}", as_json(&event, &difference)))?;
        }
        return Ok(Outcome::Failed);
    }
    let room = match &difference.room {
        // nothing is left to do, whatever plan was expected: the same call may have done it before
        Some(room) if difference.is_empty() => room.clone(),
        _ => {
            let id = difference.id();
            if let Some(expected) = expect {
                ensure!(*expected == id, "the plan is no longer {expected}; nothing was changed, look at it again");
            }
            let now = compare(&client, &event).await?;
            ensure!(now.id() == id, "the room has changed meanwhile; nothing was changed, look at the plan again");
            make_changes(&client, &event, &difference).await?
        }
    };
    if let Some(path) = invites_out {
        write_invites(&client, &event, &room, path).await?;
    }
    let links = links(&client, &room);
    if plan.json {
        let mut answer = as_json(&event, &difference);
        answer["room"] = room.code.clone().into();
        answer["links"] = links.into_iter().map(|(name, link)| (name.to_lowercase(), json!(link))).collect();
        print(format_args!("{answer:#}"))?;
        return Ok(Outcome::Fine);
    }
    if !difference.is_empty() {
        print(format_args!("Applied to room {}.", room.code))?;
    }
    let links: Vec<_> = links.iter().map(|(name, link)| format!("\n  {name:7} {link}")).collect();
    print(links.concat())?;
    Ok(Outcome::Fine)
}

/// The room that has the file's `ref`, compared with the file.
async fn compare(client: &Client, event: &EventFile) -> anyhow::Result<Difference> {
    let rooms = rooms::all(client).await?;
    let Some(room) = rooms.into_iter().find(|room| room.reference.as_deref() == Some(event.reference())) else {
        return Difference::new(event, None, &[]);
    };
    // this call returns the room as it is now; the list may be a moment old
    let room: KnownRoom = client.call(Method::GET, &["rooms", &room.code]).read().await?;
    let invited = match event.invites {
        Some(_) => invited(client, &room).await?.into_iter().map(|invited| invited.name).collect(),
        None => vec![],
    };
    Difference::new(event, Some(room), &invited)
}

/// Makes exactly the changes of the difference, and checks the result.
async fn make_changes(client: &Client, event: &EventFile, difference: &Difference) -> anyhow::Result<KnownRoom> {
    let room: KnownRoom = match (&difference.room, &difference.body) {
        (None, body) => {
            let made = client.call(Method::POST, &["rooms"]).json(body.as_ref().unwrap_or(&Value::Null)).read().await;
            made.map_err(|error| match error.code() {
                "ref_taken" => anyhow::anyhow!("somebody has made this room meanwhile; look at the plan again"),
                _ => error.into(),
            })?
        }
        (Some(room), Some(body)) => client.call(Method::PATCH, &["rooms", &room.code]).json(body).read().await?,
        (Some(room), None) => room.clone(),
    };
    for names in difference.invites.new.chunks(MAX_NAMES_PER_CALL) {
        let names = json!({ "names": names });
        let _: InvitedList = client.call(Method::POST, &["rooms", &room.code, "invites"]).json(&names).read().await?;
    }
    let left = Difference::new(event, Some(room.clone()), &[])?.changes.len();
    ensure!(
        left == 0,
        "room {} still differs in {}: somebody else is changing it; look at the plan again",
        room.code,
        counted(left, "field")
    );
    Ok(room)
}

async fn invited(client: &Client, room: &KnownRoom) -> CallResult<Vec<Invited>> {
    let call = client.call(Method::GET, &["rooms", &room.code, "invites"]);
    Ok(call.read::<InvitedList>().await?.invites)
}

/// The invites of the file's names, in the file's order.
async fn write_invites(client: &Client, event: &EventFile, room: &KnownRoom, path: &Path) -> anyhow::Result<()> {
    let invited = invited(client, room).await?.into_iter();
    let invited: HashMap<_, _> =
        invited.filter_map(|invited| Some((Name::parse(&invited.name).ok()?.folded(), invited))).collect();
    let unwritten = || format!("{} cannot be written", path.display());
    let mut csv = csv::Writer::from_writer(AtomicFile::begin(path).with_context(unwritten)?);
    csv.write_record(["name", "invite", "url"])?;
    for name in event.invites.iter().flatten() {
        let invited = invited.get(&name.folded()).with_context(|| format!("{name} has no invite"))?;
        csv.write_record([name.as_str(), &invited.invite, &invited.url])?;
    }
    csv.into_inner().map_err(|error| error.into_error())?.finish().with_context(unwritten)
}

fn as_json(event: &EventFile, difference: &Difference) -> Value {
    json!({
        "plan": difference.id(),
        "ref": event.reference(),
        "room": difference.room.as_ref().map(|room| &room.code),
        "changes": difference.changes,
        "invites": difference.invites,
        "refused": difference.is_refused(),
    })
}

/// The links for voters, stage and emcee.
fn links(client: &Client, room: &KnownRoom) -> [(&'static str, String); 3] {
    let voters = room.voters_link(client);
    let public = voters.strip_suffix(&format!("/r/{}", room.code)).unwrap_or(client.base());
    let (stage, emcee) = (format!("{public}/stage/{}", room.code), format!("{}/emcee", client.base()));
    [("Voters", voters), ("Stage", stage), ("Emcee", emcee)]
}
