//! What RE2 takes and refuses, by its own documentation of syntax and the examples of its parser.

use super::{Flaw, check};

#[test]
fn what_re2_takes_is_never_refused() {
    for text in [
        "",
        ".*",
        "a|b|",
        "|a",
        "()",
        "(|a)*",
        "^*$",
        "a{1000}",
        "a{0}{b",
        "a{,2}",
        "a{2",
        "{",
        "a{01}{2",
        "x{2}?",
        "(a{10}){100}",
        "(a{2}b*){3,500}",
        "(?i)abc",
        "a(?i)*",
        "(?i-s:a.b)",
        "(?sU)",
        "(?P<name>a)(?<other>b)(?P<name>c)",
        "(?:a)",
        r"\Qa(b\E+",
        r"\Q*",
        r"\C\z\A\b\B",
        r"\pN\p{Greek}\P{^Latin}\PL",
        r"\d\D\s\S\w\W",
        r"\x41\x{10FFFF}\012\12\0",
        r"\a\f\n\r\t\v",
        r"\.\*\_\-\/\@",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[a-c-e]",
        "[[:alpha:][:^digit:]]",
        "[[:x]",
        "[[a]",
        r"[\d\-\]\pL]",
        r"[\x00-\x{ff}]",
        r"[\D-z]",
        "é{2}ü",
        "/api/v[0-9]+/(users|items)/[^/]+(/.*)?",
        r"https://([a-z0-9-]+\.)*example\.com",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn what_re2_refuses_has_a_name() {
    use Flaw::{
        Backreference, BadRepeat, Lookaround, MissingBracket, MissingParenthesis, NothingToRepeat,
        RepeatedRepeat, TrailingBackslash, UnexpectedParenthesis,
    };
    for (text, flaw) in [
        ("(", MissingParenthesis),
        ("(a|(b)", MissingParenthesis),
        (r"(\)", MissingParenthesis),
        ("a)", UnexpectedParenthesis),
        ("(?i)a)", UnexpectedParenthesis),
        ("[a", MissingBracket),
        ("[]", MissingBracket),
        ("[a-", MissingBracket),
        ("*", NothingToRepeat),
        ("a|+", NothingToRepeat),
        ("({2})", NothingToRepeat),
        ("(?i)*", NothingToRepeat),
        ("a**", RepeatedRepeat),
        ("a++", RepeatedRepeat),
        ("a*???", RepeatedRepeat),
        ("a{2}{3}", RepeatedRepeat),
        ("a{1001}", BadRepeat),
        ("a{2,1}", BadRepeat),
        ("a{99999999999}", BadRepeat),
        ("((a{100}){100}){100}", BadRepeat),
        ("(b|(a{11}){91})", BadRepeat),
        ("a(?=b)", Lookaround),
        ("a(?!b)", Lookaround),
        ("(?<=a)b", Lookaround),
        ("(?<!a)b", Lookaround),
        (r"(a)\1", Backreference),
        ("(?P<a>b)(?P=a)", Backreference),
        (r"a\", TrailingBackslash),
    ] {
        assert_eq!(check(text), Err(flaw), "{text}");
    }
}

#[test]
fn a_refusal_shows_what_is_wrong() {
    for (text, shown) in [
        ("(?>a)", "(?>a)"),
        ("(?x)a", "(?x)a"),
        ("(?i", "(?i"),
        ("(?i-)", "(?i-)"),
        ("(?P<>a)", "\"\""),
        ("(?P<a b>c)", "\"a b\""),
        (r"\Z", r"\Z"),
        (r"\e", r"\e"),
        (r"\E", r"\E"),
        (r"\é", r"\é"),
        (r"[\b]", r"\b"),
        (r"\xZZ", r"\x"),
        (r"\x{110000}", r"\x"),
        ("[z-a]", "z-a"),
        (r"[a-\d]", r"\d"),
        ("[[:alfa:]]", "[:alfa:]"),
        (r"\p{Greek", r"\p{"),
    ] {
        let said = check(text).unwrap_err().to_string();
        assert!(said.contains(shown), "{text}: {said}");
    }
}
