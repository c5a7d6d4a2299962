//! The sky against one that is simulated in NumPy (`statistics/make.py`), with its own code and random numbers and the
//! crate's constants and tables: population, colours and pixels.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use rayon::prelude::*;
use serde_json::Value;
use sky::{Galaxy, Object, Sample, Sky};

const BANDS: [&str; 5] = ["u", "g", "r", "i", "z"];
const SIDE: usize = 32;

/// The quantile, interpolated between the two nearest values as by NumPy.
fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let position = quantile * (values.len() - 1) as f64;
    let (low, fraction) = (position as usize, position.fract());
    let high = (low + 1).min(values.len() - 1);
    values[low] * (1.0 - fraction) + values[high] * fraction
}

fn object_statistics(objects: &[Object]) -> HashMap<String, f64> {
    let mut found = HashMap::new();
    let mean = |of: &dyn Fn(&Object) -> f64| objects.iter().map(of).sum::<f64>() / objects.len() as f64;
    for level in [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99] {
        let z = objects.iter().map(|object| object.redshift).collect();
        found.insert(format!("z, quantile {level}"), quantile(z, level));
    }
    let luminous = |object: &Object| object.sample == Sample::LuminousRed;
    found.insert("share of luminous red galaxies".into(), mean(&|object| f64::from(u8::from(luminous(object)))));
    found.insert("share of early types".into(), mean(&|object| f64::from(u8::from(object.early))));
    found.insert("mean bulge fraction".into(), mean(&|object| object.shape.bulge_fraction));
    let radii = objects.iter().map(|object| object.shape.disc.radius).collect();
    found.insert("median disc radius".into(), quantile(radii, 0.5));
    for (sample, name, low, high) in [
        (Sample::Main, "main", "0.03", "0.05"),
        (Sample::Main, "main", "0.08", "0.1"),
        (Sample::Main, "main", "0.13", "0.15"),
        (Sample::Main, "main", "0.18", "0.22"),
        (Sample::LuminousRed, "luminous red", "0.28", "0.32"),
        (Sample::LuminousRed, "luminous red", "0.38", "0.42"),
        (Sample::LuminousRed, "luminous red", "0.48", "0.52"),
    ] {
        let range: [f64; 2] = [low, high].map(|edge| edge.parse().unwrap());
        let inside =
            |object: &&Object| object.sample == sample && object.redshift > range[0] && object.redshift < range[1];
        let magnitudes: Vec<[f64; 5]> = objects.iter().filter(inside).map(|object| object.magnitudes).collect();
        let of = |measure: &dyn Fn(&[f64; 5]) -> f64, level| quantile(magnitudes.iter().map(measure).collect(), level);
        for level in [0.1, 0.5, 0.9] {
            found.insert(format!("{name}, z {low} to {high}, r, quantile {level}"), of(&|m| m[2], level));
        }
        for band in 0..4 {
            for level in [0.16, 0.5, 0.84] {
                let colour = format!("{}-{}", BANDS[band], BANDS[band + 1]);
                let value = of(&|m| m[band] - m[band + 1], level);
                found.insert(format!("{name}, z {low} to {high}, {colour}, quantile {level}"), value);
            }
        }
    }
    found
}

/// Noise of a pixel, flux over the magnitude's, and concentration, in a band.
fn image_measures(galaxy: &Galaxy, band: usize) -> [f64; 3] {
    let pixels = &galaxy.images[band * SIDE * SIDE..][..SIDE * SIDE];
    let corner: Vec<f64> = (0..64).map(|at| f64::from(pixels[at / 8 * SIDE + at % 8])).collect();
    let median = quantile(corner.clone(), 0.5);
    let noise = quantile(corner.iter().map(|pixel| (pixel - median).abs()).collect(), 0.5) / 0.6745;
    let within = |radius: f64| -> f64 {
        let inside = |at: &usize| {
            let [x, y] = [at % SIDE, at / SIDE].map(|at| at as f64 - 15.5);
            (x * x + y * y).sqrt() < radius
        };
        (0..SIDE * SIDE).filter(inside).map(|at| f64::from(pixels[at])).sum()
    };
    let flux = within(f64::INFINITY) / 10_f64.powf(0.4 * (22.5 - galaxy.object.magnitudes[band]));
    [noise, flux, within(3.0) / within(10.0)]
}

fn image_statistics(galaxies: &[Galaxy]) -> HashMap<String, f64> {
    let mut found = HashMap::new();
    for (band, letter) in BANDS.into_iter().enumerate() {
        let measures: Vec<[f64; 3]> = galaxies.iter().map(|galaxy| image_measures(galaxy, band)).collect();
        let median = |measure: usize| quantile(measures.iter().map(|measures| measures[measure]).collect(), 0.5);
        found.insert(format!("noise of a pixel in {letter}"), median(0));
        found.insert(format!("flux of the stamp over that of the magnitude in {letter}"), median(1));
        if (1..4).contains(&band) {
            found.insert(format!("concentration in {letter}"), median(2));
        }
    }
    found
}

/// Both skies are samples of the same size, so their difference has √2 times the error of one. Of some 120 independent
/// normal deviates, one is beyond 4.5 σ once in a thousand times; and both skies are the same in each run of the test.
#[test]
fn population_colours_and_pixels_are_those_of_the_numpy_simulation() {
    let reference: Value = serde_json::from_str(include_str!("statistics/reference.json")).unwrap();
    let sky = Sky::new(1);
    let count = |name: &str| 0..reference[name].as_u64().unwrap();
    let objects: Vec<Object> = count("objects").into_par_iter().map(|index| sky.object(index)).collect();
    let galaxies: Vec<Galaxy> = count("galaxies").into_par_iter().map(|index| sky.galaxy(index)).collect();
    let mut found = object_statistics(&objects);
    found.extend(image_statistics(&galaxies));

    let mut off = Vec::new();
    let statistics = reference["statistics"].as_object().unwrap();
    assert_eq!(statistics.len(), found.len());
    for (name, expected) in statistics {
        let [value, error] = ["value", "error"].map(|key| expected[key].as_f64().unwrap());
        let deviation = (found[name] - value) / (error * 2_f64.sqrt());
        println!("{name:60} {:9.4} {value:9.4} {deviation:6.2} σ", found[name]);
        if deviation.abs() > 4.5 {
            off.push(name);
        }
    }
    assert!(off.is_empty(), "{off:?}");
}
