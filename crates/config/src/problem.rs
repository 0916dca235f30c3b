//! What is wrong with something a user wrote, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a line in a verbose log; nothing is lost.
    Info,
    /// Something the user wrote has no effect.
    Warning,
    /// The object (or document) is refused.
    Error,
}

impl Severity {
    /// The lower-case word shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One complaint about something a user wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, or the name of the source if it is none.
    pub file: Arc<str>,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
    /// The object it is about, as in `VirtualService default/reviews`; empty if it is about none.
    pub object: String,
    /// Path of the field as in `spec.http[0].timeout`; empty if it is about a whole document.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do; empty if nothing better is known.
    pub hint: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// A problem without a position or field.
    pub fn new(severity: Severity, file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            object: String::new(),
            field: String::new(),
            message: message.into(),
            hint: String::new(),
            severity,
        }
    }

    /// Whether it refuses the object.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.file.is_empty() {
            f.write_str(": ")?;
        }
        // a place in a file says which object it is; without one the name has to
        if self.line == 0 && !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}
