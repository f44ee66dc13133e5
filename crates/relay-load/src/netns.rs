//! Network namespaces of this program's own. None has a name: each goes with the last process and the last socket in it, however this
//! program ends.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// Puts the calling thread, the threads and the programs that it starts from now on, into a network namespace in which only the
/// loopback interface exists, and is up. It goes with the last of them.
///
/// # Errors
///
/// When this process may not, or there is no `ip`.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace: be root, or have CAP_SYS_ADMIN")?;
    run("ip", "link set lo up")?;
    Ok(())
}

/// Runs `program` with these arguments: what it says.
///
/// # Errors
///
/// When it does not succeed.
pub(crate) fn run(program: &str, arguments: &str) -> Result<String> {
    let output = Command::new(program).args(arguments.split_whitespace()).output();
    let output = output.with_context(|| format!("cannot run {program} (`cargo xtask setup` installs it)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Another namespace than that of whoever makes it.
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    /// Makes one, in which the loopback interface is up.
    ///
    /// # Errors
    ///
    /// When this process may not, or there is no `ip`.
    pub(crate) fn new() -> Result<Self> {
        let _home = Home::leave()?;
        enter()?;
        Ok(Self(own()?))
    }

    /// Does `job` in it. Sockets that it opens and programs that it starts stay there.
    ///
    /// # Errors
    ///
    /// Those of the job.
    pub(crate) fn within<T>(&self, job: impl FnOnce() -> Result<T>) -> Result<T> {
        let _home = Home::leave()?;
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
        job()
    }

    /// What `ip` knows it by.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Connects the calling thread's namespace with `other` by a pair of interfaces, each with its name and its address with the length of the
/// prefix.
///
/// # Errors
///
/// When that cannot be done.
pub(crate) fn connect(here: (&str, &str), other: &Namespace, there: (&str, &str)) -> Result<()> {
    run("ip", &format!("link add {} type veth peer name {} netns {}", here.0, there.0, other.path()))?;
    up(here)?;
    other.within(|| up(there))
}

fn up((interface, address): (&str, &str)) -> Result<()> {
    run("ip", &format!("addr add {address} dev {interface}"))?;
    run("ip", &format!("link set {interface} up"))?;
    // Checksums are to be complete, as on a wire.
    run("ethtool", &format!("-K {interface} tx off"))?;
    Ok(())
}

/// Where the calling thread returns to when this is dropped.
struct Home(OwnedFd);

impl Home {
    fn leave() -> Result<Self> {
        own().map(Self)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Fails only if this process may not any more what it has just done.
        let _ = setns(&self.0, CloneFlags::CLONE_NEWNET);
    }
}

/// The calling thread's.
fn own() -> Result<OwnedFd> {
    let file = File::open("/proc/thread-self/ns/net").context("the kernel has no network namespaces")?;
    Ok(file.into())
}
