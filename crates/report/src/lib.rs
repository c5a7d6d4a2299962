//! A run, a sweep, or two runs compared, as one HTML file: to look at, to print, and to send to someone who has nothing
//! but a browser.
//!
//! - [`run_page`] is made of what a run says of itself, and of what its logs say where they are at hand. A run itself
//!   writes it by [`page_of_results`].
//! - [`comparison_page`] holds two runs against each other, galaxy by galaxy ([`Matched`](catalogue::Matched)); [`sweep_page`] shows how
//!   time, throughput, memory and cost follow the sizes that a sweep tried.
//! - The file asks for nothing: style, script, charts and pictures are in it, and its Content-Security-Policy lets
//!   nothing else be loaded. It can be read without the script, which sorts tables and copies numbers.
//! - Its size does not follow that of the run: what grows with ranks or galaxies is counted, and the extremes are named.
//! - The same input gives the same bytes.
//! - Keys, payloads and errors are written by others. They go through maud, which escapes them, and are shown by
//!   `elements::foreign`.

mod charts;
mod comparison;
mod elements;
pub mod numbers;
mod page;
mod rank;
mod run;
mod sweep;

pub use comparison::comparison_page;
pub use page::MAX_BYTES;
pub use rank::RankRecord;
pub use run::{Logs, PICTURED, Run, Stamps, page_of_results, run_page};
pub use sweep::sweep_page;
