//! Remedies for misspelt words.

/// A remedy for `word`: the nearest of `known` when it is near, else all of them.
pub(crate) fn suggest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    const COMPARED: usize = 2_000;
    let mut known: Vec<&str> = known.take(COMPARED).collect();
    let near = |k: &&str| word.len().abs_diff(k.len()) <= 4 + k.len() / 2;
    let nearest = known.iter().copied().filter(near).map(|k| (distance(word, k), k)).min();
    if let Some((distance, nearest)) = nearest
        && distance <= 1 + nearest.chars().count() / 4
    {
        return format!("did you mean {nearest:?}?");
    }
    if known.is_empty() {
        return "remove it".to_owned();
    }
    known.sort_unstable();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    known.truncate(SHOWN);
    format!("known are {}{more}", known.join(", "))
}

/// Levenshtein distance over the first 64 characters, so that long input stays cheap.
fn distance(left: &str, right: &str) -> usize {
    #[cfg(test)]
    super::work::one();
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let cost = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
