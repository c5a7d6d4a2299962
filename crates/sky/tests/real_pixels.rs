//! The simulated sky beside real pixels of SDSS. `scripts/real_pixels.sh` measures more of them, and says how far apart
//! they are.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use galaxies::{BANDS, Dataset, PIXELS, SIDE};
use sky::Sky;
use torch_file::InMemory;

const R_BAND: usize = 2;

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    values[values.len() / 2]
}

/// The median over images `[n, 5, 32, 32]` of the noise of a pixel in r: the scatter, by its median, of the two rows at
/// each of the image's upper and lower edges.
fn noise(images: &[f32]) -> f32 {
    let of_image = |image: &[f32]| {
        let r = image.chunks_exact(PIXELS / BANDS).nth(R_BAND).unwrap();
        let edges: Vec<f32> = r[..2 * SIDE].iter().chain(&r[(SIDE - 2) * SIDE..]).copied().collect();
        let centre = median(edges.clone());
        1.4826 * median(edges.into_iter().map(|pixel| (pixel - centre).abs()).collect())
    };
    median(images.chunks_exact(PIXELS).map(of_image).collect())
}

#[test]
fn pixels_are_as_noisy_as_real_ones_in_the_band_that_was_not_resampled() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/sdss.npz")).unwrap();
    let real = futures::executor::block_on(async {
        let dataset = Dataset::open(InMemory::new("sdss.npz", file)).await.unwrap();
        dataset.read(0..dataset.rows()).await.unwrap().images
    });
    let sky = Sky::new(1);
    let simulated: Vec<f32> = (0..200).flat_map(|index| sky.galaxy(index).images).collect();
    let (real, simulated) = (noise(&real), noise(&simulated));
    assert!((simulated / real - 1.0).abs() < 0.1, "{simulated} and {real} nanomaggies");
}
