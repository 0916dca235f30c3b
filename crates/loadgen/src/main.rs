//! The run on a folder: a control plane, sidecars and edits, all of this machine.

mod codec;
mod mesh;
mod run;
mod seen;
mod server;
mod sidecar;
mod table;
mod wire;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use loadgen::istiod::{Event, Size};

use mesh::Mesh;

/// Starts a control plane on a folder, connects sidecars, edits files, and says what every edit cost.
///
/// Switches of the control plane are taken from the environment, for instance
/// `PILOT_MAX_REQUESTS_PER_SECOND=100000` to leave the request limit out of the connect storm.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// How large a mesh
    #[arg(long, value_enum, default_value_t = Size::S)]
    mesh: Size,
    /// Only these events (connecting is always part of it)
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Event>,
    /// How often an event is repeated; else 5, endpoint edits 30
    #[arg(long)]
    repeat: Option<usize>,
    /// Also write the table here
    #[arg(long)]
    out: Option<PathBuf>,
    /// The program to measure
    #[arg(long)]
    program: PathBuf,
    /// Keep the folder of objects and the server's log here
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    // One thread: what the load takes from the machine is taken from the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = run::Plan {
        size: arguments.mesh,
        mesh: Mesh { services: arguments.mesh.services(), endpoints: 10, namespaces: 50 },
        sidecars: arguments.mesh.sidecars(),
        only: arguments.only.clone(),
        repeat: arguments.repeat,
        program: arguments.program.clone(),
        keep: arguments.keep.clone(),
    };
    let report = runtime.block_on(run::run(&plan))?;
    let text = table::markdown(&report);
    io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &arguments.out {
        std::fs::write(path, text)?;
    }
    Ok(())
}
