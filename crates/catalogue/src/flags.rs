//! Why a row has no redshift: the bits of the column `flags`.

/// A pixel or magnitude is NaN or infinite, so no prediction was made.
pub const BAD_INPUT: u8 = 1;
/// The input is finite, and the network's answer is not.
pub const BAD_PREDICTION: u8 = 2;

/// The flags of a galaxy's input, before anything is predicted of it.
pub fn of_input(image: &[f32], magnitudes: &[f32]) -> u8 {
    if image.iter().chain(magnitudes).all(|value| value.is_finite()) { 0 } else { BAD_INPUT }
}

/// The flags of a galaxy once it was predicted: those of its input, or, where there are none, of the prediction.
pub fn of_prediction(input_flags: u8, z_phot: f32) -> u8 {
    if input_flags == 0 && !z_phot.is_finite() { BAD_PREDICTION } else { input_flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_is_not_finite_flags_the_galaxy() {
        let fine = [0.0, -3.5, 1e30];
        assert_eq!(of_input(&fine, &fine), 0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(of_input(&[0.0, bad, 0.0], &fine), BAD_INPUT);
            assert_eq!(of_input(&fine, &[18.0, bad]), BAD_INPUT);
            assert_eq!(of_prediction(0, bad), BAD_PREDICTION);
            assert_eq!(of_prediction(BAD_INPUT, bad), BAD_INPUT);
        }
        assert_eq!((of_prediction(0, 0.3), of_prediction(BAD_INPUT, 0.3)), (0, BAD_INPUT));
    }
}
