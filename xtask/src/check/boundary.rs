//! Which crate may use which, and what the sans-IO crates must not touch.
//!
//! A sans-IO crate is given the time, the datagrams and the randomness as arguments. That can be replayed, so
//! the rule is checked in its whole dependency tree (runtimes and sockets) and in its own sources (clocks,
//! threads, randomness).

use std::path::Path;

use crate::metadata::{Metadata, Package};
use crate::stage;

use super::source;

/// Crates without sockets, clocks, threads or randomness of their own.
const SANS_IO: [&str; 4] = ["tramline-wire", "tramline-core", "tramline-sctp", "tramline-transport"];

/// Runtimes and socket crates: nowhere in a sans-IO crate's tree of normal dependencies.
const IO_CRATES: [&str; 16] = [
    "async-io",
    "async-net",
    "async-std",
    "hyper",
    "if-addrs",
    "mio",
    "polling",
    "quinn",
    "quinn-udp",
    "rustix-net",
    "smol",
    "socket2",
    "tokio",
    "tokio-tungstenite",
    "tokio-util",
    "tungstenite",
];

/// Sources of randomness: not a direct dependency of a sans-IO crate.
const RANDOM_CRATES: [&str; 4] = ["fastrand", "getrandom", "rand", "rand_core"];

/// What the sources of a sans-IO crate must not name, outside their tests.
const BANNED_WORDS: [(&str, &str); 14] = [
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime", "take the time as an argument"),
    ("UdpSocket", "hand datagrams to the caller"),
    ("TcpStream", "hand bytes to the caller"),
    ("TcpListener", "hand bytes to the caller"),
    ("thread::spawn", "the caller drives the machine"),
    ("thread::sleep", "return the time from `poll_timeout`"),
    ("thread::Builder", "the caller drives the machine"),
    ("tokio", "only tramline-net and above know a runtime"),
    ("rand", "take a seed or random values as arguments"),
    ("fastrand", "take a seed or random values as arguments"),
    ("getrandom", "take a seed or random values as arguments"),
    ("OsRng", "take a seed or random values as arguments"),
    ("SystemRandom", "take a seed or random values as arguments"),
];

/// For each crate, which crates of this repository its normal dependencies may name.
const LAYERS: [(&str, &[&str]); 11] = [
    ("tramline-wire", &[]),
    ("tramline-core", &["tramline-wire"]),
    ("tramline-sctp", &[]),
    ("tramline-transport", &["tramline-sctp"]),
    ("tramline-sim", &[]),
    ("tramline-net", &["tramline-wire", "tramline-core", "tramline-transport"]),
    ("tramline", &["tramline-wire", "tramline-core", "tramline-transport", "tramline-net"]),
    ("tramline-server", &["tramline-wire", "tramline-core", "tramline-transport", "tramline-net"]),
    // The benchmark's floor is what the sockets alone can do, and its bad links are the simulator's.
    ("tramline-cli", &["tramline", "tramline-server", "tramline-net", "tramline-transport", "tramline-sim"]),
    ("tramline-c", &["tramline"]),
    ("tramline-livekit-ffi", &["tramline", "tramline-net"]),
];

pub(crate) fn check(metadata: &Metadata) -> Result<Vec<String>, String> {
    let mut findings = layers(metadata);
    findings.extend(trees(metadata));
    let mut lists = Vec::new();
    for name in SANS_IO {
        let Some(package) = metadata.members().find(|package| package.name == name) else {
            findings.push(format!("{name} is not in the workspace; xtask/src/check/boundary.rs names it"));
            continue;
        };
        let list = package.manifest_path.with_file_name("clippy.toml");
        lists.push((name, std::fs::read_to_string(list).unwrap_or_default()));
        let folder = package.manifest_path.with_file_name("src");
        for (path, text) in source::rust_files(&folder)? {
            let shown = path.strip_prefix(stage::root()).unwrap_or(&path).to_owned();
            findings.extend(banned_words(&shown, &text));
        }
    }
    findings.extend(same_lists(&lists));
    Ok(findings)
}

/// The lint that knows types, `clippy::disallowed_methods`, is told the same in each sans-IO crate.
fn same_lists(lists: &[(&str, String)]) -> Vec<String> {
    let Some((first, list)) = lists.first() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if !list.contains("std::time::Instant::now") {
        findings.push(format!("the clippy.toml of {first} does not ban the clock"));
    }
    let others = lists.iter().filter(|(_, other)| other != list);
    findings
        .extend(others.map(|(name, _)| format!("the clippy.toml of {name} differs from that of {first}")));
    findings
}

fn layers(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    let ours = |name: &str| metadata.members().any(|package| package.name == name);
    let crates = metadata.members().filter(|package| package.name.starts_with("tramline"));
    for package in crates {
        if is_test_program(package) {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            findings.push(format!(
                "{} has no layer: say in xtask/src/check/boundary.rs which crates it may use",
                package.name
            ));
            continue;
        };
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        for dependency in normal.filter(|dependency| ours(&dependency.name)) {
            if !allowed.contains(&dependency.name.as_str()) {
                findings.push(format!("{} uses {}: allowed are {allowed:?}", package.name, dependency.name));
            }
        }
    }
    findings
}

/// Programs of `interop/` sit on top of everything.
fn is_test_program(package: &Package) -> bool {
    let mut folders = package.manifest_path.components();
    folders.any(|folder| folder.as_os_str() == "interop") && package.name.starts_with("tramline-interop")
}

fn trees(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.members().filter(|package| SANS_IO.contains(&package.name.as_str())) {
        for (id, way) in metadata.normal_tree(&package.id) {
            if IO_CRATES.contains(&metadata.name_of(&id)) {
                findings.push(format!("a sans-IO crate reaches a runtime or sockets: {}", way.join(" -> ")));
            }
        }
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            if RANDOM_CRATES.contains(&dependency.name.as_str()) {
                findings.push(format!("{} takes randomness itself: {}", package.name, dependency.name));
            }
        }
    }
    findings
}

fn banned_words(path: &Path, text: &str) -> Vec<String> {
    if source::is_test_file(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in source::code_lines(text) {
        for (word, instead) in BANNED_WORDS {
            if source::names(line, word) {
                findings.push(format!("{}:{number}: `{word}` in a sans-IO crate: {instead}", path.display()));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::synthetic::{foreign, member, workspace};

    #[test]
    fn a_sans_io_crate_that_reaches_tokio_two_steps_away_is_found() {
        let metadata = workspace(
            vec![member("tramline-core"), foreign("helper"), foreign("tokio")],
            &[("tramline-core", "helper", None), ("helper", "tokio", None)],
        );
        assert_eq!(
            trees(&metadata),
            ["a sans-IO crate reaches a runtime or sockets: tramline-core -> helper -> tokio"]
        );
    }

    #[test]
    fn tokio_in_a_test_or_above_the_boundary_is_fine() {
        let metadata = workspace(
            vec![member("tramline-core"), member("tramline-net"), foreign("tokio")],
            &[("tramline-core", "tokio", Some("dev")), ("tramline-net", "tokio", None)],
        );
        assert_eq!(trees(&metadata), [""; 0]);
    }

    #[test]
    fn every_banned_socket_crate_is_found_in_every_sans_io_crate() {
        for name in SANS_IO {
            for io in IO_CRATES {
                let metadata = workspace(vec![member(name), foreign(io)], &[(name, io, None)]);
                assert_eq!(trees(&metadata).len(), 1, "{name} -> {io}");
            }
        }
    }

    #[test]
    fn randomness_as_a_direct_dependency_is_found() {
        let metadata = workspace(
            vec![member("tramline-transport"), foreign("getrandom")],
            &[("tramline-transport", "getrandom", None)],
        );
        assert_eq!(trees(&metadata), ["tramline-transport takes randomness itself: getrandom"]);
    }

    #[test]
    fn a_dependency_that_points_up_is_found() {
        let metadata = workspace(
            vec![member("tramline-wire"), member("tramline-core")],
            &[("tramline-wire", "tramline-core", None)],
        );
        assert_eq!(layers(&metadata), ["tramline-wire uses tramline-core: allowed are []"]);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        let metadata = workspace(vec![member("tramline-new")], &[]);
        assert!(layers(&metadata)[0].starts_with("tramline-new has no layer"));
    }

    #[test]
    fn a_clock_a_socket_a_thread_and_randomness_are_found_in_the_sources() {
        let path = Path::new("crates/tramline-core/src/queue.rs");
        for (word, _) in BANNED_WORDS {
            let text = format!("fn f() {{\n    let x = {word}();\n}}\n");
            let findings = banned_words(path, &text);
            assert!(findings.iter().any(|finding| finding.contains(word)), "{word}");
            assert!(findings[0].starts_with("crates/tramline-core/src/queue.rs:2:"));
        }
    }

    #[test]
    fn a_list_of_banned_methods_that_differs_or_bans_nothing_is_found() {
        let list = "disallowed-methods = [{ path = \"std::time::Instant::now\" }]".to_owned();
        assert_eq!(same_lists(&[("a", list.clone()), ("b", list.clone())]), [""; 0]);
        let findings = same_lists(&[("a", list), ("b", String::new())]);
        assert_eq!(findings, ["the clippy.toml of b differs from that of a"]);
        let findings = same_lists(&[("a", String::new()), ("b", String::new())]);
        assert_eq!(findings, ["the clippy.toml of a does not ban the clock"]);
    }

    #[test]
    fn comments_tests_and_longer_words_are_left_alone() {
        let path = Path::new("crates/tramline-core/src/queue.rs");
        let text = "//! Never `Instant::now`.\nlet operand = brand; // rand\n#[cfg(test)]\nmod tests {\n    fn f() { Instant::now(); }\n}\n";
        assert_eq!(banned_words(path, text), [""; 0]);
        assert_eq!(banned_words(Path::new("src/queue/tests.rs"), "Instant::now()"), [""; 0]);
    }
}
