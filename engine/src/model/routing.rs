//! Experts and latent attention, read from metadata.

use super::config::{
    ExpertConfig, ExpertGroups, LatentConfig, LayerConfig, PositionScale, Routing,
};
use super::error::ModelError;
use super::keys::{MOST_CONTEXT, MOST_LAYERS, MOST_WIDTH, Reader};
use crate::gguf::MetadataError;

impl Reader<'_> {
    /// Which layers have experts.
    pub fn routed(&self, count: usize) -> Result<Vec<bool>, ModelError> {
        let experts = self.size("expert_count", MOST_WIDTH)?.unwrap_or(0);
        let dense = self
            .own_size("leading_dense_block_count", MOST_LAYERS)?
            .unwrap_or(0);
        let step = self
            .own_size("interleave_moe_layer_step", MOST_LAYERS)?
            .filter(|&step| step > 0)
            .unwrap_or(1);
        if let Some(every @ 1..) = self.own_size("moe_every_n_layers", MOST_LAYERS)? {
            return Ok((0..count).map(|i| experts > 0 && i % every == 1).collect());
        }
        let routed = |i: usize| experts > 0 && i >= dense && (i + 1).is_multiple_of(step);
        Ok((0..count).map(routed).collect())
    }

    /// What the experts are, if there are any.
    pub fn experts(&self, layers: &[LayerConfig]) -> Result<Option<ExpertConfig>, ModelError> {
        let family = self.family;
        let Some(count) = self
            .size("expert_count", MOST_WIDTH)?
            .filter(|&count| count > 0)
        else {
            return match family.always_experts {
                true => Err(MetadataError::Missing(self.key("expert_count")).into()),
                false => Ok(None),
            };
        };
        let used = self.required("expert_used_count", count as u64)?;
        let width = layers[0].feed_forward;
        let feed_forward = match self.size("expert_feed_forward_length", MOST_WIDTH)? {
            Some(width) if width > 0 => width,
            // Qwen's older files give the width of all used experts together, others that of one.
            _ if family.name.starts_with("qwen") => width / used,
            _ => width,
        };
        Ok(Some(ExpertConfig {
            count,
            used,
            feed_forward,
            shared_feed_forward: self.shared_width(width, feed_forward)?,
            routing: match self.own_size("expert_gating_func", MOST_WIDTH)? {
                None | Some(0) => family.routing,
                Some(1) => Routing::Softmax,
                Some(2) => Routing::Sigmoid,
                Some(other) => {
                    let text = format!(
                        "choosing experts by function {other} is not supported (1 is softmax, 2 \
                         sigmoid)"
                    );
                    return Err(ModelError::Unsupported(text));
                }
            },
            sum_to_one: match self.reads("expert_weights_norm") {
                true => self
                    .flag("expert_weights_norm")?
                    .unwrap_or(family.sum_to_one),
                false => family.sum_to_one,
            },
            groups: self.groups(count, used)?,
            scale: self.own_factor("expert_weights_scale", 1.0)?,
        }))
    }

    /// Width of the expert that every token uses.
    fn shared_width(&self, width: usize, expert: usize) -> Result<Option<usize>, ModelError> {
        let named = self
            .size("expert_shared_feed_forward_length", MOST_WIDTH)?
            .filter(|&n| n > 0);
        if let Some(count) = self.own_size("expert_shared_count", MOST_LAYERS)? {
            let width = named.unwrap_or(expert);
            return Ok((count > 0).then_some(count * width));
        }
        Ok(match self.family.always_shared {
            true => Some(named.unwrap_or(width)),
            false => named,
        })
    }

    fn groups(&self, count: usize, used: usize) -> Result<Option<ExpertGroups>, ModelError> {
        let groups = self.size("expert_group_count", MOST_WIDTH)?.unwrap_or(0);
        if groups < 2 {
            return Ok(None);
        }
        if !count.is_multiple_of(groups) {
            let wanted = format!("a divisor of the {count} experts");
            return Err(self.value("expert_group_count", groups, &wanted));
        }
        let chosen = self.required("expert_group_used_count", groups as u64)?;
        match chosen * (count / groups) < used {
            true => {
                let wanted = format!("enough for {used} experts");
                Err(self.value("expert_group_used_count", chosen, &wanted))
            }
            false => Ok(Some(ExpertGroups {
                count: groups,
                used: chosen,
            })),
        }
    }

    /// How latent attention is done, where it is.
    pub fn latent(
        &self,
        layers: &[LayerConfig],
        key_length: usize,
        value_length: usize,
    ) -> Result<Option<LatentConfig>, ModelError> {
        if !self.family.latent {
            return Ok(None);
        }
        let rank = self.required("attention.kv_lora_rank", MOST_WIDTH)?;
        let mla = |key| -> Result<Option<usize>, ModelError> {
            Ok(self.size(key, MOST_WIDTH)?.filter(|&length| length > 0))
        };
        let (key, value) = (
            mla("attention.key_length_mla")?,
            mla("attention.value_length_mla")?,
        );
        let short_cached = key.is_some();
        let latent = LatentConfig {
            query_rank: self
                .size("attention.q_lora_rank", MOST_WIDTH)?
                .filter(|&rank| rank > 0),
            rank,
            key: key.unwrap_or(key_length),
            value: value.unwrap_or(value_length),
            turned: self.required("rope.dimension_count", MOST_WIDTH)?,
            short_cached,
        };
        if latent.turned >= latent.key {
            let wanted = format!("less than the {} of a key", latent.key);
            return Err(self.value("rope.dimension_count", latent.turned, &wanted));
        }
        if short_cached && (key_length, value_length) != (rank + latent.turned, rank) {
            let wanted = format!("{} with a short vector of {rank}", rank + latent.turned);
            return Err(self.value("attention.key_length", key_length, &wanted));
        }
        let one = |layer: &LayerConfig| layer.kv_heads == 1;
        let all = |layer: &LayerConfig| layer.kv_heads == layer.heads;
        if !layers
            .iter()
            .all(|layer| if short_cached { one(layer) } else { all(layer) })
        {
            let wanted = match short_cached {
                true => "1, the short vector that all heads share",
                false => "as many as query heads",
            };
            return Err(self.value("attention.head_count_kv", layers[0].kv_heads, wanted));
        }
        Ok(Some(latent))
    }

    /// How queries grow with their positions.
    pub fn position_scale(&self, context: usize) -> Result<Option<PositionScale>, ModelError> {
        let factor = self.own_number("attention.temperature_scale")?;
        let Some(factor) = factor.filter(|&factor| factor != 0.0) else {
            return Ok(None);
        };
        let own = self.own_size("attention.temperature_length", MOST_CONTEXT)?;
        let trained = self.size("rope.scaling.original_context_length", MOST_CONTEXT)?;
        let length = [own, trained].into_iter().flatten().find(|&n| n > 0);
        Ok(Some(PositionScale {
            factor,
            length: length.unwrap_or(context),
        }))
    }
}
