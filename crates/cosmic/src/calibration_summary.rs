//! What a model was calibrated on, for a person.

use catalogue::intervals::{Calibration, MadeOf};
use serde::Serialize;
use torch_file::escaped;

/// What a calibration was made of, and where it holds.
#[derive(Serialize)]
pub(crate) struct CalibrationSummary {
    #[serde(flatten)]
    made_of: MadeOf,
    /// Columns of cells in z_phot, and cells in r of each column.
    cells: (usize, usize),
    /// The least and greatest of the sample.
    z_phot: (f32, f32),
    /// The least and greatest of the sample.
    r: (f32, f32),
    /// Half the width, in δ, of the median cell's interval of 68.27 %.
    half_width_68: f64,
}

impl CalibrationSummary {
    pub(crate) fn of(calibration: &Calibration) -> Self {
        Self {
            made_of: calibration.made_of.clone(),
            cells: calibration.shape(),
            z_phot: calibration.z_range(),
            r: calibration.r_range(),
            half_width_68: calibration.median_half_width(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self { made_of, cells: (columns, rows), z_phot, r, half_width_68 } = self;
        let note = made_of.note.as_ref().map_or(String::new(), |note| format!(" ({})", escaped(note)));
        format!(
            "calibrated on {} galaxies of {}{note}, predicted in {}, in {columns} × {rows} cells: z_phot {:.3} to {:.3}, r {:.2} to {:.2}, \
             68 % within ±{half_width_68:.4} (1 + z)\n",
            made_of.galaxies,
            escaped(&made_of.sample),
            escaped(&made_of.precision),
            z_phot.0,
            z_phot.1,
            r.0,
            r.1
        )
    }
}
