//! What is known of a simulated galaxy.

use crate::{conditions::Conditions, magnitudes::Magnitudes};

/// A galaxy and its images.
#[derive(Debug, Clone, PartialEq)]
pub struct Galaxy {
    pub object: Object,
    /// `[5, 32, 32]`: u g r i z, rows, pixels of 0.396″; nanomaggies per pixel, sky subtracted, Galactic reddening
    /// left in.
    pub images: Vec<f32>,
}

/// A galaxy without its images: what it is in truth, and what a catalogue would say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The true redshift: spectroscopy adds no error.
    pub redshift: f64,
    /// Catalogue magnitudes in u g r i z: Pogson's, AB, dereddened, with the errors of photometry.
    pub magnitudes: Magnitudes,
    pub sample: Sample,
    /// Whether it is on the red sequence.
    pub red: bool,
    /// Whether it is an elliptical or lenticular galaxy.
    pub early: bool,
    /// In rest-frame r, as it would be today: the evolution since its light left is taken out.
    pub absolute_magnitude: f64,
    /// Fluxes of bulge and disc in u g r i z: nanomaggies, before Galactic dust and the atmosphere.
    pub fluxes: [[f64; 5]; 2],
    pub shape: Shape,
    pub conditions: Conditions,
}

/// The sample that a survey would have selected a galaxy for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Flux-limited: r below 17.77 (Strauss et al. 2002).
    Main,
    /// Luminous red galaxies, to a redshift of 0.62 (as Eisenstein et al. 2001).
    LuminousRed,
}

/// A bulge and a disc about a common centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// The bulge's share of the rest-frame r light.
    pub bulge_fraction: f64,
    /// De Vaucouleurs profile.
    pub bulge: Component,
    /// Exponential profile.
    pub disc: Component,
    /// The angle of both major axes to the rows of the image, in radians.
    pub position_angle: f64,
    /// The centre's distance from the middle of the image along rows and columns, in pixels.
    pub offset: [f64; 2],
}

/// An elliptical component of a galaxy's light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// Half-light radius along the major axis, in pixels.
    pub radius: f64,
    /// Minor over major axis.
    pub axis_ratio: f64,
}
