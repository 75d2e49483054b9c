//! How the command says no: one sentence, why, what to do; and the exit code that goes with it.

use std::fmt;

/// Who is at fault decides the exit code: 1 refused, 2 usage, 3 fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A rule said no; nothing is broken.
    Refused,
    /// The command line or a file of the author is wrong.
    Usage,
    /// Disk, network or server are broken.
    Fault,
}

/// Why a command did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub why: Option<String>,
    pub remedy: Option<String>,
}

pub type Done<T = ()> = Result<T, Failure>;

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), why: None, remedy: None }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn fault(message: impl Into<String>) -> Self {
        Self::new(Kind::Fault, message)
    }

    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    pub fn remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = Some(remedy.to_string());
        self
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Fault => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", crate::text::clean(&self.message))?;
        if let Some(why) = &self.why {
            write!(f, "\n  why: {}", crate::text::clean(why))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  try: {}", crate::text::clean(remedy))?;
        }
        Ok(())
    }
}

/// Adds the sentence to an error of a lower layer, which becomes the reason.
pub trait Context<T> {
    fn or_refuse(self, message: impl Into<String>) -> Done<T>;
    fn or_usage(self, message: impl Into<String>) -> Done<T>;
    fn or_fault(self, message: impl Into<String>) -> Done<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn or_refuse(self, message: impl Into<String>) -> Done<T> {
        self.map_err(|e| Failure::refused(message).why(e))
    }

    fn or_usage(self, message: impl Into<String>) -> Done<T> {
        self.map_err(|e| Failure::usage(message).why(e))
    }

    fn or_fault(self, message: impl Into<String>) -> Done<T> {
        self.map_err(|e| Failure::fault(message).why(e))
    }
}
