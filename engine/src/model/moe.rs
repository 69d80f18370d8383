//! Feed-forward blocks of which each token uses a few.

use super::config::{ExpertConfig, ExpertGroups, Routing};
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
                choose(scores, self.selection_bias.as_deref(), config)
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
        let inner = match &self.gate {
            Some(gate) => {
                let mut inner = gate.apply(compute, &groups, x, &token, &uses);
                self.activation.apply(&mut inner, Some(&up));
                inner
            }
            None => {
                let mut inner = up;
                self.activation.apply(&mut inner, None);
                inner
            }
        };
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

/// Sums of parts below this are taken as this, as the reference implementation does.
const LEAST_SUM: f32 = 6.103_515_6e-5;

/// The experts of a token and their weights. `bias` is added to the parts for the choice alone.
fn choose(scores: &[f32], bias: Option<&[f32]>, config: &ExpertConfig) -> Vec<(usize, f32)> {
    let parts = parts(scores, config.routing);
    // Scores, not their exponentials, decide where they can: small ones may all have become zero.
    let mut ranks = match (bias, config.groups) {
        (None, None) => scores.to_vec(),
        _ => parts.clone(),
    };
    if let Some(bias) = bias {
        ranks.iter_mut().zip(bias).for_each(|(r, b)| *r += b);
    }
    if let Some(groups) = config.groups {
        leave_groups_out(&mut ranks, groups);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| ranks[b].total_cmp(&ranks[a]).then(a.cmp(&b)));
    order.truncate(config.used);
    let total = match config.sum_to_one {
        true => order.iter().map(|&i| parts[i]).sum::<f32>().max(LEAST_SUM),
        false => 1.0,
    };
    let weight = |i: usize| (i, parts[i] / total * config.scale);
    order.into_iter().map(weight).collect()
}

/// Each expert's part of a token.
fn parts(scores: &[f32], routing: Routing) -> Vec<f32> {
    match routing {
        Routing::Softmax => {
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut parts: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
            let all: f32 = parts.iter().sum();
            parts.iter_mut().for_each(|part| *part /= all);
            parts
        }
        Routing::Sigmoid => scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect(),
    }
}

/// Puts experts out of the choice but for those of the best groups, judged by the two best of each.
fn leave_groups_out(ranks: &mut [f32], groups: ExpertGroups) {
    let size = ranks.len() / groups.count;
    let mut best: Vec<(usize, f32)> = ranks
        .chunks_exact(size)
        .map(|group| {
            let mut group = group.to_vec();
            group.sort_by(|a, b| b.total_cmp(a));
            group.iter().take(2).sum()
        })
        .enumerate()
        .collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for &(group, _) in &best[groups.used..] {
        ranks[group * size..(group + 1) * size].fill(f32::NEG_INFINITY);
    }
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
            routing: Routing::Softmax,
            sum_to_one: true,
            groups: None,
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
        assert!(near(&choose(&scores, None, &config), &[(3, 0.6), (2, 0.4)]));
        config.sum_to_one = false;
        config.scale = 7.0;
        assert!(near(&choose(&scores, None, &config), &[(3, 3.0), (2, 2.0)]));
        // A bias changes the choice, not the weights.
        let bias = [0.9, 0.0, 0.0, 0.0];
        let biased = choose(&scores, Some(&bias), &config);
        assert!(near(&biased, &[(0, 1.0), (3, 3.0)]));
        config.routing = Routing::Sigmoid;
        config.scale = 1.0;
        assert!(near(
            &choose(&scores, None, &config),
            &[(3, 0.75), (2, 2.0 / 3.0)]
        ));
        // The first group has the one best, the second the two best.
        config.groups = Some(ExpertGroups { count: 2, used: 1 });
        let chosen = choose(&[-9.0, 2.0, 1.0, 1.5], None, &config);
        assert_eq!((chosen[0].0, chosen[1].0), (3, 2));
        // Equal scores: the first ones. Not-a-number scores do not panic.
        assert_eq!(choose(&[1.0; 4], None, &config)[0].0, 0);
        assert_eq!(choose(&[f32::NAN; 4], None, &config).len(), 2);
    }
}
