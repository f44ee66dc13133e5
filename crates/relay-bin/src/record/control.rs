//! Starts and stops recordings while the relay runs.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, anyhow};
use packet_trace::{Clock as TraceClock, TraceHeader};
use relay_server::PortRange;
use tokio::{sync::oneshot, time::timeout};
use turn_auth::AcceptedCredentials;

use super::{
    RecordConfig, Recorder, ShardStart,
    credentials::recorded_credentials,
    progress::{Figures, Outcome},
    writer::{OPEN_LIMIT, Recording, header},
};
use crate::{
    clock::Clock,
    faults::{Faults, Part},
};

/// Sends a shard a recorder to use, or none to stop.
pub(crate) type TellShard = Box<dyn Fn(Option<Recorder>) + Send>;

/// Starts and stops recordings. There is at most one at a time.
pub(crate) struct RecordControl {
    directory: Option<PathBuf>,
    clock: Clock,
    faults: Faults,
    // Locked only by the operations thread and at the relay's start and end. Shards get mail instead.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` before the relay serves and after it has ended.
    relay: Option<Relay>,
    /// The last recording that was started.
    recording: Option<Recording>,
    /// The file of a recording that begins once the file is open.
    starting: Option<PathBuf>,
    is_stopping: bool,
}

/// What a recording needs from the relay.
struct Relay {
    header: TraceHeader,
    accepted: Arc<AcceptedCredentials>,
    shards: Vec<TellShard>,
}

/// A recording, a recorder for each shard, and the result of opening the file.
type Prepared = (Recording, Vec<Recorder>, oneshot::Receiver<anyhow::Result<()>>);

/// Why a recording does not start or stop.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotServing,
    /// A recording to this file is running already.
    Recording(PathBuf),
    /// A recording is waiting for this file to open.
    Starting(PathBuf),
    NotRecording,
    /// This file exists already.
    Exists(PathBuf),
    /// The file could not be opened, or the thread not be started.
    Failed(anyhow::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotServing => f.write_str("the relay does not serve yet, or is about to end"),
            Self::Recording(file) => write!(f, "{} is being recorded: stop that first", file.display()),
            Self::Starting(file) => write!(f, "{} is not open yet; GET /record says when it is", file.display()),
            Self::NotRecording => f.write_str("nothing is being recorded"),
            Self::Exists(file) => write!(f, "{} exists already: choose another name", file.display()),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl fmt::Debug for RecordControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordControl").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The state of the last recording.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) file: PathBuf,
    pub(crate) figures: Figures,
    /// The state in one word.
    pub(crate) state: &'static str,
}

impl RecordControl {
    /// A control for recordings in `directory`, if there is one.
    pub(crate) fn new(directory: Option<PathBuf>, clock: Clock, faults: Faults) -> Self {
        Self { directory, clock, faults, state: Mutex::default() }
    }

    /// The directory of recordings that are started at run time.
    pub(crate) fn directory(&self) -> Option<&PathBuf> {
        self.directory.as_ref()
    }

    /// Starts the recording `record`, if there is one, and returns a recorder for each shard. From now on, recordings can also be
    /// started at run time.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) async fn begin(
        &self,
        record: Option<&RecordConfig>,
        ports: PortRange,
        accepted: Arc<AcceptedCredentials>,
        starts: &[ShardStart],
        shards: Vec<TellShard>,
    ) -> anyhow::Result<Vec<Recorder>> {
        let relay = Relay { header: header(ports, starts), accepted, shards };
        let mut recorders = Vec::new();
        let mut begun = None;
        if let Some(record) = record {
            let (recording, each, opened) = Recording::start(record, relay.header(record), &self.faults)?;
            open_soon(opened, &record.file).await.context("--record-trace needs a file that can be written")?;
            begun = Some(recording);
            recorders = each;
        }
        let mut state = self.lock();
        state.recording = begun;
        state.relay = Some(relay);
        Ok(recorders)
    }

    /// Starts a recording at run time. Returns once the file is open; the future must be awaited until then.
    pub(crate) async fn start(&self, record: &RecordConfig) -> Result<(), Refusal> {
        let (started, recorders, opened) = self.prepare(record)?;
        let result = match opened.await {
            Ok(result) => result,
            Err(_) => Err(anyhow!("the recorder ended by itself: this is a bug")),
        };
        let mut state = self.lock();
        state.starting = None;
        result.map_err(|error| match exists(&error) {
            true => Refusal::Exists(record.file.clone()),
            false => {
                self.faults.note(Part::Recording);
                Refusal::Failed(error)
            }
        })?;
        let State { relay, recording, is_stopping, .. } = &mut *state;
        let relay = relay.as_ref().ok_or(Refusal::NotServing)?;
        *recording = Some(started);
        *is_stopping = false;
        for (shard, recorder) in relay.shards.iter().zip(recorders) {
            shard(Some(recorder));
        }
        Ok(())
    }

    /// Begins to open the file, unless another recording is running.
    fn prepare(&self, record: &RecordConfig) -> Result<Prepared, Refusal> {
        let mut state = self.lock();
        let State { relay, recording, starting, .. } = &mut *state;
        let relay = relay.as_ref().ok_or(Refusal::NotServing)?;
        if let Some(file) = starting {
            return Err(Refusal::Starting(file.clone()));
        }
        if let Some(last) = recording
            && !last.has_ended()
        {
            return Err(Refusal::Recording(last.file().to_owned()));
        }
        let clock = TraceClock { unix_nanos: Clock::unix_nanos(), monotonic_nanos: self.clock.now().as_nanos() };
        let mut header = TraceHeader { from_start: false, snapshots: true, clock, ..relay.header(record) };
        // The snapshots take their place.
        header.shards.iter_mut().for_each(|shard| shard.seed = [0; 32]);
        let prepared = Recording::start(record, header, &self.faults).map_err(Refusal::Failed)?;
        *starting = Some(record.file.clone());
        Ok(prepared)
    }

    /// Stops the recording. The file is complete when [`Self::status`] says so.
    pub(crate) fn stop(&self) -> Result<PathBuf, Refusal> {
        let mut state = self.lock();
        let State { relay, recording, starting, is_stopping } = &mut *state;
        let relay = relay.as_ref().ok_or(Refusal::NotServing)?;
        if let Some(file) = starting {
            return Err(Refusal::Starting(file.clone()));
        }
        // Before the shards stop: the recording may end as soon as they do.
        let stopped = recording.as_ref().filter(|recording| !*is_stopping && !recording.has_ended());
        let stopped = stopped.map(|recording| recording.file().to_owned());
        // Also after a write error: the shards then drop their useless recorders.
        for shard in &relay.shards {
            shard(None);
        }
        *is_stopping |= stopped.is_some();
        stopped.ok_or(Refusal::NotRecording)
    }

    /// The state of the last recording, if there was one.
    pub(crate) fn status(&self) -> Option<Status> {
        let state = self.lock();
        if let Some(file) = &state.starting {
            let figures = Figures { packets: 0, bytes: 0, missing: 0 };
            return Some(Status { file: file.clone(), figures, state: "starting" });
        }
        let recording = state.recording.as_ref()?;
        let outcome = recording.progress().outcome();
        Some(Status {
            file: recording.file().to_owned(),
            figures: recording.progress().figures(),
            state: match outcome {
                Outcome::Complete => "complete",
                Outcome::Failed => "failed",
                Outcome::Full | Outcome::Running if state.is_stopping => "stopping",
                Outcome::Full => "full",
                Outcome::Running => "recording",
            },
        })
    }

    /// Ends the recording: waits until all is written, unless the file accepts no more. The shards must have ended.
    pub(crate) async fn finish(&self) {
        let recording = {
            let mut state = self.lock();
            // No recording can start any more, and recorders that no shard has taken are dropped.
            state.relay = None;
            state.recording.take()
        };
        if let Some(recording) = recording {
            recording.finish().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the file is open, for at most [`OPEN_LIMIT`].
async fn open_soon(opened: oneshot::Receiver<anyhow::Result<()>>, file: &Path) -> anyhow::Result<()> {
    match timeout(OPEN_LIMIT, opened).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("the recorder ended by itself: this is a bug")),
        Err(_) => Err(anyhow!(
            "{} did not open within {} s: it is a pipe that nobody reads, or its file system does not answer",
            file.display(),
            OPEN_LIMIT.as_secs()
        )),
    }
}

impl Relay {
    /// The header of a recording with these options.
    fn header(&self, record: &RecordConfig) -> TraceHeader {
        let mut header = TraceHeader { payload_limit: record.payload_bytes, ..self.header.clone() };
        if record.with_secret {
            header.auth_secret = self.accepted.secrets.first().map(|secret| secret.expose().to_owned());
            header.accepted = Some(recorded_credentials(&self.accepted));
        } else {
            // Ports and reservation tokens could be derived from the seed.
            header.shards.iter_mut().for_each(|shard| shard.seed = [0; 32]);
        }
        header
    }
}

fn exists(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists)
}
