//! Sorting, compiled once. The standard library's sort takes some 5 KB of a program for each type that it sorts.

use std::cmp::Ordering;

/// Sorts by comparing, and leaves what is equal in its order.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut sources = order(items.len(), &|one, other| compare(&items[one], &items[other]));
    for start in 0..items.len() {
        // Each round brings the items of one cycle to their places.
        let mut at = start;
        loop {
            let source = std::mem::replace(&mut sources[at], at);
            if source == start {
                break;
            }
            items.swap(at, source);
            at = source;
        }
    }
}

/// For each place, the index of the item that belongs there.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut indexes: Vec<usize> = (0..count).collect();
    indexes.sort_by(|one, other| compare(*one, *other));
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut random = 7_u64;
        for round in 0..500 {
            // The second number tells equal ones apart.
            let mut items: Vec<(u64, usize)> = (0..round % 70)
                .map(|at| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    ((random >> 33) % 20, at)
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort_by(&mut items, |one, other| one.0.cmp(&other.0));
            assert_eq!(items, expected);
        }
    }

    #[test]
    fn nothing_one_item_and_what_is_in_its_order_stay() {
        for mut items in [vec![], vec![3], vec![1, 2, 3, 4]] {
            let before = items.clone();
            sort_by(&mut items, i32::cmp);
            assert_eq!(items, before);
        }
    }
}
