//! `tallycast check`: whether the evening may begin. The server says what it finds in itself; the voters' page and a socket
//! are looked at from here, since phones are not where the server is.

use reqwest::Method;
use serde_json::{Value, json};

use super::arguments::CheckArguments;
use super::client::{Client, roots};
use super::outcome::{Outcome, say};
use super::paint::Paint;
use super::table::table;
use crate::outside::{Look, PublicLink, Sight, look_at};

/// Asks, looks, and prints one line an item.
pub async fn check(arguments: &CheckArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let mut report: Value = client.call(Method::GET, &["check"]).read().await?;
    // a server of an older version does not say where voters go; then its own look has to do
    if let Ok(link) = serde_json::from_value::<PublicLink>(report["public_link"].clone()) {
        for look in look_at(&link, &roots(&arguments.server)?).await {
            put(&mut report, look);
        }
    }
    let outcome = outcome(&report);
    report["ok"] = json!(outcome == Outcome::Fine);
    if arguments.json {
        say(format_args!("{report:#}"))?;
    } else {
        say(shown(&report))?;
        say(verdict(outcome, client.base(), &report))?;
    }
    Ok(outcome)
}

/// Puts what was seen from here in the place of what the server has seen.
fn put(report: &mut Value, Look { item, sight, took }: Look) {
    let mut found = json!({"item": item, "ok": matches!(sight, Sight::Well(_)), "ms": took.as_millis() as u64});
    if matches!(sight, Sight::Unseen(_)) {
        found["seen"] = json!(false);
    }
    let (Sight::Well(detail) | Sight::Wrong(detail) | Sight::Unseen(detail)) = sight;
    found["detail"] = json!(detail);
    let items = report["items"].as_array_mut().into_iter().flatten();
    items.filter(|known| known["item"] == item).for_each(|known| *known = found.clone());
}

/// Nothing may be wrong, and nothing unseen.
fn outcome(report: &Value) -> Outcome {
    let items = || report["items"].as_array().into_iter().flatten();
    match () {
        () if items().any(|item| item["ok"] != true && item["seen"] != false) => Outcome::Wrong,
        () if items().any(|item| item["seen"] == false) => Outcome::Unseen,
        () => Outcome::Fine,
    }
}

fn shown(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |item: &Value| {
        let ms = item["ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
        let mark = match (&item["ok"], &item["seen"]) {
            (Value::Bool(true), _) => "ok",
            (_, Value::Bool(false)) => "UNSEEN",
            _ => "WRONG",
        };
        [mark.to_owned(), text(&item["item"]), ms, text(&item["detail"])]
    };
    let rows: Vec<_> = report["items"].as_array().into_iter().flatten().map(row).collect();
    table(["", "item", "took", "finding"], &rows)
}

fn verdict(outcome: Outcome, base: &str, report: &Value) -> String {
    let paint = Paint::stdout();
    match outcome {
        Outcome::Fine => paint.green(&format!("{base} is well.")),
        Outcome::Unseen => format!(
            "{}\nRun this on a machine outside, with the emcee's key, and with --ca FILE if the certificate is by an \
             authority of your own:\n\n  tallycast check --url {}",
            paint.red("Nothing is wrong, but what is UNSEEN could not be seen from here: it is not known whether voters reach it."),
            report["admin_url"].as_str().unwrap_or(base)
        ),
        _ => paint.red(&format!("Something is wrong with {base}.")),
    }
}
