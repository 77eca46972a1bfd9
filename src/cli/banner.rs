//! The first words of `serve`: at a terminal three links, and a QR code to point a phone at; elsewhere a line of the log,
//! without the key.

use std::io::Write;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::startup::{Application, Links};
use crate::telemetry::{PROCESS, Reader};

/// Where a container has found an address for the links by itself.
const INSIDE_CONTAINER: &str = "Phones do not reach this container's own address: start it with \
                                TALLYCAST__SERVER__PUBLIC_URL=http://ADDRESS:PORT, as they reach this machine.";

/// Says what has started, and to whom it matters how to get there.
pub fn show(application: &Application, reader: Reader) {
    match reader {
        Reader::Terminal => print(application),
        Reader::File | Reader::Machine => {
            tracing::info!(
                target: PROCESS,
                version = env!("CARGO_PKG_VERSION"),
                role = application.role.name(),
                address = %application.addresses().main,
                ledger = application.ledger,
                key_file = application.key_file.as_deref().map(|file| tracing::field::display(file.display())),
                "tallycast serves"
            );
            if application.links.as_ref().is_some_and(|links| links.inside_container) {
                tracing::warn!("{INSIDE_CONTAINER}");
            }
        }
    }
}

fn print(application: &Application) {
    let mut out = std::io::stdout().lock();
    // a closed stdout is no reason not to hold the evening
    let _ = match &application.links {
        Some(Links { voter, stage, emcee, inside_container }) => {
            let code = QrCode::new(voter).map(|code| inverted(&code)).unwrap_or_default();
            let warning = if *inside_container { format!("  {INSIDE_CONTAINER}\n\n") } else { String::new() };
            writeln!(
                out,
                "{code}\n  Voters  {voter}\n  Stage   {stage}\n  Emcee   {emcee}\n\n{warning}  Ctrl-C stops; the next start goes on from there.\n",
            )
        }
        None => writeln!(out, "tallycast listens on {}", application.addresses().main),
    };
    let _ = out.flush();
}

/// Light modules are drawn: on a dark terminal that is dark on light, as scanners want it.
fn inverted(code: &QrCode) -> String {
    code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
}
