//! Changes on the person's side: writing them, seeing what they do, and moving them on.

pub mod act;
pub mod approve;
pub mod args;
mod assessment;
pub mod carry;
mod conflicts;
pub mod course;
mod document;
mod effects;
mod forecast;
mod glass;
pub mod hosts;
mod narrow;
pub mod new;
pub mod notes;
mod page;
mod params;
pub mod record;
pub mod render;
pub mod review;
pub mod series;
pub mod show;
mod stages;
pub mod template;
#[cfg(test)]
pub mod tests;
mod unseen;
pub mod wait;
pub mod watch;
mod waves;
mod when;
pub mod why;

pub use hosts::{find as find_host, pairs};
