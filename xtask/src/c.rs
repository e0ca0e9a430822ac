//! Tests of the C library as it ships: what it shows, what its header says, and programs in C that use it, also under AddressSanitizer and
//! valgrind.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::library::{self, Dist};
use crate::metadata::Metadata;
use crate::stage::{self, Report, Tally};
use crate::system::{self, Need};

const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
const COMPILE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Every wait in the tests has a limit of its own; this one ends a program that hangs.
const RUN_LIMIT: Duration = Duration::from_secs(10 * 60);
const NEEDS: [Need; 4] =
    [("c++", "g++"), ("valgrind", "valgrind"), ("pkg-config", "pkg-config"), ("objcopy", "binutils")];
/// The entry that only a library for tests has.
const TEST_ENTRY: &str = "tramline_test_panic";
/// What a compiler is asked everywhere.
const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];

/// Builds both forms of the library and runs everything on them.
pub(crate) fn stages(report: &mut Report, total: &mut Tally) {
    let Some(bench) = report.stage("build C library", Bench::new) else { return };
    report.stage("C header and symbols", || bench.check_surface());
    report.stage("C tests", || bench.run_tests(total, Kind::Shared));
    report.stage("C tests, static", || bench.run_tests(total, Kind::Static));
    report.stage("C tests, ASan", || bench.run_tests(total, Kind::AddressSanitizer));
    report.stage("C tests, valgrind", || bench.run_tests(total, Kind::Valgrind));
    report.stage("C examples", || bench.run_examples());
}

/// How the tests are linked and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shared,
    Static,
    AddressSanitizer,
    Valgrind,
}

/// What the tests need.
struct Bench {
    /// What is handed out, but for an entry that fails on purpose.
    library: Dist,
    /// The program with the server.
    server: PathBuf,
    /// For programs.
    folder: PathBuf,
}

impl Bench {
    fn new() -> Result<Self, String> {
        system::ensure(&NEEDS)?;
        let target = Metadata::load()?.target_directory;
        stage::run(&mut stage::cargo(&["build", "--locked", "-p", "tramline-cli"]), BUILD_LIMIT, |_| {})?;
        let folder = target.join("c");
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let library = library::dist_for_tests()?;
        Ok(Self { library, server: target.join("debug/tramline"), folder })
    }

    fn check_surface(&self) -> Result<(), String> {
        let text = fs::read_to_string(self.library.include().join("tramline.h"))
            .map_err(|error| format!("cannot read the header: {error}"))?;
        let declared = library::declared(&text);
        let exported = library::exported(&self.library.shared())?;
        let in_archive = library::exported_by_archive(&self.library.archive())?;
        let mut findings = Vec::new();
        for (what, names) in [("libtramline.so", &exported), ("libtramline.a", &in_archive)] {
            for name in library::foreign(names) {
                findings.push(format!("{what} shows {name}, which is not ours"));
            }
            for name in declared.difference(names) {
                findings.push(format!("{what} lacks {name}, which the header declares"));
            }
            let ours = names.difference(&declared).filter(|name| name.starts_with("tramline_"));
            for name in ours.filter(|name| *name != TEST_ENTRY) {
                findings.push(format!("{what} shows {name}, which the header does not declare"));
            }
        }
        let soname = library::soname(&self.library.shared())?;
        if soname != library::SONAME {
            findings.push(format!("libtramline.so has the SONAME {soname:?}, expected {}", library::SONAME));
        }
        let (major, minor) = library::newest_glibc(&self.library.shared())?;
        let (most, least) = library::GLIBC_FLOOR;
        if (major, minor) > (most, least) {
            findings.push(format!("libtramline.so needs glibc {major}.{minor}, promised is {most}.{least}"));
        }
        if !findings.is_empty() {
            return Err(findings.join("\n"));
        }
        println!("{} functions, glibc {major}.{minor}", declared.len());
        self.check_header()
    }

    /// Alone in a file, in both languages, and found through pkg-config.
    fn check_header(&self) -> Result<(), String> {
        for (compiler, standard, name) in [("cc", "-std=c11", "alone.c"), ("c++", "-std=c++17", "alone.cpp")]
        {
            let source = self.folder.join(name);
            fs::write(&source, "#include \"tramline.h\"\nint main(void) { return (int)tramline_abi_version() - TRAMLINE_ABI_VERSION; }\n")
                .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
            let program = self.folder.join("alone");
            let mut compile = Command::new(compiler);
            compile.arg(standard).args(STRICT).arg("-o").arg(&program).arg(&source);
            compile.args(self.pkg_config()?);
            stage::run(&mut compile, COMPILE_LIMIT, |_| {})?;
            let mut run = Command::new(&program);
            stage::run(run.env("LD_LIBRARY_PATH", self.library.lib()), COMPILE_LIMIT, |_| {})?;
        }
        Ok(())
    }

    fn pkg_config(&self) -> Result<Vec<String>, String> {
        let flags = stage::output(
            Command::new("pkg-config")
                .env("PKG_CONFIG_PATH", self.library.lib().join("pkgconfig"))
                .args(["--cflags", "--libs", "tramline"]),
        )
        .map_err(|error| format!("{error}; pkg-config is needed"))?;
        Ok(flags.split_whitespace().map(str::to_owned).collect())
    }

    fn run_tests(&self, total: &mut Tally, kind: Kind) -> Result<(), String> {
        let program = self.compile_tests(kind)?;
        // A copy under another name, so that the loader takes it for another library.
        let copy = self.folder.join("second-copy.so");
        fs::copy(self.library.shared(), &copy)
            .map_err(|error| format!("cannot copy the library: {error}"))?;
        let mut command = match kind {
            Kind::Valgrind => {
                let mut command = Command::new("valgrind");
                command
                    .args(["--quiet", "--error-exitcode=9", "--child-silent-after-fork=yes"])
                    .args(["--leak-check=full", "--errors-for-leak-kinds=definite,possible"])
                    .args(["--show-leak-kinds=definite,possible"])
                    .arg(format!("--suppressions={}", sources().join("valgrind.supp").display()))
                    .arg(&program);
                command
            }
            _ => Command::new(&program),
        };
        command
            .env("LD_LIBRARY_PATH", self.library.lib())
            .env("TRAMLINE_BIN", &self.server)
            .env("TRAMLINE_C_TESTS", sources())
            .env("TRAMLINE_SECOND_COPY", &copy)
            .env("ASAN_OPTIONS", "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1")
            .env("RUST_BACKTRACE", "0");
        if matches!(kind, Kind::AddressSanitizer | Kind::Valgrind) {
            command.env("TRAMLINE_KEEP_COPY", "1");
        }
        let mut tally = Tally::default();
        let outcome = stage::run(&mut command, RUN_LIMIT, |line| {
            tally.passed += u64::from(line.starts_with("ok "));
        });
        tally.failed += u64::from(outcome.is_err());
        total.add(tally);
        outcome
    }

    fn compile_tests(&self, kind: Kind) -> Result<PathBuf, String> {
        let program = self.folder.join(format!("tests-{kind:?}").to_lowercase());
        let mut compile = Command::new("cc");
        compile.arg("-std=c11").args(STRICT).arg("-o").arg(&program);
        compile.arg("-I").arg(self.library.include());
        if kind == Kind::AddressSanitizer {
            compile.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
        }
        compile.args(files_of(&sources(), "c")?);
        if kind == Kind::Static {
            compile.arg(self.library.archive()).args(library::native_libraries()?.split_whitespace());
        } else {
            compile.arg("-L").arg(self.library.lib()).args(["-ltramline", "-pthread", "-ldl"]);
        }
        stage::run(&mut compile, COMPILE_LIMIT, |_| {})?;
        Ok(program)
    }

    fn run_examples(&self) -> Result<(), String> {
        self.compile_readme()?;
        let folder = stage::root().join("examples/c");
        for source in files_of(&folder, "c")? {
            let name = source.file_stem().unwrap_or_default().to_owned();
            let program = self.folder.join(name);
            let mut compile = Command::new("cc");
            compile.arg("-std=c11").args(STRICT).arg("-o").arg(&program).arg(&source);
            compile.args(self.pkg_config()?);
            stage::run(&mut compile, COMPILE_LIMIT, |_| {})?;
        }
        // A benchmark must at least compile.
        let bench = library::crate_folder().join("benches/try_push.c");
        let mut compile = Command::new("cc");
        compile.arg("-std=c11").args(STRICT).arg("-o").arg(self.folder.join("try_push")).arg(bench);
        stage::run(compile.args(self.pkg_config()?), COMPILE_LIMIT, |_| {})?;

        let server = Background::start(
            Command::new(&self.server).args(["serve", "--dev", "--port", "0", "--json", "--log", "off"]),
        )?;
        let ready: serde_json::Value = serde_json::from_str(&server.first_line)
            .map_err(|error| format!("the server printed no JSON: {error}"))?;
        let url = ready["url"].as_str().ok_or("the server printed no url")?;
        let example = |name: &str, identity: &str, arguments: &[&str]| -> Result<Command, String> {
            let token = stage::output(Command::new(&self.server).args([
                "token",
                "--room",
                "examples",
                "--identity",
                identity,
            ]))?;
            let mut command = Command::new(self.folder.join(name));
            command.env("LD_LIBRARY_PATH", self.library.lib()).args([url, token.trim()]).args(arguments);
            Ok(command)
        };
        // What one publishes, the example of the README sends back, and another one reads.
        let publisher = Background::spawn(&mut example("publish", "robot", &["ping"])?)?;
        let echo = example("readme", "echo", &[])?;
        let mut limited = Command::new("timeout");
        limited
            .arg("120")
            .arg(echo.get_program())
            .args(echo.get_args())
            .env("LD_LIBRARY_PATH", self.library.lib());
        let echo = Background::spawn(&mut limited)?;
        let mut lines = 0;
        let outcome =
            stage::run(&mut example("subscribe", "desk", &["pong", "10"])?, COMPILE_LIMIT, |line| {
                lines += u32::from(line.contains(" frame "))
            });
        publisher.interrupt()?;
        outcome?;
        echo.wait()?;
        if lines == 10 { Ok(()) } else { Err(format!("the examples passed {lines} frames, expected 10")) }
    }

    /// The example of the README as a program, which ends well when the track that it reads has ended.
    fn compile_readme(&self) -> Result<(), String> {
        let text = fs::read_to_string(stage::root().join("README.md"))
            .map_err(|error| format!("cannot read the README: {error}"))?;
        let (_, rest) = text.split_once("```c\n").ok_or("the README has no example in C")?;
        let (example, _) = rest.split_once("```\n").ok_or("the example in C has no end")?;
        let source = self.folder.join("readme.c");
        let main = "int main(int argc, char **argv) { return argc == 3 && echo(argv[1], argv[2]) == TRAMLINE_ENDED ? 0 : 1; }";
        fs::write(&source, format!("{example}\n{main}\n"))
            .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
        let mut compile = Command::new("cc");
        compile.arg("-std=c11").args(STRICT).arg("-o").arg(self.folder.join("readme")).arg(&source);
        stage::run(compile.args(self.pkg_config()?), COMPILE_LIMIT, |_| {})
    }
}

/// A program that runs beside the others, and ends with this value.
struct Background {
    child: Child,
    first_line: String,
}

impl Background {
    fn start(command: &mut Command) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        let mut first_line = String::new();
        if let Some(stdout) = child.stdout.take() {
            std::io::BufReader::new(stdout).read_line(&mut first_line).map_err(|error| error.to_string())?;
        }
        Ok(Self { child, first_line })
    }

    fn spawn(command: &mut Command) -> Result<Self, String> {
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        Ok(Self { child, first_line: String::new() })
    }

    /// Asks it to end, and it must end well.
    fn interrupt(self) -> Result<(), String> {
        stage::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]), COMPILE_LIMIT, |_| {})?;
        self.wait()
    }

    /// Waits until it ends, which it must do well.
    fn wait(mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("an example ended with {status}")) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // One that has ended is no news.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sources() -> PathBuf {
    library::crate_folder().join("tests/c")
}

fn files_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    Ok(files)
}
