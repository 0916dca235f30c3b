//! istioctl - reads the arguments, runs the command, turns its outcome into an exit code.
//! In: the command line. Out: an exit code as Istio's: 0, 1 for errors, 64 for wrong usage, 65 for bad input.
//! Here: nothing but that.
//! Never here: what commands do (the library next door).
//! Start reading at: lib.rs

use std::process::ExitCode;

fn main() -> ExitCode {
    istioctl::main()
}
