//! Watches files and reads them again when they have changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::Context as _;

/// How often to look. A changed file is read once a second look finds it unchanged since: its writer may not have finished before.
const EVERY: Duration = Duration::from_secs(1);

/// The handle of a thread that watches files.
#[derive(Debug)]
pub(crate) struct FileWatch {
    now: Sender<()>,
    has_files: bool,
}

impl FileWatch {
    /// Starts a thread called `name` that calls `look` once a second, if there are files. The argument of `look` is true after
    /// [`Self::read_now`]. A slow disk or network file system blocks only this thread.
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

    /// Whether there are files to watch.
    pub(crate) const fn has_files(&self) -> bool {
        self.has_files
    }

    /// Reads the files now, changed or not.
    pub(crate) fn read_now(&self) {
        // The send fails if there are no files, and so no thread.
        let _ = self.now.send(());
    }
}

/// Waits for the next look. Returns whether the files must be read now; `None` when the relay ends.
fn wait(look_now: &Receiver<()>) -> Option<bool> {
    match look_now.recv_timeout(EVERY) {
        Ok(()) => Some(true),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// Decides when to read files again.
#[derive(Debug)]
pub(crate) struct Changes {
    files: Vec<PathBuf>,
    /// The stamps of the files as they were read last.
    read: Vec<Option<Stamp>>,
    /// The stamps at the last look.
    seen: Vec<Option<Stamp>>,
    /// What was wrong the last time the files were read, if anything.
    failure: Option<String>,
}

impl Changes {
    /// Files that may have changed since they were read first, so their stamps are unknown.
    pub(crate) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<_> = files.into_iter().collect();
        let unknown = vec![None; files.len()];
        Self { files, read: unknown.clone(), seen: unknown, failure: None }
    }

    /// Records whether reading the files failed. After a failure the next look reads them again, since the cause, such as a limit
    /// on open files, may be outside the files. Returns whether this failure is a new one.
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

/// The metadata that changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path`, if it exists.
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
