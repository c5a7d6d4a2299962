//! How a tensor of another shape becomes one of a data set, for messages.

use crate::format::{BANDS, SIDE};

/// The line of Python that gives a tensor the shape that it should have, where there is an evident one.
pub(crate) fn reshape(tensor: &str, shape: &[u64]) -> Option<String> {
    let (bands, side) = (BANDS as u64, SIDE as u64);
    match (tensor, shape) {
        ("images", [_, height, width, channels]) if *channels == bands && [*height, *width] == [side; 2] => {
            Some("images.permute(0, 3, 1, 2)".to_owned())
        }
        ("images", [_, channels, height, width]) if *channels == bands && height.min(width) > &side => {
            let cut = |size: &u64| format!("{}:{}", (size - side) / 2, (size - side) / 2 + side);
            Some(format!("images[:, :, {}, {}]", cut(height), cut(width)))
        }
        ("images", [_, rest @ ..])
            if rest.len() < 3
                && rest.iter().try_fold(1, |product: u64, size| product.checked_mul(*size))
                    == Some(bands * side * side) =>
        {
            Some("images.reshape(-1, 5, 32, 32)".to_owned())
        }
        ("magnitudes", [found, _]) if *found == bands => Some("magnitudes.T".to_owned()),
        ("redshifts", [1, _]) => Some("redshifts.flatten()".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_other_libraries_have_a_line() {
        for (tensor, shape, expected) in [
            ("images", &[9, 32, 32, 5][..], Some("images.permute(0, 3, 1, 2)")),
            ("images", &[9, 5, 64, 64], Some("images[:, :, 16:48, 16:48]")),
            ("images", &[9, 5, 33, 40], Some("images[:, :, 0:32, 4:36]")),
            ("images", &[9, 5, 1024], Some("images.reshape(-1, 5, 32, 32)")),
            ("images", &[9, 5120], Some("images.reshape(-1, 5, 32, 32)")),
            ("images", &[9, 5, 28, 28], None),
            ("images", &[9, 4, 64, 64], None),
            ("images", &[9, u64::MAX, 2], None),
            ("images", &[], None),
            ("magnitudes", &[5, 9], Some("magnitudes.T")),
            ("redshifts", &[1, 9], Some("redshifts.flatten()")),
        ] {
            assert_eq!(reshape(tensor, shape).as_deref(), expected, "{tensor} {shape:?}");
        }
    }
}
