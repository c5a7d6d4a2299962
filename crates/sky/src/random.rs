//! Random numbers that are the same on every machine: ChaCha8, and normal deviates by a ziggurat.
//!
//! `rand_distr` has a ziggurat as well. That takes `exp` and `ln` from the platform, however, wherever anything else in
//! the build turns on `num-traits/std`, and platforms differ in the last bit.

use std::sync::LazyLock;

use chacha20::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a stream's numbers are drawn for. Each domain has its own streams, so that an index of one has nothing in
/// common with the same index of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Galaxies drawn whole.
    Simulated,
    /// What given magnitudes and redshift leave open.
    Observed,
    /// Positions in the sky.
    Position,
}

/// The random numbers of one galaxy.
pub(crate) struct Stream {
    generator: ChaCha8Rng,
    ziggurat: &'static Ziggurat,
}

impl Stream {
    /// The stream of the galaxy with this index. The key is the domain's name and the seed, little-endian.
    pub(crate) fn new(domain: Domain, seed: u64, index: u64) -> Self {
        let name: &[u8; 24] = match domain {
            Domain::Simulated => b"cosmic sky 1: simulated ",
            Domain::Observed => b"cosmic sky 1: observed  ",
            Domain::Position => b"cosmic sky 1: position  ",
        };
        let mut key = [0; 32];
        key[..24].copy_from_slice(name);
        key[24..].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(index);
        Self { generator, ziggurat: &ZIGGURAT }
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Exponentially distributed with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log1p(-self.uniform())
    }

    /// Normally distributed about 0 with this standard deviation.
    pub(crate) fn normal(&mut self, sigma: f64) -> f64 {
        sigma * self.standard_normal()
    }

    #[inline]
    pub(crate) fn standard_normal(&mut self) -> f64 {
        loop {
            let bits = self.generator.next_u64();
            // 8 bits choose the layer, and 53 others give a uniform number in [-1, 1).
            let layer = (bits & 0xff) as usize;
            let uniform = (bits >> 11) as f64 * (2.0 / (1_u64 << 53) as f64) - 1.0;
            let x = uniform * self.ziggurat.edge[layer];
            if x.abs() < self.ziggurat.edge[layer + 1] {
                return x;
            }
            if let Some(x) = self.draw_at_edge(layer, x) {
                return x;
            }
        }
    }

    /// Decides the one draw in a hundred that is not in the box that its layer has in common with the next: a deviate
    /// of the tail in the base layer, and elsewhere `x`, or nothing if the point drawn lies above the curve.
    #[cold]
    fn draw_at_edge(&mut self, layer: usize, x: f64) -> Option<f64> {
        if layer == 0 {
            return Some(self.tail().copysign(x));
        }
        let [below, above] = [self.ziggurat.height[layer], self.ziggurat.height[layer + 1]];
        let height = below + (above - below) * self.uniform();
        (height < density(x)).then_some(x)
    }

    /// Marsaglia's method for the tail beyond [`TAIL`].
    fn tail(&mut self) -> f64 {
        loop {
            let x = self.exponential(1.0 / TAIL);
            if 2.0 * self.exponential(1.0) > x * x {
                return TAIL + x;
            }
        }
    }
}

/// Layers of equal area that cover the normal curve (Marsaglia & Tsang 2000, J. Stat. Soft. 5, 8). The constants are
/// those of 256 layers.
struct Ziggurat {
    /// Right edges of the layers, from the base up; the last is 0.
    edge: [f64; LAYERS + 1],
    /// The curve at the edges.
    height: [f64; LAYERS + 1],
}

const LAYERS: usize = 256;
/// Where the base layer's tail begins.
const TAIL: f64 = 3.654_152_885_361_009;
/// Area of a layer, under a curve of height 1.
const AREA: f64 = 0.004_928_673_233_974_655;

static ZIGGURAT: LazyLock<Ziggurat> = LazyLock::new(|| {
    let mut edge = [0.0; LAYERS + 1];
    edge[0] = AREA / density(TAIL);
    edge[1] = TAIL;
    for layer in 2..LAYERS {
        let height = AREA / edge[layer - 1] + density(edge[layer - 1]);
        edge[layer] = (-2.0 * libm::log(height)).sqrt();
    }
    Ziggurat { edge, height: edge.map(density) }
});

/// exp(-x²/2).
fn density(x: f64) -> f64 {
    libm::exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviates_are_standard_normal_far_into_the_tail() {
        const COUNT: u32 = 4_000_000;
        let mut stream = Stream::new(Domain::Simulated, 0, 0);
        let edges = [-4.0, -3.654, -3.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 3.0, 3.654, 4.0];
        let mut below = [0_u32; 13];
        let mut moments = [0.0; 4];
        for _ in 0..COUNT {
            let x = stream.standard_normal();
            for (count, edge) in below.iter_mut().zip(edges) {
                *count += u32::from(x < edge);
            }
            for (power, moment) in moments.iter_mut().enumerate() {
                *moment += x.powi(power as i32 + 1) / f64::from(COUNT);
            }
        }
        for (count, edge) in below.into_iter().zip(edges) {
            let expected = 0.5 * libm::erfc(-edge / std::f64::consts::SQRT_2);
            let error = (expected * (1.0 - expected) / f64::from(COUNT)).sqrt();
            let found = f64::from(count) / f64::from(COUNT);
            assert!((found - expected).abs() < 4.0 * error, "{edge}: {found} and not {expected}");
        }
        // Variances of the sample moments: 1, 2, 15 and 96 over the count.
        for ((moment, expected), variance) in moments.into_iter().zip([0.0, 1.0, 0.0, 3.0]).zip([1.0, 2.0, 15.0, 96.0])
        {
            assert!((moment - expected).abs() < 4.0 * (variance / f64::from(COUNT)).sqrt(), "{moment}");
        }
    }

    #[test]
    fn streams_differ_by_domain_seed_and_index() {
        let first = |domain, seed, index| Stream::new(domain, seed, index).generator.next_u64();
        let mut drawn = [
            first(Domain::Simulated, 0, 0),
            first(Domain::Observed, 0, 0),
            first(Domain::Simulated, 1, 0),
            first(Domain::Simulated, 0, 1),
            first(Domain::Simulated, 0, u64::MAX),
        ];
        drawn.sort_unstable();
        assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
