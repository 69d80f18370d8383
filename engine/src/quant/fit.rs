//! Scales for sub-blocks: which few whole numbers, times a scale, come nearest to given numbers.
//!
//! All fits minimise the plain sum of squared errors. Rounding for one scale is easy, and so is
//! the best scale for given whole numbers; the two depend on each other, so a fit tries a range of
//! scales around the obvious one, rounds, refines each by least squares, and keeps the best.

/// Adding and taking away this leaves the nearest whole number (half to even) in every `f32`
/// below 2^22 in magnitude. Unlike `round`, it becomes two vector instructions everywhere.
const ROUNDING: f32 = 12_582_912.0;

/// The nearest whole number of a small `x`.
#[inline(always)]
pub(super) fn nearest(x: f32) -> f32 {
    (x + ROUNDING) - ROUNDING
}

/// The nearest whole number of `x`, which must be within -128 and 127, as its byte. Of what is not
/// finite some number is made.
#[inline(always)]
pub(super) fn nearest_i8(x: f32) -> i8 {
    (x + ROUNDING).to_bits() as i8
}

/// The whole number nearest to `x`, limited to the range.
#[inline(always)]
fn level(x: f32, low: f32, high: f32) -> f32 {
    // Limited first: products with a wild scale may be too large to round.
    nearest(x.clamp(low, high))
}

/// One part in `0` for nothing to divide by.
#[inline(always)]
pub(super) fn inverse(x: f32) -> f32 {
    let inverse = 1.0 / x;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The scale, of either sign, for `x ≈ scale * q` with `q` from `-low` to `low - 1`.
pub(super) fn symmetric<const N: usize>(x: &[f32; N], low: f32) -> f32 {
    let extreme = x
        .iter()
        .fold(0.0f32, |m, &x| if x.abs() > m.abs() { x } else { m });
    let mut best = (0.0, 0.0);
    // The number of largest magnitude becomes -low, or thereabouts. Of two scales with opposite
    // signs that one is nearly always better which uses the longer side of the range for it.
    for step in -9..=9 {
        let factor = inverse(extreme) * -(low + 0.1 * step as f32);
        let (mut xq, mut qq) = (0.0, 0.0);
        for &x in x {
            let q = level(x * factor, -low, low - 1.0);
            xq += x * q;
            qq += q * q;
        }
        // With the best scale xq / qq for these numbers, this much of the sum of squares is met.
        let met = xq * xq * inverse(qq);
        if met > best.0 {
            best = (met, xq / qq);
        }
    }
    best.1
}

/// Squared error of `x` for a scale, its numbers being the nearest from `-low` to `low - 1`.
pub(super) fn symmetric_error<const N: usize>(x: &[f32; N], scale: f32, low: f32) -> f32 {
    let factor = inverse(scale);
    let error = |&x: &f32| x - scale * level(x * factor, -low, low - 1.0);
    x.iter().map(error).map(|e| e * e).sum()
}

/// Scale and minimum, both at least 0, for `x ≈ scale * q - minimum` with `q` from 0 to `high`.
pub(super) fn affine<const N: usize>(x: &[f32; N], high: f32) -> (f32, f32) {
    let least = x.iter().fold(0.0f32, |m, &x| m.min(x));
    let most = x.iter().fold(least, |m, &x| m.max(x));
    let range = most - least;
    if range <= 0.0 {
        return (0.0, -least);
    }
    let (sum_x, n) = (x.iter().sum::<f32>(), N as f32);
    let mut best = (
        affine_error(x, range / high, -least, high),
        range / high,
        -least,
    );
    for step in 0..=20 {
        // From steps too wide, with all inside, to steps too narrow, with the ends cut.
        let factor = (high - 1.0 + 0.1 * step as f32) * inverse(range);
        let (mut sum_q, mut qq, mut xq) = (0.0, 0.0, 0.0);
        for &x in x {
            let q = level((x - least) * factor, 0.0, high);
            sum_q += q;
            qq += q * q;
            xq += x * q;
        }
        let determinant = n * qq - sum_q * sum_q;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (n * xq - sum_x * sum_q) / determinant;
        let mut minimum = (sum_q * xq - qq * sum_x) / determinant;
        if minimum < 0.0 {
            (scale, minimum) = (xq / qq, 0.0);
        }
        let error = affine_error(x, scale, minimum, high);
        if scale > 0.0 && error < best.0 {
            best = (error, scale, minimum);
        }
    }
    (best.1, best.2)
}

/// Squared error of `x` for a scale and a minimum, its numbers being the nearest from 0 to `high`.
pub(super) fn affine_error<const N: usize>(
    x: &[f32; N],
    scale: f32,
    minimum: f32,
    high: f32,
) -> f32 {
    let factor = inverse(scale);
    let error = |&x: &f32| {
        let q = level((x + minimum) * factor, 0.0, high);
        x + minimum - scale * q
    };
    x.iter().map(error).map(|e| e * e).sum()
}

/// The numbers from `-low` to `low - 1` nearest to `x / scale`, raised by `low`.
pub(super) fn symmetric_levels<const N: usize>(x: &[f32; N], scale: f32, low: f32) -> [u8; N] {
    let factor = inverse(scale);
    x.map(|x| (level(x * factor, -low, low - 1.0) + low) as u8)
}

/// The numbers from 0 to `high` nearest to `(x + minimum) / scale`.
pub(super) fn affine_levels<const N: usize>(
    x: &[f32; N],
    scale: f32,
    minimum: f32,
    high: f32,
) -> [u8; N] {
    let factor = inverse(scale);
    x.map(|x| level((x + minimum) * factor, 0.0, high) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_met_exactly() {
        let x: [f32; 16] = std::array::from_fn(|i| (i as f32 - 8.0) * 0.5);
        assert_eq!(symmetric(&x, 8.0), 0.5);
        let x: [f32; 16] = std::array::from_fn(|i| i as f32 * 0.25 - 1.0);
        assert_eq!(affine(&x, 15.0), (0.25, 1.0));
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        for (x, rounded) in [
            (0.49, 0),
            (-0.51, -1),
            (126.6, 127),
            (-127.8, -128),
            (2.5, 2),
        ] {
            assert_eq!(nearest(x), rounded as f32);
            assert_eq!(nearest_i8(x), rounded as i8);
        }
    }

    #[test]
    fn constants_and_zeros_are_fitted() {
        assert_eq!(affine(&[-2.0; 8], 15.0), (0.0, 2.0));
        assert_eq!(affine(&[0.0; 8], 15.0), (0.0, 0.0));
        assert_eq!(symmetric(&[0.0; 8], 8.0), 0.0);
        let (scale, minimum) = affine(&[3.0; 8], 15.0);
        assert_eq!(minimum, 0.0);
        assert!((scale * 15.0 - 3.0).abs() < 1e-6);
    }
}
