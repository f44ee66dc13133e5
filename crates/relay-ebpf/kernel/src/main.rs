//! The XDP program `relay`: loads and stores for [`relay_ebpf::rewrite`], and the maps behind it.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod frame;
mod host;
mod maps;
mod words;

use aya_ebpf::{bindings::xdp_action, helpers::bpf_redirect, macros::xdp, programs::XdpContext};
use relay_ebpf::{Forwarded, Reason, rewrite};

use crate::{frame::PacketFrame, host::KernelHost};

/// Forwards what it has a route for; passes everything else to the host, untouched.
#[xdp]
pub fn relay(context: XdpContext) -> u32 {
    run(context)
}

/// The same for interfaces whose frames may be in several buffers: it needs Linux 5.18, and the driver's support.
#[xdp(frags)]
pub fn relay_frags(context: XdpContext) -> u32 {
    run(context)
}

#[inline(always)]
fn run(context: XdpContext) -> u32 {
    let mut forwarded = Forwarded::default();
    let mut host = KernelHost { context: &context, entry: core::ptr::null_mut() };
    let reason = rewrite(&mut PacketFrame(&context), &mut host, &mut forwarded) as u32;
    if reason != Reason::Forwarded as u32 {
        if reason == Reason::NotOurs as u32 {
            return xdp_action::XDP_PASS;
        }
        maps::count_reason(reason);
        return if reason == Reason::Aborted as u32 { xdp_action::XDP_ABORTED } else { xdp_action::XDP_PASS };
    }
    maps::count_forwarded(&context, forwarded.payload, host.entry);
    if forwarded.redirected == 0 {
        return xdp_action::XDP_TX;
    }
    // SAFETY: a helper without pointers. Should it fail, its answer is XDP_ABORTED.
    unsafe { bpf_redirect(forwarded.interface, 0) as u32 }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in here panics, and the verifier would refuse a loop that was reachable.
    loop {}
}

/// Some helpers (event output, route look-up) are for programs that say they are under a licence compatible with the kernel's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
