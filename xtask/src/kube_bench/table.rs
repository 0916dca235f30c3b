//! The result as Markdown: ours, theirs, how many times better, and whether that is what is asked.

use loadgen::istiod::Size;
use loadgen::sample::number;

use crate::figures::{Figure, Records, Side};

/// One line per figure that was measured. Where the other side was not, its place has what istiod took when it was
/// measured, on another machine.
pub(crate) fn markdown(records: &Records, size: Size, against: bool) -> String {
    let theirs = if against { "the other" } else { "istiod, as recorded" };
    let mut out = format!(
        "| mesh {size:?} | unit | ours: median (min-max) | {theirs} | times better | asked | |\n|---|---|---|---|---|---|---|\n"
    );
    for figure in Figure::all() {
        if let Some(line) = line(records, figure, size, against) {
            out.push_str(&line);
        }
    }
    out
}

fn line(records: &Records, figure: Figure, size: Size, against: bool) -> Option<String> {
    let ours = records.sample(Side::Ours, figure);
    let other = records.sample(Side::Theirs, figure);
    if ours.is_empty() && other.is_empty() {
        return None;
    }
    let (theirs, value) = match figure.recorded(size).filter(|_| !against) {
        Some(value) => (number(value), Some(value)),
        None if other.is_empty() => ("-".to_owned(), None),
        None => (other.spread(), Some(other.median())),
    };
    let ratio = value.and_then(|value| figure.ratio(ours.median(), value));
    let mark = figure.mark().filter(|_| size == Size::M);
    let verdict = match (ratio, mark) {
        (Some(ratio), Some(mark)) if ratio >= mark => "reached",
        (Some(_), Some(_)) => "MISSED",
        _ => "",
    };
    let factor = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    Some(format!(
        "| {} | {} | {} | {theirs} | {} | {} | {verdict} |\n",
        figure.name(),
        figure.unit(),
        ours.spread(),
        factor(ratio),
        factor(mark),
    ))
}
