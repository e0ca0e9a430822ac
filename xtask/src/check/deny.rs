//! Licences, banned crates and sources of the dependencies, by the rules in `deny.toml`.
//!
//! The file is cargo-deny's, and cargo-deny is used when it is installed. It takes minutes to build, so where it
//! is missing this reads the same file and applies the rules that the file uses; a rule that it does not know is
//! an error, so that the two never drift apart in silence.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::metadata::Metadata;
use crate::stage;

use super::licence;

pub(crate) fn check(metadata: &Metadata) -> Result<Vec<String>, String> {
    let path = stage::root().join("deny.toml");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut findings = Rules::parse(&text)?.findings(metadata);
    if cargo_deny_is_installed() {
        let outcome = stage::run(
            &mut stage::cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]),
            Duration::from_secs(300),
            |_| {},
        );
        findings.extend(outcome.err());
    } else {
        println!("cargo-deny is not installed: applying deny.toml from cargo metadata");
    }
    Ok(findings)
}

fn cargo_deny_is_installed() -> bool {
    let probe = Command::new("cargo-deny")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

#[derive(Debug, Default)]
struct Rules {
    /// Licences that any dependency may have.
    allowed_licences: Vec<String>,
    /// Crates that must not be in the tree, with the reason.
    banned: Vec<(String, String)>,
}

impl Rules {
    fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Rules::default();
        for (key, value) in parse_toml(text)? {
            match (key.as_str(), value) {
                ("licenses.allow", Value::List(items)) => {
                    for item in items {
                        rules.allowed_licences.push(item.text()?);
                    }
                }
                ("bans.deny", Value::List(items)) => {
                    for item in items {
                        let mut table = item.table()?;
                        let name = table.remove("crate").ok_or("deny.toml: a ban without `crate`")?;
                        let reason =
                            table.remove("reason").ok_or(format!("deny.toml: no reason to ban {name}"))?;
                        rules.banned.push((name, reason));
                    }
                }
                // Left to cargo-deny, or the only value that the checks below implement.
                ("graph.all-features" | "licenses.confidence-threshold" | "bans.multiple-versions", _) => {}
                (
                    "bans.wildcards" | "sources.unknown-registry" | "sources.unknown-git",
                    Value::Text(level),
                ) if level == "deny" => {}
                ("bans.allow-wildcard-paths", Value::Word(word)) if word == "true" => {}
                (key, value) => return Err(format!("deny.toml: xtask does not know `{key} = {value:?}`")),
            }
        }
        Ok(rules)
    }

    fn findings(&self, metadata: &Metadata) -> Vec<String> {
        let mut findings = Vec::new();
        for package in &metadata.packages {
            let shown = format!("{} {}", package.name, package.version);
            if let Some((_, reason)) = self.banned.iter().find(|(name, _)| *name == package.name) {
                findings.push(format!("{shown} is banned: {reason}"));
            }
            match package.license.as_deref() {
                None => findings.push(format!("{shown} states no licence")),
                Some(expression) => match licence::allows(expression, &self.allowed_licences) {
                    Ok(true) => {}
                    Ok(false) => findings
                        .push(format!("{shown} has the licence {expression}, not allowed by deny.toml")),
                    Err(error) => findings.push(format!("{shown} has the licence {expression:?}: {error}")),
                },
            }
            let from_registry =
                |source: &str| source.starts_with("registry+") && source.ends_with("/crates.io-index");
            if package.source.as_deref().is_some_and(|source| !from_registry(source)) {
                findings.push(format!("{shown} does not come from crates.io"));
            }
        }
        findings
    }
}

/// The few kinds of value that `deny.toml` uses.
#[derive(Debug, PartialEq)]
enum Value {
    Text(String),
    /// A number or a boolean, as written.
    Word(String),
    List(Vec<Value>),
    Table(BTreeMap<String, String>),
}

impl Value {
    fn text(self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(format!("deny.toml: a string was expected, not {other:?}")),
        }
    }

    fn table(self) -> Result<BTreeMap<String, String>, String> {
        match self {
            Value::Table(table) => Ok(table),
            other => Err(format!("deny.toml: {{ crate, reason }} was expected, not {other:?}")),
        }
    }
}

/// `section.key` and value of every entry, for the part of TOML that `deny.toml` uses; anything else is an error.
fn parse_toml(text: &str) -> Result<Vec<(String, Value)>, String> {
    let mut entries = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().map(without_comment);
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(format!("deny.toml: cannot read {line:?}"))?;
        let mut value = value.trim().to_owned();
        while value.starts_with('[') && !value.ends_with(']') {
            let more = lines.next().ok_or(format!("deny.toml: the list of {} has no end", key.trim()))?;
            value.push_str(more);
        }
        entries.push((format!("{section}.{}", key.trim()), parse_value(&value)?));
    }
    Ok(entries)
}

fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let comment = line.char_indices().find(|(_, c)| {
        in_string ^= *c == '"';
        *c == '#' && !in_string
    });
    line[..comment.map_or(line.len(), |(at, _)| at)].trim()
}

fn parse_value(value: &str) -> Result<Value, String> {
    let inside = |open: char, close: char| value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(items) = inside('[', ']') {
        let items: Result<Vec<Value>, String> =
            split(items).into_iter().map(|item| parse_value(&item)).collect();
        return Ok(Value::List(items?));
    }
    if let Some(fields) = inside('{', '}') {
        let mut table = BTreeMap::new();
        for field in split(fields) {
            let (key, value) = field.split_once('=').ok_or(format!("deny.toml: cannot read {field:?}"))?;
            table.insert(key.trim().to_owned(), parse_value(value.trim())?.text()?);
        }
        return Ok(Value::Table(table));
    }
    match inside('"', '"') {
        Some(text) if !text.contains(['"', '\\']) => Ok(Value::Text(text.to_owned())),
        None if value.chars().all(|c| c.is_alphanumeric() || c == '.') => Ok(Value::Word(value.to_owned())),
        _ => Err(format!("deny.toml: cannot read {value:?}")),
    }
}

/// Splits at the commas that stand in no string and no table.
fn split(items: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut in_string) = (0, false);
    for c in items.chars() {
        match c {
            '"' => in_string = !in_string,
            '{' if !in_string => depth += 1,
            '}' if !in_string => depth -= 1,
            ',' if !in_string && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("there is always a part").push(c);
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;
    use crate::metadata::synthetic::{foreign, member, workspace};

    const RULES: &str = r#"
[licenses]
allow = [ # what a robot's maker can ship
    "MIT",
    "Apache-2.0",
]

[bans]
multiple-versions = "warn"
deny = [
    { crate = "openssl", reason = "rustls, always" },
]

[sources]
unknown-git = "deny"
"#;

    fn findings(packages: Vec<Package>) -> Vec<String> {
        Rules::parse(RULES).expect("the rules can be read").findings(&workspace(packages, &[]))
    }

    #[test]
    fn what_follows_the_rules_passes() {
        assert_eq!(findings(vec![member("ours"), foreign("theirs")]), [""; 0]);
    }

    #[test]
    fn a_foreign_licence_and_a_missing_one_are_found() {
        let copyleft = Package { license: Some("GPL-3.0-only".to_owned()), ..foreign("copyleft") };
        let silent = Package { license: None, ..foreign("silent") };
        assert_eq!(
            findings(vec![copyleft, silent]),
            [
                "copyleft 0.1.0 has the licence GPL-3.0-only, not allowed by deny.toml",
                "silent 0.1.0 states no licence"
            ]
        );
    }

    #[test]
    fn a_banned_crate_is_found_with_the_reason() {
        assert_eq!(findings(vec![foreign("openssl")]), ["openssl 0.1.0 is banned: rustls, always"]);
    }

    #[test]
    fn a_git_dependency_is_found() {
        let git = Package { source: Some("git+https://somewhere/x#1".to_owned()), ..foreign("git") };
        assert_eq!(findings(vec![git]), ["git 0.1.0 does not come from crates.io"]);
    }

    #[test]
    fn a_rule_that_is_not_implemented_here_is_an_error() {
        assert!(Rules::parse("[bans]\nskip = [\"x\"]\n").unwrap_err().contains("bans.skip"));
        assert!(Rules::parse("[sources]\nunknown-git = \"warn\"\n").is_err());
        assert!(Rules::parse("[bans]\ndeny = [{ crate = \"x\" }]\n").unwrap_err().contains("no reason"));
    }

    #[test]
    fn the_rules_of_this_repository_can_be_read() {
        let text = std::fs::read_to_string(stage::root().join("deny.toml")).expect("deny.toml is there");
        let rules = Rules::parse(&text).expect("xtask knows each rule");
        assert!(!rules.allowed_licences.is_empty() && !rules.banned.is_empty());
    }
}
