use super::*;
use proptest::prelude::*;

/// All off but what is set.
fn plain() -> Options {
    Options {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        ..Options::default()
    }
}

/// The ids that can come out, by many draws.
fn possible(options: Options, logits: &[f32]) -> Vec<u32> {
    let mut sampler = Sampler::new(options);
    let mut seen: Vec<u32> = (0..3000)
        .filter_map(|_| sampler.sample(logits, None))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln()).collect()
}

#[test]
fn steps_keep_what_they_say() {
    let logits = logits(&[0.1, 0.2, 0.3, 0.4]);
    assert_eq!(possible(plain(), &logits), [0, 1, 2, 3]);
    assert_eq!(
        possible(
            Options {
                top_k: 1,
                ..plain()
            },
            &logits
        ),
        [3]
    );
    assert_eq!(
        possible(
            Options {
                top_k: 3,
                ..plain()
            },
            &logits
        ),
        [1, 2, 3]
    );
    assert_eq!(
        possible(
            Options {
                top_p: 0.65,
                ..plain()
            },
            &logits
        ),
        [2, 3]
    );
    assert_eq!(
        possible(
            Options {
                top_p: 0.75,
                ..plain()
            },
            &logits
        ),
        [1, 2, 3]
    );
    assert_eq!(
        possible(
            Options {
                top_p: 0.0,
                ..plain()
            },
            &logits
        ),
        [3]
    );
    assert_eq!(
        possible(
            Options {
                top_p: 0.0,
                min_keep: 2,
                ..plain()
            },
            &logits
        ),
        [2, 3]
    );
    assert_eq!(
        possible(
            Options {
                min_p: 0.6,
                ..plain()
            },
            &logits
        ),
        [2, 3]
    );
    // Surprise is nearest to the entropy (1.28) for 0.3, then 0.2 and 0.4.
    assert_eq!(
        possible(
            Options {
                typical: 0.2,
                ..plain()
            },
            &logits
        ),
        [2]
    );
    assert_eq!(
        possible(
            Options {
                typical: 0.4,
                ..plain()
            },
            &logits
        ),
        [1, 2]
    );
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = logits(&[0.1, 0.2, 0.3, 0.4]);
    let mut sampler = Sampler::new(Options { seed: 5, ..plain() });
    let mut counts = [0; 4];
    for _ in 0..20_000 {
        counts[sampler.sample(&logits, None).unwrap() as usize] += 1;
    }
    for (count, p) in counts.iter().zip([0.1, 0.2, 0.3, 0.4]) {
        assert!(
            (f64::from(*count) / 20_000.0 - p).abs() < 0.015,
            "{counts:?}"
        );
    }
}

#[test]
fn greedy_takes_the_first_of_the_likeliest() {
    let mut sampler = Sampler::new(Options {
        temperature: 0.0,
        ..Options::default()
    });
    assert_eq!(sampler.sample(&[1.0, 3.0, f32::NAN, 3.0], None), Some(1));
    assert_eq!(
        sampler.sample(&[1.0, 3.0, 2.0], Some(&|id| id != 1)),
        Some(2)
    );
    assert_eq!(sampler.sample(&[f32::NAN, f32::NEG_INFINITY], None), None);
    assert_eq!(sampler.sample(&[], None), None);
    assert_eq!(sampler.sample(&[1.0], Some(&|_| false)), None);
}

#[test]
fn penalties_and_bias_change_logits() {
    let greedy = Options {
        temperature: 0.0,
        ..plain()
    };
    let mut sampler = Sampler::new(Options {
        repeat_penalty: 2.0,
        ..greedy.clone()
    });
    sampler.accept(0);
    assert_eq!(sampler.sample(&[3.0, 2.0], None), Some(1));
    assert_eq!(sampler.sample(&[-1.0, -1.5], None), Some(1));
    sampler.truncate(0);
    assert_eq!(sampler.sample(&[3.0, 2.0], None), Some(0));

    let mut sampler = Sampler::new(Options {
        frequency_penalty: 0.4,
        ..greedy.clone()
    });
    sampler.accept(0);
    sampler.accept(0);
    assert_eq!(sampler.sample(&[3.0, 2.1], None), Some(0));
    sampler.accept(0);
    assert_eq!(sampler.sample(&[3.0, 2.1], None), Some(1));

    // Only the last tokens count.
    let last = Options {
        presence_penalty: 2.0,
        penalty_last: 1,
        ..greedy.clone()
    };
    let mut sampler = Sampler::new(last);
    sampler.accept(0);
    assert_eq!(sampler.sample(&[3.0, 2.0], None), Some(1));
    sampler.accept(1);
    assert_eq!(sampler.sample(&[3.0, 2.0], None), Some(0));

    let bias = HashMap::from([(0, f32::NEG_INFINITY), (2, 5.0)]);
    let mut sampler = Sampler::new(Options { bias, ..greedy });
    assert_eq!(sampler.sample(&[9.0, 2.0, 1.0], None), Some(2));
}

#[test]
fn dry_stops_repetitions() {
    let dry = Dry {
        multiplier: 1.0,
        base: 2.0,
        allowed: 2,
        ..Dry::default()
    };
    let options = |dry| Options {
        temperature: 0.0,
        dry,
        ..plain()
    };
    let mut sampler = Sampler::new(options(dry.clone()));
    // 1 2 3 4, then 1 2 3: another 4 would repeat three tokens, which costs 2.
    [1, 2, 3, 4, 9, 1, 2, 3]
        .into_iter()
        .for_each(|token| sampler.accept(token));
    let mut logits = vec![0.0; 10];
    (logits[4], logits[5]) = (3.0, 1.1);
    assert_eq!(sampler.sample(&logits, None), Some(5));
    logits[5] = 0.9;
    assert_eq!(sampler.sample(&logits, None), Some(4));

    // A breaker within: nothing is long enough.
    let breakers = vec![2];
    let mut sampler = Sampler::new(options(Dry { breakers, ..dry }));
    [1, 2, 3, 4, 9, 1, 2, 3]
        .into_iter()
        .for_each(|token| sampler.accept(token));
    logits[5] = 1.1;
    assert_eq!(sampler.sample(&logits, None), Some(4));
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_tokens(
        seed: u64, logits in prop::collection::vec(-20f32..20.0, 1..200), top_k in 0usize..50,
    ) {
        let options = Options { seed, top_k, repeat_penalty: 1.1, ..Options::default() };
        let run = || {
            let mut sampler = Sampler::new(options.clone());
            let mut ids = Vec::new();
            for _ in 0..20 {
                let id = sampler.sample(&logits, None).unwrap();
                sampler.accept(id);
                ids.push(id);
            }
            ids
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn odd_logits_and_options_do_no_harm(
        logits in prop::collection::vec(prop::num::f32::ANY, 0..40),
        temperature: f32, top_p: f32, min_p: f32, typical: f32, multiplier: f32, base: f32,
        history in prop::collection::vec(0u32..5, 0..60),
    ) {
        let dry = Dry { multiplier, base, ..Dry::default() };
        let mut sampler = Sampler::new(Options {
            temperature, top_p, min_p, typical, dry, repeat_penalty: top_p, ..Options::default()
        });
        history.into_iter().for_each(|token| sampler.accept(token));
        if let Some(id) = sampler.sample(&logits, None) {
            prop_assert!((id as usize) < logits.len());
        }
    }

    #[test]
    fn lengths_of_repetitions_are_right(history in prop::collection::vec(0u32..3, 0..30)) {
        for (same, at) in suffix_lengths(&history) {
            let slow = (0..=at)
                .take_while(|back| history[at - back] == history[history.len() - 1 - back])
                .count();
            prop_assert_eq!(same, slow);
        }
    }
}
