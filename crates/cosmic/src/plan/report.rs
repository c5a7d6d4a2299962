//! A plan for a person, and as JSON.

use bill::{
    Architecture,
    estimate::{Estimate, Place, RankParts, RunParts, in_lambda_mb},
    figures::{Figures, Slowdown},
};
use pipeline::payload::{Payload, Precision};
use serde::Serialize;

use crate::{
    output::{bytes, seconds, table},
    plan::{
        choices::{Choice, Compared},
        planned::{Planned, Range},
        setup::FoundSetup,
    },
    resume::quoted,
};

/// Ranks whose time is above this share of what they have are warned of.
const CLOSE: f64 = 0.8;

/// What infra/template.yaml gives the summarizer.
const SUMMARIZER_SECONDS: f64 = 900.0;
/// More than the summarizer holds of a galaxy whose two redshifts it compares: with redshifts it takes 88 MB more for 5
/// million galaxies (`scripts/bench.sh --scale`). Of others it holds nothing.
const SUMMARIZER_BYTES: f64 = 40.0;

#[derive(Serialize)]
pub(crate) struct PlanOutput {
    payload: String,
    region: String,
    setup: FoundSetup,
    work: WorkOutput,
    /// CPU seconds of the processor per CPU second of the figures.
    slowdown: Slowdown,
    estimate: Estimate,
    /// The same on the fastest of the processors that may be.
    low: Estimate,
    /// The same on the slowest.
    high: Estimate,
    deadline_seconds: f64,
    warnings: Vec<String>,
    choices: Vec<ChoiceOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    /// What the estimate is made of, as bill's data/figures.json has them.
    figures: Figures,
}

#[derive(Serialize)]
struct WorkOutput {
    ranks: u64,
    files: u64,
    bytes: u64,
    galaxies: u64,
    /// `headers` or `sizes`.
    galaxies_from: &'static str,
    batch_size: u64,
    precision: Precision,
    max_concurrency: u64,
    result_path: String,
}

#[derive(Serialize)]
struct ChoiceOutput {
    #[serde(flatten)]
    choice: Choice,
    /// Whether no other choice is both cheaper and faster.
    pareto: bool,
    /// `cheapest`, `knee`, `fastest`.
    names: Vec<&'static str>,
    /// Options of `cosmic run`.
    run_options: String,
    /// Options of `scripts/deploy.sh`, where the function must be configured otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy_options: Option<String>,
}

impl PlanOutput {
    pub(crate) fn of(
        file: &str,
        set: &[String],
        payload: &Payload,
        planned: &Planned,
        range: Range,
        compared: Compared,
        picture: Option<String>,
    ) -> Self {
        let work = &planned.work;
        let mut given = format!("--payload {}", quoted(file));
        for field in set {
            given += &format!(" --set {}", quoted(field));
        }
        let pareto = |index| compared.notable.as_ref().is_some_and(|notable| notable.pareto.contains(&index));
        let choices = compared
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                let (settings, deploy_options) = compared.settings(choice);
                let run_options = format!("{given} {settings}");
                ChoiceOutput {
                    choice: choice.clone(),
                    pareto: pareto(index),
                    names: compared.names(index),
                    run_options,
                    deploy_options,
                }
            })
            .collect();
        Self {
            payload: file.to_owned(),
            region: planned.prices.region.clone(),
            warnings: warnings(planned, &range.likely),
            setup: planned.setup.clone(),
            work: WorkOutput {
                ranks: work.run.ranks.len() as u64,
                files: work.files.len() as u64,
                bytes: work.bytes,
                galaxies: work.rows,
                galaxies_from: if work.counted { "headers" } else { "sizes" },
                batch_size: payload.batch_size,
                precision: payload.precision,
                max_concurrency: planned.setup.at_once.max_concurrency,
                result_path: payload.result_path.clone(),
            },
            slowdown: planned.slowdown(),
            estimate: range.likely,
            low: range.low,
            high: range.high,
            deadline_seconds: planned.setup.setup.deadline_seconds(),
            choices,
            picture,
            figures: planned.figures.clone(),
        }
    }
}

/// What a person should change or know before such a run.
pub(crate) fn warnings(planned: &Planned, estimate: &Estimate) -> Vec<String> {
    let setup = &planned.setup.setup;
    let mut warnings = planned.work.warnings.clone();
    let ranks = planned.work.run.ranks.len() as u64;
    let deadline = setup.deadline_seconds();
    if estimate.late_ranks > 0 {
        warnings.push(format!(
            "{} of {ranks} ranks would not be done within the function's timeout ({} s, of which ranks use {deadline:.0}): \
             give it more memory (InferenceMemory) or time (InferenceTimeout), or make the shares smaller with a larger \
             world_size",
            estimate.late_ranks, setup.timeout_seconds
        ));
    } else if estimate.slowest_rank_seconds > CLOSE * deadline {
        warnings.push(format!(
            "the slowest rank takes {} of the {deadline:.0} s that it has",
            seconds(estimate.slowest_rank_seconds)
        ));
    }
    let needed = in_lambda_mb(estimate.peak_memory_mb);
    if needed > setup.memory_mb as f64 {
        warnings.push(format!(
            "a rank needs about {needed:.0} MB, and the function has {}: raise InferenceMemory, or take a smaller \
             batch_size",
            setup.memory_mb
        ));
    }
    if setup.place == Place::Lambda && estimate.parts.merge > SUMMARIZER_SECONDS {
        warnings.push(format!(
            "the summarizer would take {} of the {SUMMARIZER_SECONDS} s that it has: divide the files among several runs",
            seconds(estimate.parts.merge)
        ));
    }
    let compared = in_lambda_mb(planned.work.rows as f64 * SUMMARIZER_BYTES / 1e6);
    if compared > setup.summarizer_memory_mb as f64 {
        warnings.push(format!(
            "the summarizer holds the redshifts that it compares, up to {compared:.0} MB if all galaxies have both, and has {} \
             MB: raise SummarizerMemory",
            setup.summarizer_memory_mb
        ));
    }
    warnings.extend(planned.setup.at_once.warning.clone());
    if estimate.throttled_attempts > 0 {
        warnings.push(format!(
            "more ranks start at once than the {} functions that may run: about {} attempts would be turned away, at \
             ${:.4}",
            setup.concurrency_limit,
            estimate.throttled_attempts,
            estimate.throttled_attempts as f64 * planned.prices.state_transition
        ));
    }
    if estimate.failed_ranks > 0 {
        warnings.push(format!("about {} ranks would be turned away so often that they fail", estimate.failed_ranks));
    }
    let smallest = planned.figures.rank.inference.iter().map(|inference| inference.batch_size).min();
    if let Some(smallest) = smallest.filter(|smallest| planned.work.run.batch_size < *smallest) {
        warnings
            .push(format!("the figures are of batches from {smallest} on: smaller ones take longer than this says"));
    }
    warnings.extend(planned.precision_warning());
    if let Some(region) = &planned.prices.stand_in {
        warnings
            .push(format!("the prices of {} are not known here: these are those of {region}", planned.prices.region));
    }
    warnings
}

pub(crate) fn text(output: &PlanOutput) -> String {
    let PlanOutput { work, setup, estimate, low, high, .. } = output;
    let about = if work.galaxies_from == "headers" { "" } else { "about " };
    let mut text = format!(
        "{}: {} ranks for {about}{} galaxies in {} files of {} (by their {}), batches of {} in {}\n",
        output.payload,
        work.ranks,
        work.galaxies,
        work.files,
        bytes(work.bytes),
        work.galaxies_from,
        work.batch_size,
        work.precision
    );
    text += &setup_text(output);
    let origin = &output.figures.origin;
    text += &format!(
        "figures    {}: {}, {}, {} ({})\n",
        origin.of, origin.machine, origin.date, origin.engine, origin.command
    );
    let Slowdown { low: fast, likely, high: slow } = output.slowdown;
    let is_range = low != high;
    if slow > fast {
        text += &format!(
            "           a vCPU of Lambda is taken to be {fast:.1} to {slow:.1} times as slow, most likely {likely:.1}: --from gives the \
             figures of a run there\n"
        );
    }

    let between = |of: &dyn Fn(&Estimate) -> String| match is_range {
        true => format!("{}  ({} to {})", of(estimate), of(low), of(high)),
        false => of(estimate),
    };
    text += &format!("\nwall time  {}\n", between(&|estimate| seconds(estimate.wall_seconds)));
    text += &format!("           {}\n", run_parts(&estimate.parts));
    text += &format!(
        "a rank     {} in the mean with its start; from its event on at most {} of the {:.0} s that it has\n",
        seconds(estimate.mean_rank_seconds),
        seconds(estimate.slowest_rank_seconds),
        output.deadline_seconds
    );
    text += &format!("           {}\n", rank_parts(&estimate.rank_parts));
    text += &format!("memory     {:.0} MB of {}\n", in_lambda_mb(estimate.peak_memory_mb), setup.setup.memory_mb);
    let cost = &estimate.cost;
    text += &format!(
        "cost       {} in {}, at prices of {}\n",
        between(&|estimate| format!("${:.4}", estimate.cost.total_usd)),
        output.region,
        cost.prices_date
    );
    text += &format!(
        "           Lambda ${:.4} ({:.0} GB-seconds) and ${:.4} ({} requests), Step Functions ${:.4} ({} transitions), S3 \
         ${:.4} ({} reads, {} writes)\n",
        cost.lambda_duration_usd,
        cost.gb_seconds,
        cost.lambda_requests_usd,
        cost.invocations,
        cost.step_functions_usd,
        cost.state_transitions,
        cost.s3_usd,
        cost.requests.reads,
        cost.requests.writes
    );
    for warning in &output.warnings {
        text += &format!("warning: {warning}\n");
    }
    text += &choices_text(output);
    if let Some(picture) = &output.picture {
        text += &format!("\npicture    {picture}\n");
    }
    text
}

fn setup_text(output: &PlanOutput) -> String {
    let FoundSetup { setup, configuration_found, concurrency_found, at_once, notes, .. } = &output.setup;
    let mut text = match setup.place {
        Place::Lambda => {
            let architecture = match setup.architecture {
                Architecture::X86_64 => "x86_64",
                Architecture::Arm64 => "arm64",
            };
            let from = if *configuration_found { "as deployed" } else { "not read from AWS" };
            let assumed = if *concurrency_found { "" } else { ", assumed: --account-concurrency N says otherwise" };
            format!(
                "on         Lambda in {}: {} MB ({:.2} vCPU), {architecture}, {} s ({from}); {} functions at once{assumed}\n",
                output.region,
                setup.memory_mb,
                setup.vcpus(),
                setup.timeout_seconds,
                setup.concurrency_limit
            )
        }
        Place::Machine { cores } => format!(
            "on         the local stack: {cores} cores, {} functions at once, which memory does not change\n",
            setup.concurrency_limit
        ),
    };
    text += &format!("at once    {} ranks: {}\n", shown_at_once(at_once.max_concurrency), at_once.reason);
    for note in notes {
        text += &format!("           {note}\n");
    }
    text
}

fn shown_at_once(max_concurrency: u64) -> String {
    if max_concurrency == 0 { "all".to_owned() } else { max_concurrency.to_string() }
}

fn run_parts(parts: &RunParts) -> String {
    let RunParts { initialize, orchestration, ranks, merge } = *parts;
    parts_text(&[("plan", initialize), ("orchestration", orchestration), ("ranks", ranks), ("merge", merge)])
}

fn rank_parts(parts: &RankParts) -> String {
    let RankParts { cold_start, requests, download, compute, post_processing } = *parts;
    parts_text(&[
        ("cold start", cold_start),
        ("requests", requests),
        ("download", download),
        ("compute", compute),
        ("post-processing", post_processing),
    ])
}

fn parts_text(parts: &[(&str, f64)]) -> String {
    parts.iter().map(|(name, part)| format!("{name} {}", seconds(*part))).collect::<Vec<_>>().join(", ")
}

/// The choices that no other beats, from the cheapest to the fastest, and that of the payload.
fn choices_text(output: &PlanOutput) -> String {
    let mut shown: Vec<&ChoiceOutput> = output.choices.iter().filter(|choice| choice.pareto).collect();
    shown.sort_by(|a, b| a.choice.outcome.usd.total_cmp(&b.choice.outcome.usd));
    if let Some(asked) = output.choices.first().filter(|asked| !asked.pareto) {
        shown.push(asked);
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|ChoiceOutput { choice, names, .. }| {
            let mut names = names.clone();
            names.extend(choice.as_asked.then_some("as asked"));
            names.extend((!choice.possible).then_some("not possible"));
            vec![
                names.join(", "),
                choice.world_size.to_string(),
                choice.memory_mb.to_string(),
                choice.max_concurrency.to_string(),
                seconds(choice.rank_seconds),
                seconds(choice.outcome.seconds),
                format!("{:.4}", choice.outcome.usd),
            ]
        })
        .collect();
    let header = ["", "ranks", "memory MB", "at once", "a rank", "wall time", "cost $"];
    let mut text = format!(
        "\n{} choices were compared; of those that no other beats in both cost and time:\n\n{}",
        output.choices.len(),
        table(&header, &rows)
    );
    let mut named: Vec<&&ChoiceOutput> = shown.iter().filter(|choice| !choice.names.is_empty()).collect();
    named.dedup_by(|a, b| a.names == b.names);
    text += "\n";
    for ChoiceOutput { names, run_options, deploy_options, .. } in named {
        let deploy =
            deploy_options.as_ref().map_or(String::new(), |options| format!(", after scripts/deploy.sh {options}"));
        text += &format!("{}: cosmic run {run_options}{deploy}\n", names.join(", "));
    }
    text
}
