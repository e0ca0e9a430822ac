//! No dependency needs a newer compiler than the one this repository promises to work with.
//!
//! The promise is `rust-version` in the root manifest. Our own code is held to it by `clippy::incompatible_msrv`.

use crate::metadata::Metadata;

pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    let mut promises = metadata.members().filter_map(|package| package.rust_version.as_deref());
    let Some(promise) = promises.next() else {
        return vec!["no package of the workspace states a rust-version".to_owned()];
    };
    let Some(ours) = parse(promise) else {
        return vec![format!("cannot read rust-version {promise:?}")];
    };
    for package in metadata.members().filter(|package| package.rust_version.is_none()) {
        findings.push(format!("{} states no rust-version", package.name));
    }
    for package in &metadata.packages {
        let Some(needed) = package.rust_version.as_deref() else {
            continue;
        };
        match parse(needed) {
            Some(version) if version <= ours => {}
            Some(_) => findings.push(format!(
                "{} {} needs Rust {needed}, promised is {promise}",
                package.name, package.version
            )),
            None => findings.push(format!("{} has a rust-version {needed:?}", package.name)),
        }
    }
    findings
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let first = parts.next()??;
    let second = parts.next().unwrap_or(Some(0))?;
    let third = parts.next().unwrap_or(Some(0))?;
    Some((first, second, third))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;
    use crate::metadata::synthetic::{foreign, member, workspace};

    #[test]
    fn a_dependency_that_needs_a_newer_compiler_is_found() {
        let newer = Package { rust_version: Some("1.90.0".to_owned()), ..foreign("eager") };
        let metadata = workspace(vec![member("ours"), newer], &[]);
        assert_eq!(check(&metadata), ["eager 0.1.0 needs Rust 1.90.0, promised is 1.89"]);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let older = Package { rust_version: Some("1.9".to_owned()), ..foreign("old") };
        let silent = Package { rust_version: None, ..foreign("silent") };
        let metadata = workspace(vec![member("ours"), older, silent], &[]);
        assert_eq!(check(&metadata), [""; 0]);
    }

    #[test]
    fn a_crate_of_ours_without_the_promise_is_found() {
        let silent = Package { rust_version: None, ..member("silent") };
        let metadata = workspace(vec![member("ours"), silent], &[]);
        assert_eq!(check(&metadata), ["silent states no rust-version"]);
    }
}
