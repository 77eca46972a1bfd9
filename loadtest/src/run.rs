//! `loadtest run`: from the options to an exit code.

use std::path::Path;

use anyhow::Context;

use crate::cli::RunArguments;
use crate::console::{print, usage_error};
use crate::controller::{Run, execute};
use crate::notify::Notifier;
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
pub async fn run(options: RunArguments) -> anyhow::Result<u8> {
    let mut options = options.with_secrets()?;
    let scenario = scenario(&options)?;
    let thresholds = scenario.thresholds().map_err(usage_error)?;
    let thresholds = Threshold::with_default(thresholds.into_iter().chain(options.threshold.clone()).collect());
    limits::check_files(scenario.hall.voters, options.processes)?;
    limits::check_ports(scenario.hall.voters, options.url.len(), &options.source)?;
    let roots = tls::read_roots(&options.ca)?;
    let http = target::client(&roots)?;
    let notifier = Notifier::new(&http, &options)?;

    let server = match options.start {
        true => Some(LocalServer::start(options.binary.as_deref(), options.redis.as_deref()).await?),
        false => None,
    };
    if let Some(server) = &server {
        options.url = vec![server.url.clone()];
        options.key.clone_from(&server.key);
        options.pid.extend(server.pid());
    }
    let run = Run {
        target: Target::new(http, &options.url, options.emcee_url.as_deref(), &options.key)?,
        server_version: server.as_ref().and_then(|server| server.version.clone()),
        scenario,
        thresholds,
        roots,
        options: &options,
    };
    let outcome = execute(run).await;
    if let Some(server) = server {
        server.stop().await;
    }
    let mut written = Ok(());
    let mut report = None;
    if let Ok(summary) = &outcome {
        print(&terminal::text(summary));
        written = write(summary, options.json.as_deref(), options.html.as_deref());
        report = upload(&notifier, summary).await;
    }
    notifier.post(&options.scenario, &outcome, report.as_deref()).await;
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

fn scenario(options: &RunArguments) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::load(&options.scenario)?;
    if let Some(voters) = options.voters {
        scenario = scenario.with_voters(voters);
    }
    if let Some(duration) = options.duration {
        scenario = scenario.with_duration(duration);
    }
    let wrong = |why| usage_error(format!("{} with --voters and --duration: {why}", options.scenario));
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
