//! The recovery key on paper: 32-byte seed and a 3-byte checksum in base32 (RFC 4648), 7 groups of 8.
//!
//! Reading forgives case, blanks, dashes and the look-alikes 0, 1 and 8; every other slip is caught by the
//! checksum. Never: writes or prints anything itself.

use shared::digest::Digest;
use shared::keys::SigningKey;
use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SEED: usize = 32;
const CHECK: usize = 3;
/// Characters of the print-out without blanks: (32 + 3) * 8 / 5.
const CHARACTERS: usize = 56;
const GROUP: usize = 8;

/// Why a typed text is not the print-out of a recovery key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    #[error("it has {0} characters; a recovery key has {CHARACTERS} (7 groups of {GROUP})")]
    Length(usize),
    #[error("{0:?} does not occur in a recovery key (A to Z and 2 to 7)")]
    Character(char),
    #[error("the checksum does not fit: at least one character is wrong or two are swapped")]
    Checksum,
}

/// The groups to print, in order.
pub fn groups(key: &SigningKey) -> Zeroizing<Vec<String>> {
    let seed = key.seed();
    let mut bytes = Zeroizing::new([0u8; SEED + CHECK]);
    bytes[..SEED].copy_from_slice(&*seed);
    bytes[SEED..].copy_from_slice(&checksum(&seed));
    let mut text = Zeroizing::new(String::with_capacity(CHARACTERS));
    for block in bytes.chunks_exact(5) {
        let value = block.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        for shift in (0..8).rev() {
            text.push(char::from(ALPHABET[(value >> (shift * 5) & 31) as usize]));
        }
    }
    Zeroizing::new((0..CHARACTERS).step_by(GROUP).map(|at| text[at..at + GROUP].to_owned()).collect())
}

/// Reads a typed or scanned print-out back.
pub fn read(typed: &str) -> Result<SigningKey, Misread> {
    let mut digits = Zeroizing::new(Vec::with_capacity(CHARACTERS));
    for c in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let upper = match c.to_ascii_uppercase() {
            '0' => 'O',
            '1' => 'I',
            '8' => 'B',
            other => other,
        };
        let digit = ALPHABET.iter().position(|a| char::from(*a) == upper).ok_or(Misread::Character(c))?;
        digits.push(digit as u64);
    }
    if digits.len() != CHARACTERS {
        return Err(Misread::Length(digits.len()));
    }
    let mut bytes = Zeroizing::new([0u8; SEED + CHECK]);
    for (block, digits) in bytes.chunks_exact_mut(5).zip(digits.chunks_exact(8)) {
        let value = digits.iter().fold(0u64, |value, digit| value << 5 | digit);
        block.copy_from_slice(&value.to_be_bytes()[3..]);
    }
    let mut seed = Zeroizing::new([0u8; SEED]);
    seed.copy_from_slice(&bytes[..SEED]);
    if checksum(&seed) != bytes[SEED..] {
        return Err(Misread::Checksum);
    }
    Ok(SigningKey::from_seed(&seed))
}

/// Whether the last group was typed back as printed.
pub fn is_last_group(key: &SigningKey, typed: &str) -> bool {
    let plain: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    groups(key).last().is_some_and(|group| plain.eq_ignore_ascii_case(group))
}

fn checksum(seed: &[u8; SEED]) -> [u8; CHECK] {
    let [a, b, c, ..] = Digest::of_parts(&[b"assent recovery key 1", seed]).0;
    [a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_out_comes_back_as_the_same_key_however_it_is_typed() {
        for n in 0..20 {
            let key = SigningKey::from_seed(&[n * 13; 32]);
            let printed = groups(&key).join(" ");
            assert_eq!(printed.len(), 7 * 9 - 1);
            for typed in [
                printed.clone(),
                printed.to_lowercase(),
                printed.replace(' ', "-"),
                printed.replace('O', "0"),
            ] {
                assert_eq!(read(&typed).map(|k| k.public()), Ok(key.public()), "{typed}");
            }
        }
    }

    /// Every single wrong character and every swap of neighbours.
    #[test]
    fn slips_are_caught() {
        let key = SigningKey::from_seed(&[42; 32]);
        let printed: Vec<char> = groups(&key).concat().chars().collect();
        for at in 0..printed.len() {
            for wrong in ALPHABET.iter().map(|a| char::from(*a)).filter(|c| *c != printed[at]) {
                let mut typed = printed.clone();
                typed[at] = wrong;
                assert_eq!(
                    read(&typed.iter().collect::<String>()).err(),
                    Some(Misread::Checksum),
                    "{at} {wrong}"
                );
            }
            if at > 0 && printed[at] != printed[at - 1] {
                let mut typed = printed.clone();
                typed.swap(at, at - 1);
                assert_eq!(
                    read(&typed.iter().collect::<String>()).err(),
                    Some(Misread::Checksum),
                    "swap {at}"
                );
            }
        }
        let short: String = printed[1..].iter().collect();
        assert_eq!(read(&short).err(), Some(Misread::Length(55)));
        assert_eq!(read("ABC!").err(), Some(Misread::Character('!')));
    }

    #[test]
    fn the_last_group_shows_that_the_print_out_was_written_down() {
        let key = SigningKey::from_seed(&[7; 32]);
        let last = groups(&key).last().unwrap().clone();
        assert!(is_last_group(&key, &format!(" {} ", last.to_lowercase())));
        assert!(!is_last_group(&key, &last[1..]));
        assert!(!is_last_group(&key, ""));
    }
}
