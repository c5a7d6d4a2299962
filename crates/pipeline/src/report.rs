//! report.html, a page that shows how a run went. It must never cost the run.
//!
//! The page is drawn by whoever starts the run, as engines are loaded by it: this crate knows what a page is made of, and
//! nothing of pages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use catalogue::Comparison;

use crate::run_files::{CombinedEntries, Results};

/// What a run knows of itself at its end.
pub struct ReportInput<'a> {
    /// All but the SHA-256 of the page itself.
    pub results: &'a Results,
    /// The entries of combined_data.json.
    pub ranks: CombinedEntries<'a>,
    pub comparison: &'a Comparison,
    /// inference.png.
    pub picture: &'a [u8],
}

/// Makes a page of a run.
pub type WriteReport = dyn Fn(&ReportInput<'_>) -> String + Send + Sync;

/// Stands in the place of a page that could not be made.
const APOLOGY: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>No report</title>\
                       <p>The report could not be made. The results beside it are whole, and `cosmic report` may make one.";

// What cannot be unwound cannot be caught.
const _: () = assert!(cfg!(panic = "unwind"), "a report that panics would end the run under panic = \"abort\"");

/// The page, or in its place that there is none.
pub(crate) fn write(report: &WriteReport, input: &ReportInput<'_>) -> Bytes {
    let page = catch_unwind(AssertUnwindSafe(|| report(input))).unwrap_or_else(|_| {
        tracing::warn!("report.html could not be made: making it panicked");
        APOLOGY.to_owned()
    });
    page.into()
}
