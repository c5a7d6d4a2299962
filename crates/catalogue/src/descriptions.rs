//! What the columns of a catalogue mean and which units they have, for people and for astropy.
//!
//! Only our own columns are described. Those that a data set has brought are known by name and type alone: an `ra` may be
//! in degrees or in hours.

use crate::flags::Flag;

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The unit as the International Virtual Observatory Alliance writes it (VOUnits), which is empty for a number
    /// without dimension; `None` for what is no quantity.
    pub unit: Option<&'static str>,
    /// One sentence without a full stop.
    pub text: String,
}

/// What one of our own columns means; `None` for a data set's own.
pub fn of_column(name: &str) -> Option<Description> {
    let quantity = |text: String| Some(Description { unit: Some(""), text });
    let other = |text: String| Some(Description { unit: None, text });
    match name {
        "source_file" => other("key or path of the file that the galaxy is in".into()),
        "row_index" => other("the galaxy's row in that file, from 0".into()),
        "z_spec" => quantity("spectroscopic redshift of the data set".into()),
        "z_phot" => quantity("predicted redshift".into()),
        "flags" => {
            let flags = Flag::ALL.map(|flag| format!("{} {}", flag.bit(), flag.name()));
            other(format!("sum of {}", flags.join(", ")))
        }
        _ => {
            let percent: u32 = name.strip_prefix("z_phot_q").filter(|digits| digits.len() == 2)?.parse().ok()?;
            quantity(format!("the redshift is below this with a probability of {percent} %"))
        }
    }
}
