//! What is wrong with the options, collected so that all of it is told at once.

use std::fmt;

use crate::option_names::Name;

/// At least one thing wrong with the options; displays as one line each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problems {
    lines: Vec<String>,
    may_pass: bool,
}

impl Problems {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Whether nothing is wrong but that this machine lacks something, which may come.
    pub(crate) const fn may_pass(&self) -> bool {
        self.may_pass
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects problems while options are read.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    wrong: Vec<String>,
    missing: Vec<String>,
}

impl Collector {
    /// `problem` is one line that says what is wrong and what would be right.
    pub(crate) fn add(&mut self, problem: String) {
        self.wrong.push(problem);
    }

    /// The same for what this machine lacks now and may have in a moment.
    pub(crate) fn add_missing(&mut self, problem: String) {
        self.missing.push(problem);
    }

    /// The option's value, `None` if there is none. A value that `parse` refuses is a problem; `wanted` says what would be
    /// right, with an example.
    pub(crate) fn read<T>(
        &mut self,
        name: Name,
        value: Option<&str>,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = value.map(str::trim).filter(|value| !value.is_empty())?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.add(format!("{name} is {value:?}: give {wanted}"));
        }
        parsed
    }

    /// `value` if nothing was wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let Self { wrong, missing } = self;
        match value {
            Some(value) if wrong.is_empty() && missing.is_empty() => Ok(value),
            // What is missing tells nothing while something is wrong.
            _ if wrong.is_empty() => Err(Problems { lines: missing, may_pass: true }),
            _ => Err(Problems { lines: wrong, may_pass: false }),
        }
    }
}
