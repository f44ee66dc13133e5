//! What is wrong with the options, collected so that all of it is told at once.

use std::fmt;

/// An option, for messages that name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    flag: &'static str,
    variable: &'static str,
}

impl Name {
    pub(crate) const fn new(flag: &'static str, variable: &'static str) -> Self {
        Self { flag, variable }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.flag, self.variable)
    }
}

/// At least one thing wrong with the options; displays as one line each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects problems while options are read.
#[derive(Debug, Default)]
pub(crate) struct Collector(Vec<String>);

impl Collector {
    /// `problem` is one line that says what is wrong and what would be right.
    pub(crate) fn add(&mut self, problem: String) {
        self.0.push(problem);
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
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problems(self.0)),
        }
    }
}
