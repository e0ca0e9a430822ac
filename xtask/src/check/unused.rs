//! Dependencies that no source file names.
//!
//! A crate that is there only for its features says so in its manifest, with the reason:
//! `[package.metadata.unused-dependencies]`, `name = "why"`.

use crate::metadata::{Metadata, Package};

use super::source;

pub(crate) fn check(metadata: &Metadata) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let mut code = String::new();
        let mut tests = String::new();
        let folder = package.manifest_path.parent().ok_or("a manifest without a folder")?;
        for (path, text) in source::rust_files(folder)? {
            let inner = path.strip_prefix(folder).unwrap_or(&path);
            let place = if inner.starts_with("src") || inner == "build.rs" { &mut code } else { &mut tests };
            place.push_str(&text);
        }
        findings.extend(unused(package, &code, &tests));
    }
    Ok(findings)
}

fn unused(package: &Package, code: &str, tests: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
        let ident = name.replace('-', "_");
        let named = |text: &str| text.lines().any(|line| source::names(line, &ident));
        // Tests at the bottom of a source file may use a dev-dependency; nothing but `src` makes a normal one needed.
        let used = named(code) || (dependency.kind.as_deref() == Some("dev") && named(tests));
        let excused =
            package.metadata["unused-dependencies"][name].as_str().is_some_and(|why| !why.is_empty());
        match (used, excused) {
            (false, false) => findings.push(format!("{} does not use its dependency {name}", package.name)),
            (true, true) => findings.push(format!("{} uses {name}: it needs no excuse", package.name)),
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::synthetic::{member, workspace};

    fn package(kind: Option<&str>) -> Package {
        workspace(vec![member("ours")], &[("ours", "some-crate", kind)]).packages.remove(0)
    }

    #[test]
    fn a_dependency_that_nothing_names_is_found() {
        let finding = ["ours does not use its dependency some-crate"];
        assert_eq!(unused(&package(None), "use some_crate_more::X;", ""), finding);
        assert_eq!(unused(&package(None), "", "use some_crate::X;"), finding);
        assert_eq!(unused(&package(None), "use some_crate::X;", ""), [""; 0]);
        assert_eq!(unused(&package(Some("dev")), "", "use some_crate::X;"), [""; 0]);
    }

    #[test]
    fn an_excuse_needs_a_reason_and_a_need() {
        let mut package = package(None);
        package.metadata =
            serde_json::json!({ "unused-dependencies": { "some-crate": "picks the provider" } });
        assert_eq!(unused(&package, "", ""), [""; 0]);
        assert_eq!(unused(&package, "some_crate::x()", ""), ["ours uses some-crate: it needs no excuse"]);
        package.metadata = serde_json::json!({ "unused-dependencies": { "some-crate": "" } });
        assert_eq!(unused(&package, "", "").len(), 1);
    }
}
