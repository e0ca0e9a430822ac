//! Reads Rust sources as text: what is code, what is a comment, what is a test.

use std::path::{Path, PathBuf};

/// Every `.rs` file below a folder with its text, in a stable order.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let mut files = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                files.push((path, text));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the whole file is tests: `tests.rs`, or anything below a folder `tests`.
pub(crate) fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The numbered lines up to the tests at the bottom, without their comments.
pub(crate) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests = |at: usize| {
        lines[at].trim() == "#[cfg(test)]"
            && lines
                .get(at + 1)
                .is_some_and(|next| next.trim_start().contains("mod ") && next.trim_end().ends_with('{'))
    };
    let end = (0..lines.len()).find(|at| opens_tests(*at)).unwrap_or(lines.len());
    (1..).zip(lines.into_iter().take(end)).map(|(number, line)| {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        (number, code)
    })
}

/// Whether `word` stands in the line as a name of its own, not as part of a longer one.
pub(crate) fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_name) && !line[at + word.len()..].starts_with(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_only_when_it_stands_alone() {
        assert!(names("use rand::Rng;", "rand"));
        assert!(names("aws_lc_rs::rand::fill(", "rand"));
        assert!(!names("let operand = brand;", "rand"));
        assert!(!names("random()", "rand"));
    }

    #[test]
    fn comments_and_the_tests_at_the_bottom_are_no_code() {
        let text = "a // b\n#[cfg(test)]\nmod tests {\nc\n}\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(1, "a ")]);
    }

    #[test]
    fn code_below_a_test_module_in_a_file_of_its_own_is_still_read() {
        let text = "#[cfg(test)]\nmod tests;\nInstant::now()\n";
        assert_eq!(code_lines(text).count(), 3);
    }
}
