//! `loadtest run`: from arguments to an exit code.

use std::path::Path;

use anyhow::Context;

use crate::cli::{RunArguments, say};
use crate::director::{Run, direct};
use crate::local::LocalServer;
use crate::publish::Publisher;
use crate::report::progress::Progress;
use crate::report::summary::Summary;
use crate::report::{html, terminal};
use crate::scenario::Scenario;
use crate::target::{self, Target};
use crate::threshold::Threshold;
use crate::webhook::Webhook;
use crate::{limits, misuse, tls};

/// Performs a scenario and says what came of it.
///
/// # Errors
/// Bad input ([`misuse::Misuse`]), or a server that could not go on.
pub async fn perform(arguments: RunArguments) -> anyhow::Result<u8> {
    let scenario = wanted(&arguments)?;
    let thresholds = scenario.thresholds().map_err(misuse::misuse)?;
    let thresholds = Threshold::with_default(thresholds.into_iter().chain(arguments.threshold.clone()).collect());
    limits::check_files(scenario.hall.voters, arguments.processes)?;
    limits::check_ports(scenario.hall.voters, arguments.url.len(), &arguments.source)?;
    let roots = tls::read_roots(&arguments.ca)?;
    let http = target::client(&roots)?;
    let webhook = Webhook::wanted(&http, arguments.webhook.as_deref(), arguments.webhook_file.as_deref())?;
    let (upload, link) = (arguments.upload.as_deref(), arguments.report_url.as_deref());
    let publisher = Publisher::wanted(&http, upload, link, arguments.html.as_deref())?;

    let server = match arguments.start {
        true => Some(LocalServer::start(arguments.binary.as_deref(), arguments.redis.as_deref()).await?),
        false => None,
    };
    let own = server.as_ref();
    let urls = own.map_or(arguments.url.clone(), |server| vec![server.url.clone()]);
    let key = own.map_or(arguments.key.as_str(), |server| &server.key);
    let asked = arguments.slow_log || arguments.redis.is_some();
    let run = Run {
        scenario,
        slow_log: asked || thresholds.iter().any(Threshold::is_of_the_ledger),
        disturb: arguments.disturb.clone(),
        keep: arguments.keep,
        thresholds,
        target: Target::new(http, &urls, arguments.emcee_url.as_deref(), key)?,
        roots,
        urls,
        processes: arguments.processes,
        threads: arguments.threads,
        sources: arguments.source.clone(),
        seed: arguments.seed,
        pids: arguments.pid.iter().copied().chain(own.and_then(LocalServer::pid)).collect(),
        server_version: own.and_then(|server| server.version.clone()),
        progress: Progress::new(arguments.quiet),
    };
    let outcome = direct(run).await;
    if let Some(server) = server {
        server.stop().await;
    }
    let written = outcome.as_ref().map_or(Ok(()), |summary| {
        say(&terminal::text(summary));
        write(summary, arguments.json.as_deref(), arguments.html.as_deref())
    });
    let report = match &outcome {
        Ok(summary) => read_where(&publisher, summary).await,
        Err(_) => None,
    };
    if let Some(webhook) = webhook {
        webhook.tell(&arguments.scenario, &outcome, report.as_deref()).await;
    }
    written?;
    Ok(outcome?.verdict.exit_code())
}

/// Publishes the report, and gives the line that says where it is. That nobody took it is said, and changes nothing.
async fn read_where(publisher: &Publisher, summary: &Summary) -> Option<String> {
    match publisher.publish(&html::page(summary)).await {
        Ok(link) => {
            let line = format!("report: {}", link?);
            say(&format!("{line}\n"));
            Some(line)
        }
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            Some(format!("{error:#}"))
        }
    }
}

fn wanted(arguments: &RunArguments) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::load(&arguments.scenario)?;
    if let Some(voters) = arguments.voters {
        scenario = scenario.with_voters(voters);
    }
    if let Some(duration) = arguments.duration {
        scenario = scenario.with_duration(duration.0);
    }
    scenario
        .check()
        .map_err(|wrong| misuse::misuse(format!("{} with --voters and --duration: {wrong}", arguments.scenario)))?;
    Ok(scenario)
}

fn write(summary: &Summary, json: Option<&Path>, page: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(summary)?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("summary: {}\n", path.display()));
    }
    if let Some(path) = page {
        std::fs::write(path, html::page(summary)).with_context(|| format!("{} cannot be written", path.display()))?;
        say(&format!("report: {}\n", path.display()));
    }
    Ok(())
}
