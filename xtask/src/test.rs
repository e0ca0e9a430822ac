//! Every test, in stages: the checks, the Rust tests, then the official LiveKit clients.

use std::time::Duration;

use crate::c;
use crate::check;
use crate::cpp;
use crate::interop;
use crate::stage::{self, Report, Tally};

/// Building everything on two slow cores and running it fits in this; a hang does not.
const RUST_LIMIT: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Check,
    Rust,
    C,
    Cpp,
    Python,
    Ffi,
    Chromium,
    Node,
}

/// The name on the command line, whether it needs official clients, and what it is.
const STAGES: [(Stage, &str, bool, &str); 8] = [
    (Stage::Check, "check", false, "what `cargo xtask check` does"),
    (Stage::Rust, "rust", false, "unit, integration and doc tests, fuzz corpora replayed"),
    (Stage::C, "c", false, "the C library as it ships, also under AddressSanitizer and valgrind"),
    (Stage::Cpp, "cpp", false, "the C++ SDK, with valgrind and under two sanitizers"),
    (Stage::Python, "python", true, "the official Python client"),
    (Stage::Ffi, "ffi", true, "the official Python client on our liblivekit_ffi"),
    (Stage::Chromium, "chromium", true, "the official JavaScript client in Chromium"),
    (Stage::Node, "node", true, "the official Node client, on its own library and on our liblivekit_ffi"),
];

pub(crate) fn stage_names() -> String {
    let named = STAGES.map(|(_, name, _, what)| format!("{name} ({what})"));
    named.join(", ")
}

/// What `cargo xtask test` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    offline: bool,
    only: Vec<Stage>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--offline" => options.offline = true,
                "--only" => {
                    let name = args.next().ok_or("--only needs the name of a stage")?;
                    let found = STAGES.iter().find(|(_, known, ..)| known == name);
                    let (stage, ..) = found.ok_or_else(|| {
                        format!("there is no stage {name}; the stages are {}", stage_names())
                    })?;
                    options.only.push(*stage);
                }
                other => return Err(format!("unknown option of test: {other}")),
            }
        }
        Ok(options)
    }

    fn wants(&self, stage: Stage) -> bool {
        let (_, _, needs_clients, _) =
            STAGES.into_iter().find(|(known, ..)| *known == stage).expect("every stage is in the table");
        !(self.offline && needs_clients) && (self.only.is_empty() || self.only.contains(&stage))
    }
}

/// Runs the stages; the last line it prints counts the cases.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut report = Report::default();
    let mut total = Tally::default();

    if options.wants(Stage::Check) {
        check::stages(&mut report);
    }
    if options.wants(Stage::Rust) {
        report.stage("rust tests", || rust_tests(&mut total));
    }
    if options.wants(Stage::C) {
        c::stages(&mut report, &mut total);
    }
    if options.wants(Stage::Cpp) {
        cpp::stages(&mut report, &mut total);
    }
    if options.offline {
        println!("\nofficial clients: left out, --offline");
    }
    let wanted = interop::Wanted {
        python: options.wants(Stage::Python),
        library: options.wants(Stage::Ffi),
        chromium: options.wants(Stage::Chromium),
        node: options.wants(Stage::Node),
    };
    if wanted.python || wanted.library || wanted.chromium || wanted.node {
        interop::stages(&mut report, &mut total, wanted);
    }

    let outcome = report.finish();
    println!("\n{} passed, {} failed", total.passed, total.failed);
    outcome
}

fn rust_tests(total: &mut Tally) -> Result<(), String> {
    let mut tally = Tally::default();
    let mut command = stage::cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]);
    let outcome = stage::run(&mut command, RUST_LIMIT, |line| {
        tally.add(libtest_tally(line).unwrap_or_default());
    });
    total.add(tally);
    outcome?;
    if tally.passed == 0 {
        return Err("cargo test ran no test".to_owned());
    }
    println!("{} Rust tests passed", tally.passed);
    Ok(())
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn libtest_tally(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        let part = counts.split("; ").find_map(|part| part.strip_suffix(what))?;
        part.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(&args)
    }

    fn wanted(options: &Options) -> Vec<&'static str> {
        let wanted = STAGES.into_iter().filter(|(stage, ..)| options.wants(*stage));
        wanted.map(|(_, name, ..)| name).collect()
    }

    #[test]
    fn everything_runs_unless_asked_otherwise() {
        let options = parse(&[]).expect("no options are fine");
        assert!(STAGES.iter().all(|(stage, ..)| options.wants(*stage)));
    }

    #[test]
    fn offline_leaves_out_official_clients_only() {
        let options = parse(&["--offline"]).expect("a known option");
        assert_eq!(wanted(&options), ["check", "rust", "c", "cpp"]);
    }

    #[test]
    fn only_takes_stages_by_name_and_refuses_others() {
        let options = parse(&["--only", "chromium", "--only", "rust"]).expect("known stages");
        assert_eq!(wanted(&options), ["rust", "chromium"]);
        assert!(parse(&["--only", "nothing"]).unwrap_err().contains("there is no stage nothing"));
        assert!(parse(&["--only"]).is_err());
        assert!(parse(&["--fast"]).is_err());
    }

    #[test]
    fn the_counts_of_libtest_are_read() {
        let line = "test result: FAILED. 31 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.26s";
        assert_eq!(libtest_tally(line), Some(Tally { passed: 31, failed: 2 }));
        assert_eq!(libtest_tally("test result: ok"), None);
        assert_eq!(libtest_tally("running 3 tests"), None);
    }
}
