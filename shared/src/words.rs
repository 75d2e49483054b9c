//! Six words that two people, or a person at two screens, can compare.
//!
//! They stand for what is approved: the revision and the plan set. 66 bits of a SHA-256: somebody who must meet given words
//! with another change has to try 2^66 of them; somebody who makes both changes needs about 2^33, so words tell a server
//! that shows something else, and are no proof against an author who prepared two changes. What is signed is the digests.

use crate::digest::Digest;

/// The English list of BIP-39: 2,048 words, sorted, no two with the same first four letters.
const LIST: &str = include_str!("words/english.txt");
const WORDS: usize = 6;
const BITS: usize = 11;
/// Sets these words apart from any other use of the digests.
const PURPOSE: &[u8] = b"assent six words v1\0";

/// The words for a change's revision together with its plan set, such as `abandon zoo …`.
pub fn of_approval(change: &Digest, plan_set: &Digest) -> String {
    words(&Digest::of_parts(&[PURPOSE, &change.0, &plan_set.0])).join(" ")
}

/// The words for a proposal of governance.
pub fn of_proposal(proposal: &Digest) -> String {
    words(&Digest::of_parts(&[b"assent six words of a proposal v1\0", &proposal.0])).join(" ")
}

/// The words for a site, which is its first root.
pub fn of_first_root(root: &Digest) -> String {
    words(&Digest::of_parts(&[b"assent six words of a site v1\0", &root.0])).join(" ")
}

/// The words for what a new person says of their keys, or for one new key.
pub fn of_introduction(introduction: &Digest) -> String {
    words(&Digest::of_parts(&[b"assent six words of a person v1\0", &introduction.0])).join(" ")
}

/// The first 66 bits, eleven to a word.
fn words(digest: &Digest) -> [&'static str; WORDS] {
    let bit = |n: usize| usize::from(digest.0[n / 8] >> (7 - n % 8) & 1);
    let number = |word: usize| (0..BITS).fold(0, |number, n| number << 1 | bit(word * BITS + n));
    std::array::from_fn(|word| LIST.split('\n').nth(number(word)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_published_one() {
        let sha256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda";
        assert_eq!(Digest::of(LIST.as_bytes()).hex(), sha256);
        assert_eq!(LIST.split('\n').take(1 << BITS).filter(|word| !word.is_empty()).count(), 1 << BITS);
    }

    /// All bits zero, all one, and one bit in the last word; a word more would need bit 67.
    #[test]
    fn words_are_eleven_bits_each_from_the_front() {
        assert_eq!(words(&Digest([0; 32])), ["abandon"; WORDS]);
        assert_eq!(words(&Digest([255; 32])), ["zoo"; WORDS]);
        let mut one = [0; 32];
        one[8] = 0b0100_0000;
        assert_eq!(words(&Digest(one)), ["abandon", "abandon", "abandon", "abandon", "abandon", "ability"]);
        one[8] = 0b0010_0000;
        assert_eq!(words(&Digest(one)), ["abandon"; WORDS], "bit 67 is not shown");
    }

    #[test]
    fn both_digests_count() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let all = [of_approval(&a, &b), of_approval(&b, &a), of_approval(&a, &a)];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2], "{all:?}");
        assert_eq!(all[0].split(' ').count(), WORDS);
        let (proposal, person) = (of_proposal(&a), of_introduction(&a));
        assert!(proposal != person && proposal != of_proposal(&b) && person != of_introduction(&b));
    }
}
