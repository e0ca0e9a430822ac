//! `tramline serve`: the server as a process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tramline_server::auth::{AccessToken, Keys, VideoGrants};
use tramline_server::{Server, ServerConfig};

use crate::output::{Error, print_json};

/// Room that the ready-made tokens open.
const DEV_ROOM: &str = "dev";
/// How long the ready-made tokens are valid.
const DEV_TOKEN_TTL: Duration = Duration::from_secs(24 * 3_600);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Needs nothing else: key `devkey`, secret `secret`, loopback only unless --bind is given.
    #[arg(long)]
    dev: bool,
    /// Address to listen on; may be repeated. Default: 127.0.0.1 and ::1 with --dev, all of IPv4 and IPv6 otherwise.
    #[arg(long, value_name = "ADDR")]
    bind: Vec<IpAddr>,
    /// TCP port of HTTP and WebSocket; 0 takes a free one.
    #[arg(long, default_value_t = 7880)]
    port: u16,
    /// UDP port of all data. Default: 7882, or a free one when that is taken.
    #[arg(long, value_name = "PORT")]
    udp_port: Option<u16>,
    /// Address that clients are told to send data to, when it is not one of this machine's; may be repeated.
    #[arg(long, value_name = "ADDR", env = "NODE_IP")]
    node_ip: Vec<IpAddr>,
    /// UDP port that clients are told to send data to, when it is not the one listened on: of a NAT, or of `tramline relay`.
    #[arg(long, value_name = "PORT")]
    node_udp_port: Option<u16>,
    /// An API key and its secret, as in "key: secret"; may be repeated, or several on lines of one value.
    #[arg(long, value_name = "KEY: SECRET", env = "LIVEKIT_KEYS", hide_env_values = true)]
    keys: Vec<String>,
    /// Print one JSON object when the server is ready: url, udp, api_key, and with --dev api_secret and tokens.
    #[arg(long)]
    json: bool,
}

/// What a client needs in order to join.
#[derive(Serialize)]
struct Ready {
    url: String,
    udp: Vec<String>,
    api_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_secret: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<ReadyToken>,
}

#[derive(Serialize)]
struct ReadyToken {
    room: String,
    identity: String,
    token: String,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        // Both are caught before the server can be seen, so that no signal is missed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let config = args.config()?;
        let keys = config.keys.clone();
        let server = Server::start(config)?;
        announce(&args, &server, &keys)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: participants are told to reconnect; a second signal ends at once");
        tokio::select! {
            _ = tokio::task::spawn_blocking(|| server.shutdown()) => Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => std::process::exit(130),
            _ = terminate.recv() => std::process::exit(143),
        }
    })
}

fn announce(args: &Args, server: &Server, keys: &Keys) -> Result<(), Error> {
    let (key, secret) = keys.signer().ok_or("no API key")?;
    let mut ready = Ready {
        url: server.url(),
        udp: server.udp_addrs().iter().map(ToString::to_string).collect(),
        api_key: key.to_owned(),
        api_secret: None,
        tokens: Vec::new(),
    };
    if args.dev {
        ready.api_secret = Some(secret.to_owned());
        for identity in ["alice", "bob"] {
            let token = AccessToken::new(key, secret)
                .with_identity(identity)
                .with_validity(DEV_TOKEN_TTL)
                .with_grants(VideoGrants::join(DEV_ROOM))
                .to_jwt()?;
            ready.tokens.push(ReadyToken { room: DEV_ROOM.to_owned(), identity: identity.to_owned(), token });
        }
    }
    if args.json {
        return print_json(&ready);
    }
    println!("url     {}", ready.url);
    println!("udp     {}", ready.udp.join(" "));
    println!("key     {}", ready.api_key);
    if let Some(secret) = &ready.api_secret {
        println!("secret  {secret}");
    }
    for token in &ready.tokens {
        println!("token   room {}, identity {}: {}", token.room, token.identity, token.token);
    }
    Ok(())
}

impl Args {
    fn config(&self) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::new(self.api_keys()?);
        config.bind = match (self.bind.is_empty(), self.dev) {
            (false, _) => self.bind.clone(),
            (true, true) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            (true, false) => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        };
        config.port = self.port;
        config.udp_port = self.udp_port;
        config.node_ips.clone_from(&self.node_ip);
        config.node_udp_port = self.node_udp_port;
        Ok(config)
    }

    fn api_keys(&self) -> Result<Keys, Error> {
        if !self.keys.is_empty() {
            return Ok(Keys::parse(&self.keys.join("\n"))?);
        }
        if self.dev {
            return Ok(Keys::dev());
        }
        Err("no API key: give one with --keys \"key: secret\" (or LIVEKIT_KEYS), or use --dev".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dev: bool, keys: &[&str]) -> Args {
        Args {
            dev,
            bind: Vec::new(),
            port: 7880,
            udp_port: None,
            node_ip: Vec::new(),
            node_udp_port: None,
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            json: false,
        }
    }

    #[test]
    fn dev_mode_needs_no_key_and_stays_on_loopback() {
        let args = args(true, &[]);
        let config = args.config().expect("dev mode needs nothing");
        assert_eq!(config.keys, Keys::dev());
        assert!(config.bind.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn without_dev_mode_a_key_is_asked_for() {
        let error = args(false, &[]).api_keys().expect_err("no key");
        assert!(error.to_string().contains("--keys"), "{error}");
    }

    #[test]
    fn several_keys_may_stand_on_lines_of_one_value() {
        let keys = args(false, &["a: 1\nb:2\n"]).api_keys().expect("two keys");
        assert_eq!((keys.secret("a"), keys.secret("b")), (Some("1"), Some("2")));
    }

    #[test]
    fn a_malformed_key_is_refused_without_showing_it() {
        let error = args(false, &["hunter2"]).api_keys().expect_err("no colon");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
