//! One vector from the vectors of a text's tokens.

/// How the vectors of the tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first one's, which stands for the whole text in BERT models.
    Cls,
    /// The last one's.
    Last,
}

impl Pooling {
    /// The vector of a text whose tokens have `rows` of `width` numbers; at least one.
    pub fn pool(self, rows: &[f32], width: usize) -> Vec<f32> {
        match self {
            Pooling::Cls => rows[..width].to_vec(),
            Pooling::Last => rows[rows.len() - width..].to_vec(),
            Pooling::Mean => {
                let count = (rows.len() / width) as f64;
                (0..width)
                    .map(|i| {
                        let column = rows.iter().skip(i).step_by(width);
                        (column.map(|&v| f64::from(v)).sum::<f64>() / count) as f32
                    })
                    .collect()
            }
        }
    }
}

/// Makes a vector's length 1; leaves a vector of zeros.
pub(super) fn normalise(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|&v| f64::from(v).powi(2)).sum();
    if square > 0.0 {
        let factor = (1.0 / square.sqrt()) as f32;
        vector.iter_mut().for_each(|v| *v *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poolings_differ() {
        let rows = [1.0, 2.0, 3.0, 6.0];
        assert_eq!(Pooling::Mean.pool(&rows, 2), [2.0, 4.0]);
        assert_eq!(Pooling::Cls.pool(&rows, 2), [1.0, 2.0]);
        assert_eq!(Pooling::Last.pool(&rows, 2), [3.0, 6.0]);
        let mut vector = [3.0, 4.0];
        normalise(&mut vector);
        assert!((vector[0] - 0.6).abs() < 1e-6 && (vector[1] - 0.8).abs() < 1e-6);
    }
}
