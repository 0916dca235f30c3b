//! The lines of the start: what was done, with which outcome, how long it took.

use std::time::Instant;

use super::document::Stage;

/// Prints stages as they are done, and keeps them.
#[derive(Debug)]
pub(super) struct Stages {
    /// stdout belongs to a document; lines go to stderr.
    to_stderr: bool,
    since: Instant,
    done: Vec<Stage>,
}

impl Stages {
    /// Begins with the clock at zero.
    #[must_use]
    pub(super) fn new(to_stderr: bool) -> Self {
        Self { to_stderr, since: Instant::now(), done: Vec::new() }
    }

    /// A stage is done; the time since the last one was its time.
    pub(super) fn done(&mut self, name: &str, detail: impl Into<String>) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since = Instant::now();
        let stage = Stage { name: name.to_owned(), detail: detail.into(), ms };
        self.show(&stage);
        self.done.push(stage);
    }

    /// Prints one stage.
    pub(super) fn show(&mut self, stage: &Stage) {
        let seconds = f64::from(u32::try_from(stage.ms).unwrap_or(u32::MAX)) / 1000.0;
        self.say(&format!("✔ {:<14} {:<64} {seconds:.1}s", stage.name, stage.detail));
    }

    /// Prints a line that is no stage.
    pub(super) fn say(&self, line: &str) {
        if self.to_stderr { eprintln!("{line}") } else { println!("{line}") }
    }

    /// All stages so far.
    #[must_use]
    pub(super) fn all(&self) -> Vec<Stage> {
        self.done.clone()
    }
}
