//! The `tramline` command: a server, tokens, ways to see data flow, and a bad link to see it flow over.
//!
//! Each subcommand lives in a module of its own and does nothing that the SDK, the server library or the simulator's links
//! could not do for any other program. With `--json` a command prints exactly one JSON object on
//! standard output; everything meant for people goes to standard error.

#![allow(clippy::print_stdout)] // Printing is what a command line does.

mod bench;
mod credentials;
mod link_args;
mod output;
mod ping_pong;
mod relay;
mod serve;
mod token;
mod venue;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Live data between robots, services and browsers.
#[derive(Parser)]
#[command(name = "tramline", version, max_term_width = 100)]
struct Cli {
    /// What to log on standard error, as in `info` or `tramline=debug` (default: warn; `serve`: info).
    #[arg(long, global = true, env = "TRAMLINE_LOG", value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Print an access token for one participant of one room.
    Token(token::Args),
    /// Two participants answer each other's frames; shows what a frame's way costs.
    PingPong(ping_pong::Args),
    /// Push frames from a publisher through a server to a subscriber, and measure.
    Bench(Box<bench::Args>),
    /// A UDP relay with delay, loss, jitter, a rate and outages: a bad link between real programs.
    Relay(relay::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default_filter = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    if let Err(error) = init_logs(cli.log.as_deref().unwrap_or(default_filter)) {
        return fail(&error);
    }
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Token(args) => token::run(args),
        Command::PingPong(args) => ping_pong::run(args),
        Command::Bench(args) => bench::run(*args),
        Command::Relay(args) => relay::run(args),
    };
    outcome.unwrap_or_else(|error| fail(&error))
}

fn init_logs(filter: &str) -> Result<(), output::Error> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        format!("--log: `{filter}` is not a log filter ({error}); try `info` or `tramline=debug`")
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

fn fail(error: &output::Error) -> ExitCode {
    eprintln!("tramline: {}", output::with_causes(error.as_ref()));
    ExitCode::FAILURE
}
