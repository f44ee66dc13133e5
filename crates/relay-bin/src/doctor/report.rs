//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How good what was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// As it should be.
    Good,
    /// Not as it should be for something that is not asked for.
    Note,
    /// The relay works, and would work better.
    Improve,
    /// The relay does not start, or does not serve.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at. Does not change between versions.
    check: &'static str,
    status: Status,
    /// What is there.
    found: String,
    /// What to do, unless it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Everything that was looked at.
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

    /// What is wrong with the options, which the other findings take as they can.
    pub(crate) fn add_problem(&mut self, problem: &str) {
        self.add("options", Status::Broken, problem, "the relay does not start until this is changed");
    }

    /// The worst that was found.
    pub(crate) fn status(&self) -> Status {
        self.findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Good)
    }

    /// The exit status: 0 if there is nothing to change, 1 if the relay would work better, 3 if it would not work. (2 is that of wrong
    /// options.)
    pub(crate) fn exit_code(&self) -> u8 {
        match self.status() {
            Status::Good | Status::Note => 0,
            Status::Improve => 1,
            Status::Broken => 3,
        }
    }

    /// One line for each finding, and one with what to do where there is something to do.
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
