//! `loadtest run`: from the options to an exit code.

use std::path::Path;

use anyhow::Context;

use crate::cli::RunArguments;
use crate::console::{print, usage_error};
use crate::controller::{Run, execute};
use crate::notify::Notifier;
use crate::report::progress::Progress;
use crate::report::summary::Summary;
use crate::report::{html, terminal};
use crate::scenario::Scenario;
use crate::server::LocalServer;
use crate::target::{self, Target};
use crate::threshold::Threshold;
use crate::{limits, tls};

/// Runs a scenario, reports the result and gives the exit code.
///
/// # Errors
/// The options are not valid ([`crate::console::UsageError`]), or the server failed.
pub async fn run(arguments: RunArguments) -> anyhow::Result<u8> {
    let scenario = scenario(&arguments)?;
    let thresholds = scenario.thresholds().map_err(usage_error)?;
    let thresholds = Threshold::with_default(thresholds.into_iter().chain(arguments.threshold.clone()).collect());
    limits::check_files(scenario.hall.voters, arguments.processes)?;
    limits::check_ports(scenario.hall.voters, arguments.url.len(), &arguments.source)?;
    let roots = tls::read_roots(&arguments.ca)?;
    let http = target::client(&roots)?;
    let notifier = Notifier::new(
        &http,
        arguments.webhook.as_deref(),
        arguments.webhook_file.as_deref(),
        arguments.upload.as_deref(),
        arguments.report_url.as_deref(),
        arguments.html.as_deref(),
    )?;

    let server = match arguments.start {
        true => Some(LocalServer::start(arguments.binary.as_deref(), arguments.redis.as_deref()).await?),
        false => None,
    };
    let own = server.as_ref();
    let urls = own.map_or(arguments.url.clone(), |server| vec![server.url.clone()]);
    let key = own.map_or(arguments.key.as_str(), |server| &server.key);
    let wants_slow_log = arguments.slow_log || arguments.redis.is_some();
    let run = Run {
        scenario,
        slow_log: wants_slow_log || thresholds.iter().any(Threshold::needs_slow_log),
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
    let outcome = execute(run).await;
    if let Some(server) = server {
        server.stop().await;
    }
    let written = outcome.as_ref().map_or(Ok(()), |summary| {
        print(&terminal::text(summary));
        write(summary, arguments.json.as_deref(), arguments.html.as_deref())
    });
    let report = match &outcome {
        Ok(summary) => upload(&notifier, summary).await,
        Err(_) => None,
    };
    notifier.post(&arguments.scenario, &outcome, report.as_deref()).await;
    written?;
    Ok(outcome?.verdict.exit_code())
}

/// Uploads the report, and gives the line that says where it can be read. A failure is printed and changes nothing.
async fn upload(notifier: &Notifier, summary: &Summary) -> Option<String> {
    match notifier.upload(&html::page(summary)).await {
        Ok(link) => {
            let line = format!("report: {}", link?);
            print(&format!("{line}\n"));
            Some(line)
        }
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            Some(format!("{error:#}"))
        }
    }
}

fn scenario(arguments: &RunArguments) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::load(&arguments.scenario)?;
    if let Some(voters) = arguments.voters {
        scenario = scenario.with_voters(voters);
    }
    if let Some(duration) = arguments.duration {
        scenario = scenario.with_duration(duration.0);
    }
    let wrong = |why| usage_error(format!("{} with --voters and --duration: {why}", arguments.scenario));
    scenario.check().map_err(wrong)?;
    Ok(scenario)
}

fn write(summary: &Summary, json: Option<&Path>, page: Option<&Path>) -> anyhow::Result<()> {
    let write = |what: &str, path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        print(&format!("{what}: {}\n", path.display()));
        anyhow::Ok(())
    };
    if let Some(path) = json {
        write("summary", path, serde_json::to_string_pretty(summary)?)?;
    }
    if let Some(path) = page {
        write("report", path, html::page(summary))?;
    }
    Ok(())
}
