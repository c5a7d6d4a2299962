//! inference.png, which must never cost a run.

use bytes::Bytes;
use catalogue::{Comparison, Metrics};

use crate::error::{Error, Result};

/// The picture, or in its place why there is none.
pub(crate) fn draw(comparison: &Comparison, metrics: &Metrics, title: &str) -> Result<Bytes> {
    let (picture, failure) =
        comparison.picture(metrics, title).map_err(|error| Error::internal("failed to draw inference.png", error))?;
    if let Some(error) = failure {
        tracing::warn!(%error, "inference.png could not be drawn");
    }
    Ok(picture.into())
}
