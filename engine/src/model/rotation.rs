//! Rotation of queries and keys, read from metadata.

use super::error::ModelError;
use super::family::WindowRope;
use super::keys::{MOST_CONTEXT, MOST_WIDTH, Reader};
use crate::ops::Rotation;

impl Reader<'_> {
    pub fn rope(&self, key_length: usize, context: usize) -> Result<Option<Rotation>, ModelError> {
        let Some(style) = self.family.rope else {
            return Ok(None);
        };
        if self.family.rope_switch && self.flag("rope.scaling.finetuned")? == Some(false) {
            return Ok(None);
        }
        let dimensions = self
            .size("rope.dimension_count", MOST_WIDTH)?
            .unwrap_or(key_length);
        if dimensions == 0 || dimensions > key_length || !dimensions.is_multiple_of(2) {
            let wanted = format!("an even number up to the {key_length} of a head");
            return Err(self.value("rope.dimension_count", dimensions, &wanted));
        }
        let base = self.number("rope.freq_base")?.unwrap_or(10_000.0);
        if base <= 1.0 {
            return Err(self.value("rope.freq_base", base, "greater than 1"));
        }
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        let factor = f64::from(factor.filter(|&factor| factor > 0.0).unwrap_or(1.0));
        let kind = self.text("rope.scaling.type")?.unwrap_or("linear");
        let mut rotation = Rotation {
            style,
            dimensions,
            base: base.into(),
            scale: 1.0 / factor,
            extrapolation: 0.0,
            original_context: self
                .size("rope.scaling.original_context_length", MOST_CONTEXT)?
                .filter(|&length| length > 0)
                .unwrap_or(context),
            beta_fast: self
                .own_number("rope.scaling.yarn_beta_fast")?
                .unwrap_or(32.0)
                .into(),
            beta_slow: self
                .own_number("rope.scaling.yarn_beta_slow")?
                .unwrap_or(1.0)
                .into(),
            magnitude: self.magnitude()?,
        };
        match kind {
            "linear" | "longrope" => {}
            "none" => rotation.scale = 1.0,
            "yarn" => self.yarn(&mut rotation, factor)?,
            other => {
                let text = format!("rope scaling `{}` is not supported", other.escape_debug());
                return Err(ModelError::Unsupported(text));
            }
        }
        Ok(Some(rotation))
    }

    /// YaRN turns values a little larger, the more the context is extended, unless the file says by
    /// how much the scores of attention grow instead.
    fn yarn(&self, rotation: &mut Rotation, factor: f64) -> Result<(), ModelError> {
        rotation.extrapolation = 1.0;
        rotation.magnitude *= match self.log_multiplier()? {
            None => grown(factor, 1.0),
            Some(_) if self.family.latent => 1.0,
            Some(multiplier) => grown(factor, 1.0) / grown(factor, multiplier),
        };
        Ok(())
    }

    /// What latent attention multiplies queries, and keys, by where YaRN extends the context.
    pub fn latent_magnitude(&self) -> Result<f32, ModelError> {
        if !self.family.latent || self.text("rope.scaling.type")? != Some("yarn") {
            return Ok(1.0);
        }
        let factor = self.number("rope.scaling.factor")?;
        let factor = f64::from(factor.filter(|&factor| factor > 0.0).unwrap_or(1.0));
        let multiplier = self.log_multiplier()?.unwrap_or(1.0);
        Ok((self.magnitude()? * grown(factor, multiplier)) as f32)
    }

    /// How the growth of attention's scores goes with the extension, where the file says so.
    fn log_multiplier(&self) -> Result<Option<f64>, ModelError> {
        let multiplier = self
            .own_number("rope.scaling.yarn_log_multiplier")?
            .map(f64::from)
            .filter(|&multiplier| multiplier != 0.0);
        // Converters of models with latent attention write a tenth of it.
        Ok(multiplier.map(|m| if self.family.latent { m / 0.1 } else { m }))
    }

    pub fn window_rope(&self, rope: &Rotation) -> Result<Rotation, ModelError> {
        let own_base = self
            .own_number("rope.freq_base_swa")?
            .map(f64::from)
            .filter(|&base| base > 1.0);
        let unscaled = Rotation {
            scale: 1.0,
            extrapolation: 0.0,
            magnitude: 1.0,
            ..rope.clone()
        };
        let (rotation, base) = match self.family.window_rope {
            WindowRope::Same => (rope.clone(), rope.base),
            WindowRope::Unscaled => (unscaled, rope.base),
            WindowRope::Local => (
                Rotation {
                    magnitude: self.magnitude()?,
                    ..unscaled
                },
                10_000.0,
            ),
        };
        Ok(Rotation {
            base: own_base.unwrap_or(base),
            ..rotation
        })
    }

    /// What turned values are multiplied by, before YaRN.
    fn magnitude(&self) -> Result<f64, ModelError> {
        let factor = self.number("rope.scaling.attn_factor")?;
        Ok(f64::from(factor.unwrap_or(1.0)))
    }
}

/// YaRN's growth with the factor by which the context is extended.
fn grown(factor: f64, multiplier: f64) -> f64 {
    1.0 + 0.1 * multiplier * factor.max(1.0).ln()
}
