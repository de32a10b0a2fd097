//! A histogram of all latencies of a run, in buckets with a width of at most 1.6 % of their value. It counts every sample
//! and stores none.

use std::time::Duration;

/// How many leading bits of a value the buckets distinguish.
const PRECISION: u32 = 6;
const BUCKETS: usize = (64 - PRECISION as usize + 1) << PRECISION;

#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0 }
    }

    pub fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// The latency in microseconds that `part` of the samples do not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        let wanted = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest_in(bucket) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    let shift = (64 - PRECISION).saturating_sub(value.leading_zeros() + 1);
    ((shift as usize) << PRECISION) + (value >> shift) as usize
}

fn highest_in(bucket: usize) -> u64 {
    // The upper half of the values of a shift has its own row; the lower half is in the rows before.
    let shift = (bucket >> PRECISION).saturating_sub(1) as u32;
    let base = (bucket - ((shift as usize) << PRECISION)) as u64;
    ((base + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_that_names_it_within_two_percent() {
        for value in
            (0..60).map(|bit| 1u64 << bit).flat_map(|power| [power, power + power / 3, power * 2 - 1])
        {
            let highest = highest_in(bucket(value));
            assert!(highest >= value && (highest - value) * 50 <= value, "{value}: {highest}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert!((histogram.quantile(0.5) - 500.0).abs() < 10.0);
        assert!((histogram.quantile(0.99) - 990.0).abs() < 20.0);
    }
}
