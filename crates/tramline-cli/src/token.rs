//! `tramline token`: prints a JWT and nothing else.

use std::process::ExitCode;
use std::time::Duration;

use tramline_server::auth::{AccessToken, VideoGrants};

use crate::credentials::ApiKey;
use crate::output::Error;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Room that the token opens.
    #[arg(long)]
    room: String,
    /// Identity of the participant, unique in the room.
    #[arg(long)]
    identity: String,
    /// How long the token is valid, as in 90s, 30m, 6h or 7d.
    #[arg(long, default_value = "6h", value_parser = parse_duration)]
    valid_for: Duration,
    /// Name shown to others.
    #[arg(long)]
    name: Option<String>,
    /// Metadata of the participant, any text.
    #[arg(long)]
    metadata: Option<String>,
    /// An attribute, as in role=arm; may be repeated.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
    /// Refuse publishing of any kind.
    #[arg(long)]
    no_publish: bool,
    /// Refuse subscribing.
    #[arg(long)]
    no_subscribe: bool,
    /// Refuse publishing data: no data tracks, no packets.
    #[arg(long)]
    no_publish_data: bool,
    /// Allow the participant to change its own name, metadata and attributes.
    #[arg(long)]
    can_update_own_metadata: bool,
    /// Hide the participant from others.
    #[arg(long)]
    hidden: bool,
    #[command(flatten)]
    key: ApiKey,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let (key, secret) = args.key.pair();
    let mut grants = VideoGrants::join(&args.room);
    grants.can_publish = args.no_publish.then_some(false);
    grants.can_subscribe = args.no_subscribe.then_some(false);
    grants.can_publish_data = args.no_publish_data.then_some(false);
    grants.can_update_own_metadata = args.can_update_own_metadata.then_some(true);
    grants.hidden = args.hidden;
    let mut token = AccessToken::new(key, secret)
        .with_identity(&args.identity)
        .with_validity(args.valid_for)
        .with_attributes(args.attributes.into_iter().collect())
        .with_grants(grants);
    if let Some(name) = &args.name {
        token = token.with_name(name);
    }
    if let Some(metadata) = &args.metadata {
        token = token.with_metadata(metadata);
    }
    println!("{}", token.to_jwt()?);
    Ok(ExitCode::SUCCESS)
}

/// Reads `6h`, `90s`, `30m`, `7d`, or a bare number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is not a duration; expected a number and a unit, as in 90s, 30m, 6h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit_seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let seconds = number.checked_mul(unit_seconds).filter(|seconds| *seconds > 0).ok_or_else(expected)?;
    Ok(Duration::from_secs(seconds))
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not an attribute; expected KEY=VALUE, as in role=arm")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(parse_duration("6h"), Ok(Duration::from_secs(21_600)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("5"), Ok(Duration::from_secs(5)));
    }

    #[test]
    fn a_wrong_duration_says_what_is_expected() {
        for wrong in
            ["", "h", "6 h", "6w", "-1s", "0s", "1.5h", "99999999999999999999d", "9999999999999999999d"]
        {
            let error = parse_duration(wrong).expect_err(wrong);
            assert!(error.contains("expected a number and a unit"), "{error}");
        }
    }

    #[test]
    fn attributes_split_at_the_first_equals_sign() {
        assert_eq!(parse_attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_attribute("=b").is_err());
        assert!(parse_attribute("a").is_err());
    }
}
