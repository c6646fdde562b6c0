//! The binary's allocator: mimalloc, called by its short way.
//!
//! The one file with `unsafe`: a global allocator is an unsafe trait, and the crate that wraps mimalloc asks for every
//! block by its alignment, for which mimalloc takes a longer way, and often a larger block, than for one of the alignment
//! that every block of its has. Bytes, which most of a request's allocations are, have an alignment of one.

#![allow(unsafe_code, reason = "a global allocator is an unsafe trait, and mimalloc is written in C")]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mimalloc;

/// mimalloc. A request costs fewer instructions than with the system's, and the memory of a busy minute goes back. The
/// same in every build: musl's own is slow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// Whether every block of this size is aligned enough: mimalloc's blocks are aligned to their size, up to 16 bytes
/// (`MI_MAX_ALIGN_SIZE`), as C wants of `malloc`.
const fn is_ordinary(layout: Layout) -> bool {
    layout.align() <= 16 && layout.align() <= layout.size()
}

// SAFETY: mimalloc returns null or a block of at least the size asked for, which is its caller's alone until it is freed;
// aligned as asked, or, by `malloc`'s own promise, for whatever fits into it. Any of its blocks may be given to `mi_free`
// and `mi_realloc`, whichever function it came from. None of them unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and any power of two will do.
        match is_ordinary(layout) {
            true => unsafe { mimalloc::mi_malloc(size) }.cast(),
            false => unsafe { mimalloc::mi_malloc_aligned(size, align) }.cast(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and any power of two will do.
        match is_ordinary(layout) {
            true => unsafe { mimalloc::mi_zalloc(size) }.cast(),
            false => unsafe { mimalloc::mi_zalloc_aligned(size, align) }.cast(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller promises that it is a block of this allocator, still allocated.
        unsafe { mimalloc::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // A block that shrinks below its alignment is an ordinary one no more.
        let is_ordinary = is_ordinary(layout) && align <= size;
        // SAFETY: the caller promises that it is a block of this allocator, still allocated.
        match is_ordinary {
            true => unsafe { mimalloc::mi_realloc(block.cast(), size) }.cast(),
            false => unsafe { mimalloc::mi_realloc_aligned(block.cast(), size, align) }.cast(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_and_keeps_what_is_in_it() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in [1, 2, 7, 8, 9, 15, 16, 17, 24, 40, 100, 1000, 8192, 70_000] {
                check(Layout::from_size_align(size, align).unwrap());
            }
        }
    }

    fn check(layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the size is not zero; each block is freed once, with the layout that it has.
        unsafe {
            let zeroed = Allocator.alloc_zeroed(layout);
            assert!((0..size).all(|at| *zeroed.add(at) == 0));
            let block = Allocator.alloc(layout);
            block.write_bytes(7, size);
            for block in [zeroed, block] {
                assert_eq!((block.is_null(), block.addr() % align), (false, 0), "{layout:?}");
            }
            let larger = Allocator.realloc(block, layout, size * 3);
            assert!((0..size).all(|at| *larger.add(at) == 7));
            let smaller = Allocator.realloc(larger, Layout::from_size_align(size * 3, align).unwrap(), 1);
            assert_eq!((larger.addr() % align, smaller.addr() % align, *smaller), (0, 0, 7), "{layout:?}");
            Allocator.dealloc(smaller, Layout::from_size_align(1, align).unwrap());
            Allocator.dealloc(zeroed, layout);
        }
    }
}
