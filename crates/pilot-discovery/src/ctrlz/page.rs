//! The pages of ControlZ for people: plain HTML, made of what programs are told.

use process::log::{Level, ScopeState};
use serde_json::Value;

use super::TOPICS;

/// Text that means nothing to a browser.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn layout(title: &str, body: &str) -> String {
    let links: String =
        TOPICS.iter().map(|(prefix, name)| format!(" | <a href=\"/{prefix}z/\">{name}</a>")).collect();
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title></head><body>\n\
         <nav><a href=\"/\">Home</a>{links}</nav>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )
}

fn cell(value: &Value) -> String {
    escaped(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// An object as a table of names and values, a list of objects as a table with a head, anything else as a list.
fn table(value: &Value) -> String {
    let row = |cells: &[String]| format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"));
    let rows: String = match value {
        Value::Object(fields) => fields.iter().map(|(name, v)| row(&[escaped(name), cell(v)])).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Object(fields) => row(&fields.values().map(cell).collect::<Vec<_>>()),
                item => row(&[cell(item)]),
            })
            .collect(),
        other => row(&[cell(other)]),
    };
    format!("<table>\n{rows}</table>")
}

pub(super) fn home(state: &Value) -> String {
    let stop = "<p><button onclick=\"fetch('/homej/exit',{method:'PUT'})\">Stop the process</button></p>";
    layout("ControlZ", &(table(state) + stop))
}

pub(super) fn topic(title: &str, state: &Value) -> String {
    layout(title, &table(state))
}

pub(super) fn not_found() -> String {
    layout("Not found", "<p>There is no such page.</p>")
}

pub(super) fn signals(title: &str) -> String {
    layout(title, "<p><button onclick=\"fetch('/signalj/SIGUSR1',{method:'PUT'})\">Send SIGUSR1</button></p>")
}

/// The scopes, each with what sets it.
pub(super) fn scopes(title: &str, scopes: &[ScopeState]) -> String {
    let choice = |what: &str, now: Level| {
        let levels = [Level::None, Level::Error, Level::Warn, Level::Info, Level::Debug];
        let options: String = levels
            .iter()
            .map(|level| format!("<option{}>{level}</option>", if *level == now { " selected" } else { "" }))
            .collect();
        format!("<select name=\"{what}\" onchange=\"change(this)\">{options}</select>")
    };
    let rows: String = scopes
        .iter()
        .map(|scope| {
            let checked = if scope.callers { " checked" } else { "" };
            format!(
                "<tr data-scope=\"{0}\"><td>{0}</td><td>{1}</td><td>{2}</td><td>{3}</td><td>{4}</td></tr>\n",
                escaped(scope.name),
                escaped(scope.description),
                choice("output_level", scope.output),
                choice("stack_trace_level", scope.stack_trace),
                format_args!(
                    "<input type=\"checkbox\" name=\"log_callers\" onchange=\"change(this)\"{checked}>"
                ),
            )
        })
        .collect();
    let script = "<script>function change(e){const r=e.closest('tr'),of=n=>r.querySelector('[name='+n+']');\
        fetch('/scopej/'+r.dataset.scope,{method:'PUT',body:JSON.stringify({output_level:of('output_level').value,\
        stack_trace_level:of('stack_trace_level').value,log_callers:of('log_callers').checked})})\
        .then(a=>{if(!a.ok)a.text().then(alert)})}</script>";
    let head = "<tr><th>Scope</th><th>Description</th><th>Output level</th><th>Stack trace level</th><th>Callers</th></tr>";
    layout(title, &format!("<table>\n{head}\n{rows}</table>\n{script}"))
}
