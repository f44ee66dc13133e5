//! Network namespaces of this program. They have no names, so each ends with the last process and the last socket in it, however
//! this program ends.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// Moves the calling thread, and its future threads and programs, into a new network namespace with only a loopback interface,
/// which is up. The namespace ends with the last of them.
///
/// # Errors
///
/// When this process lacks the privilege, or `ip` is missing.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace: be root, or have CAP_SYS_ADMIN")?;
    run("ip", "link set lo up")?;
    Ok(())
}

/// Runs `program` with these arguments, and returns its output.
///
/// # Errors
///
/// When it fails.
pub(crate) fn run(program: &str, arguments: &str) -> Result<String> {
    let output = Command::new(program).args(arguments.split_whitespace()).output();
    let output = output.with_context(|| format!("cannot run {program} (`cargo xtask setup` installs it)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Another namespace than that of the calling thread.
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    /// Creates a namespace with a loopback interface that is up.
    ///
    /// # Errors
    ///
    /// When this process lacks the privilege, or `ip` is missing.
    pub(crate) fn new() -> Result<Self> {
        let _home = Home::leave()?;
        enter()?;
        Ok(Self(own()?))
    }

    /// Runs `job` in this namespace. Its sockets and programs stay there.
    ///
    /// # Errors
    ///
    /// Those of `job`.
    pub(crate) fn within<T>(&self, job: impl FnOnce() -> Result<T>) -> Result<T> {
        let _home = Home::leave()?;
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
        job()
    }

    /// The path by which `ip` finds the namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Connects the calling thread's namespace with `other` by a veth pair. Each interface has a name, and an address with the prefix
/// length.
///
/// # Errors
///
/// When a command fails.
pub(crate) fn connect(here: (&str, &str), other: &Namespace, there: (&str, &str)) -> Result<()> {
    run("ip", &format!("link add {} type veth peer name {} netns {}", here.0, there.0, other.path()))?;
    up(here)?;
    other.within(|| up(there))
}

fn up((interface, address): (&str, &str)) -> Result<()> {
    run("ip", &format!("addr add {address} dev {interface}"))?;
    run("ip", &format!("link set {interface} up"))?;
    // Checksums must be complete, as on a wire.
    run("ethtool", &format!("-K {interface} tx off"))?;
    Ok(())
}

/// The namespace to which the calling thread returns on drop.
struct Home(OwnedFd);

impl Home {
    fn leave() -> Result<Self> {
        own().map(Self)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // This fails only if the process has lost the privilege that it has just used.
        let _ = setns(&self.0, CloneFlags::CLONE_NEWNET);
    }
}

/// The calling thread's namespace.
fn own() -> Result<OwnedFd> {
    let file = File::open("/proc/thread-self/ns/net").context("the kernel has no network namespaces")?;
    Ok(file.into())
}
