//! Files that are read again once they have changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::Context as _;

/// How often to look. A change is read once a second look sees no further one: whoever writes a file may not be at its end yet.
const EVERY: Duration = Duration::from_secs(1);

/// A thread that looks at files. Tells it to look at once.
#[derive(Debug)]
pub(crate) struct FileWatch {
    now: Sender<()>,
    has_files: bool,
}

impl FileWatch {
    /// Has a thread of this name call `look` again and again, if there are files. `look` is told whether somebody is in a hurry. A file
    /// that waits for a disk or a network keeps nobody waiting but this thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        name: &'static str,
        has_files: bool,
        mut look: impl FnMut(bool) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (now, look_now) = channel();
        if has_files {
            let run = move || {
                while let Some(is_hurried) = wait(&look_now) {
                    look(is_hurried);
                }
            };
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .with_context(|| format!("cannot start the thread that watches files with {name}"))?;
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

/// Tells when files are to be read.
#[derive(Debug)]
pub(crate) struct Changes {
    files: Vec<PathBuf>,
    /// Of what was read last.
    read: Vec<Option<Stamp>>,
    /// Of the last look.
    seen: Vec<Option<Stamp>>,
    /// What was wrong when they were read last, if anything.
    failure: Option<String>,
}

impl Changes {
    /// The files may have changed since they were read, so nothing is known of what was.
    pub(crate) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<_> = files.into_iter().collect();
        let unknown = vec![None; files.len()];
        Self { files, read: unknown.clone(), seen: unknown, failure: None }
    }

    /// Notes what was wrong with the files that were just read, if anything: the next look then tries again, since what was in the way,
    /// such as a limit on open files, need not be in them. Whether it is a failure that was not there the last time.
    pub(crate) fn note(&mut self, failure: Option<String>) -> bool {
        let is_new = failure.is_some() && failure != self.failure;
        self.failure = failure;
        is_new
    }

    /// Whether to read the files now.
    pub(crate) fn look(&mut self, is_hurried: bool) -> bool {
        let stamps: Vec<_> = self.files.iter().map(|file| Stamp::of(file)).collect();
        let is_still = self.seen == stamps;
        self.seen.clone_from(&stamps);
        if !is_hurried && !(is_still && (self.failure.is_some() || stamps != self.read)) {
            return false;
        }
        self.read = stamps;
        true
    }
}

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file at `path`, if there is one.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_has_another_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let before = Stamp::of(&path).unwrap();
        assert_eq!(Stamp::of(&path), Some(before));
        fs::write(&path, "three").unwrap();
        let after = Stamp::of(&path);
        assert!(after.is_some() && after != Some(before));
        fs::remove_file(&path).unwrap();
        assert_eq!(Stamp::of(&path), None);
    }
}
