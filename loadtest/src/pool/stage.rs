//! A stage page: sends nothing but hello, reads every frame, and checks that versions never fall.

use std::sync::Arc;
use std::time::Duration;

use client::protocol::{ClientMessage, ServerMessage};
use client::socket::Incoming;

use super::recorder::Recorder;
use crate::metrics::Cause;

/// Pause before the next connection.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Watches until it is aborted.
pub async fn watch(recorder: Arc<Recorder>, stage: u32) {
    let mut attempt = 0;
    loop {
        if let Err(cause) = watch_once(&recorder, stage, attempt).await {
            recorder.error(cause);
        }
        attempt += 1;
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// One connection, from its beginning to its end.
async fn watch_once(recorder: &Recorder, stage: u32, attempt: u32) -> Result<(), Cause> {
    let mut socket = recorder.route(stage, attempt, false).open().await?;
    let hello = ClientMessage::Hello { room: &recorder.config.room, role: "stage", token: None };
    socket.send(hello.text()).await.map_err(|_| Cause::Hello)?;
    let (mut last_seq, mut last_version, mut said_bye) = (0, 0, false);
    loop {
        let text = match socket.next().await {
            Incoming::Text(text) => text,
            Incoming::Closed(Some(1012)) => return Ok(()),
            Incoming::Closed(_) | Incoming::Invalid(_) => return if said_bye { Ok(()) } else { Err(Cause::Lost) },
        };
        recorder.frame();
        let (name, last, now) = match ServerMessage::read(&text) {
            ServerMessage::State(state) => ("seq", &mut last_seq, state.room.seq),
            ServerMessage::Tally(tally) => {
                recorder.tally(tally.version, true);
                ("version", &mut last_version, tally.version)
            }
            ServerMessage::Bye(_) => {
                said_bye = true;
                continue;
            }
            ServerMessage::Error => return Err(Cause::NotUnderstood),
            _ => continue,
        };
        if now < *last {
            recorder.violation(&format!("stage {stage}"), &format!("{name} fell from {last} to {now}"));
        }
        *last = now;
    }
}
