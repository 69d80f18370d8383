//! The functions between the two halves of a feed-forward block.

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// The Gaussian error unit in its tanh form, which is the one GGUF models are run with.
    Gelu,
    /// The square of what is above zero.
    ReluSquared,
    /// gpt-oss: the gate is held below 7, the other half within ±7 and raised by one; the sigmoid is
    /// taken at 1.702 times the gate.
    SwigluOai,
}

impl Activation {
    /// `values` become their activation, times `up` where there is one.
    pub fn apply(self, values: &mut [f32], up: Option<&[f32]>) {
        match up {
            None => values.iter_mut().for_each(|x| *x = self.one(*x)),
            Some(up) => {
                for (x, &u) in values.iter_mut().zip(up) {
                    *x = self.one(*x) * self.other_half(u);
                }
            }
        }
    }

    fn one(self, x: f32) -> f32 {
        match self {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu => {
                const ROOT_2_OVER_PI: f32 = 0.797_884_6;
                0.5 * x * (1.0 + (ROOT_2_OVER_PI * x * (1.0 + 0.044_715 * x * x)).tanh())
            }
            Activation::ReluSquared => x.max(0.0) * x.max(0.0),
            Activation::SwigluOai => {
                let x = x.min(7.0);
                x / (1.0 + (-1.702 * x).exp())
            }
        }
    }

    fn other_half(self, up: f32) -> f32 {
        match self {
            Activation::SwigluOai => up.clamp(-7.0, 7.0) + 1.0,
            _ => up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let mut x = [1.0, -1.0, 30.0, -100.0];
        Activation::Silu.apply(&mut x, None);
        assert!((x[0] - 0.731_058_6).abs() < 1e-6);
        assert!((x[1] + 0.268_941_4).abs() < 1e-6);
        assert_eq!((x[2], x[3]), (30.0, 0.0));
        let mut x = [1.0, -1.0, 50.0];
        Activation::Gelu.apply(&mut x, None);
        assert!((x[0] - 0.841_192).abs() < 1e-6);
        assert!((x[1] + 0.158_808).abs() < 1e-6);
        assert_eq!(x[2], 50.0);
        let mut x = [3.0, -3.0];
        Activation::ReluSquared.apply(&mut x, None);
        assert_eq!(x, [9.0, 0.0]);
        let mut x = [9.0, 0.0];
        Activation::SwigluOai.apply(&mut x, Some(&[-20.0, 3.0]));
        assert!((x[0] + 42.0).abs() < 1e-3);
        assert_eq!(x[1], 0.0);
    }
}
