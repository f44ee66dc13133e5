//! The old process's part of a handover: see [`crate::handover`].

use std::{
    env,
    ffi::OsString,
    fmt, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use nix::unistd::Pid;
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::spawn_blocking;

use super::{standstill::Standstill, take::HANDOVER};
use crate::{
    handover::{Channel, Hello, Offer, Ready, Restored, Shared, Yours},
    shard::Sender,
    supervise,
};

/// How long the new process may take to start: it may wait for addresses.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take to restore the workers. Nobody relays meanwhile.
const RESTORE_LIMIT: Duration = Duration::from_secs(15);

/// What is needed to start the next process, as it was when this one started.
#[derive(Debug)]
pub(super) struct Successors {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// The new process, which ends when this is dropped.
struct Successor {
    child: Option<Child>,
}

impl Successors {
    /// This program, as it was called.
    ///
    /// # Errors
    ///
    /// When the system does not say which file it is.
    pub(super) fn of_this() -> io::Result<Self> {
        Ok(Self { program: env::current_exe()?, arguments: env::args_os().skip(1).collect() })
    }

    fn start(&self, end: OwnedFd) -> anyhow::Result<Successor> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::from(end)).env(HANDOVER, "stdin");
        // What a terminal sends to this process's group comes to it by way of whoever waits for it.
        command.process_group(0);
        supervise::tell(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Successor { child: Some(child) })
    }
}

impl Successor {
    /// How it has ended, or that it is stuck.
    fn end(&mut self) -> String {
        let Some(mut child) = self.child.take() else { return String::new() };
        match child.try_wait() {
            Ok(Some(status)) => format!("it ended with {status}; its messages say why"),
            _ => {
                let _ = child.kill();
                let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                format!("it was ended ({ended})")
            }
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Display for Successors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program.display().fmt(f)
    }
}

/// Starts the new process and hands everything over. `shared` is awaited when the workers stand still. When this returns, this process has
/// nothing to do any more. Returns the new process, and the channel to it: it attaches its XDP program when that closes.
///
/// # Errors
///
/// Why the new process does not take over. This one serves on.
pub(super) async fn hand_over(
    successors: &Successors,
    hello: &Hello,
    offer: Offer,
    files: Vec<OwnedFd>,
    workers: &[Sender],
    shared: impl Future<Output = anyhow::Result<Shared>>,
) -> anyhow::Result<(Pid, Arc<Channel>)> {
    let (channel, end) = Channel::pair().context("cannot make a socket for the new process")?;
    let mut successor = successors.start(end)?;
    let channel = Arc::new(channel);
    let result = exchange(&channel, hello, offer, files, workers, shared).await;
    match result {
        Ok(()) => {
            // It lives on.
            let process = successor.child.take().and_then(|child| i32::try_from(child.id()).ok());
            Ok((Pid::from_raw(process.unwrap_or_default()), channel))
        }
        Err(error) => {
            // Its end of the channel closes when it ends: it may just be about to.
            let how = spawn_blocking(move || {
                std::thread::sleep(Duration::from_millis(50));
                successor.end()
            });
            Err(error.context(how.await.unwrap_or_default()))
        }
    }
}

async fn exchange(
    channel: &Arc<Channel>,
    hello: &Hello,
    offer: Offer,
    files: Vec<OwnedFd>,
    workers: &[Sender],
    shared: impl Future<Output = anyhow::Result<Shared>>,
) -> anyhow::Result<()> {
    let said: Hello = receive(channel, START_LIMIT).await.context("it does not say who it is")?;
    check(hello, &said)?;
    tracing::info!(version = said.relay, "the new process has started");
    send(channel, offer, files).await.context("it does not take the sockets")?;
    let Ready = receive(channel, START_LIMIT).await.context("it does not get ready")?;
    let standstill = Standstill::begin(workers).await?;
    standstill.give(channel).await?;
    send(channel, shared.await?, Vec::new()).await.context("it does not take the state")?;
    let Restored = receive(channel, RESTORE_LIMIT).await.context("it does not restore the state")?;
    send(channel, Yours, Vec::new()).await.context("it does not take over")?;
    standstill.leave();
    Ok(())
}

/// What must be as it is here.
fn check(here: &Hello, there: &Hello) -> anyhow::Result<()> {
    let Hello { version, snapshot_version, relay: _, workers, listen, public, ports, realm } = here;
    if (*version, *snapshot_version) != (there.version, there.snapshot_version) {
        bail!("its state has another format: restart the relay instead, which ends all calls (a drain comes first)");
    }
    let differs = if *workers != there.workers {
        format!("it has {} workers, not {workers}", there.workers)
    } else if *listen != there.listen {
        format!("it listens at {:?}, not at {listen:?}", there.listen)
    } else if *public != there.public {
        format!("its public addresses are {:?}, not {public:?}", there.public)
    } else if *ports != there.ports {
        format!("its allocation ports are {}, not {ports}", there.ports)
    } else if *realm != there.realm {
        format!("its realm is {:?}, not {realm:?}", there.realm)
    } else {
        return Ok(());
    };
    bail!("{differs}: this cannot change without a restart, which ends all calls (a drain comes first)")
}

async fn receive<M: DeserializeOwned + Send + 'static>(channel: &Arc<Channel>, limit: Duration) -> anyhow::Result<M> {
    let channel = Arc::clone(channel);
    let received = spawn_blocking(move || {
        channel.wait_at_most(limit)?;
        channel.receive::<M>()
    });
    match received.await.map_err(|_| anyhow!("a bug: the message above says where"))? {
        Ok((message, _)) => Ok(message),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(anyhow!("it has ended")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(anyhow!("not within {limit:?}")),
        Err(error) => Err(error.into()),
    }
}

async fn send(
    channel: &Arc<Channel>,
    message: impl Serialize + Send + 'static,
    files: Vec<OwnedFd>,
) -> anyhow::Result<()> {
    let channel = Arc::clone(channel);
    let sent = spawn_blocking(move || {
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        channel.send(&message, &files)
    });
    sent.await.map_err(|_| anyhow!("a bug: the message above says where"))?.map_err(Into::into)
}
