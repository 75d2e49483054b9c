//! The only source of secrets and ids that nobody guesses: the operating system's.

use super::error::Error;

/// So many random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::fault("drawing random bytes", error))?;
    Ok(bytes)
}
