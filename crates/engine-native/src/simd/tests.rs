//! Each instruction set does what [`Simd`] says.

use super::{Dispatch, InstructionSet, Kernel, Simd, transpose};

/// Runs each operation on values, of which some are special.
struct Operations;

impl<S: Simd> Kernel<S> for Operations {
    #[inline(always)]
    fn run(self, simd: S) {
        let vector = |values: &[f32]| {
            let mut vector = [simd.splat(0.0)];
            let lanes: &mut [f32] = bytemuck::cast_slice_mut(&mut vector);
            lanes.iter_mut().zip(values.iter().cycle()).for_each(|(lane, value)| *lane = *value);
            vector[0]
        };
        let lanes = |vector: S::F| bytemuck::cast_slice::<_, f32>(&[vector]).to_vec();
        let (a, b) = (vector(&[1.5, -2.5, 3.0, -0.25]), vector(&[2.0, 4.0, -8.0, 0.5]));
        let expect = |found: S::F, expected: [f32; 4]| assert_eq!(lanes(found)[..4], expected);
        expect(simd.add(a, b), [3.5, 1.5, -5.0, 0.25]);
        expect(simd.sub(a, b), [-0.5, -6.5, 11.0, -0.75]);
        expect(simd.mul(a, b), [3.0, -10.0, -24.0, -0.125]);
        expect(simd.div(a, b), [0.75, -0.625, -0.375, -0.5]);
        expect(simd.fma(a, b, simd.splat(1.0)), [4.0, -9.0, -23.0, 0.875]);
        expect(simd.min(a, b), [1.5, -2.5, -8.0, -0.25]);
        expect(simd.max(a, b), [2.0, 4.0, 3.0, 0.5]);
        expect(simd.round(vector(&[1.4, -1.6, 2.5, -87.0])), [1.0, -2.0, 2.0, -87.0]);
        expect(simd.pow2(vector(&[0.0, 3.0, -126.0, 127.0])), [1.0, 8.0, f32::MIN_POSITIVE, 2_f32.powi(127)]);
        expect(simd.fused(a, b, simd.splat(1.0)), [4.0, -9.0, -23.0, 0.875]);
        let all = f32::from_bits(u32::MAX);
        expect(simd.and(a, vector(&[all, 0.0])), [1.5, 0.0, 3.0, 0.0]);
        let mut halves = [bytemuck::Zeroable::zeroed()];
        let values: &mut [u16] = bytemuck::cast_slice_mut::<S::H, u16>(&mut halves);
        // A whole number, the smallest and the largest that f16 has, and minus zero.
        values.iter_mut().zip([0xc500, 0x0001, 0x7bff, 0x8000].iter().cycle()).for_each(|(lane, bits)| *lane = *bits);
        let expected = vector(&[-5.0, 2_f32.powi(-24), 65504.0, -0.0]);
        assert_eq!(bytemuck::bytes_of(&simd.widen(halves[0])), bytemuck::bytes_of(&expected));
        assert_eq!((simd.least(a), simd.greatest(a)), (-2.5, 3.0));
        let mut bytes = [0; 64];
        simd.store_bytes(vector(&[0.0, 254.5, 255.0, 3.5]), 0x80, &mut bytes);
        assert_eq!(bytes[..4], [0x80, 254 ^ 0x80, 255 ^ 0x80, 4 ^ 0x80]);
        assert_eq!(bytes[S::LANES..], [0; 64][S::LANES..]);
        expect(simd.to_f32(simd.splat_i32(-12_345_678)), [-12_345_678.0; 4]);
        let counted: Vec<f32> = (1..=S::LANES).map(|lane| lane as f32).collect();
        assert_eq!(simd.sum(vector(&counted)), (S::LANES * (S::LANES + 1) / 2) as f32);
        let mut tile: Vec<S::F> =
            (0..S::LANES).map(|row| simd.add(vector(&counted), simd.splat(100.0 * row as f32))).collect();
        transpose(simd, &mut tile);
        for (row, vector) in tile.into_iter().enumerate() {
            let column: Vec<f32> = (0..S::LANES).map(|column| (1 + row + 100 * column) as f32).collect();
            assert_eq!(lanes(vector), column);
        }
        let nan = simd.splat(f32::NAN);
        for spoilt in [simd.min(a, nan), simd.max(a, nan), simd.round(nan), simd.fma(a, nan, b)] {
            assert!(lanes(spoilt).iter().all(|lane| lane.is_nan()));
        }
    }
}

struct Run;

impl Dispatch for Run {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        simd.run(Operations);
    }
}

#[test]
fn every_instruction_set_does_the_same() {
    let available = InstructionSet::available();
    assert_eq!(available.last(), Some(&InstructionSet::Portable));
    for instructions in available {
        assert!(instructions.dispatch(Run).is_some());
    }
}
