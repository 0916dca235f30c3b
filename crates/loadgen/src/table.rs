//! The report as Markdown: ours beside istiod's, with the ratio and what was aimed at.

use std::fmt::Write;

use loadgen::istiod::{self, Event, Whole};
use loadgen::sample::{number, ratio};

use crate::run::{Outcome, Report};
use crate::seen::{Amount, TYPES};

#[cfg(test)]
mod tests;

/// The whole report.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Mesh {:?}, {} sidecars\n", report.size, report.sidecars)?;
    writeln!(
        out,
        "Ours / istiod; a ratio is istiod's figure divided by ours, a target what must hold / is aimed at.\n"
    )?;
    wholes(report, out)?;
    writeln!(
        out,
        "\n| event | CPU ms per event: median (min-max) | ratio | target | MB | ratio | sidecars touched | event to ACK ms: p50, p99, max | event to last ACK ms: median (min-max) | RSS, peak MB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for outcome in &report.outcomes {
        writeln!(out, "{}", line(report, outcome))?;
    }
    writeln!(out, "\nBy type, resources (removed) in messages, of the last event:\n")?;
    writeln!(out, "| event | {} |", TYPES.map(|(name, _)| name).join(" | "))?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    writeln!(out, "| connect | {} |", amounts(&report.storm.amounts))?;
    for outcome in &report.outcomes {
        writeln!(out, "| {} | {} |", name(outcome.event), amounts(&outcome.amounts))?;
    }
    writeln!(out, "\nThe load itself took {:.1} s of CPU.", report.own_cpu.as_secs_f64())
}

fn wholes(report: &Report, out: &mut String) -> std::fmt::Result {
    let (start, storm) = (&report.start, &report.storm);
    let bytes: u64 = storm.amounts.iter().map(|amount| amount.bytes).sum();
    let lines = [
        (
            "start until ready",
            Whole {
                seconds: start.wall.as_secs_f64(),
                cpu_seconds: start.cpu.as_secs_f64(),
                memory: (start.rss, start.rss),
                megabytes: 0.0,
            },
            istiod::start(report.size),
            "3 / 8",
        ),
        (
            "all sidecars connect",
            Whole {
                seconds: storm.complete.max(),
                cpu_seconds: storm.cpu.as_secs_f64(),
                memory: storm.memory,
                megabytes: bytes as f64 / 1e6,
            },
            istiod::storm(report.size),
            "5 / 10",
        ),
    ];
    writeln!(
        out,
        "| | s until the last | ratio | CPU s | ratio | target | MB sent | RSS MB | peak MB | ratio | target |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (what, ours, theirs, target) in lines {
        let both = |a: f64, b: f64| format!("{} / {}", number(a), number(b));
        let cells = [
            what.to_owned(),
            both(ours.seconds, theirs.seconds),
            ratio(ours.seconds, theirs.seconds),
            both(ours.cpu_seconds, theirs.cpu_seconds),
            ratio(ours.cpu_seconds, theirs.cpu_seconds),
            target.to_owned(),
            both(ours.megabytes, theirs.megabytes),
            both(ours.memory.0, theirs.memory.0),
            both(ours.memory.1, theirs.memory.1),
            ratio(ours.memory.1, theirs.memory.1),
            "5 / 10".to_owned(),
        ];
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    let complete = &storm.complete;
    let (half, most) = (number(complete.median()), number(complete.quantile(0.9)));
    writeln!(
        out,
        "\nHalf of the sidecars were complete after {half} s, 90 % after {most} s; {} attempts to open a stream failed.",
        storm.broken
    )
}

fn line(report: &Report, outcome: &Outcome) -> String {
    let theirs = istiod::of(report.size, outcome.event);
    let (must, aim) = istiod::target(outcome.event);
    let triple = |values: [f64; 3]| values.map(number).join(", ");
    let ours = match outcome.acks.is_empty() {
        true => "-".to_owned(),
        false => triple([0.5, 0.99, 1.0].map(|share| outcome.acks.quantile(share))),
    };
    let last = if outcome.last_acks.is_empty() { "-".to_owned() } else { outcome.last_acks.spread() };
    let cells = [
        name(outcome.event),
        format!("{} / {}", outcome.cpu.spread(), number(theirs.cpu)),
        ratio(outcome.cpu.median(), theirs.cpu),
        format!("{must} / {aim}"),
        format!("{} / {}", number(outcome.megabytes.median()), number(theirs.megabytes)),
        ratio(outcome.megabytes.median(), theirs.megabytes),
        format!("{} / {}", outcome.touched.median(), theirs.touched),
        format!("{ours} / {}", theirs.acks.map_or_else(|| "-".to_owned(), triple)),
        format!("{last} / {}", theirs.last_ack.map_or_else(|| "-".to_owned(), number)),
        format!("{}, {}", number(outcome.memory.0), number(outcome.memory.1)),
    ];
    format!("| {} |", cells.join(" | "))
}

fn name(event: Event) -> String {
    let name = match event {
        Event::Idle => "idle (thousandths of a core)",
        Event::Mesh => "mesh-wide flip: every cluster, listener and route changes",
        Event::VsTouch => "VirtualService annotated only",
        Event::Vs => "one VirtualService edited",
        Event::Dr => "one DestinationRule edited",
        Event::Ap => "one AuthorizationPolicy edited",
        Event::Eds => "one EndpointSlice edited",
        Event::Add => "Service and EndpointSlice added",
        Event::Delete => "Service and EndpointSlice deleted",
        Event::Churn => "endpoint edits at 100/s, per edit (ACK: after the last)",
    };
    name.to_owned()
}

fn amounts(of: &[Amount]) -> String {
    let cell = |amount: &Amount| match amount.messages {
        0 => "-".to_owned(),
        messages => {
            let megabytes = number(amount.bytes as f64 / 1e6);
            format!("{} ({}) in {messages}, {megabytes} MB", amount.resources, amount.removed)
        }
    };
    of.iter().map(cell).collect::<Vec<_>>().join(" | ")
}
