//! Whether Google RE2, which Envoy matches with, takes a regular expression.
//!
//! As re2/parse.cc with the flags of an unaltered `RE2::Options` (Perl's classes, escapes and groups, UTF-8). Only
//! what RE2 surely refuses is refused: names of scripts and characters behind `\p` are not looked up, nor is the size
//! of the compiled program, so Envoy may still refuse what passes here.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// The largest number in a repetition, also as the product of nested ones.
const MOST: u32 = 1000;

/// Why RE2 refuses an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A group that is never closed.
    MissingParenthesis,
    /// A closing parenthesis without a group.
    UnexpectedParenthesis,
    /// A class that is never closed.
    MissingBracket,
    /// `*`, `+`, `?` or `{n}` with nothing before it to repeat.
    NothingToRepeat,
    /// A repetition of a repetition, as `a**` or `a++`.
    RepeatedRepeat,
    /// Numbers that are too large or stand the wrong way round.
    BadRepeat,
    /// `(?=`, `(?!`, `(?<=`, `(?<!`.
    Lookaround,
    /// `\1` or `(?P=name)`.
    Backreference,
    /// Another group of Perl that RE2 does not know; its beginning.
    BadGroup(String),
    /// A group's name that is empty or odd.
    BadName(String),
    /// An escape that RE2 does not know.
    BadEscape(String),
    /// A backslash at the end.
    TrailingBackslash,
    /// A range or a class inside brackets that is none.
    BadRange(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingParenthesis => f.write_str("a group is not closed: ) is missing"),
            Self::UnexpectedParenthesis => f.write_str("a ) closes nothing"),
            Self::MissingBracket => f.write_str("a class is not closed: ] is missing"),
            Self::NothingToRepeat => f.write_str("a repetition has nothing before it to repeat"),
            Self::RepeatedRepeat => f.write_str("a repetition is repeated"),
            Self::BadRepeat => {
                write!(f, "a repetition is not within 0 to {MOST}, also together with those around it")
            }
            Self::Lookaround => f.write_str("there is no lookahead or lookbehind"),
            Self::Backreference => f.write_str("there are no backreferences"),
            Self::BadGroup(text) => write!(f, "there is no such group: {text}"),
            Self::BadName(name) => write!(f, "{name:?} cannot be the name of a group"),
            Self::BadEscape(text) => write!(f, "there is no such escape: {text}"),
            Self::TrailingBackslash => f.write_str("it ends with a backslash"),
            Self::BadRange(text) => write!(f, "no such range or class: {text}"),
        }
    }
}

/// What stands on RE2's stack since the last `(` or `|`.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// The last operand's nested repetitions, multiplied; nothing where there is no operand.
    last: Option<u32>,
    /// The largest such product of the whole group.
    most: u32,
}

impl Level {
    fn push(&mut self, product: u32) {
        self.last = Some(product);
        self.most = self.most.max(product);
    }
}

/// Checks an expression.
pub(super) fn check(text: &str) -> Result<(), Flaw> {
    let mut parser = Parser { rest: text.chars().peekable(), levels: Vec::new() };
    let mut level = Level::default();
    // repetitions may not follow each other at once
    let mut after_repeat = false;
    while let Some(c) = parser.rest.next() {
        let repeat = match c {
            '*' => Some((0, None)),
            '+' => Some((1, None)),
            '?' => Some((0, Some(1))),
            '{' => parser.counted(),
            _ => None,
        };
        if let Some((least, most)) = repeat {
            parser.rest.next_if_eq(&'?');
            if after_repeat {
                return Err(Flaw::RepeatedRepeat);
            }
            repeated(&mut level, least, most)?;
            after_repeat = true;
            continue;
        }
        after_repeat = false;
        match c {
            '(' => parser.open(&mut level)?,
            ')' => {
                let outer = parser.levels.pop().ok_or(Flaw::UnexpectedParenthesis)?;
                let inner = std::mem::replace(&mut level, outer);
                level.push(inner.most.max(1));
            }
            '|' => level.last = None,
            '[' => {
                parser.class()?;
                level.push(1);
            }
            '\\' => parser.escaped(&mut level)?,
            _ => level.push(1),
        }
    }
    if parser.levels.is_empty() { Ok(()) } else { Err(Flaw::MissingParenthesis) }
}

/// Repeats the last operand. `most` is nothing where there is no bound.
fn repeated(level: &mut Level, least: u32, most: Option<u32>) -> Result<(), Flaw> {
    if least > MOST || most.is_some_and(|most| most > MOST || most < least) {
        return Err(Flaw::BadRepeat);
    }
    let operand = level.last.ok_or(Flaw::NothingToRepeat)?;
    let times = most.unwrap_or(least).max(1);
    let product = operand.saturating_mul(times);
    if product > MOST {
        return Err(Flaw::BadRepeat);
    }
    level.push(product);
    Ok(())
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// The levels around the present one.
    levels: Vec<Level>,
}

impl Parser<'_> {
    /// `{n}`, `{n,}`, `{n,m}` after the brace. What is none of them is an ordinary brace, and nothing is taken.
    fn counted(&mut self) -> Option<(u32, Option<u32>)> {
        let mut ahead = self.rest.clone();
        let least = number(&mut ahead)?;
        let most = match ahead.next_if_eq(&',') {
            None => Some(least),
            Some(_) if ahead.peek() == Some(&'}') => None,
            Some(_) => Some(number(&mut ahead)?),
        };
        ahead.next_if_eq(&'}')?;
        self.rest = ahead;
        Some((least, most))
    }

    /// After `(`: a group begins, or flags are set from here on.
    fn open(&mut self, level: &mut Level) -> Result<(), Flaw> {
        let mut begins_group = true;
        if self.rest.next_if_eq(&'?').is_some() {
            let beginning: String = self.rest.clone().take(3).collect();
            match beginning.as_bytes() {
                [b'=' | b'!', ..] | [b'<', b'=' | b'!', ..] => return Err(Flaw::Lookaround),
                [b'P', b'=', ..] => return Err(Flaw::Backreference),
                [b'P', b'<', ..] => {
                    self.rest.nth(1);
                    self.name()?;
                }
                [b'<', ..] => {
                    self.rest.next();
                    self.name()?;
                }
                _ => begins_group = self.flags(&beginning)?,
            }
        }
        if begins_group {
            self.levels.push(std::mem::take(level));
        }
        Ok(())
    }

    /// The name of a group, after `<`. RE2 takes letters of all scripts, digits and the like, and `_`.
    fn name(&mut self) -> Result<(), Flaw> {
        let mut name = String::new();
        loop {
            match self.rest.next() {
                Some('>') => break,
                Some(c) => name.push(c),
                None => return Err(Flaw::BadName(name)),
            }
        }
        let odd = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_';
        if name.is_empty() || name.contains(odd) {
            return Err(Flaw::BadName(name));
        }
        Ok(())
    }

    /// Flags, after `(?`. True if a group begins (`(?i:`), false if they hold for what follows (`(?i)`).
    fn flags(&mut self, beginning: &str) -> Result<bool, Flaw> {
        let bad = || Flaw::BadGroup(format!("(?{beginning}"));
        let (mut is_negated, mut is_complete) = (false, true);
        loop {
            match self.rest.next() {
                Some('i' | 'm' | 's' | 'U') => is_complete = true,
                Some('-') if !is_negated => (is_negated, is_complete) = (true, false),
                Some(':') if is_complete => return Ok(true),
                Some(')') if is_complete => return Ok(false),
                _ => return Err(bad()),
            }
        }
    }

    /// After a backslash outside a class.
    fn escaped(&mut self, level: &mut Level) -> Result<(), Flaw> {
        let c = self.rest.next().ok_or(Flaw::TrailingBackslash)?;
        match c {
            'Q' => {
                self.quoted(level);
                return Ok(());
            }
            'A' | 'b' | 'B' | 'C' | 'z' => {}
            _ if self.is_class(c)? => {}
            _ => {
                self.character(c)?;
            }
        }
        level.push(1);
        Ok(())
    }

    /// After `\Q`: every character stands for itself, to `\E` or the end.
    fn quoted(&mut self, level: &mut Level) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            level.push(1);
        }
    }

    /// Whether an escape is a class: `\d`, `\pN`, `\p{Greek}`. What names it is taken.
    fn is_class(&mut self, c: char) -> Result<bool, Flaw> {
        match c {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok(true),
            'p' | 'P' => {
                let name = self.rest.next().ok_or_else(|| Flaw::BadRange(format!("\\{c}")))?;
                if name == '{' && !self.rest.any(|c| c == '}') {
                    return Err(Flaw::BadRange(format!("\\{c}{{")));
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The character that an escape stands for, after its first character.
    fn character(&mut self, c: char) -> Result<char, Flaw> {
        let bad = |text: &str| Flaw::BadEscape(format!("\\{text}"));
        match c {
            '1'..='7' if !self.rest.peek().is_some_and(|next| next.is_digit(8)) => Err(Flaw::Backreference),
            '8' | '9' => Err(Flaw::Backreference),
            '0'..='7' => {
                let mut value = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.rest.next_if(|next| next.is_digit(8)) else { break };
                    value = value * 8 + digit.to_digit(8).unwrap_or_default();
                }
                char::from_u32(value).ok_or_else(|| bad("0"))
            }
            'x' => self.hexadecimal().ok_or_else(|| bad("x")),
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(bad(&c.to_string())),
        }
    }

    /// `\xFF` or `\x{10FFFF}`, after the x.
    fn hexadecimal(&mut self) -> Option<char> {
        let digits: String = if self.rest.next_if_eq(&'{').is_some() {
            let mut digits = String::new();
            while let Some(c) = self.rest.next_if(char::is_ascii_hexdigit) {
                digits.push(c);
            }
            self.rest.next_if_eq(&'}')?;
            digits
        } else {
            let two = [self.rest.next()?, self.rest.next()?];
            two.iter().all(char::is_ascii_hexdigit).then(|| two.iter().collect())?
        };
        let value = u32::from_str_radix(&digits, 16).ok().filter(|value| *value <= 0x0010_FFFF)?;
        // half of a surrogate pair is no character, but RE2 has nothing against it
        Some(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// A class, after `[`.
    fn class(&mut self) -> Result<(), Flaw> {
        self.rest.next_if_eq(&'^');
        let mut is_first = true;
        loop {
            let c = self.rest.next().ok_or(Flaw::MissingBracket)?;
            match c {
                ']' if !is_first => return Ok(()),
                '[' if self.named_class()? => {}
                _ => self.range(c)?,
            }
            is_first = false;
        }
    }

    /// `[:alpha:]` inside a class, after its `[`. What has no end is an ordinary bracket, and nothing is taken.
    fn named_class(&mut self) -> Result<bool, Flaw> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        if self.rest.peek() != Some(&':') {
            return Ok(false);
        }
        let rest: String = self.rest.clone().skip(1).collect();
        let Some((name, _)) = rest.split_once(":]") else { return Ok(false) };
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(Flaw::BadRange(format!("[:{name}:]")));
        }
        // the colon, the name and its end
        self.rest.nth(name.chars().count() + 2);
        Ok(true)
    }

    /// One character, one range or one class that an escape names, inside a class, after its first character.
    fn range(&mut self, c: char) -> Result<(), Flaw> {
        let low = match c {
            '\\' => {
                let escape = self.rest.next().ok_or(Flaw::TrailingBackslash)?;
                if self.is_class(escape)? {
                    return Ok(());
                }
                self.character(escape)?
            }
            _ => c,
        };
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) {
            return Ok(());
        }
        self.rest.next();
        let high = match self.rest.next() {
            Some('\\') => {
                let escape = self.rest.next().ok_or(Flaw::TrailingBackslash)?;
                self.character(escape)?
            }
            Some(high) => high,
            None => return Err(Flaw::MissingBracket),
        };
        if high < low && high != char::REPLACEMENT_CHARACTER && low != char::REPLACEMENT_CHARACTER {
            return Err(Flaw::BadRange(format!("{low}-{high}")));
        }
        Ok(())
    }
}

/// A decimal number without a zero before it, as RE2 reads repetitions.
fn number(rest: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let first = rest.next_if(char::is_ascii_digit)?;
    let mut value = first.to_digit(10)?;
    if value == 0 && rest.peek().is_some_and(char::is_ascii_digit) {
        return None;
    }
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        value = value.saturating_mul(10).saturating_add(digit.to_digit(10)?);
    }
    Some(value)
}

#[cfg(test)]
mod tests;
