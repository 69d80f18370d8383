//! A model at work: sequences of tokens, their cache, and results.

use std::ops::Range;
use std::sync::Arc;

use super::batch::{Batch, BatchToken};
use super::cache::Cache;
pub use super::cache::SEQUENCES;
use super::error::ModelError;
use super::forward::{Ropes, Step, forward};
use super::load::Model;
use super::memory::{self, STEP};
use super::pooling::{self, Pooling};
use crate::ops::{Compute, KvType, Products, RopeTable, Stop};
use crate::threads::Pool;

/// How a model is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextOptions {
    /// Tokens the cache has room for, over all sequences.
    pub tokens: usize,
    /// How keys and values are stored. Encoders, which keep none, do not ask.
    pub kv: KvType,
    /// How products with the weights are computed.
    pub products: Products,
    /// Bytes that weights, cache and working memory may take together.
    pub memory: Option<u64>,
}

/// A model with a cache for up to [`SEQUENCES`] sequences.
///
/// Results depend on the tokens of a sequence, their positions and the options: not on the number of
/// threads, the other sequences, or the batches in which the tokens came.
#[derive(Debug)]
pub struct Context {
    model: Arc<Model>,
    machine: Machine,
    cache: Cache,
    ropes: Ropes,
}

/// What a context computes with.
#[derive(Debug)]
struct Machine {
    pool: Arc<Pool>,
    products: Products,
}

impl Machine {
    fn compute<'a>(&'a self, stop: Option<&'a Stop<'a>>) -> Compute<'a> {
        Compute {
            pool: &self.pool,
            products: self.products,
            stop,
        }
    }
}

/// One row of numbers for each token of a batch whose output was wanted, in the order of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    width: usize,
    numbers: Vec<f32>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.width
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The row of the `index`-th wanted output.
    pub fn get(&self, index: usize) -> Option<&[f32]> {
        self.numbers.chunks_exact(self.width).nth(index)
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.numbers.chunks_exact(self.width)
    }

    /// All numbers, row after row.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }
}

impl Context {
    /// An empty context.
    ///
    /// # Errors
    ///
    /// It would need more memory than it may take, or the model cannot be run so.
    pub fn new(
        model: Arc<Model>,
        pool: Arc<Pool>,
        options: &ContextOptions,
    ) -> Result<Context, ModelError> {
        let config = model.config();
        if options.tokens == 0 {
            let text = "a context needs room for at least one token".to_owned();
            return Err(ModelError::Unsupported(text));
        }
        if options.tokens > u32::MAX as usize {
            let text = format!(
                "a context of {} tokens is too long: positions are counted up to {}",
                options.tokens,
                u32::MAX
            );
            return Err(ModelError::Unsupported(text));
        }
        if config.learned_positions && options.tokens > config.context {
            let text = format!(
                "a context of {} tokens is more than the {} positions the model knows",
                options.tokens, config.context
            );
            return Err(ModelError::Unsupported(text));
        }
        let kv = memory::kv_type(config, options.kv);
        if !kv.takes(config.key_length) || !kv.takes(config.value_length) {
            let text = format!(
                "a q8_0 cache needs heads whose length is a multiple of 32; this model has {} and \
                 {}; choose f16",
                config.key_length, config.value_length
            );
            return Err(ModelError::Unsupported(text));
        }
        // Without a limit, that of the address space.
        let available = options.memory.unwrap_or(isize::MAX as u64);
        memory::check(config, model.weight_bytes(), options.tokens, kv, available)?;
        Ok(Context {
            cache: Cache::new(config, options.tokens, kv),
            ropes: ropes(&model, options.tokens),
            machine: Machine {
                pool,
                products: options.products,
            },
            model,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Tokens the context has room for, over all sequences.
    pub fn size(&self) -> usize {
        self.cache.size()
    }

    /// Tokens there is room for yet.
    pub fn free(&self) -> usize {
        self.cache.free()
    }

    /// Evaluates a batch; the rows are the scores of every token of the vocabulary to come next.
    /// A vocabulary has a hundred thousand tokens and more: ask for the rows that are needed.
    ///
    /// # Errors
    ///
    /// The batch is not sound, there is no room for it, or the model is an encoder, which has no
    /// scores. Nothing has been evaluated then.
    pub fn eval(&mut self, batch: &Batch) -> Result<Rows, ModelError> {
        self.scores(batch, None)
    }

    /// As [`eval`](Context::eval), and gives up soon after `cancelled` says so, in the middle of a
    /// layer: nothing has been evaluated then, and there are no rows.
    ///
    /// # Errors
    ///
    /// As [`eval`](Context::eval).
    pub fn eval_unless(
        &mut self,
        batch: &Batch,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Rows>, ModelError> {
        let stop = Stop::new(cancelled);
        let rows = self.scores(batch, Some(&stop))?;
        if !stop.seen() {
            return Ok(Some(rows));
        }
        // A batch comes after what its sequences held. What did not get so far is not there.
        for token in batch.tokens() {
            self.remove(token.sequence, token.position..u32::MAX);
        }
        Ok(None)
    }

    fn scores(&mut self, batch: &Batch, stop: Option<&Stop<'_>>) -> Result<Rows, ModelError> {
        self.check_decoder()?;
        let width = self.model.config().vocabulary;
        let vectors = self.vectors(batch, stop)?;
        let compute = self.machine.compute(stop);
        Ok(Rows {
            width,
            numbers: self.model.logits(compute, &vectors.numbers),
        })
    }

    /// Whether a text of these tokens can be continued, as far as there is room.
    ///
    /// # Errors
    ///
    /// The model is an encoder, or does not have the tokens.
    pub fn check_prompt(&self, tokens: &[u32]) -> Result<(), ModelError> {
        self.check_decoder()?;
        tokens.iter().try_for_each(|&token| self.check_token(token))
    }

    fn check_decoder(&self) -> Result<(), ModelError> {
        let config = self.model.config();
        match config.encoder {
            true => Err(ModelError::Unsupported(format!(
                "{} models make vectors of texts and do not continue them",
                config.architecture
            ))),
            false => Ok(()),
        }
    }

    fn check_token(&self, token: u32) -> Result<(), ModelError> {
        let vocabulary = self.model.config().vocabulary;
        match token as usize >= vocabulary {
            true => Err(ModelError::Batch(format!(
                "there is no token {token}: the vocabulary has {vocabulary}"
            ))),
            false => Ok(()),
        }
    }

    /// Evaluates a batch; the rows are the model's last vectors, one per token wanted.
    ///
    /// An encoder sees each sequence of the batch as a whole and keeps nothing of it.
    ///
    /// # Errors
    ///
    /// As [`eval`](Context::eval).
    pub fn hidden(&mut self, batch: &Batch) -> Result<Rows, ModelError> {
        self.vectors(batch, None)
    }

    fn vectors(&mut self, batch: &Batch, stop: Option<&Stop<'_>>) -> Result<Rows, ModelError> {
        let config = self.model.config();
        let (width, encoder) = (config.embedding, config.encoder);
        if encoder {
            self.cache.clear();
        }
        self.check(batch.tokens())?;
        // Where tokens see later ones, all must be there at once.
        let at_once = match config.causal {
            true => STEP,
            false => batch.tokens().len().max(1),
        };
        let mut numbers = Vec::new();
        for tokens in batch.tokens().chunks(at_once) {
            numbers.extend(self.step(tokens, stop));
            if stop.is_some_and(Stop::seen) {
                break;
            }
        }
        Ok(Rows { width, numbers })
    }

    /// Whether a batch can be evaluated as a whole.
    fn check(&self, batch: &[BatchToken]) -> Result<(), ModelError> {
        let config = self.model.config();
        let mut last: Vec<Option<u32>> = self
            .cache
            .sequences
            .iter()
            .map(|sequence| sequence.positions.last().copied())
            .collect();
        for token in batch {
            self.check_token(token.token)?;
            let Some(last) = last.get_mut(token.sequence) else {
                return Err(ModelError::Batch(format!(
                    "there is no sequence {}: a context has {SEQUENCES}",
                    token.sequence
                )));
            };
            if last.is_some_and(|last| last >= token.position) {
                return Err(ModelError::Batch(format!(
                    "position {} of sequence {} is not after the positions that are there; \
                     remove those first",
                    token.position, token.sequence
                )));
            }
            if config.learned_positions && token.position as usize >= config.context {
                return Err(ModelError::Batch(format!(
                    "position {} is beyond the {} positions the model knows",
                    token.position, config.context
                )));
            }
            *last = Some(token.position);
        }
        match batch.len() > self.cache.free() {
            true => Err(ModelError::ContextFull {
                context: self.size(),
                free: self.cache.free(),
                wanted: batch.len(),
            }),
            false => Ok(()),
        }
    }

    /// Evaluates tokens that have been checked; vectors of the wanted ones.
    fn step(&mut self, batch: &[BatchToken], stop: Option<&Stop<'_>>) -> Vec<f32> {
        let (mut tokens, mut positions, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        let mut spans: Vec<(usize, Range<usize>)> = Vec::new();
        let mut outputs = Vec::new();
        for (i, token) in batch.iter().enumerate() {
            // There is room for the whole batch, as has been checked.
            cells.extend(self.cache.take(token.sequence, token.position));
            tokens.push(token.token);
            positions.push(token.position);
            match spans.last_mut() {
                Some((sequence, span)) if *sequence == token.sequence => span.end = i + 1,
                _ => spans.push((token.sequence, i..i + 1)),
            }
            if token.output {
                outputs.push(i);
            }
        }
        let step = Step {
            tokens: &tokens,
            positions: &positions,
            cells: &cells,
            spans: &spans,
            outputs: &outputs,
        };
        let compute = self.machine.compute(stop);
        forward(&self.model, compute, &mut self.cache, &self.ropes, &step)
    }

    /// One vector for each text. Forgets all sequences.
    ///
    /// `pooling` overrides what the model file says; where neither does, encoders take the mean and
    /// other models the last token's vector. With `normalised`, vectors have length 1.
    ///
    /// # Errors
    ///
    /// A text is empty, does not fit in the context or has unknown tokens.
    pub fn embed(
        &mut self,
        texts: &[&[u32]],
        pooling: Option<Pooling>,
        normalised: bool,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let config = self.model.config();
        let pooling = pooling.or(config.pooling).unwrap_or(match config.encoder {
            true => Pooling::Mean,
            false => Pooling::Last,
        });
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let count = self.texts_at_once(rest)?;
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut batch = Batch::default();
            for (sequence, text) in now.iter().enumerate() {
                let all = Batch::all(text, sequence, 0);
                all.tokens().iter().for_each(|&token| batch.push(token));
            }
            self.clear();
            let rows = self.hidden(&batch)?;
            let mut first = 0;
            for text in now {
                let end = first + text.len() * rows.width;
                let mut vector = pooling.pool(&rows.numbers[first..end], rows.width);
                if normalised {
                    pooling::normalise(&mut vector);
                }
                vectors.push(vector);
                first = end;
            }
        }
        self.clear();
        Ok(vectors)
    }

    /// How many of the texts fit in the context together.
    fn texts_at_once(&self, texts: &[&[u32]]) -> Result<usize, ModelError> {
        let (mut count, mut tokens) = (0, 0);
        for text in texts.iter().take(SEQUENCES) {
            if text.is_empty() {
                return Err(ModelError::Batch(
                    "a text without tokens has no vector".into(),
                ));
            }
            tokens += text.len();
            if tokens > self.size() {
                break;
            }
            count += 1;
        }
        match (count, texts.first()) {
            (0, Some(text)) => Err(ModelError::ContextFull {
                context: self.size(),
                free: self.size(),
                wanted: text.len(),
            }),
            _ => Ok(count),
        }
    }

    /// The position after the last one of a sequence; 0 for an empty one.
    pub fn next_position(&self, sequence: usize) -> u32 {
        let list = self.cache.sequences.get(sequence);
        list.and_then(|list| list.positions.last())
            .map_or(0, |&last| last.saturating_add(1))
    }

    /// Number of tokens a sequence holds.
    pub fn len(&self, sequence: usize) -> usize {
        let list = self.cache.sequences.get(sequence);
        list.map_or(0, |list| list.positions.len())
    }

    /// Whether a sequence holds no tokens.
    pub fn is_empty(&self, sequence: usize) -> bool {
        self.len(sequence) == 0
    }

    /// Tokens stored for these sequences; what several of them share counts once.
    pub fn stored(&self, sequences: impl IntoIterator<Item = usize>) -> usize {
        self.cache.stored(sequences)
    }

    /// Tokens of a sequence, at these positions, that are stored for others too.
    pub fn shared(&self, sequence: usize, positions: Range<u32>) -> usize {
        match sequence < SEQUENCES {
            true => self.cache.shared(sequence, &positions),
            false => 0,
        }
    }

    /// Forgets positions of a sequence.
    pub fn remove(&mut self, sequence: usize, positions: Range<u32>) {
        if sequence < SEQUENCES {
            self.cache.remove(sequence, positions);
        }
    }

    /// Lets sequence `to` share positions of sequence `from`, without cost. What `to` holds at those
    /// positions is forgotten.
    pub fn copy(&mut self, from: usize, to: usize, positions: Range<u32>) {
        if from < SEQUENCES && to < SEQUENCES {
            self.cache.copy(from, to, positions);
        }
    }

    /// Moves positions of a sequence by `delta`, as if the tokens had always been there. Where queries
    /// grow with the position ([`Config::position_scale`](super::Config)), what the tokens made of
    /// earlier ones stays as it was.
    ///
    /// # Errors
    ///
    /// They would collide with others or leave the range, the model's positions cannot be moved, or
    /// there is no room to copy what other sequences share.
    pub fn shift(
        &mut self,
        sequence: usize,
        positions: Range<u32>,
        delta: i64,
    ) -> Result<(), ModelError> {
        let Some(list) = self.cache.sequences.get(sequence) else {
            return Ok(());
        };
        let config = self.model.config();
        if !config.positions_can_move() {
            let text = format!(
                "positions of {} models cannot be moved",
                config.architecture
            );
            return Err(ModelError::Unsupported(text));
        }
        let moved = |p: u32| match positions.contains(&p) {
            true => i64::from(p).saturating_add(delta),
            false => p.into(),
        };
        let after: Vec<i64> = list.positions.iter().map(|&p| moved(p)).collect();
        let in_range = after.iter().all(|p| (0..i64::from(u32::MAX)).contains(p));
        if !in_range || after.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(ModelError::Batch(format!(
                "positions {}..{} of sequence {sequence} cannot be moved by {delta}: they would \
                 collide with others",
                positions.start, positions.end
            )));
        }
        let wanted = self.cache.shared(sequence, &positions);
        if wanted > self.cache.free() {
            return Err(ModelError::ContextFull {
                context: self.size(),
                free: self.cache.free(),
                wanted,
            });
        }
        let tables: Vec<Option<&RopeTable>> = config
            .layers
            .iter()
            .map(|layer| match layer.rotated {
                true => self.ropes.of(layer.window.is_some()),
                false => None,
            })
            .collect();
        self.cache.shift(sequence, positions, delta, &tables);
        Ok(())
    }

    /// Makes room in a sequence: after its first `keep` positions, forgets `count` and moves the
    /// rest up.
    ///
    /// # Errors
    ///
    /// As [`shift`](Context::shift).
    pub fn discard(&mut self, sequence: usize, keep: u32, count: u32) -> Result<(), ModelError> {
        let rest = keep.saturating_add(count);
        self.remove(sequence, keep..rest);
        self.shift(sequence, rest..u32::MAX, -i64::from(count))
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        self.cache.clear();
    }

    /// Forgets all sequences and computes from now on as a context of `tokens` does, however much
    /// this one has room for: some models turn positions by other angles where texts may be long.
    pub fn clear_for(&mut self, tokens: usize) {
        self.cache.clear();
        self.ropes = ropes(&self.model, tokens);
    }
}

/// The angles of a model in a context of `size` tokens.
fn ropes(model: &Model, size: usize) -> Ropes {
    let (config, factors) = (model.config(), &model.rope_factors);
    let full = config.rope.as_ref().map(|rope| {
        let by_size = match size > rope.original_context {
            true => &factors.long,
            false => &factors.short,
        };
        let factors = factors.always.as_deref().or(by_size.as_deref());
        rope.table(factors)
    });
    Ropes {
        full,
        windowed: config.window_rope.as_ref().map(|rope| rope.table(None)),
    }
}
