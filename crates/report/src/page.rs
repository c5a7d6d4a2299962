//! What all pages have: one file that asks for nothing, and lets nothing else be loaded or run.
//!
//! The Content-Security-Policy names the style sheet and the script by their hashes. Should a text of others ever get
//! into the page as an element, the browser would neither run it nor fetch what it points to.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::elements::{section, shortened};

const STYLE: &str = include_str!("../assets/report.css");
const SCRIPT: &str = include_str!("../assets/report.js");

/// A page of a run that would have more bytes than this leaves inference.png out. All else that grows with a run is cut to
/// so many rows, and texts to so many characters, that little of this is used.
pub const MAX_BYTES: usize = 3_000_000;

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// A picture that stands in the page itself.
pub(crate) fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}

/// What stands at the head of a page.
pub(crate) struct Heading<'a> {
    /// What kind of page it is.
    pub(crate) kind: &'a str,
    /// A text of others, such as the name of an execution.
    pub(crate) title: &'a str,
    pub(crate) subtitle: Markup,
}

/// A section of a page: its id, its title and what is in it. One of `None` is left out.
pub(crate) type Section = (&'static str, &'static str, Option<Markup>);

/// A whole page: how it ended first, then its sections.
pub(crate) fn page(heading: &Heading<'_>, outcome: &Markup, sections: impl IntoIterator<Item = Section>) -> String {
    let title = shortened(heading.title);
    let sections: Vec<_> = sections.into_iter().filter_map(|(id, title, body)| Some((id, title, body?))).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(*POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("cosmic ", env!("CARGO_PKG_VERSION")));
                title { (title) " · " (heading.kind) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kind { (heading.kind) }
                    h1 { bdi { (title) } }
                    p.subtitle { (heading.subtitle) }
                }
                nav aria-label="Contents" { ul { @for (id, title, _) in &sections { li { a href=(format!("#{id}")) { (title) } } } } }
                main { (outcome) @for (id, title, body) in &sections { (section(id, title, body)) } }
                footer { p { "Made by Cosmic " (env!("CARGO_PKG_VERSION")) ". This file is whole by itself: it loads nothing." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}
