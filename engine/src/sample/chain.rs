//! The chain of steps.

use std::collections::HashMap;

use super::random::Random;

/// How to choose the next token. The defaults are llama.cpp's.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Divides the logits: below 1 sharper, above 1 flatter. 0 or less: always the likeliest token.
    pub temperature: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the likeliest one's probability; 0 keeps all.
    pub min_p: f32,
    /// Keep the most typical tokens that together have this probability; 1 keeps all.
    pub typical: f32,
    /// Steps that keep tokens keep at least this many (at least one).
    pub min_keep: usize,
    /// How many of the last tokens the penalties look at; 0 for none.
    pub penalty_last: usize,
    /// Divides positive and multiplies negative logits of tokens that occurred; 1 for none.
    pub repeat_penalty: f32,
    /// Taken from a logit for each time the token occurred; 0 for none.
    pub frequency_penalty: f32,
    /// Taken from a logit once if the token occurred; 0 for none.
    pub presence_penalty: f32,
    /// Against repeating what came before.
    pub dry: Dry,
    /// Added to the logits of tokens; minus infinity forbids one.
    pub bias: HashMap<u32, f32>,
    /// The order of the steps. Greedy choice and bias come first, whatever it is.
    pub steps: Vec<Step>,
    /// Where random numbers start.
    pub seed: u64,
}

/// A step of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Step {
    Penalties,
    Dry,
    TopK,
    Typical,
    TopP,
    MinP,
    Temperature,
}

/// "Don't repeat yourself": a token that would lengthen a repetition of n tokens loses
/// `multiplier * base ^ (n - allowed)` from its logit.
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// 0 turns it off.
    pub multiplier: f32,
    /// At least 1.
    pub base: f32,
    /// Repetitions shorter than this are free.
    pub allowed: usize,
    /// How many of the last tokens count; `None` for all.
    pub last: Option<usize>,
    /// Sequences over which no repetition reaches, as tokens: line ends, quotes. One token each is
    /// looked at, the first.
    pub breakers: Vec<u32>,
}

impl Default for Dry {
    fn default() -> Dry {
        Dry {
            multiplier: 0.0,
            base: 1.75,
            allowed: 2,
            last: None,
            breakers: Vec::new(),
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical: 1.0,
            min_keep: 1,
            penalty_last: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry: Dry::default(),
            bias: HashMap::new(),
            steps: vec![
                Step::Penalties,
                Step::Dry,
                Step::TopK,
                Step::Typical,
                Step::TopP,
                Step::MinP,
                Step::Temperature,
            ],
            seed: 0,
        }
    }
}

/// Chooses tokens, one after another.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: Options,
    random: Random,
    history: Vec<u32>,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    logit: f32,
    /// Filled in by [`softmax`].
    p: f32,
}

/// The tokens still in question. `sorted`: the likeliest come first.
struct Candidates<'c> {
    list: &'c mut Vec<Candidate>,
    sorted: bool,
}

impl Sampler {
    /// A sampler that has seen no token yet.
    pub fn new(options: Options) -> Sampler {
        Sampler {
            random: Random::new(options.seed),
            options,
            history: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Tells the sampler about a token of the prompt or of the answer, for penalties.
    pub fn accept(&mut self, token: u32) {
        self.history.push(token);
    }

    /// Forgets all tokens but the first `len`, as when an answer is taken back.
    pub fn truncate(&mut self, len: usize) {
        self.history.truncate(len);
    }

    /// Chooses a token; `logits` has one number for each. `allowed` (where given) says which tokens
    /// may be chosen. `None` if no token is possible: all are forbidden, or no logit is a number.
    ///
    /// The token is not accepted yet.
    pub fn sample(&mut self, logits: &[f32], allowed: Option<&dyn Fn(u32) -> bool>) -> Option<u32> {
        let mut list = std::mem::take(&mut self.candidates);
        list.clear();
        list.extend((0u32..).zip(logits).filter_map(|(id, &logit)| {
            let logit = logit + self.options.bias.get(&id).copied().unwrap_or(0.0);
            let possible = !logit.is_nan() && logit > f32::NEG_INFINITY;
            let may = possible && allowed.is_none_or(|allowed| allowed(id));
            // Two infinite logits would have no difference to work with.
            may.then_some(Candidate {
                id,
                logit: logit.min(f32::MAX),
                p: 0.0,
            })
        }));
        let chosen = self.choose(&mut list);
        self.candidates = list;
        chosen
    }

    fn choose(&mut self, list: &mut Vec<Candidate>) -> Option<u32> {
        let options = &self.options;
        let greedy = options.temperature <= 0.0;
        let mut candidates = Candidates {
            list,
            sorted: false,
        };
        for step in &options.steps {
            match step {
                Step::Penalties => penalties(options, &self.history, &mut candidates),
                Step::Dry => dry(&options.dry, &self.history, &mut candidates),
                // The rest never takes the likeliest one away.
                _ if greedy => {}
                Step::TopK => candidates.top_k(options.top_k, options.min_keep),
                Step::Typical => candidates.typical(options.typical, options.min_keep),
                Step::TopP => candidates.top_p(options.top_p, options.min_keep),
                Step::MinP => candidates.min_p(options.min_p, options.min_keep),
                Step::Temperature => {
                    for candidate in &mut *candidates.list {
                        candidate.logit /= options.temperature;
                    }
                }
            }
        }
        if greedy {
            // Of equal ones the first.
            let likeliest =
                candidates
                    .list
                    .iter()
                    .reduce(|best, next| match next.logit > best.logit {
                        true => next,
                        false => best,
                    });
            return likeliest.map(|candidate| candidate.id);
        }
        candidates.softmax();
        let mut left = self.random.unit();
        for candidate in &*candidates.list {
            left -= f64::from(candidate.p);
            if left < 0.0 {
                return Some(candidate.id);
            }
        }
        // Rounding may leave a little; the likeliest token is as good as any.
        candidates.list.first().map(|candidate| candidate.id)
    }
}

impl Candidates<'_> {
    /// Sorts, the likeliest first and of equal ones the lower id.
    fn sort(&mut self) {
        if !self.sorted {
            self.list.sort_unstable_by(order);
            self.sorted = true;
        }
    }

    /// Probabilities from logits.
    fn softmax(&mut self) {
        self.sort();
        let Some(most) = self.list.first().map(|candidate| candidate.logit) else {
            return;
        };
        let mut sum = 0.0;
        for candidate in &mut *self.list {
            candidate.p = (candidate.logit - most).exp();
            sum += candidate.p;
        }
        self.list
            .iter_mut()
            .for_each(|candidate| candidate.p /= sum);
    }

    fn top_k(&mut self, wanted: usize, min_keep: usize) {
        let k = wanted.max(min_keep);
        if wanted == 0 || k > self.list.len() {
            return;
        }
        if !self.sorted && k < self.list.len() {
            // Only the kept ones have to be in order.
            self.list.select_nth_unstable_by(k, order);
        }
        self.list.truncate(k);
        self.sort();
    }

    fn top_p(&mut self, p: f32, min_keep: usize) {
        if p >= 1.0 {
            return;
        }
        self.softmax();
        let mut sum = 0.0;
        let reached = self.list.iter().enumerate().position(|(index, candidate)| {
            sum += candidate.p;
            sum >= p && index + 1 >= min_keep
        });
        if let Some(last) = reached {
            self.list.truncate(last + 1);
        }
    }

    fn min_p(&mut self, p: f32, min_keep: usize) {
        if p <= 0.0 {
            return;
        }
        let most = self
            .list
            .iter()
            .map(|c| c.logit)
            .fold(f32::NEG_INFINITY, f32::max);
        let least = most + p.ln();
        let enough = self.list.iter().filter(|c| c.logit >= least).count();
        if enough >= min_keep.max(1) {
            self.list.retain(|candidate| candidate.logit >= least);
        } else {
            self.sort();
            self.list.truncate(min_keep.max(1));
        }
    }

    fn typical(&mut self, p: f32, min_keep: usize) {
        if p >= 1.0 {
            return;
        }
        self.softmax();
        let surprise = |candidate: &Candidate| -candidate.p.ln();
        let entropy: f32 = self
            .list
            .iter()
            .filter(|c| c.p > 0.0)
            .map(|c| c.p * surprise(c))
            .sum();
        let distance = |candidate: &Candidate| (surprise(candidate) - entropy).abs();
        self.list
            .sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        let mut sum = 0.0;
        let reached = self.list.iter().enumerate().position(|(index, candidate)| {
            sum += candidate.p;
            sum > p && (min_keep == 0 || index + 1 >= min_keep)
        });
        if let Some(last) = reached {
            self.list.truncate(last + 1);
        }
        self.sorted = false;
    }
}

fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

fn penalties(options: &Options, history: &[u32], candidates: &mut Candidates) {
    let none = options.repeat_penalty == 1.0
        && options.frequency_penalty == 0.0
        && options.presence_penalty == 0.0;
    if none || options.penalty_last == 0 {
        return;
    }
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for &token in &history[history.len().saturating_sub(options.penalty_last)..] {
        *counts.entry(token).or_default() += 1;
    }
    for candidate in &mut *candidates.list {
        let Some(&count) = counts.get(&candidate.id) else {
            continue;
        };
        match candidate.logit <= 0.0 {
            true => candidate.logit *= options.repeat_penalty,
            false => candidate.logit /= options.repeat_penalty,
        }
        candidate.logit -= count as f32 * options.frequency_penalty + options.presence_penalty;
    }
    candidates.sorted = false;
}

fn dry(dry: &Dry, history: &[u32], candidates: &mut Candidates) {
    if dry.multiplier == 0.0 || dry.base < 1.0 || dry.last == Some(0) {
        return;
    }
    let from = dry
        .last
        .map_or(0, |last| history.len().saturating_sub(last));
    let history = &history[from..];
    // Nothing before the last breaker can be repeated over it.
    let limit = history
        .iter()
        .rev()
        .take_while(|token| !dry.breakers.contains(token))
        .count();
    if limit < dry.allowed {
        return;
    }
    // For each token that once followed what the text ends with: how much of it was the same.
    let mut longest: HashMap<u32, usize> = HashMap::new();
    for (same, at) in suffix_lengths(history) {
        let same = same.min(limit);
        let next = history[at + 1];
        if same >= dry.allowed && !dry.breakers.contains(&next) {
            let known = longest.entry(next).or_default();
            *known = same.max(*known);
        }
    }
    for candidate in &mut *candidates.list {
        if let Some(&same) = longest.get(&candidate.id) {
            // Beyond this the power is no number any more.
            let most = (f32::MAX.ln() / dry.base.ln()).min(1e6) as i32;
            let exponent = i32::try_from(same - dry.allowed)
                .unwrap_or(i32::MAX)
                .min(most);
            candidate.logit -= dry.multiplier * dry.base.powi(exponent);
        }
    }
    candidates.sorted = false;
}

/// For each place but the last: how many tokens up to it are the same as at the end of the text, and
/// the place. In linear time, by the Z function of the text read backwards.
fn suffix_lengths(history: &[u32]) -> impl Iterator<Item = (usize, usize)> {
    let len = history.len();
    let at = |index: usize| history[len - 1 - index];
    let mut lengths = vec![0; len];
    let (mut left, mut right) = (0, 0);
    for index in 1..len {
        let mut same = if index < right {
            lengths[index - left].min(right - index)
        } else {
            0
        };
        while index + same < len && at(same) == at(index + same) {
            same += 1;
        }
        if index + same > right {
            (left, right) = (index, index + same);
        }
        lengths[index] = same;
    }
    (1..len).map(move |index| (lengths[index], len - 1 - index))
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
