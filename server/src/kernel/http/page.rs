//! How much of a list one answer holds.

use crate::kernel::error::{Error, Refusal};

/// How many lines a request gets: those that it asks for, or `usual`.
///
/// # Errors
/// None, or more than `most`.
pub fn limit(asked: Option<u16>, usual: u16, most: u16) -> Result<u16, Error> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Refusal::unprocessable("ci.bad_page").with("limit", limit).with("most", most).into())
}
