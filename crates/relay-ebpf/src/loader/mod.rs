//! Loads the program into the kernel, attaches it to interfaces, and maintains its maps.

mod attach;
mod capabilities;
mod clock;
mod config;
mod devices;
mod error;
mod flows;
mod next_hops;
mod program;
mod statistics;

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, Map, MapData, PerCpuArray},
    programs::{ProgramError, TestRun, TestRunOptions, Xdp, links::Link as _, xdp::XdpLink},
};

use self::{attach::Interface, flows::Flows, next_hops::NextHops};
pub use self::{
    attach::{SINGLE_BUFFER_MTU, is_veth},
    capabilities::Capabilities,
    config::{AttachMode, Config, NextHop},
    error::{AttachHint, OffloadError},
    program::program,
    statistics::{Reading, StatisticsError, StatisticsReader},
};
use crate::{Counters, Device, Entry, Flow, FlowKey, InstallError, Neighbour, Reason, RemoveError, Settings};

// SAFETY: repr(C) with explicit padding (their sizes are asserted where they are defined), and made of integers only: any
// bytes are a valid value.
unsafe impl Pod for FlowKey {}
// SAFETY: as above.
unsafe impl Pod for Entry {}
// SAFETY: as above.
unsafe impl Pod for Device {}
// SAFETY: as above.
unsafe impl Pod for Counters {}
// SAFETY: as above.
unsafe impl Pod for Settings {}
// SAFETY: as above.
unsafe impl Pod for Neighbour {}

/// The program's name in the object and in the kernel.
const PROGRAM: &str = "relay";
/// The name of the program for frames in several buffers.
const MULTI_BUFFER_PROGRAM: &str = "relay_frags";
/// How often to retry verification when signals interrupt it.
const ATTEMPTS: usize = 20;
/// The map of the program's global variables. `GENERATION` is the only one.
const GLOBALS: &str = ".bss";

/// The map of the interfaces that frames may leave by, and the interfaces that the program was attached to.
struct Devices {
    map: HashMap<MapData, u32, Device>,
    attached: Vec<Interface>,
}

/// The program in the kernel, from [`load`](Self::load) until this is dropped. It is also detached when the process ends in any way,
/// since nothing is pinned.
///
/// All methods that a running relay needs take `&self` and may be called by many threads.
pub struct XdpProgram {
    // Dropped first, which detaches the program. The maps exist as long as anything refers to them.
    links: Mutex<Vec<XdpLink>>,
    ebpf: Ebpf,
    /// The name of the loaded program.
    name: &'static str,
    flows: Flows,
    next_hops: NextHops,
    devices: Mutex<Devices>,
    counters: PerCpuArray<MapData, Counters>,
    reasons: PerCpuArray<MapData, u64>,
    readers: Mutex<Vec<StatisticsReader>>,
}

impl XdpProgram {
    /// Loads the program without attaching it.
    ///
    /// # Errors
    /// If this build has no program, or the kernel refuses it. The error says what to do.
    pub fn load(config: &Config) -> Result<Self, OffloadError> {
        config.check()?;
        if config.multi_buffer.unwrap_or_else(|| attach::need_multi_buffer(config)) {
            match Self::load_program(config, MULTI_BUFFER_PROGRAM) {
                // An explicit setting fails. Otherwise, the error from attaching will say what the driver needs.
                Err(OffloadError::Verifier { .. } | OffloadError::Kernel(_)) if config.multi_buffer.is_none() => {}
                loaded => return loaded,
            }
        }
        Self::load_program(config, PROGRAM)
    }

    fn load_program(config: &Config, name: &'static str) -> Result<Self, OffloadError> {
        let object = program().map_err(OffloadError::NoProgram)?;
        let settings = Settings { multi_buffer: u16::from(name == MULTI_BUFFER_PROGRAM), ..config.settings() };
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", config.max_flows)
            .override_global("SETTINGS", &settings, true)
            .load(object)
            .map_err(OffloadError::from_load)?;
        let flows = Flows::new(take_map(&mut ebpf, "FLOWS")?, config.max_flows)?;
        let generation = Array::try_from(take_map(&mut ebpf, GLOBALS)?).map_err(OffloadError::from_map)?;
        let neighbours = HashMap::try_from(take_map(&mut ebpf, "NEIGHBOURS")?).map_err(OffloadError::from_map)?;
        let next_hops = NextHops::new(generation, neighbours);
        let map = HashMap::try_from(take_map(&mut ebpf, "DEVICES")?).map_err(OffloadError::from_map)?;
        let devices = Mutex::new(Devices { map, attached: Vec::new() });
        let counters = PerCpuArray::try_from(take_map(&mut ebpf, "COUNTERS")?).map_err(OffloadError::from_map)?;
        let reasons = PerCpuArray::try_from(take_map(&mut ebpf, "REASONS")?).map_err(OffloadError::from_map)?;
        let events = take_map(&mut ebpf, "STATS")?;
        let readers = if config.statistics { statistics::open(events)? } else { Vec::new() };
        let (links, readers) = (Mutex::default(), Mutex::new(readers));
        let mut program = Self { links, ebpf, name, flows, next_hops, devices, counters, reasons, readers };
        program.verify()?;
        Ok(program)
    }

    /// Makes the kernel verify the program. A signal interrupts verification, which is then repeated.
    fn verify(&mut self) -> Result<(), OffloadError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.xdp_mut()?.load() {
                Err(ProgramError::LoadError { io_error, .. })
                    if io_error.kind() == io::ErrorKind::WouldBlock && attempts < ATTEMPTS => {}
                result => return result.map_err(OffloadError::from_program),
            }
        }
    }

    /// Attaches the program to all interfaces of `config`, or to none if one refuses.
    ///
    /// # Errors
    /// If an interface does not exist, or the program cannot be attached to it. The error says what to do.
    pub fn attach(&mut self, config: &Config) -> Result<(), OffloadError> {
        let interfaces = attach::find(&config.interfaces)?;
        if config.next_hop == NextHop::RoutingTable {
            attach::allow_route_lookups()?;
        }
        self.devices().attached.clone_from(&interfaces);
        self.follow_interfaces().map_err(|error| OffloadError::from_map(error.into()))?;
        for interface in &interfaces {
            match attach::attach(self.xdp_mut()?, interface, config.mode) {
                Ok(link) => {
                    let link = self.xdp_mut()?.take_link(link).map_err(OffloadError::from_program)?;
                    self.links().push(link);
                }
                Err(error) => {
                    self.detach()?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Detaches the program from all interfaces. Its counters no longer change and can still be read.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&self) -> Result<(), OffloadError> {
        let links = std::mem::take(&mut *self.links());
        links.into_iter().try_for_each(|link| link.detach().map_err(OffloadError::from_program))
    }

    /// Installs a flow: its packets are forwarded in the kernel from now on. Replaces a flow with the same key.
    ///
    /// # Errors
    /// If the flow cannot be installed. Its packets then go to user space, and nothing is lost.
    pub fn install(&self, flow: &Flow) -> Result<(), InstallError> {
        self.flows.install(flow)
    }

    /// Removes a flow: packets that match `key` go to user space from now on. Returns the counters since it was installed; `None` if
    /// there was no such flow.
    ///
    /// # Errors
    /// If the kernel does not remove the flow.
    pub fn remove(&self, key: &FlowKey) -> Result<Option<Counters>, RemoveError> {
        self.flows.remove(key)
    }

    /// The counters of a flow since it was installed; `None` if there is no such flow.
    #[must_use]
    pub fn forwarded(&self, key: &FlowKey) -> Option<Counters> {
        self.flows.forwarded(key)
    }

    /// Invalidates all next hops that were looked up before. Call this when routes, policy rules, neighbours, links or addresses have
    /// changed. Otherwise the program follows a change within a period of at most 0.64 s.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget_next_hops(&self) -> io::Result<()> {
        self.next_hops.forget_all()
    }

    /// Updates the interfaces that frames may leave by: those that the program was attached to and that still exist, and their
    /// present VLANs. Call this when interfaces have been added or removed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn follow_interfaces(&self) -> io::Result<()> {
        let Devices { map, attached } = &mut *self.devices();
        devices::update(map, attached).map_err(flows::io_error)
    }

    /// The neighbours that packets were forwarded to, and when each one's Ethernet address was last looked up, in ticks of the
    /// kernel's clock. For a neighbour in use, that is at least once in 0.64 s.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn neighbours(&self) -> io::Result<Vec<(Neighbour, u64)>> {
        self.next_hops.neighbours()
    }

    /// Whether packets were forwarded to a neighbour since it was last forgotten.
    #[must_use]
    pub fn has_neighbour(&self, neighbour: &Neighbour) -> bool {
        self.next_hops.has_neighbour(neighbour)
    }

    /// Removes a neighbour from [`neighbours`](Self::neighbours), until it is looked up again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget_neighbour(&self, neighbour: &Neighbour) -> io::Result<()> {
        self.next_hops.forget_neighbour(neighbour)
    }

    /// The readers of `STATS`, one for each online CPU. Empty if statistics are off, and in later calls.
    #[must_use]
    pub fn take_readers(&self) -> Vec<StatisticsReader> {
        self.readers.lock().map(|mut readers| std::mem::take(&mut *readers)).unwrap_or_default()
    }

    /// The exact counters of each CPU until now, for an [`Accumulator`](crate::Accumulator). After
    /// [`detach`](Self::detach), they are final.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn counters(&self) -> Result<Vec<Counters>, StatisticsError> {
        Ok(self.counters.get(&0, 0).map_err(StatisticsError::read)?.to_vec())
    }

    /// The number of packets for each reason, over all CPUs, in the order of [`Reason::ALL`]. [`Reason::NotOurs`] is not counted.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn reasons(&self) -> Result<Vec<(Reason, u64)>, StatisticsError> {
        let forwarded = self.counters()?.iter().map(|counters| counters.packets).sum();
        Reason::ALL
            .iter()
            .map(|reason| {
                let per_cpu = self.reasons.get(&(*reason as u32), 0).map_err(StatisticsError::read)?;
                let count = if *reason == Reason::Forwarded { forwarded } else { per_cpu.iter().sum() };
                Ok((*reason, count))
            })
            .collect()
    }

    /// Whether the program accepts frames in several buffers.
    #[must_use]
    pub fn is_multi_buffer(&self) -> bool {
        self.name == MULTI_BUFFER_PROGRAM
    }

    /// How many flows are installed.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The largest number of flows.
    #[must_use]
    pub const fn max_flows(&self) -> u32 {
        self.flows.max_flows()
    }

    /// Runs the program on `frame` without an interface (BPF_PROG_TEST_RUN), `repeat` times, each time on the result of the last. For
    /// tests and measurements. Forwarded packets are counted as usual.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<Run, OffloadError> {
        let mut out = vec![0; frame.len() + 256];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), repeat, ..TestRunOptions::new() };
        let result = self.xdp()?.test_run(options).map_err(OffloadError::from_program)?;
        out.truncate(result.data_size_out as usize);
        Ok(Run { action: result.return_value, frame: out, per_packet: result.duration })
    }

    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Vec<XdpLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn xdp(&self) -> Result<&Xdp, OffloadError> {
        let program = self.ebpf.program(self.name).ok_or(OffloadError::Damaged(PROGRAM))?;
        program.try_into().map_err(OffloadError::from_program)
    }

    fn xdp_mut(&mut self) -> Result<&mut Xdp, OffloadError> {
        let program = self.ebpf.program_mut(self.name).ok_or(OffloadError::Damaged(PROGRAM))?;
        program.try_into().map_err(OffloadError::from_program)
    }
}

impl std::fmt::Debug for XdpProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XdpProgram").field("links", &self.links).field("flows", &self.flows()).finish_non_exhaustive()
    }
}

/// The result of running the program without an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `enum xdp_action`: 0 aborted, 1 dropped, 2 passed to the host, 3 sent back, 4 redirected.
    pub action: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// The mean time per run, in whole nanoseconds.
    pub per_packet: std::time::Duration,
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, OffloadError> {
    ebpf.take_map(name).ok_or(OffloadError::Damaged(name))
}

/// Threads share the program, and one of them owns the readers.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn moved<T: Send>() {}
    shared::<XdpProgram>();
    moved::<StatisticsReader>();
};
