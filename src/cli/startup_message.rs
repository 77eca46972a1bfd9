//! What `serve` shows when it has started: on a terminal three URLs and a QR code for phones, elsewhere a line in the log,
//! without the key.

use std::io::Write;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::startup::{Application, RoomUrls};
use crate::telemetry::{OutputMode, PROCESS};

/// Shown in a container without a public URL.
const INSIDE_CONTAINER: &str = "Phones do not reach this container's own address: start it with \
                                TALLYCAST__SERVER__PUBLIC_URL=http://ADDRESS:PORT, as they reach this machine.";

/// Reports that the server has started, and where.
pub fn show(application: &Application, output: OutputMode) {
    match output {
        OutputMode::Terminal => print(application),
        OutputMode::File | OutputMode::Machine => {
            tracing::info!(
                target: PROCESS,
                version = env!("CARGO_PKG_VERSION"),
                role = application.role.name(),
                address = %application.addresses().main,
                ledger = application.ledger,
                key_file = application.key_file.as_deref().map(|file| tracing::field::display(file.display())),
                "tallycast serves"
            );
            if application.room_urls.as_ref().is_some_and(|urls| urls.inside_container) {
                tracing::warn!("{INSIDE_CONTAINER}");
            }
        }
    }
}

fn print(application: &Application) {
    let mut out = std::io::stdout().lock();
    // a closed stdout is no reason to stop serving
    let _ = match &application.room_urls {
        Some(RoomUrls { voter, stage, emcee, inside_container }) => {
            let code = QrCode::new(voter).map(|code| inverted(&code)).unwrap_or_default();
            let warning = if *inside_container { format!("  {INSIDE_CONTAINER}\n\n") } else { String::new() };
            writeln!(
                out,
                "{code}\n  Voters  {voter}\n  Stage   {stage}\n  Emcee   {emcee}\n\n{warning}  Ctrl-C stops; the next start continues from there.\n",
            )
        }
        None => writeln!(out, "tallycast listens on {}", application.addresses().main),
    };
    let _ = out.flush();
}

/// Draws the light modules, so that a dark terminal shows dark on light, as scanners need it.
fn inverted(code: &QrCode) -> String {
    code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
}
