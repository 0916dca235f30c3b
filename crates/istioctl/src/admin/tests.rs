//! What of the log levels is asked for.

use clap::Parser as _;

use super::*;
use crate::args::{Admin, Administration, Command, Root};

fn parsed(line: &str) -> AdminLog {
    let words = ["istioctl", "admin", "log"].into_iter().chain(line.split_whitespace());
    match Root::try_parse_from(words).unwrap().command {
        Command::Admin(Admin { command: Administration::Log(args) }) => args,
        other => panic!("{other:?}"),
    }
}

fn known() -> Vec<Scope> {
    let scope = |name: &str| Scope {
        name: name.to_owned(),
        description: "d".to_owned(),
        output_level: "warn".to_owned(),
        stack_trace_level: "none".to_owned(),
        log_callers: name == "ads",
    };
    vec![scope("ads"), scope("model")]
}

fn told(line: &str) -> anyhow::Result<Vec<String>> {
    let args = parsed(line);
    let scopes = wanted(&args, known(), changes(&args)?)?;
    Ok(scopes.iter().map(|s| format!("{}={}/{}", s.name, s.output_level, s.stack_trace_level)).collect())
}

#[test]
fn only_what_is_named_changes() {
    assert_eq!(told("--level ads:debug").unwrap(), ["ads=debug/"]);
    assert_eq!(
        told("--level ads:debug --stack-trace-level model:error").unwrap(),
        ["ads=debug/", "model=/error"]
    );
    assert_eq!(told("--reset").unwrap(), ["ads=info/none", "model=info/none"]);
    assert_eq!(told("--log-reset").unwrap(), ["ads=info/", "model=info/"]);
    assert_eq!(told("--stack-trace-reset --level ads:debug").unwrap(), ["ads=debug/none", "model=/none"]);
    let args = parsed("--level ads:debug");
    let scope = &wanted(&args, known(), changes(&args).unwrap()).unwrap()[0];
    assert!(scope.log_callers, "what stays is told again");
}

#[test]
fn wrong_scopes_and_levels_are_refused_before_anything_is_set() {
    assert!(told("--level adz:debug").unwrap_err().to_string().contains("want one of ads, model"));
    assert!(told("--level ads:loud").unwrap_err().to_string().contains("ads:loud"));
    assert!(told("--level ads").unwrap_err().to_string().contains("<scope>:<level>"));
}

#[test]
fn levels_are_printed_as_upstream_does() {
    let text = print(known(), Format::Short);
    assert_eq!(
        text,
        "ACTIVE SCOPE   DESCRIPTION   LOG LEVEL   STACK TRACE LEVEL\n\
         ads            d             warn        none\n\
         model          d             warn        none\n"
    );
    let json: Value = serde_json::from_str(&print(known(), Format::Json)).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({"scope_name": "ads", "log_level": "warn", "stack_trace_level": "none", "description": "d"})
    );
    assert!(print(known(), Format::Yaml).starts_with("- description: d\n  log_level: warn\n"));
}
