//! `cargo xtask`: the only definition of what CI runs.
//!
//! `cargo xtask check` looks at the code without running it, `cargo xtask test` runs everything.
#![allow(clippy::print_stdout, reason = "a task runner talks on stdout")]

mod c;
mod check;
mod cpp;
mod interop;
mod library;
mod metadata;
mod stage;
mod system;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  check                       formatting, lints, docs, crate boundaries, MSRV, licences, repository rules
  test [options]              every test, official LiveKit clients included; installs what those need
      --offline               only what needs no official client (and so no download)
      --only STAGE            only this stage and what it needs; may be repeated
  headers                     writes the C header anew from the sources of tramline-c
  dist                        builds the C library for handing out, below target/dist
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((command, [])) if command == "check" => check::run(),
        Some((command, [])) if command == "headers" => library::write_header(),
        Some((command, [])) if command == "dist" => library::dist().map(|_| ()),
        Some((command, rest)) if command == "test" => {
            test::Options::parse(rest).and_then(|options| test::run(&options))
        }
        Some((command, _)) if matches!(command.as_str(), "help" | "--help" | "-h") => {
            println!("{USAGE}  stages: {}", test::stage_names());
            return ExitCode::SUCCESS;
        }
        Some(_) => Err(format!("unknown command line: {}", args.join(" "))),
        None => Err("no command given".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            if args.is_empty() || !matches!(args[0].as_str(), "check" | "test") {
                eprint!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}
