//! The program's maps, and the functions that read and write them.

use core::arch::asm;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray, PerfEventArray},
    programs::XdpContext,
};
use crate::host::FibLookup;
use relay_ebpf::{Counters, Device, Entry, FlowKey, KeptHop, Neighbour, Reason, Route, Settings};

/// The loader replaces this before it loads the program. With these values, the program passes every packet.
#[unsafe(no_mangle)]
pub static SETTINGS: Global<Settings> = Global::new(Settings::NOTHING);

/// The flows. User space sets the size when it loads the program, and writes all but next hops and counters. Entries are never
/// evicted.
#[map]
static FLOWS: HashMap<FlowKey, Entry> = HashMap::with_max_entries(1, 0);

/// The interfaces that a frame may leave by, other than the one that it arrived on.
#[map]
static DEVICES: HashMap<u32, Device> = HashMap::with_max_entries(1024, 0);

/// When the Ethernet address of each neighbour was last looked up. User space keeps these neighbours fresh in the host's table, and
/// removes those that are no longer used. If the map is full, packets to further neighbours are still forwarded.
#[map]
static NEIGHBOURS: HashMap<Neighbour, u64> = HashMap::with_max_entries(4096, 0);

/// This CPU's counters of forwarded packets.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// How many packets this CPU has passed, for each [`Reason`].
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);

/// The arguments of a route look-up, which do not fit on the stack.
#[map]
static FIB_LOOKUP: PerCpuArray<FibLookup> = PerCpuArray::with_max_entries(1, 0);

/// Events: copies of this CPU's `COUNTERS`, at intervals.
#[map]
static STATS: PerfEventArray<Counters> = PerfEventArray::new(0);

/// User space increments it when routes or neighbours change.
#[unsafe(no_mangle)]
static mut GENERATION: u64 = 0;

#[inline(always)]
pub fn generation() -> u64 {
    // SAFETY: user space writes the word as a whole.
    unsafe { (&raw const GENERATION).read_volatile() }
}

/// Copies the route of `key` and returns its entry; null if there is none.
#[inline(always)]
pub fn copy_route(key: &FlowKey, route: &mut Route) -> *mut Entry {
    let Some(entry) = FLOWS.get_ptr_mut(key) else {
        return core::ptr::null_mut();
    };
    // SAFETY: within the entry.
    let from = unsafe { (&raw const (*entry).route).cast::<u64>() };
    let to = core::ptr::from_mut(route).cast::<u64>();
    for word in 0..Route::WORDS {
        // SAFETY: both are `Route`s, which are aligned to 64-bit words and made of whole ones. The kernel may write to the entry
        // at the same time, hence volatile.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
    entry
}

/// Copies the next hop in `entry`.
#[inline(always)]
pub fn copy_hop(entry: *const Entry, hop: &mut KeptHop) {
    // SAFETY: within the entry.
    let from = unsafe { (&raw const (*entry).hop).cast::<u64>() };
    let to = core::ptr::from_mut(hop).cast::<u64>();
    for word in 0..KeptHop::WORDS {
        // SAFETY: as in `copy_route`; other CPUs may write.
        unsafe { to.add(word).write(from.add(word).read_volatile()) };
    }
}

/// Writes `hop` to `entry`.
#[inline(always)]
pub fn keep_hop(entry: *mut Entry, hop: &KeptHop) {
    // SAFETY: within the entry. The memory holds entries of this map as long as the program runs.
    let to = unsafe { (&raw mut (*entry).hop).cast::<u64>() };
    let from = core::ptr::from_ref(hop).cast::<u64>();
    for word in 0..KeptHop::WORDS {
        // SAFETY: as in `copy_hop`. Each word is written as a whole; `KeptHop` documents why that is enough.
        unsafe { to.add(word).write_volatile(from.add(word).read()) };
    }
}

/// Finds out how frames leave by `interface`. Returns false if the program is not attached to it.
#[inline(always)]
pub fn device(interface: u32, device: &mut Device) -> bool {
    let Some(found) = DEVICES.get_ptr(interface) else {
        return false;
    };
    // SAFETY: an entry of the map, which user space replaces as a whole.
    *device = unsafe { *found };
    true
}

/// Records that `neighbour` is in use.
#[inline(always)]
pub fn note_neighbour(neighbour: &Neighbour, now: u64) {
    match NEIGHBOURS.get_ptr_mut(neighbour) {
        // SAFETY: within the entry, a word that is read and written as a whole. Many flows may share a neighbour, so an unchanged
        // value is not written again.
        Some(last) => unsafe {
            if last.read_volatile() != now {
                last.write_volatile(now);
            }
        },
        None => _ = NEIGHBOURS.insert(neighbour, &now, 0),
    }
}

/// This CPU's memory for a route look-up.
#[inline(always)]
pub fn fib_lookup<'a>() -> Option<&'a mut FibLookup> {
    let fib = FIB_LOOKUP.get_ptr_mut(0)?;
    // SAFETY: the element is this CPU's, and XDP programs do not interrupt each other. The program takes one reference per run.
    Some(unsafe { &mut *fib })
}

#[inline(always)]
pub fn count_reason(reason: u32) {
    if let Some(count) = REASONS.get_ptr_mut(reason) {
        // SAFETY: the element is this CPU's, and XDP programs do not interrupt each other.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub fn count_forwarded(context: &XdpContext, payload: u32, entry: *mut Entry) {
    let settings = SETTINGS.load();
    if settings.statistics == 0 {
        return;
    }
    if !entry.is_null() {
        // SAFETY: within the entry.
        count_flow(unsafe { &raw mut (*entry).forwarded }, payload);
    }
    let Some(counters) = COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: as above.
    let counters = unsafe { &mut *counters };
    counters.packets += 1;
    counters.bytes += u64::from(payload);
    if counters.packets & u64::from(settings.event_mask) == 0 {
        STATS.output(context, &*counters, 0);
    }
}

/// Counts a packet of a flow. The additions are atomic, as two CPUs may count one flow at the same time if a network card spreads its
/// packets over several queues.
#[inline(always)]
fn count_flow(flow: *mut Counters, payload: u32) {
    // SAFETY: within an entry. The memory holds entries of this map as long as the program runs.
    let (packets, bytes) = unsafe { (&raw mut (*flow).packets, &raw mut (*flow).bytes) };
    // SAFETY: both are aligned to 8 bytes, like the entry. `core` has no atomic addition for this target.
    unsafe {
        asm!(
            "lock *(u64 *)({packets} + 0) += {one}",
            "lock *(u64 *)({bytes} + 0) += {payload}",
            packets = in(reg) packets,
            bytes = in(reg) bytes,
            one = in(reg) 1_u64,
            payload = in(reg) u64::from(payload),
            options(nostack, preserves_flags)
        );
    }
}
