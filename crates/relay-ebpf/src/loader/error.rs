//! Why offloading cannot start, and what to do about it.

use std::{fmt, io};

use aya::{
    EbpfError,
    maps::{MapError, perf::PerfBufferError},
    programs::ProgramError,
};

use super::AttachMode;

/// Why offloading cannot start. The message names the cause and the remedy; sources contain the kernel's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OffloadError {
    /// The binary was built without the kernel program.
    #[error("this build has no XDP program ({0}): use a build that has, or start without offloading")]
    NoProgram(&'static str),
    /// The configuration is invalid.
    #[error("offloading cannot be configured like this: {0}")]
    Config(&'static str),
    /// The object file lacks a part that this loader needs.
    #[error("the XDP program of this build is damaged: it has no {0}")]
    Damaged(&'static str),
    /// There is no such interface.
    #[error("there is no network interface {0:?}: `ip link` lists those there are")]
    NoInterface(String),
    /// The process lacks a privilege.
    #[error(
        "no permission to {0}: run with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or as root), outside of a seccomp profile that \
         forbids bpf(2) and perf_event_open(2)"
    )]
    NotPermitted(&'static str, #[source] io::Error),
    /// The kernel lacks a feature.
    #[error("this kernel cannot run the XDP program: Linux 5.15 or later is needed, with CONFIG_BPF_SYSCALL")]
    Kernel(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The verifier refused the program.
    #[error("the kernel's verifier refused the XDP program; please report this with the kernel's version. {log}")]
    Verifier {
        /// The end of the verifier's log.
        log: String,
        /// The system call's error.
        #[source]
        source: io::Error,
    },
    /// A map could not be created.
    #[error("the kernel did not make the program's maps: less memory is needed with a smaller flow map")]
    Map(#[source] MapError),
    /// Event buffers could not be opened.
    #[error(
        "the kernel did not open the event buffers for statistics: CAP_PERFMON is needed, or switch statistics off"
    )]
    Statistics(#[source] io::Error),
    /// Route look-ups could not be allowed.
    #[error(
        "cannot write 1 to {path}, which route look-ups need: set it beforehand (`sysctl -w net.ipv4.conf.lo.forwarding=1 \
         net.ipv6.conf.lo.forwarding=1`), or choose the next hop that answers the sender"
    )]
    Forwarding {
        /// The setting.
        path: &'static str,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The program could not be attached to an interface.
    #[error("{interface} does not take the XDP program in {} mode: {hint}", mode_name(*mode))]
    Attach {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
        /// The likely cause, and what to do.
        hint: AttachHint,
        /// The kernel's error.
        #[source]
        source: ProgramError,
    },
    /// Something else failed.
    #[error("the kernel refused an operation on the XDP program")]
    Program(#[source] ProgramError),
}

fn mode_name(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Driver => "driver",
        AttachMode::Generic => "generic",
    }
}

/// The most likely cause of a failure to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachHint {
    /// Another XDP program is attached.
    Occupied,
    /// The driver does not support XDP, or not with the interface's present settings.
    Driver {
        /// The interface's MTU, if known.
        mtu: Option<u32>,
    },
    /// The driver ran out of queues or memory.
    Resources,
    /// The interface is gone.
    Gone,
    /// The process lacks a privilege.
    NotPermitted,
    /// The cause is unknown.
    Unknown,
}

impl AttachHint {
    fn new(errno: Option<i32>, mtu: Option<u32>) -> Self {
        match errno {
            Some(libc::EBUSY | libc::EEXIST) => Self::Occupied,
            Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::EMSGSIZE) => Self::Driver { mtu },
            Some(libc::ENOMEM | libc::ENOSPC | libc::ENOBUFS) => Self::Resources,
            Some(libc::ENODEV) => Self::Gone,
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for AttachHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied => f.write_str(
                "another XDP program is attached, which `ip link show` and `bpftool net` name; detach it (`ip link set dev \
                 <interface> xdp off`, or end the process that holds its link)",
            ),
            Self::Driver { mtu } => {
                f.write_str("its driver lacks XDP, or wants another shape of the interface: ")?;
                if let Some(mtu) = mtu {
                    write!(f, "an MTU (now {mtu}) that fits one page, ")?;
                }
                f.write_str(
                    "large receive offload off (`ethtool -K <interface> lro off`), at most half of the queues in use (`ethtool \
                     -L <interface> combined <n>`); the kernel log may say more, and generic mode works with any driver",
                )
            }
            Self::Resources => f.write_str(
                "it ran out of queues or memory: use fewer queues (`ethtool -L <interface> combined <n>`), or generic mode",
            ),
            Self::Gone => f.write_str("it has vanished"),
            Self::NotPermitted => f.write_str("no permission: run with CAP_NET_ADMIN and CAP_BPF (or as root)"),
            Self::Unknown => f.write_str("the kernel log may say more, and generic mode works with any driver"),
        }
    }
}

impl OffloadError {
    pub(super) fn from_load(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(error) => Self::from_map(error),
            EbpfError::ProgramError(error) => Self::from_program(error),
            other => Self::Kernel(Box::new(other)),
        }
    }

    pub(super) fn from_map(error: MapError) -> Self {
        match error {
            MapError::CreateError { io_error, .. } if is_permission(&io_error) => {
                Self::NotPermitted("create BPF maps", io_error)
            }
            MapError::CreateError { ref io_error, .. } if io_error.raw_os_error() == Some(libc::ENOSYS) => {
                Self::Kernel(Box::new(error))
            }
            other => Self::Map(other),
        }
    }

    pub(super) fn from_program(error: ProgramError) -> Self {
        match error {
            // The verifier also returns EACCES, with a log.
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                match io_error.raw_os_error() {
                    Some(libc::EPERM) => Self::NotPermitted("load BPF programs", io_error),
                    _ if log.contains("unknown func") => Self::Kernel(log.into()),
                    _ => Self::Verifier { log: end(&log).to_owned(), source: io_error },
                }
            }
            ProgramError::SyscallError(error) if is_permission(&error.io_error) => {
                Self::NotPermitted("use BPF programs", error.io_error)
            }
            other => Self::Program(other),
        }
    }

    pub(super) fn from_perf(error: PerfBufferError) -> Self {
        match error {
            PerfBufferError::OpenError { io_error } if is_permission(&io_error) => {
                Self::NotPermitted("open event buffers (perf_event_open)", io_error)
            }
            other => Self::Statistics(io::Error::other(other)),
        }
    }

    pub(super) fn from_attach(source: ProgramError, interface: &str, mode: AttachMode, mtu: Option<u32>) -> Self {
        let hint = AttachHint::new(cause(&source), mtu);
        Self::Attach { interface: interface.to_owned(), mode, hint, source }
    }
}

fn is_permission(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// The last 12 lines, which name the fault.
fn end(log: &str) -> &str {
    let log = log.trim_end();
    let start = log.rmatch_indices('\n').nth(11).map_or(0, |(index, _)| index + 1);
    &log[start..]
}

/// The error number of an error from attaching.
fn cause(error: &ProgramError) -> Option<i32> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_cause_and_remedy() {
        for (errno, word) in [
            (libc::EBUSY, "another XDP program"),
            (libc::EEXIST, "another XDP program"),
            (libc::EOPNOTSUPP, "generic mode"),
            (libc::EINVAL, "an MTU (now 9000)"),
            (libc::ENOMEM, "fewer queues"),
            (libc::EPERM, "CAP_NET_ADMIN"),
            (libc::EIO, "kernel log"),
        ] {
            let hint = AttachHint::new(Some(errno), Some(9000)).to_string();
            assert!(hint.contains(word), "{errno}: {hint}");
        }
    }

    #[test]
    fn the_verifiers_last_lines_are_kept() {
        let log: String = (0..40).map(|line| format!("line {line}\n")).collect();
        assert!(end(&log).starts_with("line 28\n") && end(&log).ends_with("line 39"));
        assert_eq!(end("one\ntwo\n"), "one\ntwo");
    }
}
