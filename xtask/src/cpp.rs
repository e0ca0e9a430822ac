//! Builds `cpp/` and runs its tests: plain, with valgrind, and under two sanitizers.
//!
//! `cpp/tests/CMakeLists.txt` says what runs in which build. The Rust library and the server are those of cargo's dev profile.

use std::process::Command;
use std::time::Duration;

use crate::metadata::Metadata;
use crate::stage::{self, Report, Tally};
use crate::system::{self, Need};

const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
/// CTest has limits of its own; this one ends CTest.
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);

const NEEDS: [Need; 5] = [
    ("cmake", "cmake"),
    ("make", "make"),
    ("g++", "g++"),
    ("valgrind", "valgrind"),
    ("/usr/include/gtest/gtest.h", "libgtest-dev"),
];

/// The name of the stage, the folder of the build and what it is instrumented for.
const BUILDS: [(&str, &str, &str); 3] =
    [("C++", "plain", ""), ("C++, address", "address", "address"), ("C++, thread", "thread", "thread")];

/// Installs what is missing, builds and tests.
pub(crate) fn stages(report: &mut Report, total: &mut Tally) {
    if report.stage("set up C++", set_up).is_none() {
        return;
    }
    for (name, folder, sanitizer) in BUILDS {
        report.stage(name, || run(folder, sanitizer, total));
    }
}

fn set_up() -> Result<(), String> {
    system::ensure(&NEEDS)?;
    // The server that the tests talk to; the library is built by CMake.
    stage::run(&mut stage::cargo(&["build", "--locked", "-p", "tramline-cli"]), BUILD_LIMIT, |_| {})
}

fn run(folder: &str, sanitizer: &str, total: &mut Tally) -> Result<(), String> {
    let target = Metadata::load()?.target_directory;
    let build = target.join("cpp").join(folder);
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(stage::root().join("cpp")).arg("-B").arg(&build).args([
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DTRAMLINE_BUILD_TESTS=ON",
        "-DTRAMLINE_WARNINGS_AS_ERRORS=ON",
    ]);
    configure.arg(format!("-DTRAMLINE_SANITIZE={sanitizer}"));
    configure.arg(format!("-DTRAMLINE_CARGO_TARGET_DIR={}", target.display()));
    stage::run(&mut configure, BUILD_LIMIT, |_| {})?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let mut compile = Command::new("cmake");
    stage::run(compile.arg("--build").arg(&build).args(["--parallel", &jobs]), BUILD_LIMIT, |_| {})?;

    let mut tally = Tally::default();
    let mut test = Command::new("ctest");
    test.args(["--verbose", "--no-tests=error", "--test-dir"]).arg(&build);
    let outcome = stage::run(&mut test, TEST_LIMIT, |line| read(line, &mut tally));
    total.add(tally);
    outcome?;
    if tally.passed == 0 {
        return Err("ctest ran no case".to_owned());
    }
    println!("{} cases passed", tally.passed);
    Ok(())
}

/// Reads what GoogleTest says of a case, and the scripts beside it: `1: [       OK ] Rooms.ConnectTells (31 ms)`.
fn read(line: &str, tally: &mut Tally) {
    // A failed case is named once more in the summary, without its time.
    if line.contains("[       OK ] ") {
        tally.passed += 1;
    } else if line.contains("[  FAILED  ] ") && line.ends_with(" ms)") {
        tally.failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_googletest_are_read_once() {
        let mut tally = Tally::default();
        for line in [
            "1: [ RUN      ] Rooms.One",
            "1: [       OK ] Rooms.One (3 ms)",
            "1: [  FAILED  ] Rooms.Two (31 ms)",
            "1: [  PASSED  ] 1 test.",
            "1: [  FAILED  ] 1 test, listed below:",
            "1: [  FAILED  ] Rooms.Two",
            "2: [       OK ] consumer with -llivekit",
        ] {
            read(line, &mut tally);
        }
        assert_eq!(tally, Tally { passed: 2, failed: 1 });
    }
}
