//! What the distribution brings: programs and headers that the tests need.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::stage;

const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Something that must be there, and the package that brings it. A path is looked for as it is, a bare name on the `PATH`.
pub(crate) type Need = (&'static str, &'static str);

/// Installs what is missing.
pub(crate) fn ensure(needs: &[Need]) -> Result<(), String> {
    let missing = missing(needs, is_there);
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} from the distribution", missing.join(", "));
    let by_hand = |error| format!("{error}\ninstall {} by hand, or run as root", missing.join(", "));
    stage::run(Command::new("apt-get").args(["update", "-qq"]), LIMIT, |_| {}).map_err(by_hand)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
    stage::run(install.env("DEBIAN_FRONTEND", "noninteractive"), LIMIT, |_| {}).map_err(by_hand)
}

fn missing(needs: &[Need], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut missing: Vec<&str> =
        needs.iter().filter(|(what, _)| !is_there(what)).map(|(_, package)| *package).collect();
    missing.dedup();
    missing
}

fn is_there(what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(what).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once_and_only_when_something_of_it_is_missing() {
        let needs = [("sh", "dash"), ("c++", "g++"), ("g++", "g++"), ("/none", "nothing")];
        assert_eq!(missing(&needs, |what| what == "sh"), ["g++", "nothing"]);
        assert_eq!(missing(&needs, |_| true), [""; 0]);
    }

    #[test]
    fn programs_are_found_on_the_path_and_files_where_they_are() {
        assert!(is_there("sh") && is_there("/bin/sh"));
        assert!(!is_there("a-program-that-nobody-has") && !is_there("/bin/a-program-that-nobody-has"));
    }
}
