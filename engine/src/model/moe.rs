//! Feed-forward blocks of which each token uses a few.

use super::config::{ExpertConfig, Routing};
use super::layers::{ExpertLinear, Experts};
use crate::ops::{Compute, Group, matmul_grouped};

/// One token's use of one expert.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Use {
    expert: usize,
    token: usize,
    weight: f32,
}

impl Experts {
    /// The block's output for each of the vectors in `x`.
    pub(super) fn apply(&self, compute: Compute<'_>, x: &[f32]) -> Vec<f32> {
        let (config, width) = (&self.config, self.router.weight.columns());
        let scores = self.router.apply(compute, x);
        // By expert, so that each expert's weights are gone through once; by token within.
        let mut uses: Vec<Use> = scores
            .chunks_exact(config.count)
            .enumerate()
            .flat_map(|(token, scores)| {
                choose(scores, config)
                    .into_iter()
                    .map(move |(expert, weight)| Use {
                        expert,
                        token,
                        weight,
                    })
            })
            .collect();
        uses.sort_by_key(|u| (u.expert, u.token));
        let mut groups: Vec<Group> = Vec::new();
        for (i, u) in uses.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if group.matrix == u.expert => group.products.end = i + 1,
                _ => groups.push(Group {
                    matrix: u.expert,
                    products: i..i + 1,
                }),
            }
        }

        let token = |i: usize| uses[i].token;
        let up = self.up.apply(compute, &groups, x, &token, &uses);
        let mut inner = self.gate.apply(compute, &groups, x, &token, &uses);
        self.activation.apply(&mut inner, Some(&up));
        let down = self.down.apply(compute, &groups, &inner, &|i| i, &uses);

        let mut out = match &self.shared {
            Some(shared) => {
                let mut out = shared.dense.apply(compute, x);
                if let Some(gate) = &shared.gate {
                    let gates = gate.apply(compute, x);
                    for (row, gate) in out.chunks_exact_mut(width).zip(gates) {
                        let part = 1.0 / (1.0 + (-gate).exp());
                        row.iter_mut().for_each(|v| *v *= part);
                    }
                }
                out
            }
            None => vec![0.0; x.len()],
        };
        for (u, result) in uses.iter().zip(down.chunks_exact(width)) {
            let row = &mut out[u.token * width..][..width];
            row.iter_mut()
                .zip(result)
                .for_each(|(v, r)| *v += u.weight * r);
        }
        out
    }
}

impl ExpertLinear {
    fn apply(
        &self,
        compute: Compute<'_>,
        groups: &[Group],
        x: &[f32],
        source: &(dyn Fn(usize) -> usize + Sync),
        uses: &[Use],
    ) -> Vec<f32> {
        let rows = self.weights.first().map_or(0, |weight| weight.rows());
        let mut out = vec![0.0; uses.len() * rows];
        matmul_grouped(compute, &self.weights, groups, x, source, &mut out);
        if let Some(biases) = &self.biases {
            for (u, row) in uses.iter().zip(out.chunks_exact_mut(rows)) {
                let bias = &biases[u.expert * rows..][..rows];
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
            }
        }
        out
    }
}

/// The experts with the greatest scores, of equal ones the first, and their weights.
fn choose(scores: &[f32], config: &ExpertConfig) -> Vec<(usize, f32)> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut parts: Vec<(usize, f32)> = scores
        .iter()
        .map(|&score| (score - most).exp())
        .enumerate()
        .collect();
    let all: f32 = parts.iter().map(|(_, part)| part).sum();
    // Scores, not their exponentials, decide: small ones may all have become zero.
    parts.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(a.0.cmp(&b.0)));
    parts.truncate(config.used);
    let chosen: f32 = parts.iter().map(|(_, part)| part).sum();
    let total = match config.routing {
        Routing::SoftmaxAll => all,
        Routing::SoftmaxChosen => chosen,
    };
    for (_, part) in &mut parts {
        *part = *part / total * config.scale;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_are_chosen_and_weighed() {
        let mut config = ExpertConfig {
            count: 4,
            used: 2,
            feed_forward: 1,
            shared_feed_forward: None,
            routing: Routing::SoftmaxChosen,
            scale: 1.0,
        };
        let scores = [0.0, 1.0f32.ln(), 2.0f32.ln(), 3.0f32.ln()];
        let near = |got: &[(usize, f32)], wanted: &[(usize, f32)]| {
            got.len() == wanted.len()
                && got
                    .iter()
                    .zip(wanted)
                    .all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6)
        };
        assert!(near(&choose(&scores, &config), &[(3, 0.6), (2, 0.4)]));
        config.routing = Routing::SoftmaxAll;
        config.scale = 7.0;
        assert!(near(&choose(&scores, &config), &[(3, 3.0), (2, 2.0)]));
        // Equal scores: the first ones. Not-a-number scores do not panic.
        assert_eq!(choose(&[1.0; 4], &config)[0].0, 0);
        assert_eq!(choose(&[f32::NAN; 4], &config).len(), 2);
    }
}
