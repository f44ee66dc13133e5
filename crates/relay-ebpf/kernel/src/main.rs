//! The XDP program `relay`: connects [`relay_ebpf::rewrite`] to the kernel's packets, helpers and maps.
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

/// Forwards packets that have a route. Passes all others to the host, unchanged.
#[xdp]
pub fn relay(context: XdpContext) -> u32 {
    run(context)
}

/// Like [`relay`], for interfaces whose frames may be in several buffers. Needs Linux 5.18 and support in the driver.
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
    // SAFETY: a helper without pointers. If it fails, it returns XDP_ABORTED.
    unsafe { bpf_redirect(forwarded.interface, 0) as u32 }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No code panics, and the verifier would refuse a reachable endless loop.
    loop {}
}

/// Some helpers (event output, route look-up) require a licence that is compatible with the kernel's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
