//! The tree of fields that a dissected packet becomes.

use std::{borrow::Cow, ops::Range};

use serde::Serialize;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name in the RFCs.
    pub name: Cow<'static, str>,
    /// The value in words.
    pub value: String,
    /// The bytes of the frame from which it was read.
    pub range: Range<usize>,
    /// The URL of the section that defines it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Cow<'static, str>>,
    /// Background for a reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Field>,
}

impl Field {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>, range: Range<usize>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            range,
            link: None,
            note: None,
            problem: None,
            children: Vec::new(),
        }
    }

    pub(crate) fn link(mut self, link: impl Into<Cow<'static, str>>) -> Self {
        self.link = Some(link.into());
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn problem(mut self, problem: impl Into<String>) -> Self {
        self.problem = Some(problem.into());
        self
    }

    pub(crate) fn children(mut self, children: Vec<Self>) -> Self {
        self.children = children;
        self
    }

    /// Moves the whole tree by `by` bytes.
    pub(super) fn shift(&mut self, by: usize) {
        self.range.start += by;
        self.range.end += by;
        self.children.iter_mut().for_each(|child| child.shift(by));
    }

    /// The innermost field that contains byte `at`.
    #[must_use]
    pub fn at(&self, at: usize) -> Option<&Self> {
        if !self.range.contains(&at) {
            return None;
        }
        self.children.iter().find_map(|child| child.at(at)).or(Some(self))
    }
}
