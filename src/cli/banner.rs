//! The terminal's first words: three links, and a QR code to point a phone at.

use std::io::Write;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::startup::Application;

/// Prints the links of the evening, or where the server listens if it has none of its own.
pub fn print(application: &Application) {
    let mut out = std::io::stdout().lock();
    // a closed stdout is no reason not to hold the evening
    let _ = match &application.links {
        Some(links) => {
            let code = QrCode::new(&links.voter).map(|code| inverted(&code)).unwrap_or_default();
            writeln!(
                out,
                "{code}\n  Voters  {}\n  Stage   {}\n  Emcee   {}\n\n  Ctrl-C stops; the next start goes on from there.\n",
                links.voter, links.stage, links.emcee
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
