//! Suggests the name that was probably meant, beside one that does not exist. Knows nothing; the parser, the settings and
//! `check --explain` call it.

/// Asks whether one of `names` was meant, if one is close enough to `given`.
pub(super) fn meant(given: &str, names: impl IntoIterator<Item = &'static str>, prefix: &str) -> String {
    closest(given, names).map_or_else(String::new, |name| format!("; is {prefix}{name} meant?"))
}

/// The one of `names` that is closest to `given`, if one is close enough.
pub(super) fn closest(given: &str, names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    // No name is so long, and the distance takes the time of a square.
    let given = Some(given).filter(|given| given.len() < 64)?;
    names
        .into_iter()
        .map(|name| (distance(given, name), name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len() / 5)
        .map(|(_, name)| name)
}

/// How many letters must be changed, left out or put in to make `a` of `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = line + 1;
        next.push(left);
        for (pair, y) in row.windows(2).zip(&b) {
            // Windows of two have two elements.
            let (diagonal, above) = (pair[0], pair[1]);
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ä", "a", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
