//! The order in which people count files: `2.pt` before `10.pt`.

use std::cmp::Ordering;

/// Compares runs of digits by value and everything else by character. A total order (where only leading zeros
/// differ, the plain one decides), so that the same files always come in the same order.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(first), Some(second)) = (left.chars().next(), right.chars().next()) {
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, other) = (take_digits(&mut left), take_digits(&mut right));
            // Without leading zeros, the longer number is the larger one.
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            left = &left[first.len_utf8()..];
            right = &right[second.len_utf8()..];
            first.cmp(&second)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Splits the leading digits off, and returns them without leading zeros.
fn take_digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_comes_before_ten() {
        let mut keys = ["p/10.pt", "p/2.pt", "p/1.pt", "p/a.pt", "p/02.pt", "p/9/1.pt", "p/2.pth"];
        keys.sort_by(|a, b| natural_order(a, b));
        assert_eq!(keys, ["p/1.pt", "p/02.pt", "p/2.pt", "p/2.pth", "p/9/1.pt", "p/10.pt", "p/a.pt"]);
    }

    proptest! {
        #[test]
        fn natural_order_is_total(keys in proptest::collection::vec("[a0-2/]{0,6}", 3)) {
            let (a, b, c) = (&keys[0], &keys[1], &keys[2]);
            prop_assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
            prop_assert_eq!(natural_order(a, b).is_eq(), a == b);
            if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
                prop_assert!(natural_order(a, c).is_le());
            }
        }
    }
}
