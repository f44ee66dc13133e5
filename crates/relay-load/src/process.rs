//! Reads what a process uses, and limits its threads.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{SysconfVar, sysconf},
};

/// How long a limited thread runs at a time. Short, so that what arrives meanwhile fits in a receive buffer.
const HELD_RUNTIME: Duration = Duration::from_micros(250);

/// The sockets in the calling thread's network namespace.
const UDP_TABLE: &str = "/proc/thread-self/net/udp";

/// How often to read the table until it shows all sockets.
const TABLE_READS: u32 = 10;

/// The CPU time of all threads of process `pid`.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    // The scheduler counts in nanoseconds, /proc/PID/stat in ticks of 10 ms.
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    }
    if nanos > 0 {
        return Ok(Duration::from_nanos(nanos));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may contain spaces. utime and stime are the 12th and 13th field after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(self::ticks(ticks))
}

/// The parent of process `pid`, if there is one.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain spaces.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The duration of `count` of the kernel's clock ticks.
pub(crate) fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / ticks_per_second())
}

/// The kernel's clock ticks per second, as in /proc/PID/stat.
fn ticks_per_second() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// The resident memory of process `pid`, in bytes.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    let kib: u64 = line.split_whitespace().next().and_then(|word| word.parse().ok()).context("VmRSS is no number")?;
    Ok(kib * 1024)
}

/// Limits each thread of process `pid` whose name begins with `prefix` to one `part`th of a core, and returns their number. The
/// limit holds even on an idle core.
///
/// The kernel's deadline scheduler gives the thread a fixed time in each period.
///
/// # Errors
///
/// When `chrt` of util-linux is missing, or this process may not change the scheduling of others.
pub(crate) fn hold_threads(pid: u32, prefix: &str, part: u32) -> Result<usize> {
    let mut held = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let task = task?;
        if !fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with(prefix)) {
            continue;
        }
        let [runtime, period] = [HELD_RUNTIME, HELD_RUNTIME * part].map(|time| time.as_nanos().to_string());
        let mut command = Command::new("chrt");
        command.args([
            "--deadline",
            "--sched-runtime",
            &runtime,
            "--sched-deadline",
            &period,
            "--sched-period",
            &period,
        ]);
        command.args(["--pid", "0"]).arg(task.file_name());
        let output = command.output().context("cannot start chrt, of util-linux")?;
        if !output.status.success() {
            bail!("chrt: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        held += 1;
    }
    Ok(held)
}

/// How many datagrams were dropped at the sockets bound to `addresses`, of any process in the calling thread's network, because
/// they were not read in time.
///
/// # Errors
///
/// When /proc cannot be read.
pub(crate) fn udp_drops(addresses: &[SocketAddr]) -> Result<u64> {
    let wanted: BTreeSet<String> = addresses.iter().filter_map(proc_name).collect();
    let mut sum = 0;
    // The kernel writes the table in pieces: a row may be missing while sockets open and close.
    for _ in 0..TABLE_READS {
        let text = fs::read_to_string(UDP_TABLE).with_context(|| format!("cannot read {UDP_TABLE}"))?;
        let rows: Vec<_> = text.lines().filter_map(drops).filter(|(address, _)| wanted.contains(*address)).collect();
        sum = rows.iter().map(|(_, drops)| drops).sum();
        let seen: BTreeSet<&str> = rows.iter().map(|(address, _)| *address).collect();
        if seen.len() == wanted.len() {
            break;
        }
    }
    Ok(sum)
}

/// How many packets the kernel has dropped since the machine's start because a core's queue of arrivals was full
/// (`net.core.netdev_max_backlog`), which all programs share, on loopback as well.
///
/// # Errors
///
/// When /proc cannot be read.
pub(crate) fn backlog_drops() -> std::io::Result<u64> {
    let text = fs::read_to_string("/proc/net/softnet_stat")?;
    let of_core = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    Ok(text.lines().filter_map(of_core).sum())
}

/// The address and the drop count in a line of /proc/net/udp.
fn drops(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_whitespace();
    let address = words.nth(1)?;
    Some((address, words.next_back()?.parse().ok()?))
}

/// An address as in /proc/net/udp: the number in native byte order, and the port.
fn proc_name(address: &SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())),
        IpAddr::V6(_) => None,
    }
}

/// Raises this process's limit on open files as far as allowed.
///
/// # Errors
///
/// When the limit cannot be changed.
pub(crate) fn raise_open_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit on open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit on open files")
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn drops_are_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let [at, other] = [&receiver, &other].map(|socket| socket.local_addr().unwrap());
        assert_eq!(udp_drops(&[at, other]).unwrap(), 0);
        socket2::SockRef::from(&receiver).set_recv_buffer_size(4096).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[7; 1000], at).unwrap();
        }
        receiver.set_nonblocking(true).unwrap();
        let arrived = std::iter::from_fn(|| receiver.recv(&mut [0; 1000]).ok()).count() as u64;
        assert!(arrived < 100, "the test needs a small buffer");
        assert_eq!((udp_drops(&[at]).unwrap(), udp_drops(&[other]).unwrap()), (100 - arrived, 0));
    }
}
