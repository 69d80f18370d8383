//! Normalisation of rows.

/// How a row is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Divided by the root of the mean square.
    Rms,
    /// Mean taken off, divided by the standard deviation.
    Layer,
}

/// A normalisation with its weights.
#[derive(Debug, Clone)]
pub struct Norm {
    /// How.
    pub kind: NormKind,
    /// Added to the mean square or the variance.
    pub epsilon: f32,
    /// Values are normalised in groups of this many: a whole row, or one head.
    pub group: usize,
    /// Factors: as many as a row or as a group has.
    pub weight: Vec<f32>,
    /// Added after the factors; as many as there are factors.
    pub bias: Option<Vec<f32>>,
}

impl Norm {
    /// Normalises `rows` in place.
    pub fn apply(&self, rows: &mut [f32]) {
        let period = self.weight.len();
        for (i, group) in rows.chunks_exact_mut(self.group).enumerate() {
            let first = i * self.group % period;
            normalise(self.kind, self.epsilon, group);
            let weight = &self.weight[first..first + self.group];
            match &self.bias {
                None => group.iter_mut().zip(weight).for_each(|(x, w)| *x *= w),
                Some(bias) => {
                    let bias = &bias[first..first + self.group];
                    for ((x, w), b) in group.iter_mut().zip(weight).zip(bias) {
                        *x = *x * w + b;
                    }
                }
            }
        }
    }
}

/// Sums in double precision: a row has thousands of values, and their sum scales all of them.
fn normalise(kind: NormKind, epsilon: f32, x: &mut [f32]) {
    let n = x.len() as f64;
    let mean = match kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => x.iter().map(|&v| f64::from(v)).sum::<f64>() / n,
    };
    let square = x
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / n;
    let factor = (1.0 / (square + f64::from(epsilon)).sqrt()) as f32;
    let mean = mean as f32;
    for v in x {
        *v = (*v - mean) * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_norm_has_mean_zero_and_variance_one() {
        let norm = Norm {
            kind: NormKind::Layer,
            epsilon: 0.0,
            group: 4,
            weight: vec![1.0; 4],
            bias: None,
        };
        let mut x = [1.0, 2.0, 3.0, 4.0];
        norm.apply(&mut x);
        assert!(x.iter().sum::<f32>().abs() < 1e-6);
        assert!((x.iter().map(|v| v * v).sum::<f32>() - 4.0).abs() < 1e-5);
    }

    #[test]
    fn heads_share_weights_or_have_their_own() {
        let mut norm = Norm {
            kind: NormKind::Rms,
            epsilon: 0.0,
            group: 2,
            weight: vec![1.0, 2.0],
            bias: None,
        };
        let mut x = [3.0, 3.0, 5.0, -5.0];
        norm.apply(&mut x);
        assert_eq!(x, [1.0, 2.0, 1.0, -2.0]);
        norm.weight = vec![1.0, 2.0, 3.0, 4.0];
        norm.bias = Some(vec![0.0, 0.0, 0.5, 0.0]);
        let mut x = [3.0, 3.0, 5.0, -5.0];
        norm.apply(&mut x);
        assert_eq!(x, [1.0, 2.0, 3.5, -4.0]);
    }
}
