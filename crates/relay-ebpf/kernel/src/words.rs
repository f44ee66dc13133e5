//! Loads and stores of unaligned 32-bit words.
//!
//! Headers are not aligned in a frame. BPF allows unaligned accesses, but in Rust each such word becomes four byte accesses and
//! shifts. LLVM can allow unaligned accesses only for all memory, and then also uses them on the stack, where the verifier refuses
//! them. So this module uses inline assembly.

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
/// `from` points to a readable `T`, which need not be aligned. `T` is made of at most ten 32-bit words, aligned to 4 bytes,
/// and any bit pattern is a valid `T`.
#[inline(always)]
pub unsafe fn load<T>(from: *const T, to: &mut T) {
    const { assert!(size_of::<T>() <= 40 && size_of::<T>() % 4 == 0 && align_of::<T>() == 4) };
    let to = core::ptr::from_mut(to).cast::<u32>();
    for_words!(WORD in T: {
        let word: u32;
        // SAFETY: the caller guarantees that the memory is readable. Nothing else is changed.
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
/// As for [`load`], with a writable `to` instead of `from`.
#[inline(always)]
pub unsafe fn store<T>(to: *mut T, from: &T) {
    const { assert!(size_of::<T>() <= 40 && size_of::<T>() % 4 == 0 && align_of::<T>() == 4) };
    let from = core::ptr::from_ref(from).cast::<u32>();
    for_words!(WORD in T: {
        // SAFETY: the caller guarantees that the memory is writable.
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
