//! The thread that reads files with credentials again once they have changed.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use turn_auth::AcceptedCredentials;

use super::{CredentialConfig, files::Stamp, sources::Sources};

/// How often to look. A change is read once a second look sees no further one: whoever writes a file may not be at its end yet.
const EVERY: Duration = Duration::from_secs(1);

/// Tells the thread to look at once.
#[derive(Debug)]
pub(crate) struct Watch {
    now: Sender<()>,
    has_files: bool,
}

impl Watch {
    /// Looks at the files that `config` names from now on, if any, and calls `accept` with what they hold once that is something else.
    /// A file that waits for a disk or a network keeps nobody waiting but this thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        config: &CredentialConfig,
        accept: impl Fn(Arc<AcceptedCredentials>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (now, look_now) = channel();
        // A portal is told one secret when it is joined.
        let has_files = config.sources.has_files() && !config.is_portal_s;
        if has_files {
            let mut files = Files::new(config.sources.clone(), Arc::clone(&config.accepted));
            let run = move || {
                while let Some(hurried) = wait(&look_now) {
                    if let Some(accepted) = files.look(hurried) {
                        accept(accepted);
                    }
                }
            };
            thread::Builder::new()
                .name("credentials".to_owned())
                .spawn(run)
                .context("cannot start the thread that watches credentials")?;
        }
        Ok(Self { now, has_files })
    }

    /// Whether there is anything to read.
    pub(crate) const fn has_files(&self) -> bool {
        self.has_files
    }

    /// Reads the files now, changed or not.
    pub(crate) fn read_now(&self) {
        // Without files nobody listens.
        let _ = self.now.send(());
    }
}

/// Whether somebody is in a hurry; nothing when the relay ends.
fn wait(look_now: &Receiver<()>) -> Option<bool> {
    match look_now.recv_timeout(EVERY) {
        Ok(()) => Some(true),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// What was read, and of which files.
#[derive(Debug)]
struct Files {
    sources: Sources,
    accepted: Arc<AcceptedCredentials>,
    /// Of what was read last.
    read: [Option<Stamp>; 2],
    /// Of the last look.
    seen: [Option<Stamp>; 2],
}

impl Files {
    fn new(sources: Sources, accepted: Arc<AcceptedCredentials>) -> Self {
        // They may have changed since they were read, so nothing is known of what was.
        Self { sources, accepted, read: [None; 2], seen: [None; 2] }
    }

    /// What is accepted from now on, if it is something else.
    fn look(&mut self, is_hurried: bool) -> Option<Arc<AcceptedCredentials>> {
        let stamps = self.sources.stamps();
        let is_still = std::mem::replace(&mut self.seen, stamps) == stamps;
        if !is_hurried && (stamps == self.read || !is_still) {
            return None;
        }
        self.read = stamps;
        match self.sources.read() {
            Ok(accepted) if is_same(&accepted, &self.accepted) => None,
            Ok(accepted) => {
                self.tell(&accepted);
                self.accepted = Arc::new(accepted);
                Some(Arc::clone(&self.accepted))
            }
            Err(problems) => {
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
    let keys = |accepted: &AcceptedCredentials| -> Vec<_> {
        accepted.users.iter().map(|(name, key)| (name.clone(), key.to_bytes())).collect()
    };
    one.secrets == other.secrets && keys(one) == keys(other)
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
        // Somebody writes it anew, in pieces.
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
    fn what_is_wrong_changes_nothing_and_is_looked_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, "alice:one\n").unwrap();
        let mut files = files(&path);
        for content in [Some(""), Some("bob\n"), None] {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            for _ in 0..3 {
                assert_eq!(names(files.look(false)), None);
            }
            assert_eq!(files.read, files.sources.stamps());
            assert_eq!(names(Some(Arc::clone(&files.accepted))), Some(vec!["alice".to_owned()]));
        }
        fs::write(&path, "alice:two\n").unwrap();
        assert_eq!(names(files.look(false)), None);
        assert!(files.look(false).is_some(), "another password is news");
    }
}
