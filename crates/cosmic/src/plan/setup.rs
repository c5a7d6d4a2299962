//! What a run would be done with: the functions' configuration and the account's concurrency, from the command line, from
//! AWS, or else as infra/template.yaml has it.

use aws_config::SdkConfig;
use aws_sdk_lambda::{Client, types::Architecture as LambdaArchitecture};
use bill::{
    Architecture,
    estimate::{Place, Setup},
};
use clap::Args;
use pipeline::{
    concurrency::{
        DEFAULT_QUOTA, LambdaQuota, MAX_CONCURRENCY_VARIABLE, Quotas, RanksAtOnce, lambda_quota,
        max_concurrency_of_stack,
    },
    payload::Payload,
    storage::explain,
};
use serde::Serialize;

use crate::{execution_arn::region_of, global::Global, resume::DEFAULT_MACHINE};

/// What infra/template.yaml gives the inference function, in MB and seconds.
const MEMORY_MB: u64 = 3008;
const TIMEOUT_SECONDS: u64 = 900;
const TEMPORARY_MB: u64 = 512;
/// What it gives the summarizer, in MB.
const SUMMARIZER_MB: u64 = 2048;
/// The local stack's least.
const LEAST_LOCAL_CONCURRENCY: u64 = 2;

#[derive(Args, Clone, Default)]
pub(crate) struct SetupArgs {
    /// The state machine by its name or ARN, which the inference function's configuration is found by.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE, env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
    /// Memory of the inference function in MB, instead of what it is deployed with.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(128..=10_240))]
    memory: Option<u64>,
    /// Seconds that the inference function may take, instead of what it is deployed with.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=900))]
    timeout: Option<u64>,
    /// The functions' processor, instead of what they are deployed for.
    #[arg(long, value_name = "NAME", value_parser = ["x86_64", "arm64"])]
    architecture: Option<String>,
    /// The region whose prices count, instead of that of the AWS environment.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Functions that the account runs at once and has unreserved, instead of what AWS says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    account_concurrency: Option<u64>,
    /// The functions' environments are there from a run some minutes ago.
    #[arg(long)]
    warm: bool,
}

impl SetupArgs {
    /// Everything as it is deployed with a state machine.
    pub(crate) fn as_deployed(state_machine: &str) -> Self {
        Self { state_machine: state_machine.to_owned(), ..Self::default() }
    }

    /// By its name or ARN.
    pub(crate) fn state_machine(&self) -> &str {
        &self.state_machine
    }
}

/// A setup, and where it is from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FoundSetup {
    #[serde(flatten)]
    pub(crate) setup: Setup,
    #[serde(skip)]
    pub(crate) region: String,
    /// Whether the function's configuration was read from AWS, where the command line does not say otherwise.
    pub(crate) configuration_found: bool,
    /// Whether the concurrency was read from AWS or given.
    pub(crate) concurrency_found: bool,
    /// How many ranks run at once, as the initializer would resolve the payload.
    pub(crate) at_once: RanksAtOnce,
    /// As many ranks at once as are sure not to be turned away.
    #[serde(skip)]
    pub(crate) sure_at_once: u64,
    /// Why something was not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// On this machine where an endpoint is given that is not AWS's.
pub(crate) fn place(global: &Global) -> Place {
    match global.is_on_aws() {
        true => Place::Lambda,
        false => Place::Machine { cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64) },
    }
}

/// The setup that a payload would run with. Without AWS nothing is asked.
pub(crate) async fn find(args: &SetupArgs, payload: &Payload, place: Place, aws: Option<&SdkConfig>) -> FoundSetup {
    let mut notes = Vec::new();
    let mut found = Configuration::default();
    let mut quota = args.account_concurrency.map(LambdaQuota::Unreserved);
    if let Some(aws) = aws {
        let client = Client::new(aws);
        let stack = args.state_machine.rsplit(':').next().unwrap_or_default();
        let stack = stack.strip_suffix("-redshift").unwrap_or(stack);
        match Configuration::of(&client, stack).await {
            Ok(configuration) => found = configuration,
            Err(reason) => notes.push(format!("the functions' configuration is not known: {reason}")),
        }
        if quota.is_none() {
            match lambda_quota(&client, &format!("{stack}-inference")).await {
                Ok(found) => quota = Some(found),
                Err(reason) => notes.push(format!("the account's concurrency is not known: {reason}")),
            }
        }
    }
    let concurrency_found = quota.is_some();
    let quota = quota.unwrap_or(LambdaQuota::Unreserved(DEFAULT_QUOTA));
    let quotas = Quotas { of_stack: found.max_concurrency, of_lambda: Ok(quota) };
    let mut at_once = RanksAtOnce::resolve(payload.max_concurrency, &quotas);
    if !concurrency_found && payload.max_concurrency == 0 && quotas.of_stack.is_none() {
        at_once.reason += ", which is assumed";
    }
    let (functions, sure) = (quota.functions(), quota.ranks());
    let concurrency_limit = match (place, args.account_concurrency) {
        // Those of AWS wait where they are turned away, and those of the local stack where its processors are busy.
        (Place::Machine { cores }, None) => cores.max(LEAST_LOCAL_CONCURRENCY),
        _ => functions,
    };
    let architecture = match args.architecture.as_deref() {
        Some("arm64") => Architecture::Arm64,
        Some(_) => Architecture::X86_64,
        None => found.architecture.unwrap_or_default(),
    };
    let variable = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
    let region = match aws {
        Some(aws) => aws.region().map(ToString::to_string),
        None => {
            let of_arn = region_of(&args.state_machine).map(str::to_owned);
            of_arn.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"))
        }
    };
    let region = args.region.clone().or(region);
    FoundSetup {
        setup: Setup {
            place,
            architecture,
            memory_mb: args.memory.or(found.memory_mb).unwrap_or(MEMORY_MB),
            timeout_seconds: args.timeout.or(found.timeout_seconds).unwrap_or(TIMEOUT_SECONDS),
            temporary_mb: found.temporary_mb.unwrap_or(TEMPORARY_MB),
            summarizer_memory_mb: found.summarizer_memory_mb.unwrap_or(SUMMARIZER_MB),
            concurrency_limit,
            max_concurrency: at_once.max_concurrency,
            warm: args.warm,
        },
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        configuration_found: found.memory_mb.is_some(),
        concurrency_found,
        at_once,
        sure_at_once: sure.min(concurrency_limit),
        notes,
    }
}

/// How the functions of a stack are configured.
#[derive(Debug, Default)]
struct Configuration {
    memory_mb: Option<u64>,
    timeout_seconds: Option<u64>,
    temporary_mb: Option<u64>,
    architecture: Option<Architecture>,
    summarizer_memory_mb: Option<u64>,
    /// The stack's parameter MaxConcurrency.
    max_concurrency: Option<u64>,
}

impl Configuration {
    async fn of(client: &Client, stack: &str) -> Result<Self, String> {
        let positive = |value: Option<i32>| value.and_then(|value| u64::try_from(value).ok());
        let described = |function: &str| {
            let request = client.get_function_configuration().function_name(format!("{stack}-{function}"));
            async move { request.send().await.map_err(|error| explain(&error)) }
        };
        let inference = described("inference").await?;
        let architecture = inference.architectures().first().map(|found| match found {
            LambdaArchitecture::Arm64 => Architecture::Arm64,
            _ => Architecture::X86_64,
        });
        let (summarizer, initializer) = (described("summarizer").await.ok(), described("initializer").await.ok());
        let variables = initializer.and_then(|initializer| initializer.environment?.variables).unwrap_or_default();
        Ok(Self {
            memory_mb: positive(inference.memory_size),
            timeout_seconds: positive(inference.timeout),
            temporary_mb: positive(inference.ephemeral_storage.map(|storage| storage.size)),
            architecture,
            summarizer_memory_mb: summarizer.and_then(|summarizer| positive(summarizer.memory_size)),
            max_concurrency: max_concurrency_of_stack(variables.get(MAX_CONCURRENCY_VARIABLE).map(String::as_str)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_arn_names_the_region_whose_prices_count() {
        let payload = serde_json::json!({"bucket": "b", "data_prefix": "d", "result_path": "r", "batch_size": 512});
        let (payload, _) = Payload::parse(&payload, "test").unwrap();
        let args = SetupArgs::as_deployed("arn:aws:states:eu-west-3:123456789012:stateMachine:cosmic-redshift");
        assert_eq!(find(&args, &payload, Place::Lambda, None).await.region, "eu-west-3");
        let given = SetupArgs { region: Some("us-west-2".to_owned()), ..args };
        assert_eq!(find(&given, &payload, Place::Lambda, None).await.region, "us-west-2");
    }
}
