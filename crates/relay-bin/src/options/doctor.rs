//! The command `firezone-relay doctor`.

use std::{num::NonZeroUsize, thread};

use relay_ebpf::{AttachMode, NextHop};
use relay_server::PortRange;

use super::{
    cli::DoctorOptions,
    config::{Config, DEFAULT_LISTEN_PORT},
    entropy::Entropy,
};
use crate::{
    addresses::Host,
    doctor::{self, KernelPath, Needs, Report, System},
    offload::{self, Choice, OffloadConfig},
};

/// Checks what `system` can do for a relay with these options. Errors in the options become part of the report.
pub(crate) fn doctor(options: &DoctorOptions, system: &System, host: &impl Host, entropy: &impl Entropy) -> Report {
    let no_program = offload::xdp().err().map(ToString::to_string);
    match Config::new(&options.options, host, entropy) {
        Ok(config) => doctor::examine(system, &needs(&config, no_program)),
        Err(problems) => {
            let defaults = Needs {
                listen_port: DEFAULT_LISTEN_PORT,
                ports: PortRange::DYNAMIC,
                families: 2,
                workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
                kernel_path: None,
                user_space_only: None,
                no_program,
            };
            let mut report = doctor::examine(system, &defaults);
            problems.iter().for_each(|problem| report.add_problem(problem));
            report
        }
    }
}

fn needs(config: &Config, no_program: Option<String>) -> Needs {
    let user_space_only = match &config.offload {
        None => Some("EBPF_OFFLOADING is off"),
        Some(OffloadConfig { choice: Choice::Auto { .. }, .. }) if config.bandwidth.is_limited() => {
            Some("bandwidth is limited, and the kernel does not count by allocation")
        }
        Some(_) => None,
    };
    Needs {
        listen_port: config.listen_port,
        ports: config.ports,
        families: config.families().count(),
        workers: config.workers,
        // If the relay chooses by itself, a missing requirement is not an error.
        kernel_path: config.offload.as_ref().filter(|offload| offload.choice == Choice::Given).map(|offload| {
            KernelPath {
                interfaces: offload.xdp.interfaces.clone(),
                in_driver: offload.xdp.mode == AttachMode::Driver,
                by_routing_table: offload.xdp.next_hop == NextHop::RoutingTable,
            }
        }),
        user_space_only,
        no_program,
    }
}
