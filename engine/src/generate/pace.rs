//! How much of the prompts that wait goes into a step with answers that are on their way.

use std::time::Duration;

/// The fewest tokens: below, a step takes hardly less time.
const LEAST: usize = 16;
/// Tokens of the first such step.
const FIRST: usize = 64;
/// What a step may take: answers go on at a pace that can be read along.
const TARGET: Duration = Duration::from_millis(150);

/// Tokens of prompts per step, by what steps took. Answers do not depend on it.
#[derive(Debug)]
pub(super) struct Pace {
    tokens: usize,
    most: usize,
}

impl Pace {
    /// At most `most` tokens, whatever steps take.
    pub fn new(most: usize) -> Pace {
        let most = most.max(1);
        Pace {
            tokens: FIRST.min(most),
            most,
        }
    }

    /// Tokens for a step.
    pub fn tokens(&self, answers_wait: bool) -> usize {
        match answers_wait {
            true => self.tokens,
            false => self.most,
        }
    }

    /// Learns from a step with answers and `tokens` of prompts.
    pub fn learn(&mut self, tokens: usize, took: Duration) {
        if took > TARGET {
            self.tokens = (self.tokens / 2).max(LEAST.min(self.most));
        } else if took < TARGET / 3 && tokens >= self.tokens {
            self.tokens = (self.tokens * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_steps_become_shorter_and_fast_ones_longer() {
        let mut pace = Pace::new(256);
        assert_eq!((pace.tokens(true), pace.tokens(false)), (64, 256));
        pace.learn(64, TARGET * 2);
        assert_eq!(pace.tokens(true), 32);
        (0..9).for_each(|_| pace.learn(32, TARGET * 2));
        assert_eq!(pace.tokens(true), LEAST);
        // A step that was not full says nothing about a longer one.
        pace.learn(3, TARGET / 9);
        assert_eq!(pace.tokens(true), LEAST);
        (0..9).for_each(|_| pace.learn(256, TARGET / 9));
        assert_eq!(pace.tokens(true), 256);
        let mut short = Pace::new(3);
        short.learn(3, TARGET * 2);
        assert_eq!((short.tokens(true), short.tokens(false)), (3, 3));
    }
}
