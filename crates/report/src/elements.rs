//! The parts that pages are made of: texts of others, numbers that can be copied, tables that can be sorted, charts.

use canvas::{DrawError, palette};
use maud::{Markup, PreEscaped, html};
use pipeline::storage::printable;
use plotters::style::RGBColor;

/// The most characters of a text of others that are shown.
const LONGEST_TEXT: usize = 300;

/// A text that came from a payload, a key or an error: cut where it is very long, without characters that turn or break
/// the line, and apart from what is around it in the direction of its script.
pub(crate) fn foreign(text: &str) -> Markup {
    html! { bdi { (shortened(text)) } }
}

/// The text of [`foreign`] where no element may stand, such as a title.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_TEXT).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    printable(&shown)
}

/// A number as it is shown, which copies as `exact`.
pub(crate) fn number(exact: impl std::fmt::Display, shown: impl AsRef<str>) -> Markup {
    html! { data.n value=(exact) { (shown.as_ref()) } }
}

/// A number that may not be known.
pub(crate) fn number_or_dash(exact: Option<f64>, shown: impl Fn(f64) -> String) -> Markup {
    match exact {
        Some(exact) => number(exact, shown(exact)),
        None => html! { span.none { "n/a" } },
    }
}

/// A section of a page.
pub(crate) fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! { section id=(id) aria-labelledby=(format!("{id}-title")) { h2 id=(format!("{id}-title")) { (title) } (body) } }
}

/// A chart under its title. One that could not be drawn says why, and costs the page no more than itself.
pub(crate) fn chart(title: &str, explanation: &str, svg: Result<String, DrawError>) -> Markup {
    figure("", title, explanation, svg)
}

/// A chart over the width of the page, which scrolls in its own box where the page is narrow.
pub(crate) fn wide_chart(title: &str, explanation: &str, svg: Result<String, DrawError>) -> Markup {
    figure("wide", title, explanation, svg)
}

fn figure(class: &str, title: &str, explanation: &str, svg: Result<String, DrawError>) -> Markup {
    html! {
        figure class=[(!class.is_empty()).then_some(class)] {
            figcaption { strong { (title) } " " (explanation) }
            @match svg {
                Ok(svg) if class.is_empty() => (PreEscaped(svg)),
                Ok(svg) => div.scroll role="region" aria-label=(format!("Chart: {title}")) tabindex="0" { (PreEscaped(svg)) },
                Err(error) => p.note { "This chart could not be drawn: " (error) },
            }
        }
    }
}

/// The colour of a legend's entry.
pub(crate) fn key(colour: RGBColor) -> Markup {
    html! { span class=(format!("key {}", palette::name(colour).unwrap_or("ink"))) {} }
}

/// A cell of a table.
#[derive(Clone)]
pub(crate) enum Cell {
    /// A text that this program says.
    Plain(String),
    /// A text of others.
    Foreign(String),
    /// What the number is, and how it is shown.
    Number(f64, String),
    /// Nothing is known.
    Nothing,
}

impl Cell {
    pub(crate) fn count(count: u64) -> Self {
        Self::Number(count as f64, crate::numbers::thousands(count))
    }

    pub(crate) fn maybe(number: Option<f64>, shown: impl Fn(f64) -> String) -> Self {
        number.map_or(Self::Nothing, |number| Self::Number(number, shown(number)))
    }
}

/// A column of a table, by its name.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    Texts(&'a str),
    Numbers(&'a str),
    /// A column of texts whose name is a text of others.
    Foreign(&'a str),
}

/// A table that sorts by its columns, in a box of its own that scrolls where the page is narrow.
pub(crate) fn table(caption: &str, columns: &[Column<'_>], rows: &[Vec<Cell>]) -> Markup {
    html! {
        div.scroll role="region" aria-label=(format!("Table: {caption}")) tabindex="0" {
            table.sortable {
                caption { (caption) }
                thead { tr { @for column in columns {
                    @match column {
                        Column::Texts(name) => th scope="col" { (name) },
                        Column::Numbers(name) => th.num scope="col" { (name) },
                        Column::Foreign(name) => th scope="col" { (foreign(name)) },
                    }
                } } }
                tbody { @for row in rows { tr { @for (cell, column) in row.iter().zip(columns) {
                    @match cell {
                        Cell::Plain(text) => td { (text) },
                        Cell::Foreign(text) => td.foreign { (foreign(text)) },
                        Cell::Number(exact, shown) => td.n data-v=(exact) { (shown) },
                        Cell::Nothing => td.none.num[matches!(column, Column::Numbers(_))] { "–" },
                    }
                } } } }
            }
        }
    }
}

/// Sentences that restrict what is shown above them.
pub(crate) fn remarks(remarks: &[String]) -> Markup {
    html! { ul.warnings { @for remark in remarks { li { (foreign(remark)) } } } }
}

/// Names and what they are, one below the other.
pub(crate) fn definitions(items: &[(&str, Markup)]) -> Markup {
    html! { dl { @for (name, value) in items { div { dt { (name) } dd { (value) } } } } }
}

/// The key figures of a page, side by side.
pub(crate) fn figures(items: &[(&str, Markup, &str)]) -> Markup {
    html! { dl.figures { @for (name, value, note) in items { div { dt { (name) } dd { (value) } @if !note.is_empty() { dd.note { (note) } } } } } }
}
