//! inference.png, which must never cost a run.

use bytes::Bytes;
use catalogue::Comparison;

use crate::error::{Error, Result};

/// The picture, or in its place why there is none.
pub(crate) fn draw(comparison: &Comparison, title: &str) -> Result<Bytes> {
    let (picture, failure) =
        comparison.picture(title).map_err(|error| Error::internal("failed to draw inference.png", error))?;
    if let Some(error) = failure {
        tracing::warn!(%error, "inference.png could not be drawn");
    }
    Ok(picture.into())
}
