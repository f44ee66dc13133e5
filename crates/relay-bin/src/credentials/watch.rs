//! Reads files of credentials again when they have changed.

use std::sync::Arc;

use relay_server::{PasswordAlgorithm, UserKeys};
use turn_auth::AcceptedCredentials;
use zeroize::Zeroizing;

use super::{CredentialConfig, sources::Sources};
use crate::{
    faults::{Faults, Part},
    file_watch::{Changes, FileWatch},
};

/// Watches the files in `config`, if there are any, and calls `accept` with the new credentials after a change.
///
/// # Errors
///
/// When the system has no thread left.
pub(crate) fn watch(
    config: &CredentialConfig,
    faults: &Faults,
    accept: impl Fn(Arc<AcceptedCredentials>) + Send + 'static,
) -> anyhow::Result<FileWatch> {
    // With a portal the relay has one secret, which it sends when it joins.
    let has_files = config.sources.has_files() && !config.is_portal_s;
    let mut files = Files::new(config.sources.clone(), Arc::clone(&config.accepted));
    files.faults = faults.clone();
    FileWatch::start("credentials", has_files, move |is_hurried| {
        if let Some(accepted) = files.look(is_hurried) {
            accept(accepted);
        }
    })
}

/// The watched files, and the credentials that were read last.
#[derive(Debug)]
struct Files {
    sources: Sources,
    accepted: Arc<AcceptedCredentials>,
    changes: Changes,
    faults: Faults,
}

impl Files {
    fn new(sources: Sources, accepted: Arc<AcceptedCredentials>) -> Self {
        let changes = Changes::of(sources.files());
        Self { sources, accepted, changes, faults: Faults::default() }
    }

    /// The new credentials, if they have changed.
    fn look(&mut self, is_hurried: bool) -> Option<Arc<AcceptedCredentials>> {
        if !self.changes.look(is_hurried) {
            return None;
        }
        let result = self.sources.read();
        let is_new = self.changes.note(result.as_ref().err().map(|problems| problems.join("\n")));
        match result {
            Ok(accepted) if is_same(&accepted, &self.accepted) => None,
            Ok(accepted) => {
                self.tell(&accepted);
                self.accepted = Arc::new(accepted);
                Some(Arc::clone(&self.accepted))
            }
            Err(_) if !is_new => None,
            Err(problems) => {
                self.faults.note(Part::File);
                for problem in problems {
                    tracing::error!("{problem}; what was read before stays in force");
                }
                None
            }
        }
    }

    fn tell(&self, new: &AcceptedCredentials) {
        let old = &self.accepted;
        let secrets_added = new.secrets.iter().filter(|secret| !old.secrets.contains(secret)).count();
        let secrets_removed = old.secrets.iter().filter(|secret| !new.secrets.contains(secret)).count();
        let users_added = new.users.keys().filter(|name| !old.users.contains_key(*name)).count();
        let users_removed = old.users.keys().filter(|name| !new.users.contains_key(*name)).count();
        tracing::info!(
            secrets = new.secrets.len(),
            secrets_added,
            secrets_removed,
            users = new.users.len(),
            users_added,
            users_removed,
            "credentials were read again; allocations live on with what they were made with"
        );
    }
}

fn is_same(one: &AcceptedCredentials, other: &AcceptedCredentials) -> bool {
    let bytes = |keys: &UserKeys| {
        [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256]
            .map(|algorithm| keys.key(algorithm).map(|key| Zeroizing::new(key.as_bytes().to_owned())))
    };
    let users = |accepted: &AcceptedCredentials| -> Vec<_> {
        accepted.users.iter().map(|(name, keys)| (name.clone(), bytes(keys))).collect()
    };
    one.secrets == other.secrets && users(one) == users(other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use turn_auth::Schemes;

    use super::*;

    fn files(path: &std::path::Path) -> Files {
        let sources = Sources {
            schemes: Schemes::Both,
            realm: "firezone".to_owned(),
            secrets: Vec::new(),
            secrets_file: None,
            users: [].into(),
            users_file: Some(path.to_owned()),
        };
        let accepted = Arc::new(sources.read().unwrap());
        Files::new(sources, accepted)
    }

    fn names(accepted: Option<Arc<AcceptedCredentials>>) -> Option<Vec<String>> {
        accepted.map(|accepted| accepted.users.keys().map(|name| name.to_string()).collect())
    }

    #[test]
    fn a_change_is_read_once_there_is_no_further_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, "alice:one\nbob:two\n").unwrap();
        let mut files = files(&path);
        for _ in 0..3 {
            assert_eq!(names(files.look(false)), None, "nothing has changed");
        }
        // Another program writes the file in pieces.
        for content in ["al", "alice:one\n", "alice:one\ncarol:three\n"] {
            fs::write(&path, content).unwrap();
            assert_eq!(names(files.look(false)), None, "it may go on");
        }
        assert_eq!(names(files.look(false)), Some(vec!["alice".to_owned(), "carol".to_owned()]));
        assert_eq!(names(files.look(false)), None);

        fs::write(&path, "dave:four\n").unwrap();
        assert_eq!(names(files.look(true)), Some(vec!["dave".to_owned()]), "at once if it is asked for");
        assert_eq!(names(files.look(true)), None, "the same is no news");
    }

    #[test]
    fn what_is_wrong_changes_nothing_and_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, "alice:one\n").unwrap();
        let mut files = files(&path);
        for (faults, content) in (1..).zip([Some(""), Some("bob\n"), None]) {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            for _ in 0..3 {
                assert_eq!(names(files.look(false)), None);
            }
            assert!(files.changes.look(false), "it is tried again: what is wrong need not be in the file");
            assert!(files.faults.counts().contains(&(Part::File, faults)));
            assert_eq!(names(Some(Arc::clone(&files.accepted))), Some(vec!["alice".to_owned()]));
        }
        fs::write(&path, "alice:two\n").unwrap();
        assert_eq!(names(files.look(false)), None);
        assert!(files.look(false).is_some(), "another password is news");
    }
}
