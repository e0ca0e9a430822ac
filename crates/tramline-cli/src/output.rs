//! What every command prints the same way: errors with their causes, JSON, and distributions.

use std::time::Duration;

use serde::Serialize;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// An error and what caused it, each said once.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Prints the one JSON object of a command.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// The middle, the tail and the worst of a set of times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Distribution {
    /// Exact percentiles by nearest rank; all zero when there are no samples.
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let rank = |percent: usize| {
            let index = (samples.len() * percent).div_ceil(100).saturating_sub(1);
            samples.get(index).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99), max: samples.last().copied().unwrap_or_default() }
    }

    pub(crate) fn in_micros(&self) -> Percentiles {
        Percentiles { p50: micros(self.p50), p99: micros(self.p99), max: micros(self.max) }
    }

    pub(crate) fn in_millis(&self) -> Percentiles {
        Percentiles { p50: millis(self.p50), p99: millis(self.p99), max: millis(self.max) }
    }
}

/// A [`Distribution`] as numbers of the unit that the field's name says.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

pub(crate) fn millis(duration: Duration) -> f64 {
    round3(duration.as_secs_f64() * 1e3)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    round3(duration.as_secs_f64() * 1e6)
}

/// Three decimals are more than any clock here resolves, and keep the JSON readable.
pub(crate) fn round3(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let samples = (1..=200).rev().map(Duration::from_millis).collect();
        let distribution = Distribution::of(samples);
        assert_eq!(distribution.p50, Duration::from_millis(100));
        assert_eq!(distribution.p99, Duration::from_millis(198));
        assert_eq!(distribution.max, Duration::from_millis(200));
    }

    #[test]
    fn no_samples_are_all_zero() {
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }

    #[test]
    fn a_single_sample_is_every_percentile() {
        let one = Duration::from_micros(7);
        assert_eq!(Distribution::of(vec![one]), Distribution { p50: one, p99: one, max: one });
    }

    #[test]
    fn a_cause_that_the_error_names_already_is_not_said_twice() {
        #[derive(Debug)]
        struct Outer(std::fmt::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "outer: {}", self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let inner = std::fmt::Error;
        assert_eq!(with_causes(&Outer(inner)), format!("outer: {inner}"));
    }
}
