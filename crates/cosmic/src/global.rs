//! Flags that every command has.

use clap::Args;
use pipeline::ran_on::endpoint_is_aws;

#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Print one JSON value instead of text.
    #[arg(long, global = true, env = "COSMIC_JSON")]
    pub(crate) json: bool,
    /// Talk to this endpoint instead of AWS, for example http://127.0.0.1:4566 of the local stack.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Pay for reading buckets of S3 whose owners want that of all who read them (requester pays).
    #[arg(long, global = true, env = "COSMIC_REQUESTER_PAYS")]
    pub(crate) requester_pays: bool,
}

impl Global {
    /// Whether commands talk to AWS, and not to a local stack.
    pub(crate) fn is_on_aws(&self) -> bool {
        self.endpoint_url.as_deref().is_none_or(endpoint_is_aws)
    }
}
