//! The sources of rules about peers: options, read once, and a file, read again when it changes.

use std::path::{Path, PathBuf};

use relay_server::PeerRule;

use crate::{
    option_names::PEER_RULES_FILE,
    text_file::{at, lines, read, text},
};

/// A rule, with its source as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcedRule {
    pub(crate) rule: PeerRule,
    pub(crate) source: String,
}

/// The rules in options, and the path of a file with more.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSources {
    pub(crate) options: Vec<SourcedRule>,
    pub(crate) file: Option<PathBuf>,
}

impl RuleSources {
    /// Reads the file and returns all rules. A file without rules is valid: some may be added later.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn read(&self) -> Result<Vec<SourcedRule>, String> {
        let mut rules = self.options.clone();
        if let Some(file) = &self.file {
            rules.extend(read_file(file).map_err(|problem| format!("{PEER_RULES_FILE}: {problem}"))?);
        }
        Ok(rules)
    }
}

fn read_file(path: &Path) -> Result<Vec<SourcedRule>, String> {
    let bytes = read(path)?;
    let rules = lines(&bytes).map(|(number, line)| {
        let rule = text(line).and_then(|line| line.parse().map_err(|error| format!("{error}")));
        let rule = rule.map_err(|problem| at(path, number, &problem))?;
        Ok(SourcedRule { rule, source: format!("{}, line {number}", path.display()) })
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_says_on_which_line_it_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules");
        let sources = RuleSources { options: Vec::new(), file: Some(path.clone()) };
        fs::write(&path, "# mine\n\nallow 10.0.0.0/8\n deny 10.1.0.0/16:53\n").unwrap();
        let rules = sources.read().unwrap();
        assert_eq!(
            rules.iter().map(|rule| rule.rule.to_string()).collect::<Vec<_>>(),
            ["allow 10.0.0.0/8", "deny 10.1.0.0/16:53"]
        );
        assert!(rules[1].source.ends_with("rules, line 4"), "{}", rules[1].source);

        fs::write(&path, "allow 10.0.0.0/8\n10.1.0.0/16\n").unwrap();
        let problem = sources.read().unwrap_err();
        assert!(problem.contains("--peer-rules-file") && problem.contains("line 2"), "{problem}");
        fs::write(&path, "# none yet\n").unwrap();
        assert_eq!(sources.read(), Ok(Vec::new()));
    }
}
