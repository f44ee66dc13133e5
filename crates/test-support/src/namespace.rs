//! Network namespaces, for tests that change interfaces or load XDP programs.

use std::{
    fs,
    process::Command,
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
};

use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
    unistd::{Pid, gettid},
};

/// Puts the calling thread, and the programs it starts, into a network namespace of its own, in which only the loopback
/// interface exists, and is up. It goes with the thread.
///
/// # Errors
/// Why this process may not.
pub fn enter() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace can be made: {error}"))?;
    ip("link set lo up");
    Ok(())
}

/// Runs `ip` with these arguments.
pub fn ip(arguments: &str) {
    run("ip", arguments);
}

/// The index of an interface of the calling thread's namespace.
///
/// # Panics
/// When there is none of that name.
#[must_use]
pub fn interface_index(name: &str) -> u32 {
    if_nametoindex(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a program with these arguments.
///
/// # Panics
/// When it does not succeed.
pub fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a setting of the kernel, such as `net.ipv4.ip_forward`.
pub fn sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value).unwrap();
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread in it that does jobs. Dropping this ends both.
#[derive(Debug)]
pub struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Its thread, by which other programs find it.
    id: Pid,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// Why this process may not.
    pub fn new() -> Result<Self, String> {
        let (jobs, queue) = channel::<Job>();
        let (report, made) = channel();
        let thread = std::thread::spawn(move || {
            report.send(enter().map(|()| gettid())).unwrap();
            queue.into_iter().for_each(|job| job());
        });
        let id = made.recv().unwrap()?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), id })
    }

    /// Does something in the namespace and waits for its result. Sockets that it opens stay in the namespace, and may be used
    /// anywhere.
    ///
    /// # Panics
    /// When the job does.
    pub fn within<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (report, result) = channel();
        let job = Box::new(move || report.send(job()).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv().expect("the job panicked")
    }

    /// Connects this namespace and another by a pair of Ethernet interfaces, up, with the addresses given (with prefix lengths).
    pub fn link(&self, own: &str, own_addresses: &[&str], other: &Self, others: &str, other_addresses: &[&str]) {
        let (own, others, other_id) = (own.to_owned(), others.to_owned(), other.id);
        let (name, peer) = (own.clone(), others.clone());
        self.within(move || ip(&format!("link add {name} type veth peer name {peer} netns {other_id}")));
        for (namespace, name, addresses) in [(self, own, own_addresses), (other, others, other_addresses)] {
            let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
            namespace.within(move || {
                for address in addresses {
                    let flags = if address.contains(':') { "nodad" } else { "" };
                    ip(&format!("addr add {address} dev {name} {flags}"));
                }
                ip(&format!("link set {name} up"));
            });
        }
    }

    /// The same with checksums that are complete, as on a wire.
    pub fn connect(&self, own: &str, own_addresses: &[&str], other: &Self, others: &str, other_addresses: &[&str]) {
        self.link(own, own_addresses, other, others, other_addresses);
        for (namespace, name) in [(self, own), (other, others)] {
            let name = name.to_owned();
            namespace.within(move || run("ethtool", &format!("-K {name} tx off")));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().unwrap().join();
    }
}
