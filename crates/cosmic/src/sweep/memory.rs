//! The memory that the inference function is configured with, which a sweep changes and puts back.
//!
//! A second sweep that came meanwhile would take the changed memory for the deployed one, and put that back at its end. So
//! the function has a tag that names the sweep for as long as its memory is another one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_lambda::{
    Client, operation::get_function_configuration::GetFunctionConfigurationOutput, types::LastUpdateStatus,
};
use serde_json::Value;

use crate::called_functions::called_functions;

/// How long Lambda may take to apply a configuration, which a function's `LastUpdateStatus` tells
/// (<https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>). AWS names no time: this is a guess at the most.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The tag of a function whose memory a sweep has changed. Its value is the sweep, and what is to be put back.
const TAG: &str = "cosmic:sweep-memory";

/// What came of releasing a function.
pub(super) enum Released {
    /// It has the memory again that it had.
    PutBack,
    /// It is left as it is, with the tag that it has.
    OfAnother(Option<String>),
}

/// A function whose memory can be set.
pub(super) struct Function {
    client: Client,
    /// Name or ARN.
    pub(super) name: String,
}

impl Function {
    pub(super) fn new(aws: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(aws), name }
    }

    /// The memory in MB and the SHA-256 of the code, once no update is under way.
    pub(super) async fn look(&self) -> Result<(u64, Option<String>)> {
        let settled = self.settled().await?;
        let memory = settled.memory_size.and_then(|mb| u64::try_from(mb).ok());
        let memory = memory.with_context(|| format!("Lambda does not say what memory {} has", self.name))?;
        Ok((memory, settled.code_sha256))
    }

    /// Takes the function for a sweep, which has a name that no other sweep has. Gives the memory that is to be put back.
    ///
    /// # Errors
    /// Where another sweep has it, or where the state machine calls a version of it, whose memory is fixed.
    pub(super) async fn claim(&self, sweep: &str) -> Result<u64> {
        if is_qualified(&self.name) {
            bail!(
                "the state machine calls {}, a version or alias, whose memory cannot be changed: let it call the function \
                 itself",
                self.name
            );
        }
        let arn = self.arn().await?;
        let tag = self.tag(&arn).await?;
        let (memory, _) = self.look().await?;
        match tag {
            None => {}
            Some(value) if is_of(&value, sweep) => return Ok(memory),
            Some(value) => bail!(
                "the memory of {} is being changed by another sweep, or was not put back by one that was killed ({value} \
                 MB): start that sweep again, or put the memory back and remove the function's tag {TAG}",
                self.name
            ),
        }
        let tag = self.client.tag_resource().resource(&arn).tags(TAG, format!("{sweep} {memory}"));
        tag.send().await.with_context(|| format!("failed to tag {}", self.name))?;
        Ok(memory)
    }

    /// Puts the memory back and lets other sweeps have the function, if this sweep still has it: someone may have put
    /// the memory back and removed the tag by hand, and another sweep may have taken the function since.
    pub(super) async fn release(&self, sweep: &str, mb: u64) -> Result<Released> {
        let arn = self.arn().await?;
        match self.tag(&arn).await? {
            Some(value) if is_of(&value, sweep) => {}
            other => return Ok(Released::OfAnother(other)),
        }
        self.set(mb).await?;
        let untag = self.client.untag_resource().resource(&arn).tag_keys(TAG).send().await;
        untag.with_context(|| format!("failed to remove the tag {TAG} of {}", self.name))?;
        Ok(Released::PutBack)
    }

    /// The value of [`TAG`], if the function has it.
    async fn tag(&self, arn: &str) -> Result<Option<String>> {
        let tags = self.client.list_tags().resource(arn).send().await;
        let tags = tags.with_context(|| format!("failed to read the tags of {}", self.name))?.tags;
        Ok(tags.unwrap_or_default().remove(TAG))
    }

    async fn arn(&self) -> Result<String> {
        let arn = self.settled().await?.function_arn;
        arn.with_context(|| format!("Lambda does not say what the ARN of {} is", self.name))
    }

    /// Configures the memory, and waits until it is in force. Every later invocation is in an environment of this size.
    pub(super) async fn set(&self, mb: u64) -> Result<()> {
        if self.look().await?.0 == mb {
            return Ok(());
        }
        let size = i32::try_from(mb).context("more memory than a function can have")?;
        let update = self.client.update_function_configuration().function_name(&self.name).memory_size(size);
        update.send().await.with_context(|| format!("failed to give {} a memory of {mb} MB", self.name))?;
        let (found, _) = self.look().await?;
        if found != mb {
            bail!("{} was given a memory of {mb} MB and has {found}: something else configures it too", self.name);
        }
        Ok(())
    }

    /// The configuration, once the last update to it has ended.
    async fn settled(&self) -> Result<GetFunctionConfigurationOutput> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            let found = self.client.get_function_configuration().function_name(&self.name).send().await;
            let found = found.with_context(|| format!("failed to look at the function {}", self.name))?;
            match &found.last_update_status {
                Some(LastUpdateStatus::InProgress) if started.elapsed() < TIMEOUT => {}
                Some(LastUpdateStatus::InProgress) => {
                    bail!("an update of {} has taken {} s and has not ended", self.name, TIMEOUT.as_secs())
                }
                Some(LastUpdateStatus::Failed) => bail!(
                    "an update of {} has failed: {}",
                    self.name,
                    found.last_update_status_reason.as_deref().unwrap_or("Lambda gives no reason")
                ),
                _ => return Ok(found),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// The function that computes the ranks: the one that the state machine's map calls.
pub(super) fn inference_function(definition: &Value) -> Result<String> {
    let called = called_functions(definition).into_iter().filter(|called| called.in_map);
    let found: Vec<String> = called.map(|called| called.function).collect();
    match found.as_slice() {
        [one] => Ok(one.trim_end_matches(":$LATEST").to_owned()),
        [] => bail!("the state machine has no map that calls a function"),
        several => bail!("the state machine's map calls {} functions: {}", several.len(), several.join(", ")),
    }
}

/// Whether the value of [`TAG`] names a sweep.
fn is_of(tag: &str, sweep: &str) -> bool {
    tag.split_once(' ').is_some_and(|(name, _)| name == sweep)
}

/// Whether a function's ARN names a version or alias of it.
fn is_qualified(arn: &str) -> bool {
    arn.split_once(":function:").is_some_and(|(_, name)| name.contains(':'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_inference_function_is_the_one_in_the_map() {
        let machine = |function: &str| {
            json!({"States": {
                "Initialize": {"Resource": "arn:aws:lambda:us-east-1:1:function:initializer"},
                "Ranks": {"Type": "Map", "ItemProcessor": {"States": {"Rank": {
                    "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function}}}}},
            }})
        };
        let arn = "arn:aws:lambda:us-east-1:1:function:inference";
        assert_eq!(inference_function(&machine(arn)).unwrap(), arn);
        assert_eq!(inference_function(&machine(&format!("{arn}:$LATEST"))).unwrap(), arn);
        assert_eq!(inference_function(&machine("inference")).unwrap(), "inference");
        let live = inference_function(&machine(&format!("{arn}:live"))).unwrap();
        assert!(is_qualified(&live) && !is_qualified(arn) && !is_qualified("inference"));
        assert!(inference_function(&json!({"States": {}})).is_err());
    }
}
