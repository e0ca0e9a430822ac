//! The C library as it is handed out: `cargo xtask headers` and `cargo xtask dist`.
//!
//! `target/dist` is a prefix as `make install` would fill it: the header, the shared library under its SONAME, the static library
//! with nothing to see but our own functions, and a pkg-config file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::metadata::Metadata;
use crate::stage;

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const TOOL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// What every symbol begins with that a program may see.
const PREFIX: &str = "tramline_";

/// Of the ABI; `build.rs` of the crate has the same in the SONAME.
pub(crate) const SONAME: &str = "libtramline.so.0";

/// The oldest glibc that the shared library asks for: Debian 12, Ubuntu 22.04, RHEL 9.
pub(crate) const GLIBC_FLOOR: (u32, u32) = (2, 34);

/// A prefix with the library in it.
pub(crate) struct Dist {
    pub(crate) folder: PathBuf,
}

impl Dist {
    pub(crate) fn include(&self) -> PathBuf {
        self.folder.join("include")
    }

    pub(crate) fn lib(&self) -> PathBuf {
        self.folder.join("lib")
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.lib().join(SONAME)
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.lib().join("libtramline.a")
    }
}

/// The folder of `tramline-c`.
pub(crate) fn crate_folder() -> PathBuf {
    stage::root().join("crates/tramline-c")
}

fn header() -> PathBuf {
    crate_folder().join("include/tramline.h")
}

/// Writes the header anew.
pub(crate) fn write_header() -> Result<(), String> {
    fs::write(header(), generate_header()?)
        .map_err(|error| format!("cannot write {}: {error}", header().display()))
}

/// The committed header must be what the sources make.
pub(crate) fn check_header() -> Result<(), String> {
    let committed = fs::read_to_string(header()).unwrap_or_default();
    let generated = generate_header()?;
    if committed == generated {
        return Ok(());
    }
    let line = committed.lines().zip(generated.lines()).take_while(|(one, two)| one == two).count() + 1;
    Err(format!(
        "crates/tramline-c/include/tramline.h is not what the sources make, from line {line} on; run `cargo xtask headers`"
    ))
}

/// cbindgen lives in a package outside the workspace, so that it is in nobody's dependencies.
fn generate_header() -> Result<String, String> {
    let tool = stage::root().join("xtask/headers/Cargo.toml");
    let target = Metadata::load()?.target_directory.join("headers");
    let mut command = stage::cargo(&["run", "--quiet", "--locked", "--manifest-path"]);
    command.arg(tool).arg("--target-dir").arg(target).arg("--").arg(crate_folder());
    stage::output(&mut command)
}

/// Builds the library that is handed out, below `target/dist`.
pub(crate) fn dist() -> Result<Dist, String> {
    let dist = make("dist", &[], Symbols::Exported)?;
    println!("the library is in {}", dist.folder.display());
    Ok(dist)
}

/// The same with the entries that fail on purpose, and with the names that valgrind shows, for the tests.
pub(crate) fn dist_for_tests() -> Result<Dist, String> {
    make("dist-for-tests", &["--features", "test-entries"], Symbols::All)
}

/// What the symbol table of a shared library keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbols {
    Exported,
    All,
}

fn make(name: &str, features: &[&str], symbols: Symbols) -> Result<Dist, String> {
    let metadata = Metadata::load()?;
    let version = metadata
        .members()
        .find(|package| package.name == "tramline-c")
        .map(|package| package.version.clone());
    let version = version.ok_or("tramline-c is not in the workspace")?;
    let target = metadata.target_directory;
    let mut command = stage::cargo(&["build", "--locked", "--release", "-p", "tramline-c"]);
    stage::run(command.args(features), BUILD_LIMIT, |_| {})?;
    let built = target.join("release");
    let dist = Dist { folder: target.join(name) };
    if dist.folder.exists() {
        fs::remove_dir_all(&dist.folder)
            .map_err(|error| format!("cannot empty {}: {error}", dist.folder.display()))?;
    }
    for folder in [dist.include(), dist.lib().join("pkgconfig")] {
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let copied = dist.include().join("tramline.h");
    fs::copy(header(), copied).map_err(|error| format!("cannot copy the header: {error}"))?;
    shared_library(&built.join("libtramline.so"), &dist, symbols)?;
    static_library(&built.join("libtramline.a"), &dist)?;
    write(&dist.lib().join("pkgconfig/tramline.pc"), &pkg_config(&version, &native_libraries()?))?;
    Ok(dist)
}

/// Under its SONAME, with the name for linkers beside it.
fn shared_library(built: &Path, dist: &Dist, symbols: Symbols) -> Result<(), String> {
    let what = match symbols {
        Symbols::Exported => "--strip-unneeded",
        Symbols::All => "--strip-debug",
    };
    tool(Command::new("strip").arg(what).arg("-o").arg(dist.shared()).arg(built))?;
    let link = dist.lib().join("libtramline.so");
    std::os::unix::fs::symlink(SONAME, link).map_err(|error| format!("cannot link: {error}"))
}

/// One object with everything that our functions need, all other symbols local: neither the Rust standard library nor the cryptography
/// in it can clash with the host's.
fn static_library(built: &Path, dist: &Dist) -> Result<(), String> {
    let object = dist.lib().join("tramline.o");
    let mut link = Command::new("ld");
    // Groups would be merged by name with those of another object, although their symbols are local then.
    link.args(["-r", "--gc-sections", "--force-group-allocation", "-o"]).arg(&object);
    for symbol in exported(&dist.shared())? {
        link.args(["-u", &symbol]);
    }
    tool(link.arg(built))?;
    // The standard library brings its bitcode along, which makes tools of another LLVM version stumble.
    tool(
        Command::new("objcopy")
            .args(["--wildcard", &format!("--keep-global-symbol={PREFIX}*"), "--strip-unneeded"])
            .args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"])
            .arg(&object),
    )?;
    tool(Command::new("ar").arg("rcsD").arg(dist.archive()).arg(&object))?;
    fs::remove_file(&object).map_err(|error| format!("cannot remove {}: {error}", object.display()))
}

/// What a program must link besides, as rustc says.
pub(crate) fn native_libraries() -> Result<String, String> {
    // For the standard library, which is where all of it comes from: it has no crate type `staticlib` to be told without a source.
    let folder = Metadata::load()?.target_directory.join("native-libraries");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let source = folder.join("nothing.rs");
    write(&source, "")?;
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--crate-type=staticlib", "--print=native-static-libs", "-o"])
        .arg(folder.join("nothing.a"))
        .arg(source)
        .output()
        .map_err(|error| format!("cannot start rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = text.lines().find_map(|line| line.split_once("native-static-libs: "));
    found.map(|(_, found)| found.trim().to_owned()).ok_or(format!("rustc names no libraries: {text}"))
}

fn pkg_config(version: &str, libraries: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..
includedir=${{prefix}}/include
libdir=${{prefix}}/lib

Name: tramline
Description: Live data between robots, services and browsers
Version: {version}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -ltramline
Libs.private: {libraries}
"
    )
}

/// The names that a library shows to programs: the dynamic ones of a shared library.
pub(crate) fn exported(library: &Path) -> Result<BTreeSet<String>, String> {
    symbols(Command::new("nm").args(["--dynamic", "--defined-only", "--extern-only", "-P"]).arg(library))
}

/// The names that an archive shows to programs.
pub(crate) fn exported_by_archive(library: &Path) -> Result<BTreeSet<String>, String> {
    symbols(Command::new("nm").args(["--defined-only", "--extern-only", "-P"]).arg(library))
}

fn symbols(command: &mut Command) -> Result<BTreeSet<String>, String> {
    let listed = stage::output(command)?;
    // `name type value size`; the lines that name a member of an archive have no type.
    let names = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, _kind) = (words.next()?, words.next()?);
        (!name.ends_with(':')).then(|| name.to_owned())
    });
    Ok(names.collect())
}

/// The names that do not belong to us.
pub(crate) fn foreign(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().filter(|name| !name.starts_with(PREFIX)).map(String::as_str).collect()
}

/// The functions that the header declares.
pub(crate) fn declared(header: &str) -> BTreeSet<String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code.flat_map(|line| {
        line.match_indices(PREFIX).filter_map(|(at, _)| {
            let name: String =
                line[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            line[at + name.len()..].starts_with('(').then_some(name)
        })
    });
    names.collect()
}

/// The name under which a shared library is loaded by what was linked with it.
pub(crate) fn soname(library: &Path) -> Result<String, String> {
    let listed = stage::output(Command::new("objdump").arg("-p").arg(library))?;
    let mut words = listed.split_whitespace();
    let found = words.find(|word| *word == "SONAME").and_then(|_| words.next());
    Ok(found.unwrap_or_default().to_owned())
}

/// The newest version of glibc among the symbols that a shared library takes from it.
pub(crate) fn newest_glibc(library: &Path) -> Result<(u32, u32), String> {
    let listed = stage::output(Command::new("objdump").arg("-T").arg(library))?;
    let versions = listed.split("GLIBC_").skip(1).filter_map(|rest| {
        let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    });
    versions.max().ok_or("the library takes nothing from glibc".to_owned())
}

fn tool(command: &mut Command) -> Result<(), String> {
    stage::run(command, TOOL_LIMIT, |_| {}).map_err(|error| format!("{error}; binutils are needed"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_a_header_are_found_and_types_and_comments_are_not() {
        let header = "// tramline_no(\ntypedef struct tramline_a tramline_a;\nbool tramline_is(const struct tramline_a *a);\n\
                      tramline_status tramline_do(int a,\n    tramline_a *b);\ntypedef void (*tramline_call)(void *);\n";
        assert_eq!(declared(header), BTreeSet::from(["tramline_is".to_owned(), "tramline_do".to_owned()]));
    }

    #[test]
    fn names_of_others_are_told_apart() {
        let names = BTreeSet::from(["tramline_do".to_owned(), "rust_eh_personality".to_owned()]);
        assert_eq!(foreign(&names), ["rust_eh_personality"]);
    }
}
