//! `/debug/pprof/`: what of Go's profiling pages has a meaning for this program.

use axum::http::StatusCode;

use super::Page;

/// What there is, as (name, meaning).
pub(super) const PAGES: &[(&str, &str)] =
    &[("pprof/", "The profiling pages there are"), ("pprof/cmdline", "The command line of this program")];

/// A page below `/debug/pprof/`.
pub(super) fn page(name: &str) -> Page {
    match name {
        "" => Page::Text(
            "cmdline: the command line\n\nGo's profile, symbol and trace are not here: use `perf record -p PID`, and \
             /debug/memoz for what memory is used for.\n"
                .to_owned(),
        ),
        "cmdline" => Page::Text(std::env::args().collect::<Vec<_>>().join("\0")),
        _ => {
            let text = "There is no such profile: this program is not written in Go. Use `perf record -p PID`.\n";
            Page::Refused(StatusCode::NOT_FOUND, text.to_owned())
        }
    }
}
