//! Rotary positions: pairs of values are turned by an angle that grows with the position.

/// Which values form a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RopeStyle {
    /// Neighbours: 0 and 1, 2 and 3, …
    Neighbours,
    /// One from each half: 0 and n/2, 1 and n/2 + 1, …
    Halves,
}

/// How positions turn into angles.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Rotation {
    /// Which values form a pair.
    pub style: RopeStyle,
    /// Values of a head that are turned, from its start; even.
    pub dimensions: usize,
    /// Pair `i` turns by `base^(-2i/dimensions)` per position.
    pub base: f64,
    /// Angles are multiplied by this: below 1 for contexts longer than the trained one.
    pub scale: f64,
    /// How much of YaRN's correction to apply, 0 for none: pairs that turn fast keep their angle,
    /// whatever `scale`, slow ones take it, with a ramp between.
    pub extrapolation: f64,
    /// The trained context, in which YaRN counts turns.
    pub original_context: usize,
    /// Turns within the trained context from which on a pair keeps its angle (YaRN).
    pub beta_fast: f64,
    /// Turns up to which a pair takes the scaled angle (YaRN).
    pub beta_slow: f64,
    /// Turned values are multiplied by this.
    pub magnitude: f64,
}

/// Angles per position of each pair, and the factor.
#[derive(Debug, Clone)]
pub struct RopeTable {
    style: RopeStyle,
    frequencies: Vec<f64>,
    magnitude: f64,
}

impl Rotation {
    /// The angles. `factors` divides those of each pair, where a model has such (Llama 3, longrope);
    /// there are `dimensions / 2` then.
    pub fn table(&self, factors: Option<&[f32]>) -> RopeTable {
        let pairs = self.dimensions / 2;
        let (low, high) = self.ramp();
        let frequencies = (0..pairs)
            .map(|i| {
                let factor = factors.map_or(1.0, |f| f64::from(f[i]));
                let angle = self.base.powf(-2.0 * i as f64 / self.dimensions as f64) / factor;
                let along = (i as f64 - low) / (high - low).max(0.001);
                let keep = (1.0 - along.clamp(0.0, 1.0)) * self.extrapolation;
                angle * (self.scale * (1.0 - keep) + keep)
            })
            .collect();
        RopeTable {
            style: self.style,
            frequencies,
            magnitude: self.magnitude,
        }
    }

    /// The pairs between which YaRN's ramp lies (Peng et al., 2023, arXiv:2309.00071).
    fn ramp(&self) -> (f64, f64) {
        let dimensions = self.dimensions as f64;
        let pair_with_turns = |turns: f64| {
            let radians = self.original_context as f64 / (turns * std::f64::consts::TAU);
            dimensions * radians.ln() / (2.0 * self.base.ln())
        };
        let low = pair_with_turns(self.beta_fast).floor().max(0.0);
        let high = pair_with_turns(self.beta_slow).ceil().min(dimensions - 1.0);
        (low, high)
    }
}

impl RopeTable {
    /// Sine and cosine for each position and pair, positions first.
    pub fn angles(&self, positions: impl Iterator<Item = u32>) -> Vec<(f32, f32)> {
        positions
            .flat_map(|p| self.at(f64::from(p), self.magnitude))
            .collect()
    }

    /// Sine and cosine that turn from one position to another `delta` further on.
    pub fn step(&self, delta: i64) -> Vec<(f32, f32)> {
        self.at(delta as f64, 1.0).collect()
    }

    fn at(&self, position: f64, magnitude: f64) -> impl Iterator<Item = (f32, f32)> {
        self.frequencies.iter().map(move |frequency| {
            let (sin, cos) = (position * frequency).sin_cos();
            ((sin * magnitude) as f32, (cos * magnitude) as f32)
        })
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Turns the heads in `row`, of `head` values each, by the angles of one position.
    pub fn turn(&self, row: &mut [f32], head: usize, angles: &[(f32, f32)]) {
        let pairs = self.pairs();
        for head in row.chunks_exact_mut(head) {
            match self.style {
                RopeStyle::Neighbours => {
                    let (neighbours, _) = head.as_chunks_mut::<2>();
                    for ([a, b], &(sin, cos)) in neighbours.iter_mut().zip(angles) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
                RopeStyle::Halves => {
                    let (first, second) = head.split_at_mut(pairs);
                    for ((a, b), &(sin, cos)) in first.iter_mut().zip(second).zip(angles) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(style: RopeStyle) -> Rotation {
        Rotation {
            style,
            dimensions: 4,
            base: 10_000.0,
            scale: 1.0,
            extrapolation: 0.0,
            original_context: 64,
            beta_fast: 32.0,
            beta_slow: 1.0,
            magnitude: 1.0,
        }
    }

    #[test]
    fn styles_pair_different_values_and_leave_the_rest() {
        let row = [1.0, 2.0, 3.0, 4.0, 5.0];
        let (sin, cos) = (3.0f32.sin(), 3.0f32.cos());
        for (style, partner) in [(RopeStyle::Neighbours, 1), (RopeStyle::Halves, 2)] {
            let table = plain(style).table(None);
            let mut turned = row;
            table.turn(&mut turned, 5, &table.angles([3].into_iter()));
            assert!((turned[0] - (row[0] * cos - row[partner] * sin)).abs() < 1e-6);
            assert!((turned[partner] - (row[0] * sin + row[partner] * cos)).abs() < 1e-6);
            assert_eq!(turned[4], 5.0);
        }
    }

    #[test]
    fn a_step_goes_from_one_position_to_the_other() {
        let mut rotation = plain(RopeStyle::Halves);
        rotation.magnitude = 1.5;
        let table = rotation.table(Some(&[1.0, 2.0]));
        let row = [1.0, 2.0, 3.0, 4.0];
        let (mut near, mut far) = (row, row);
        table.turn(&mut near, 4, &table.angles([7].into_iter()));
        table.turn(&mut far, 4, &table.angles([2].into_iter()));
        table.turn(&mut far, 4, &table.step(5));
        assert!(near.iter().zip(far).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_scales_slow_ones() {
        let rotation = Rotation {
            dimensions: 64,
            scale: 0.25,
            extrapolation: 1.0,
            original_context: 4096,
            ..plain(RopeStyle::Halves)
        };
        let scaled = rotation.table(None).frequencies;
        let unscaled = plain(RopeStyle::Halves);
        let unscaled = Rotation {
            dimensions: 64,
            ..unscaled
        }
        .table(None)
        .frequencies;
        assert_eq!(scaled[0], unscaled[0]);
        assert!((scaled[31] / unscaled[31] - 0.25).abs() < 1e-12);
        assert!(scaled[16] < unscaled[16] && scaled[16] > 0.25 * unscaled[16]);
    }
}
