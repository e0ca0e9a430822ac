use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Environment variable that runs one seed only.
const SEED_VARIABLE: &str = "TRAMLINE_SEED";

/// Calls `test` with the seeds 0 to `count - 1`. When one panics, names it on stderr and panics on.
///
/// With `TRAMLINE_SEED=n` in the environment only seed `n` runs, whatever `count` is.
pub fn run_seeds(count: u64, mut test: impl FnMut(u64)) {
    let only = std::env::var(SEED_VARIABLE).ok().map(|value| {
        value
            .parse::<u64>()
            .unwrap_or_else(|_| panic!("{SEED_VARIABLE} must be a whole number, not {value:?}"))
    });
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("seed {seed} failed; {SEED_VARIABLE}={seed} runs it alone");
            resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_every_seed_once_and_passes_a_failure_on() {
        let mut seen = Vec::new();
        run_seeds(5, |seed| seen.push(seed));
        assert_eq!(seen, [0, 1, 2, 3, 4]);

        let mut last = None;
        let failed = catch_unwind(AssertUnwindSafe(|| {
            run_seeds(5, |seed| {
                last = Some(seed);
                assert_ne!(seed, 2, "the failure that the test wants");
            });
        }));
        assert!(failed.is_err());
        assert_eq!(last, Some(2));
    }
}
