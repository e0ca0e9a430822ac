//! Rules about the files themselves: what must not stand in any of them, and how long they may grow.

use std::process::Command;

use crate::stage;

/// Longer than this, a file tells two stories.
const MAX_LINES: usize = 900;

/// One file by its nature: what it is made of is split.
const GENERATED: [&str; 1] = ["crates/tramline-c/include/tramline.h"];

const CODE: [&str; 10] = ["c", "cpp", "css", "h", "hpp", "html", "js", "mjs", "py", "rs"];

/// Words that must not stand in any file, in halves so that this list does not find itself, and why.
const BANNED: [(&str, &str, &str); 14] = [
    ("/ro", "ot/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
    ("/home", "/", "a path of one machine"),
    ("/Use", "rs/", "a path of one machine"),
    ("/tmp/bash", "_jobs", "a path of one machine"),
    ("registry.npm", "js", "a registry's host: the client's own set-up names it"),
    ("index.crates", ".io", "a registry's host: the client's own set-up names it"),
    ("static.crates", ".io", "a registry's host: the client's own set-up names it"),
    ("pypi", ".org", "a registry's host: the client's own set-up names it"),
    ("files.python", "hosted", "a registry's host: the client's own set-up names it"),
    ("proxy.gol", "ang.org", "a registry's host: the client's own set-up names it"),
    ("deb.deb", "ian.org", "a registry's host: the client's own set-up names it"),
    ("#[ign", "ore", "a test that is not run"),
    ("todo", "!(", "an unfinished line"),
];

pub(crate) fn check() -> Result<Vec<String>, String> {
    let listed = stage::output(Command::new("git").args(["ls-files", "-z"]).current_dir(stage::root()))?;
    let mut findings = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // A file that is deleted but not yet committed is still listed; a binary one has no lines.
        let Ok(text) = std::fs::read_to_string(stage::root().join(path)) else {
            continue;
        };
        findings.extend(examine(path, &text));
    }
    Ok(findings)
}

fn examine(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    let is_code = path.rsplit_once('.').is_some_and(|(_, extension)| CODE.contains(&extension));
    if is_code && !GENERATED.contains(&path) && lines > MAX_LINES {
        findings.push(format!("{path}: {lines} lines, at most {MAX_LINES}: split it by role"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (one, two, why) in BANNED {
            if stands_in(line, &format!("{one}{two}")) {
                findings.push(format!("{path}:{number}: `{one}{two}`: {why}"));
            }
        }
    }
    findings
}

/// A path counts only where it begins, so that `frame/work/x` is none.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !word.starts_with('/')
            || !line[..at]
                .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_banned_word_is_found_with_its_place() {
        for (one, two, why) in BANNED {
            let text = format!("fine\nx = \"{one}{two}etc\"\n");
            assert_eq!(examine("a.txt", &text), [format!("a.txt:2: `{one}{two}`: {why}")]);
        }
    }

    #[test]
    fn a_path_inside_another_path_is_no_path_of_a_machine() {
        assert_eq!(examine("a.md", concat!("frame/wo", "rk/x ./ho", "me/")), [""; 0]);
    }

    #[test]
    fn a_source_file_that_is_too_long_is_found_and_a_lock_file_is_not() {
        let text = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(examine("a.rs", &text), ["a.rs: 901 lines, at most 900: split it by role"]);
        assert_eq!(examine("a.lock", &text), [""; 0]);
        assert_eq!(examine("a.rs", &"x\n".repeat(MAX_LINES)), [""; 0]);
    }
}
