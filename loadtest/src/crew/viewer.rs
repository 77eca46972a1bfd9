//! A stage page: says nothing, reads everything, and minds that versions never go back.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::metrics::Cause;
use crate::voter::line::Heard;
use crate::wire::{self, Frame};

/// Pause before a connection is made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks on until it is aborted.
pub async fn watch(shared: Arc<Shared>, stage: u32) {
    let mut attempt = 0;
    loop {
        if let Err(cause) = look(&shared, stage, attempt).await {
            shared.error(cause);
        }
        attempt += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One connection, from its beginning to its end.
async fn look(shared: &Shared, stage: u32, attempt: u32) -> Result<(), Cause> {
    let mut line = shared.route(stage, attempt, false).open().await?;
    line.send(wire::hello(&shared.brief.room, "stage", None)).await.map_err(|()| Cause::Hello)?;
    let (mut seq, mut version, mut goodbye) = (0, 0, false);
    loop {
        let text = match line.next().await {
            Heard::Text(text) => text,
            Heard::Gone(Some(1012)) => return Ok(()),
            Heard::Gone(_) => return if goodbye { Ok(()) } else { Err(Cause::Lost) },
        };
        shared.frame();
        let (name, seen, now) = match wire::read(&text) {
            Frame::State(state) => ("seq", &mut seq, state.room.seq),
            Frame::Tally(tally) => {
                shared.tally(tally.version, true);
                ("version", &mut version, tally.version)
            }
            Frame::Bye(_) => {
                goodbye = true;
                continue;
            }
            Frame::Error => return Err(Cause::NotUnderstood),
            _ => continue,
        };
        if now < *seen {
            shared.violation(&format!("stage {stage}"), &format!("{name} fell from {seen} to {now}"));
        }
        *seen = now;
    }
}
