//! Runs commands as named, timed stages, and kills those that hang.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How many cases passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The stages run so far, each with its time and what went wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    took: Duration,
    problem: Option<String>,
}

impl Report {
    /// Runs one stage, announces it and prints how long it took. A failure does not stop the next stage.
    pub(crate) fn stage<T>(&mut self, name: &str, body: impl FnOnce() -> Result<T, String>) -> Option<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = body();
        let took = start.elapsed();
        let (value, problem) = match outcome {
            Ok(value) => (Some(value), None),
            Err(problem) => (None, Some(problem)),
        };
        match &problem {
            None => println!("== {name}: ok, {:.1} s", took.as_secs_f64()),
            Some(problem) => println!("== {name}: FAILED, {:.1} s\n{problem}", took.as_secs_f64()),
        }
        self.rows.push(Row { name: name.to_owned(), took, problem });
        value
    }

    /// Prints the table of stages; an error when any of them failed.
    pub(crate) fn finish(&self) -> Result<(), String> {
        println!("\nstage                 seconds");
        for row in &self.rows {
            let mark = if row.problem.is_some() { "  FAILED" } else { "" };
            println!("{:<20} {:>8.1}{mark}", row.name, row.took.as_secs_f64());
        }
        let failed: Vec<&str> =
            self.rows.iter().filter(|row| row.problem.is_some()).map(|row| row.name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

/// The root of the repository, whatever the current directory is.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the root").to_owned()
}

/// A `cargo` command in the root of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root());
    command
}

/// Runs a command that must succeed within `limit`; `each_line` sees its stdout, which is also printed.
pub(crate) fn run(
    command: &mut Command,
    limit: Duration,
    mut each_line: impl FnMut(&str),
) -> Result<(), String> {
    let shown = shown(command);
    println!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    let stdout = child.stdout.take().expect("stdout is piped");

    let pid = child.id();
    let (finished, watch) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hung = watch.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if hung {
            kill_tree(pid);
        }
        hung
    });

    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.map_err(|error| format!("reading `{shown}`: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each_line(&line);
    }
    let _ = std::io::stdout().flush();
    let status = child.wait().map_err(|error| format!("waiting for `{shown}`: {error}"))?;
    drop(finished);
    if watchdog.join().expect("the watchdog does not panic") {
        return Err(format!("`{shown}` was killed: not done within {limit:?}"));
    }
    if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}")) }
}

/// The output of a short command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}` ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("`{shown}` printed no text: {error}"))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let mut shown = name.to_string_lossy().into_owned();
    for arg in command.get_args() {
        shown.push(' ');
        shown.push_str(&arg.to_string_lossy());
    }
    shown
}

/// Kills a process and everything below it: a test that hangs has usually started a server of its own.
fn kill_tree(pid: u32) {
    let mut doomed = descendants(pid, &parents());
    doomed.push(pid);
    let pids = doomed.iter().map(u32::to_string);
    // One that ended by itself meanwhile is no news.
    let _ = Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status();
}

/// Every process and its parent, from /proc; empty where there is none.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The second field is the name in parentheses and may hold anything, so count from its end.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((pid, parent.parse().ok()?))
        })
        .collect()
}

fn descendants(root: u32, parents: &HashMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, of)| **of == parent);
        found.extend(children.map(|(pid, _)| *pid).filter(|pid| *pid != root));
        next += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_fails_the_report_and_the_next_stage_still_runs() {
        let mut report = Report::default();
        assert_eq!(report.stage("good", || Ok(7)), Some(7));
        assert!(report.finish().is_ok());
        assert_eq!(report.stage::<()>("bad", || Err("broken".into())), None);
        assert_eq!(report.stage("after", || Ok(())), Some(()));
        assert_eq!(report.finish(), Err("failed: bad".to_owned()));
    }

    #[test]
    fn lines_are_handed_over_and_a_bad_exit_is_an_error() {
        let mut lines = Vec::new();
        let minute = Duration::from_secs(60);
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; exit 3"]);
        let outcome = run(&mut command, minute, |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        assert!(outcome.unwrap_err().contains("exit status: 3"));
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_started() {
        let mut pids = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let outcome = run(&mut command, Duration::from_secs(2), |line| {
            pids.push(line.parse::<u32>().expect("sh prints the pid of its child"));
        });
        assert!(outcome.unwrap_err().contains("was killed"));
        // It has closed its output, so it is ending, which takes a moment; and it may be a zombie until its new parent reaps it.
        let stat = format!("/proc/{}/stat", pids[0]);
        let runs = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
        };
        while runs() {
            assert!(start.elapsed() < minute, "the child of the hung command still runs");
            std::thread::yield_now();
        }
    }

    #[test]
    fn descendants_are_found_through_several_generations() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (9, 8)]);
        let mut found = descendants(2, &parents);
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
