//! Licence expressions (SPDX, with the old `A/B` for `A OR B`).

/// Whether one can follow the expression with the allowed licences alone.
pub(crate) fn allows(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let allowed = parser.any()?;
    match parser.peek() {
        None => Ok(allowed),
        Some(word) => Err(format!("unexpected {word:?}")),
    }
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [String],
}

impl Parser<'_> {
    fn any(&mut self) -> Result<bool, String> {
        let mut allowed = self.all()?;
        while self.take("OR") {
            allowed |= self.all()?;
        }
        Ok(allowed)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut allowed = self.one()?;
        while self.take("AND") {
            allowed &= self.one()?;
        }
        Ok(allowed)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let allowed = self.any()?;
            return if self.take(")") { Ok(allowed) } else { Err("a parenthesis is not closed".to_owned()) };
        }
        let mut name = self.licence()?.to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.licence()?);
        }
        Ok(self.allowed.contains(&name))
    }

    fn licence(&mut self) -> Result<&str, String> {
        match self.peek() {
            Some(word) if !matches!(word, "AND" | "OR" | "WITH" | "(" | ")") => {
                self.at += 1;
                Ok(self.words[self.at - 1])
            }
            other => Err(format!("a licence was expected, not {other:?}")),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.at += usize::from(there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(expression: &str) -> Result<bool, String> {
        allows(expression, &["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()])
    }

    #[test]
    fn one_of_several_is_enough_and_all_of_several_are_needed() {
        for yes in [
            "MIT",
            "GPL-2.0 OR MIT",
            "GPL-2.0/MIT",
            "MIT AND ISC",
            "MIT AND (GPL-2.0 OR ISC)",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(allowed(yes), Ok(true), "{yes}");
        }
        for no in ["GPL-2.0", "MIT AND GPL-2.0", "(GPL-2.0 OR BSL-1.0) AND MIT", "Apache-2.0", "mit"] {
            assert_eq!(allowed(no), Ok(false), "{no}");
        }
    }

    #[test]
    fn a_broken_expression_is_an_error() {
        for broken in ["", "MIT OR", "(MIT", "MIT ISC", "AND"] {
            assert!(allowed(broken).is_err(), "{broken:?}");
        }
    }
}
