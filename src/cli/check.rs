//! `tallycast check`: asks a server whether the evening may begin. The server reports on itself. The voters' page and a
//! socket are checked from here, since phones are not where the server is.

use reqwest::Method;
use serde_json::{Value, json};

use super::arguments::CheckArguments;
use super::client::{Client, roots};
use super::outcome::{Outcome, print};
use super::style::{green, red};
use super::table::table;
use crate::external_check::{self, ExternalCheck, Finding, PublicLink};

/// Asks the server, checks it from here, and prints one line for each item.
///
/// # Errors
/// The server does not answer, or refuses the call.
pub async fn check(arguments: &CheckArguments) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.server).await?;
    let mut report: Value = client.call(Method::GET, &["check"]).read().await?;
    // a server of an older version does not report where voters go; then its own checks must do
    if let Ok(link) = serde_json::from_value::<PublicLink>(report["public_link"].clone()) {
        for check in external_check::run(&link, &roots(&arguments.server)?).await {
            replace(&mut report, check);
        }
    }
    let outcome = outcome(&report);
    report["ok"] = json!(outcome == Outcome::Fine);
    if arguments.json {
        print(format_args!("{report:#}"))?;
    } else {
        print(findings(&report))?;
        print(verdict(outcome, client.base(), &report))?;
    }
    Ok(outcome)
}

/// Replaces what the server found by what was found from here.
fn replace(report: &mut Value, ExternalCheck { item, finding, took }: ExternalCheck) {
    let mut found = json!({"item": item, "ok": matches!(finding, Finding::Good(_)), "ms": took.as_millis() as u64});
    if matches!(finding, Finding::Unreachable(_)) {
        found["seen"] = json!(false);
    }
    let (Finding::Good(detail) | Finding::Wrong(detail) | Finding::Unreachable(detail)) = finding;
    found["detail"] = json!(detail);
    let items = report["items"].as_array_mut().into_iter().flatten();
    items.filter(|known| known["item"] == item).for_each(|known| *known = found.clone());
}

/// The worst item decides.
fn outcome(report: &Value) -> Outcome {
    let items = || report["items"].as_array().into_iter().flatten();
    match () {
        () if items().any(|item| item["ok"] != true && item["seen"] != false) => Outcome::Wrong,
        () if items().any(|item| item["seen"] == false) => Outcome::Unseen,
        () => Outcome::Fine,
    }
}

fn findings(report: &Value) -> String {
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
    match outcome {
        Outcome::Fine => green(&format!("{base} is well.")),
        Outcome::Unseen => format!(
            "{}\nRun this on a machine outside, with the emcee's key, and with --ca FILE if the certificate is by an \
             authority of your own:\n\n  tallycast check --url {}",
            red(
                "Nothing is wrong, but what is UNSEEN could not be seen from here: it is not known whether voters reach it."
            ),
            report["admin_url"].as_str().unwrap_or(base)
        ),
        _ => red(&format!("Something is wrong with {base}.")),
    }
}
