//! Network namespaces of this program's own.

use std::{process::Command, sync::mpsc, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};

/// Puts the calling thread, the threads and the programs that it starts from now on, into a network namespace in which only the
/// loopback interface exists, and is up. It goes with the last of them.
///
/// # Errors
///
/// When this process may not, or there is no `ip`.
pub(super) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace: be root, or have CAP_SYS_ADMIN")?;
    run("ip", "link set lo up")?;
    Ok(())
}

/// Runs `program` with these arguments: what it says.
///
/// # Errors
///
/// When it does not succeed.
pub(super) fn run(program: &str, arguments: &str) -> Result<String> {
    let output = Command::new(program).args(arguments.split_whitespace()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Another namespace, connected with the one of whoever makes it.
pub(super) struct Other {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Other {
    /// Makes one. The interface `here` has the address `here_address` and leads to `there`, which has `there_address`; both with prefix
    /// lengths.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub(super) fn connected(here: &str, here_address: &str, there: &str, there_address: &str) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (report, made) = mpsc::channel();
        thread::spawn(move || {
            let _ = report.send(enter().map(|()| gettid()));
            queue.into_iter().for_each(|job| job());
        });
        let id = made.recv().context("the namespace's thread has ended")??;
        let other = Self { jobs };
        run("ip", &format!("link add {here} type veth peer name {there} netns {id}"))?;
        up(here, here_address)?;
        let (there, there_address) = (there.to_owned(), there_address.to_owned());
        other.within(move || up(&there, &there_address))?;
        Ok(other)
    }

    /// Does `job` in it.
    ///
    /// # Errors
    ///
    /// Those of the job.
    pub(super) fn within<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (report, result) = mpsc::channel();
        let job = Box::new(move || _ = report.send(job()));
        self.jobs.send(job).map_err(|_| anyhow!("the namespace's thread has ended"))?;
        result.recv().context("the namespace's thread has ended")?
    }
}

fn up(interface: &str, address: &str) -> Result<()> {
    run("ip", &format!("addr add {address} dev {interface}"))?;
    run("ip", &format!("link set {interface} up"))?;
    // Checksums are to be complete, as on a wire.
    run("ethtool", &format!("-K {interface} tx off"))?;
    Ok(())
}
