//! Collects all errors in the options, so that they are reported together.

use std::fmt;

use crate::option_names::Name;

/// One or more errors in the options. `Display` writes each on a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problems {
    lines: Vec<String>,
    may_pass: bool,
}

impl Problems {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Whether the machine only lacks something that it may have soon.
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
    /// Adds an error: one line with what is wrong and what would be right.
    pub(crate) fn add(&mut self, problem: String) {
        self.wrong.push(problem);
    }

    /// Adds something that this machine lacks now and may have soon.
    pub(crate) fn add_missing(&mut self, problem: String) {
        self.missing.push(problem);
    }

    /// Parses an option's value; `None` if it has none. If `parse` refuses the value, adds an error with `wanted`, which says what
    /// would be right and gives an example.
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

    /// `value`, if there were no errors.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let Self { wrong, missing } = self;
        match value {
            Some(value) if wrong.is_empty() && missing.is_empty() => Ok(value),
            // What the machine lacks may be due to the errors.
            _ if wrong.is_empty() => Err(Problems { lines: missing, may_pass: true }),
            _ => Err(Problems { lines: wrong, may_pass: false }),
        }
    }
}
