//! The sources of credentials: options, read once, and files, read again when they change.

use std::path::PathBuf;

use turn_auth::{AcceptedCredentials, AuthSecret, Schemes};

use super::files::{self, Users};
use crate::option_names::{AUTH_SECRET_FILE, USERS_FILE};

/// The credentials in options, and the paths of files with more.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) schemes: Schemes,
    pub(crate) realm: String,
    pub(crate) secrets: Vec<AuthSecret>,
    pub(crate) secrets_file: Option<PathBuf>,
    pub(crate) users: Users,
    pub(crate) users_file: Option<PathBuf>,
}

impl Sources {
    /// Reads the files. The secrets of options come first, then those of the file, in order. The first of all mints.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files.
    pub(crate) fn read(&self) -> Result<AcceptedCredentials, Vec<String>> {
        let mut problems = Vec::new();
        let mut secrets = self.secrets.clone();
        let mut users = self.users.clone();
        match self.secrets_file.as_deref().map(|path| files::secrets(path, self.schemes)).transpose() {
            Ok(more) => secrets.extend(more.into_iter().flatten()),
            Err(problem) => problems.push(format!("{AUTH_SECRET_FILE}: {problem}")),
        }
        match self.users_file.as_deref().map(|path| files::users(path, &self.realm)).transpose() {
            Ok(more) => {
                for (name, key) in more.into_iter().flatten() {
                    if users.contains_key(&name) {
                        problems
                            .push(format!("{USERS_FILE}: user {name:?} is given by --user, too: give each user once"));
                    }
                    users.insert(name, key);
                }
            }
            Err(problem) => problems.push(format!("{USERS_FILE}: {problem}")),
        }
        let mut distinct = Vec::new();
        for secret in secrets {
            if !distinct.contains(&secret) {
                distinct.push(secret);
            }
        }
        if distinct.len() > AcceptedCredentials::MAX_SECRETS {
            problems.push(format!(
                "there are {} secrets, and every request with a wrong password is tried with each: give up to {}",
                distinct.len(),
                AcceptedCredentials::MAX_SECRETS
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(AcceptedCredentials { schemes: self.schemes, secrets: distinct, users, nonce_key: None })
    }

    /// Whether there is a file to read again.
    pub(crate) const fn has_files(&self) -> bool {
        self.secrets_file.is_some() || self.users_file.is_some()
    }

    /// The files to read.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.secrets_file, &self.users_file].into_iter().flatten().cloned()
    }
}
