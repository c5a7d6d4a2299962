//! The galaxies whose predicted redshift is farthest off.

use catalogue::WorstGalaxy;
use maud::{Markup, html};

use crate::{
    elements::{
        Cell,
        Column::{self, Numbers, Texts},
        foreign, number, shortened, table,
    },
    numbers::{decimals, signed},
    page::data_uri,
    run::input::{PICTURED, Stamps},
};

/// Nothing where no galaxy has both redshifts.
pub(super) fn body(worst: &[WorstGalaxy], stamps: &Stamps) -> Option<Markup> {
    if worst.is_empty() {
        return None;
    }
    let own = worst.iter().max_by_key(|galaxy| galaxy.columns.len()).map_or(&[][..], |galaxy| &galaxy.columns);
    let own: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let mut columns = vec![Texts("file"), Numbers("row"), Numbers("z_spec"), Numbers("z_phot"), Numbers("δ")];
    columns.extend(own.iter().map(|name| Column::Foreign(name)));
    let rows: Vec<Vec<Cell>> = worst
        .iter()
        .map(|galaxy| {
            let mut cells = vec![
                Cell::Foreign(galaxy.source_file.clone()),
                Cell::Number(galaxy.row_index as f64, galaxy.row_index.to_string()),
                Cell::Number(galaxy.z_spec, decimals(galaxy.z_spec, 4)),
                Cell::Number(f64::from(galaxy.z_phot), decimals(galaxy.z_phot.into(), 4)),
                Cell::Number(galaxy.delta(), signed(galaxy.delta(), 4)),
            ];
            cells.extend(own.iter().map(|name| {
                let value = galaxy.columns.iter().find(|(own, _)| own == name).map(|(_, value)| value);
                value.filter(|value| !value.is_empty()).map_or(Cell::Nothing, |value| Cell::Foreign(value.clone()))
            }));
            cells
        })
        .collect();
    let pictured: Vec<_> = worst
        .iter()
        .filter_map(|galaxy| Some((galaxy, stamps.get(&(galaxy.source_file.clone(), galaxy.row_index))?)))
        .take(PICTURED)
        .collect();
    Some(html! {
        @if !pictured.is_empty() {
            p { "In the bands u, g, r, i and z, and in colour of g, r and i." }
            div.stamps { @for (galaxy, png) in &pictured {
                figure {
                    img src=(data_uri(png)) width="396" height="64"
                        alt=(format!("row {} of {} in five bands and in colour", galaxy.row_index, shortened(&galaxy.source_file)));
                    figcaption {
                        (foreign(&galaxy.source_file)) " row " (number(galaxy.row_index, galaxy.row_index.to_string()))
                        ": z_spec " (number(galaxy.z_spec, decimals(galaxy.z_spec, 3)))
                        ", z_phot " (number(galaxy.z_phot, decimals(galaxy.z_phot.into(), 3)))
                    }
                }
            } }
        }
        (table("The galaxies that are farthest off, by |δ|", &columns, &rows))
    })
}
