//! `tallycast check`: whether the evening may begin, as the server sees it.

use reqwest::Method;
use serde_json::Value;

use super::arguments::CheckArguments;
use super::client::Client;
use super::paint::Paint;
use super::table::table;
use super::{Outcome, say};

/// Asks, and prints one line an item.
pub async fn check(arguments: &CheckArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server)?;
    let report: Value = client.call(Method::GET, &["check"]).read().await?;
    let ok = report["ok"] == true;
    if arguments.json {
        say(format_args!("{report:#}"))?;
    } else {
        say(shown(&report))?;
        say(verdict(ok, client.base()))?;
    }
    Ok(if ok { Outcome::Fine } else { Outcome::Wrong })
}

fn shown(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |item: &Value| {
        let ms = item["ms"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
        [if item["ok"] == true { "ok" } else { "WRONG" }.to_owned(), text(&item["item"]), ms, text(&item["detail"])]
    };
    let rows: Vec<_> = report["items"].as_array().into_iter().flatten().map(row).collect();
    table(["", "item", "took", "finding"], &rows)
}

fn verdict(ok: bool, base: &str) -> String {
    let paint = Paint::stdout();
    match ok {
        true => paint.green(&format!("{base} is well.")),
        false => paint.red(&format!("Something is wrong with {base}.")),
    }
}
