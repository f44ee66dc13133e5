//! `firezone-relay doctor`.

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
    offload::{self, Choice},
};

/// What `system` can do for a relay with these options. What is wrong with them is a part of it.
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
                no_program,
            };
            let mut report = doctor::examine(system, &defaults);
            problems.iter().for_each(|problem| report.add_problem(problem));
            report
        }
    }
}

fn needs(config: &Config, no_program: Option<String>) -> Needs {
    Needs {
        listen_port: config.listen_port,
        ports: config.ports,
        families: config.families().count(),
        workers: config.workers,
        // Where the relay finds out by itself, what is missing is no fault.
        kernel_path: config.offload.as_ref().filter(|offload| offload.choice == Choice::Given).map(|offload| {
            KernelPath {
                interfaces: offload.xdp.interfaces.clone(),
                in_driver: offload.xdp.mode == AttachMode::Driver,
                by_routing_table: offload.xdp.next_hop == NextHop::RoutingTable,
            }
        }),
        no_program,
    }
}
