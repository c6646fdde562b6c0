//! The binary: everything is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use bearer_proxy::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    bearer_proxy::cli::main()
}
