//! From logits to the next token: a chain of steps that narrow and reshape the candidates, then one
//! draw; stop strings; output held to a grammar.
//!
//! Steps, their order and their meanings are those of ggml-org/llama.cpp (`common/sampling.cpp`).

mod chain;
#[cfg(feature = "constrain")]
mod constrain;
mod random;
mod stops;

pub use chain::{Dry, Options, Sampler, Step};
#[cfg(feature = "constrain")]
pub use constrain::{Constraint, ConstraintError, Constraints, Grammar};
pub use random::Random;
pub use stops::Stops;
