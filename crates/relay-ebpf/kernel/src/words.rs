//! Loads and stores of 32-bit words at any address.
//!
//! Headers are not aligned in a frame. BPF does not mind, but Rust and LLVM do: said in Rust, each word would become four
//! bytes and the shifts to join them. LLVM can be told otherwise only for all memory at once, and then makes unaligned
//! accesses to the stack, which the verifier refuses. Hence the instructions themselves.

use core::arch::asm;

macro_rules! for_words {
    ($word:ident in $type:ty: $each:expr) => {
        for_words!($word in $type: $each; 0 1 2 3 4 5 6 7 8 9)
    };
    ($word:ident in $type:ty: $each:expr; $($number:literal)*) => { $(
        if const { $number * 4 < size_of::<$type>() } {
            const $word: usize = $number;
            $each;
        }
    )* };
}

/// Copies the `T` at `from` to `to`.
///
/// # Safety
/// `from` points to a `T` that can be read, though it need not be aligned; `T` is made of ten 32-bit words at most, aligned to
/// them, and any bit pattern is one.
#[inline(always)]
pub unsafe fn load<T>(from: *const T, to: &mut T) {
    const { assert!(size_of::<T>() <= 40 && size_of::<T>() % 4 == 0 && align_of::<T>() == 4) };
    let to = core::ptr::from_mut(to).cast::<u32>();
    for_words!(WORD in T: {
        let word: u32;
        // SAFETY: the caller's word for it; reads memory and changes nothing else.
        unsafe {
            asm!(
                "{word} = *(u32 *)({from} + {offset})",
                word = out(wreg) word,
                from = in(reg) from,
                offset = const WORD * 4,
                options(pure, readonly, nostack, preserves_flags)
            );
            to.add(WORD).write(word);
        }
    });
}

/// Copies `from` to `to`.
///
/// # Safety
/// As for [`load`], with `to` in place of `from`, and writable.
#[inline(always)]
pub unsafe fn store<T>(to: *mut T, from: &T) {
    const { assert!(size_of::<T>() <= 40 && size_of::<T>() % 4 == 0 && align_of::<T>() == 4) };
    let from = core::ptr::from_ref(from).cast::<u32>();
    for_words!(WORD in T: {
        // SAFETY: the caller's word for it.
        unsafe {
            asm!(
                "*(u32 *)({to} + {offset}) = {word}",
                word = in(wreg) from.add(WORD).read(),
                to = in(reg) to,
                offset = const WORD * 4,
                options(nostack, preserves_flags)
            );
        }
    });
}
