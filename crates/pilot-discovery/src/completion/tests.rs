//! Scripts that complete.

use std::process::Command;

use super::*;

#[test]
fn bash_completes_commands_and_flags() {
    let complete = |word: &str| {
        let script = script("bash").unwrap();
        let line = format!(
            "{script}COMP_WORDS=(pilot-discovery '{word}'); COMP_CWORD=1; _pilot_discovery; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("disc"), "discovery");
    assert_eq!(complete("--kubernetesApi"), "--kubernetesApiQPS --kubernetesApiBurst");
}

#[test]
fn every_shell_has_every_flag() {
    for shell in SHELLS {
        let script = script(shell).unwrap();
        for (flag, _) in flags() {
            assert!(script.contains(flag.trim_start_matches('-')), "{shell}: {flag}");
        }
    }
    assert_eq!(script("tcsh"), None);
}
