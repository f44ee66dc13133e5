//! The findings of all checks, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// As it should be.
    Good,
    /// Not as it should be, but only needed for a feature that is not asked for.
    Note,
    /// The relay works, and would work better with a change.
    Improve,
    /// The relay does not start, or does not serve.
    Broken,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// The name of the check. It does not change between versions.
    check: &'static str,
    status: Status,
    /// What the check found.
    found: String,
    /// What to change, unless all is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// The results of all checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn good(&mut self, check: &'static str, found: impl Into<String>) {
        self.findings.push(Finding { check, status: Status::Good, found: found.into(), advice: None });
    }

    pub(super) fn add(
        &mut self,
        check: &'static str,
        status: Status,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding { check, status, found: found.into(), advice: Some(advice.into()) });
    }

    /// Adds an error in the options. The checks use the other options.
    pub(crate) fn add_problem(&mut self, problem: &str) {
        self.add("options", Status::Broken, problem, "the relay does not start until this is changed");
    }

    /// The worst status of all findings.
    pub(crate) fn status(&self) -> Status {
        self.findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Good)
    }

    /// The exit status: 0 if there is nothing to change, 1 if the relay would work better with a change, 3 if it would not work. (2
    /// stands for wrong options.)
    pub(crate) fn exit_code(&self) -> u8 {
        match self.status() {
            Status::Good | Status::Note => 0,
            Status::Improve => 1,
            Status::Broken => 3,
        }
    }

    /// One line for each finding, and a second one with the advice if there is any.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for Finding { check, status, found, advice } in &self.findings {
            let mark = match status {
                Status::Good => "ok     ",
                Status::Note => "note   ",
                Status::Improve => "improve",
                Status::Broken => "BROKEN ",
            };
            let _ = writeln!(text, "{mark}  {check}: {found}");
            if let Some(advice) = advice {
                let _ = writeln!(text, "         -> {advice}");
            }
        }
        let count = |wanted| self.findings.iter().filter(|finding| finding.status == wanted).count();
        let _ = write!(
            text,
            "{} looked at: {} to improve, {} broken",
            self.findings.len(),
            count(Status::Improve),
            count(Status::Broken)
        );
        text
    }

    /// `{"status": ..., "findings": [{"check": ..., "status": ..., "found": ..., "advice": ...}]}`
    pub(crate) fn to_json(&self) -> String {
        let value = serde_json::json!({ "status": self.status(), "findings": self.findings });
        value.to_string()
    }
}
