//! Runs `interop/`: official LiveKit clients against our server and our SDK.
//!
//! Everything they need is brought here, once: Python packages into a virtual environment below `interop/`,
//! npm packages next to it, Chromium from the distribution.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::library;
use crate::metadata::Metadata;
use crate::stage::{self, Report, Tally};
use crate::system;

/// The variable by which the official Python client is given another native library.
const LIBRARY: &str = "LIVEKIT_LIB_PATH";
/// The variable by which the official Node client is given another addon.
const ADDON: &str = "NAPI_RS_NATIVE_LIBRARY_PATH";
const LIBRARY_FILE: &str = "liblivekit_ffi.so";
const CHROMIUM: &str = "/usr/bin/chromium";
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
const SETUP_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Each case has a limit of its own; this one ends a runner that hangs.
const SUITE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Which suites to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The official Python client.
    pub(crate) python: bool,
    /// The same on our `liblivekit_ffi`.
    pub(crate) library: bool,
    /// The official JavaScript client.
    pub(crate) chromium: bool,
    /// The official Node client, on its own library and on our `liblivekit_ffi`.
    pub(crate) node: bool,
}

/// Builds our programs, installs what is missing and runs the suites asked for.
pub(crate) fn stages(report: &mut Report, total: &mut Tally, wanted: Wanted) {
    let Some(programs) = report.stage("build programs", || build(wanted.library || wanted.node)) else {
        return;
    };
    let has_python =
        (wanted.python || wanted.library) && report.stage("set up Python", set_up_python).is_some();
    let pytest = || {
        let mut command = Command::new(venv().join("bin/python"));
        command.args(["-m", "pytest", "-q", "--color=no"]).current_dir(folder().join("python"));
        command.env_remove(LIBRARY);
        command
    };
    if wanted.python && has_python {
        report.stage("official Python", || suite(&mut pytest(), &programs, total, pytest_tally));
    }
    if wanted.library {
        report.stage("symbols of our library", || check_library(&programs.join(LIBRARY_FILE)));
    }
    if wanted.library && has_python {
        report.stage("Python on our library", || {
            suite(pytest().env(LIBRARY, programs.join(LIBRARY_FILE)), &programs, total, pytest_tally)
        });
    }
    if wanted.chromium && report.stage("set up Chromium", set_up_chromium).is_some() {
        report.stage("official JavaScript", || suite(&mut node("browser")?, &programs, total, tap_tally));
    }
    if wanted.node && report.stage("set up Node", || install_npm_packages("node")).is_some() {
        report.stage("official Node", || suite(&mut node("node")?, &programs, total, tap_tally));
        report.stage("Node on our library", || {
            let mut command = node("node")?;
            command.env(LIBRARY, programs.join(LIBRARY_FILE)).env(ADDON, folder().join("node/library.cjs"));
            suite(&mut command, &programs, total, tap_tally)
        });
    }
}

/// It shows LiveKit's four functions and nothing else, and asks for no newer glibc than is promised.
fn check_library(library: &Path) -> Result<(), String> {
    let shown = library::exported(library)?;
    let wanted =
        ["dispose", "drop_handle", "initialize", "request"].map(|name| format!("livekit_ffi_{name}"));
    if !shown.iter().eq(&wanted) {
        return Err(format!("{LIBRARY_FILE} shows {shown:?}, expected {wanted:?}"));
    }
    let (major, minor) = library::newest_glibc(library)?;
    println!("{LIBRARY_FILE} needs glibc {major}.{minor}");
    let (most, least) = library::GLIBC_FLOOR;
    if (major, minor) > (most, least) {
        return Err(format!("{LIBRARY_FILE} needs glibc {major}.{minor}, promised is {most}.{least}"));
    }
    Ok(())
}

/// Runs the cases of a folder with node's runner.
fn node(suite: &str) -> Result<Command, String> {
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=tap", "--test-concurrency=1"])
        .args(node_cases(suite)?)
        .current_dir(folder().join(suite))
        .env_remove(LIBRARY)
        .env_remove(ADDON);
    Ok(command)
}

/// Runs a suite with the paths of our programs in its environment, and counts its cases.
fn suite(
    command: &mut Command,
    programs: &Path,
    total: &mut Tally,
    read: fn(&str, &mut Tally),
) -> Result<(), String> {
    command
        .env("TRAMLINE_BIN", programs.join("tramline"))
        .env("TRAMLINE_PEER", programs.join("tramline-interop-peer"));
    let mut tally = Tally::default();
    let outcome = stage::run(command, SUITE_LIMIT, |line| read(line, &mut tally));
    total.add(tally);
    outcome?;
    if tally.passed == 0 {
        return Err("the suite ran no case".to_owned());
    }
    println!("{} cases passed", tally.passed);
    Ok(())
}

/// Builds the server and the peer program, and the library when it is wanted; returns the folder they are in.
fn build(library: bool) -> Result<PathBuf, String> {
    let mut command =
        stage::cargo(&["build", "--locked", "-p", "tramline-cli", "-p", "tramline-interop-peer"]);
    if library {
        command.args(["-p", "tramline-livekit-ffi"]);
    }
    stage::run(&mut command, BUILD_LIMIT, |_| {})?;
    Ok(Metadata::load()?.target_directory.join("debug"))
}

fn set_up_python() -> Result<(), String> {
    let requirements = folder().join("python/requirements.txt");
    let installed = venv().join("installed.txt");
    if same_text(&requirements, &installed) {
        println!("the Python packages are there");
        return Ok(());
    }
    println!("installing the official Python client into interop/python/.venv");
    stage::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv()), SETUP_LIMIT, |_| {})
        .map_err(|error| format!("{error}\npython3 (3.10 or newer) with its venv module is needed"))?;
    stage::run(
        Command::new(venv().join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements),
        SETUP_LIMIT,
        |_| {},
    )?;
    copy(&requirements, &installed)
}

fn set_up_chromium() -> Result<(), String> {
    system::ensure(&[(CHROMIUM, "chromium")])?;
    install_npm_packages("browser")
}

/// Installs what the lock file of a folder of `interop/` names.
fn install_npm_packages(suite: &str) -> Result<(), String> {
    let folder = folder().join(suite);
    let lock = folder.join("package-lock.json");
    let installed = folder.join("node_modules/installed-lock.json");
    if same_text(&lock, &installed) {
        println!("the npm packages are there");
        return Ok(());
    }
    println!("installing the official client into interop/{suite}/node_modules");
    stage::run(
        Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder),
        SETUP_LIMIT,
        |_| {},
    )
    .map_err(|error| format!("{error}\nNode.js 20 or newer with npm is needed"))?;
    copy(&lock, &installed)
}

/// The files by name, since versions of node differ in what a folder means to `--test`.
fn node_cases(suite: &str) -> Result<Vec<PathBuf>, String> {
    let folder = folder().join(suite).join("cases");
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut cases: Vec<PathBuf> =
        entries.flatten().map(|entry| Path::new("cases").join(entry.file_name())).collect();
    cases.sort();
    Ok(cases)
}

fn folder() -> PathBuf {
    stage::root().join("interop")
}

fn venv() -> PathBuf {
    folder().join("python/.venv")
}

fn same_text(wanted: &Path, installed: &Path) -> bool {
    let read = |path: &Path| std::fs::read(path).ok();
    read(wanted).is_some_and(|wanted| read(installed) == Some(wanted))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to).map(|_| ()).map_err(|error| format!("cannot write {}: {error}", to.display()))
}

/// Reads pytest's last line: `1 failed, 20 passed, 2 errors in 31.20s`.
fn pytest_tally(line: &str, tally: &mut Tally) {
    let line = line.trim_matches(|c| c == '=' || c == ' ');
    let Some((counts, time)) = line.rsplit_once(" in ") else {
        return;
    };
    let seconds = time.split_once('s').and_then(|(seconds, _)| seconds.parse::<f64>().ok());
    if seconds.is_none() {
        return;
    }
    for part in counts.split(", ") {
        match part.split_once(' ') {
            Some((count, "passed")) => tally.passed += count.parse().unwrap_or(0),
            Some((count, "failed" | "error" | "errors")) => tally.failed += count.parse().unwrap_or(0),
            _ => {}
        }
    }
}

/// Reads the last lines of node's TAP: `# pass 20`, `# fail 1`, `# cancelled 0`.
fn tap_tally(line: &str, tally: &mut Tally) {
    let Some((what, count)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) else {
        return;
    };
    let Ok(count) = count.parse::<u64>() else {
        return;
    };
    match what {
        "pass" => tally.passed += count,
        "fail" | "cancelled" => tally.failed += count,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: fn(&str, &mut Tally), lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| reader(line, &mut tally));
        tally
    }

    #[test]
    fn the_counts_of_pytest_are_read() {
        let lines = ["..F [100%]", "1 failed, 20 passed, 2 errors in 31.20s"];
        assert_eq!(read(pytest_tally, &lines), Tally { passed: 20, failed: 3 });
        let lines = ["=== 7 passed in 71.20s (0:01:11) ==="];
        assert_eq!(read(pytest_tally, &lines), Tally { passed: 7, failed: 0 });
        assert_eq!(read(pytest_tally, &["no tests ran in 0.01s", "5 passed in words"]), Tally::default());
    }

    #[test]
    fn the_counts_of_node_are_read() {
        let lines = ["ok 1 - x", "# tests 4", "# pass 2", "# fail 1", "# cancelled 1", "# skipped 0"];
        assert_eq!(read(tap_tally, &lines), Tally { passed: 2, failed: 2 });
    }
}
