//! How often and after what pause a request is tried again.

use std::time::Duration;

/// Patience with a server that does not answer well.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, the first included.
    pub tries: u32,
    /// Pause after the first try; doubled after each further one, with up to as much again by
    /// chance so that many clients do not come back at the same instant.
    pub pause: Duration,
    /// The longest pause a server may ask for with `Retry-After`; asked for more, the request
    /// fails at once and tells the time.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 4,
            pause: Duration::from_millis(300),
            longest: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// The pause after try number `tried` (from 1), or `None` to give up.
    pub(super) fn pause_after(&self, tried: u32, asked: Option<Duration>) -> Option<Duration> {
        if tried >= self.tries || asked.is_some_and(|asked| asked > self.longest) {
            return None;
        }
        let backoff = self.pause * 2u32.saturating_pow((tried - 1).min(16));
        let backoff = backoff.mul_f64(1.0 + fastrand::f64());
        Some(
            asked
                .map_or(backoff, |asked| asked.max(backoff))
                .min(self.longest),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let retry = Retry::default();
        let second = |seconds| Some(Duration::from_secs(seconds));
        let first = retry.pause_after(1, None).unwrap_or_default();
        assert!(first >= retry.pause && first <= retry.pause * 2);
        assert!(retry.pause_after(3, None) >= Some(retry.pause * 4));
        assert_eq!(retry.pause_after(4, None), None);
        assert_eq!(retry.pause_after(1, second(5)), second(5));
        assert_eq!(retry.pause_after(1, second(3600)), None);
    }
}
