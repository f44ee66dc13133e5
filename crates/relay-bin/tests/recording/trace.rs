//! A recording that a test makes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use relay_replay::{Mode, Session};

/// A temporary file, removed on drop.
pub(crate) struct Trace(pub(crate) PathBuf);

impl Trace {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("relay-recording-{}-{count}.pcapng", std::process::id())))
    }

    pub(crate) fn option(&self) -> String {
        format!("--record-trace={}", self.0.display())
    }

    pub(crate) fn open(&self) -> Session {
        let mut session = Session::new();
        session.push(&fs::read(&self.0).unwrap());
        session.end();
        assert_eq!((session.error(), session.warnings().len()), (None, 0));
        session
    }

    /// Replays the recording without a difference, and returns the session.
    pub(crate) fn replay(&self) -> Session {
        let session = self.open();
        assert_eq!(session.mode(), Mode::Replay);
        assert_eq!(session.dropped(), 0);
        let differences = session.differences();
        assert!(differences.is_empty(), "{} differences, the first: {:?}", differences.len(), differences[0]);
        session
    }
}

/// Copies `trace` to the fixtures of relay-replay if the environment asks for it (`docs/traces.md`).
pub(crate) fn keep(trace: &Trace, name: &str) {
    if let Some(folder) = env::var_os("RELAY_KEEP_RECORDINGS") {
        fs::copy(&trace.0, Path::new(&folder).join(name)).unwrap();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
