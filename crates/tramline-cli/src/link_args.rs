//! The flags that describe a bad link, and the same on one line: `delay=25,loss=1`.

use std::str::FromStr;
use std::time::Duration;

use tramline_sim::LinkConfig;

/// A link for both directions; each direction has its own dice, and its own queue.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct LinkArgs {
    /// Time on the way, each direction, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = parse_millis)]
    delay: Duration,
    /// Up to this much more, uniformly, in milliseconds; the order is kept.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = parse_millis)]
    jitter: Duration,
    /// Let datagrams overtake each other within the jitter.
    #[arg(long)]
    reorder: bool,
    /// Part that is lost, in percent.
    #[arg(long, value_name = "P", default_value = "0", value_parser = parse_percent)]
    loss: f64,
    /// Mean length of a run of losses, in datagrams.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_burst)]
    burst: f64,
    /// Part that arrives twice, in percent.
    #[arg(long, value_name = "P", default_value = "0", value_parser = parse_percent)]
    duplicate: f64,
    /// Rate, in Mbit/s; without it there is no limit.
    #[arg(long, value_name = "MBIT", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Queue in front of the rate, in kB; what comes when it is full is lost.
    #[arg(long, value_name = "KB", default_value = "256", value_parser = parse_kilobytes)]
    queue: usize,
    /// Everything is lost from second S on for D seconds; may be repeated.
    #[arg(long, value_name = "S:D", value_parser = parse_outage)]
    outage: Vec<(Duration, Duration)>,
    /// Seed of the dice: the same one gives the same losses to the same datagrams.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl LinkArgs {
    pub(crate) fn config(&self) -> LinkConfig {
        let mut config =
            LinkConfig::with_delay(self.delay).with_jitter(self.jitter).with_loss(self.loss, self.burst);
        config.reorder = self.reorder;
        config.duplicate = self.duplicate;
        config.rate = self.rate;
        config.queue = self.queue;
        config.outages.clone_from(&self.outage);
        config
    }
}

impl FromStr for LinkArgs {
    type Err = String;

    /// The flags of `tramline relay` without their dashes, as in `delay=25,loss=1,outage=5:3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut link = Self { burst: 1.0, queue: LinkConfig::DEFAULT_QUEUE, seed: 1, ..Self::default() };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key {
                "delay" => link.delay = parse_millis(value)?,
                "jitter" => link.jitter = parse_millis(value)?,
                "reorder" if value.is_empty() => link.reorder = true,
                "loss" => link.loss = parse_percent(value)?,
                "burst" => link.burst = parse_burst(value)?,
                "duplicate" => link.duplicate = parse_percent(value)?,
                "rate" => link.rate = Some(parse_rate(value)?),
                "queue" => link.queue = parse_kilobytes(value)?,
                "outage" => link.outage.push(parse_outage(value)?),
                "seed" => link.seed = value.parse().map_err(|_| expected(value, "a whole number"))?,
                _ => {
                    return Err(format!(
                        "`{part}` says nothing about a link; expected delay=MS, jitter=MS, reorder, loss=P, burst=N, \
                         duplicate=P, rate=MBIT, queue=KB, outage=S:D or seed=N, joined by commas"
                    ));
                }
            }
        }
        Ok(link)
    }
}

fn parse_millis(text: &str) -> Result<Duration, String> {
    let millis = number(text, 0.0..=60_000.0, "milliseconds from 0 to 60000")?;
    Ok(Duration::from_secs_f64(millis / 1e3))
}

fn parse_percent(text: &str) -> Result<f64, String> {
    Ok(number(text, 0.0..=100.0, "a percentage from 0 to 100")? / 100.0)
}

fn parse_burst(text: &str) -> Result<f64, String> {
    number(text, 1.0..=10_000.0, "datagrams from 1 to 10000")
}

fn parse_rate(text: &str) -> Result<u64, String> {
    Ok((number(text, 0.001..=100_000.0, "Mbit/s from 0.001 to 100000")? * 1e6 / 8.0) as u64)
}

fn parse_kilobytes(text: &str) -> Result<usize, String> {
    Ok((number(text, 0.0..=1e6, "kB from 0 to 1000000")? * 1e3) as usize)
}

fn parse_outage(text: &str) -> Result<(Duration, Duration), String> {
    let what = "an outage as S:D, the second of its begin and its length in seconds";
    let (begin, length) = text.split_once(':').ok_or_else(|| expected(text, what))?;
    let seconds = |part| Ok::<_, String>(Duration::from_secs_f64(number(part, 0.0..=1e6, what)?));
    Ok((seconds(begin)?, seconds(length)?))
}

fn number(text: &str, range: std::ops::RangeInclusive<f64>, what: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| expected(text, what))
}

fn expected(text: &str, what: &str) -> String {
    format!("`{text}` is not what was expected: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_same_as_the_flags() {
        let link: LinkArgs =
            "delay=25,jitter=2.5,loss=1,burst=4,rate=20,queue=64,outage=5:3,seed=9".parse().expect("a link");
        let ms = Duration::from_millis(1);
        let mut config = LinkConfig::with_delay(25 * ms)
            .with_jitter(ms.mul_f64(2.5))
            .with_loss(0.01, 4.0)
            .with_rate(20_000_000, 64_000)
            .with_outage(5_000 * ms, 3_000 * ms);
        assert_eq!((link.config(), link.seed), (config.clone(), 9));
        let reordering: LinkArgs = "jitter=2.5,reorder".parse().expect("a link");
        config = LinkConfig::default().with_jitter(ms.mul_f64(2.5));
        config.reorder = true;
        assert_eq!(reordering.config(), config);
        assert_eq!("".parse::<LinkArgs>().expect("nothing").config(), LinkConfig::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (text, part) in
            [("loss=200", "`200`"), ("speed=3", "`speed=3`"), ("outage=5", "`5`"), ("delay", "``")]
        {
            let error = text.parse::<LinkArgs>().expect_err("not a link");
            assert!(error.contains(part) && error.contains("expected"), "{error}");
        }
    }
}
