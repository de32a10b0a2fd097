//! Writes metrics as text for Prometheus: its own format (version 0.0.4) and OpenMetrics 1.0. Both have a line for each value, and
//! before them what the values mean. Knows no metric.

use std::fmt::Write;
use std::time::Duration;

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until the program ends. The name ends in `_total`.
    Counter,
    Gauge,
    Histogram,
    /// Is always 1, and its labels tell something. The name ends in `_info`.
    Info,
}

/// A value. Times are written in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Count(u64),
    Seconds(Duration),
    /// Seconds since 1970-01-01 UTC.
    At(i64),
}

/// The text, while it is written.
pub(crate) struct Exposition {
    format: Format,
    text: String,
    name: &'static str,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that a client prefers, by its Accept field (RFC 9110 §12.5.1). OpenMetrics only if it is named: `*/*` gets what
    /// every client reads.
    pub(crate) fn accepted(accept: &str) -> Format {
        let (mut open, mut plain) = (0, 0);
        for member in accept.split(',') {
            let mut parts = member.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut weight, mut version) = (1_000, "1.0.0");
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" | "Q" => weight = weight_of(value.trim()),
                    "version" => version = value.trim().trim_matches('"'),
                    _ => {}
                }
            }
            if media.eq_ignore_ascii_case("application/openmetrics-text") && version == "1.0.0" {
                open = open.max(weight);
            } else if media.eq_ignore_ascii_case("text/plain") {
                plain = plain.max(weight);
            }
        }
        if open > 0 && open >= plain {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }
}

/// A weight in thousandths (RFC 9110 §12.4.2); 0 for one that cannot be read.
fn weight_of(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, digits) {
        ("1", true) => 1_000,
        ("0", true) => part.parse::<u32>().unwrap_or(0) * 10_u32.pow(3 - part.len() as u32),
        _ => 0,
    }
}

impl Exposition {
    pub(crate) fn new(format: Format) -> Exposition {
        Exposition { format, text: String::with_capacity(16 * 1024), name: "" }
    }

    /// Begins a metric. Its values follow. `help` has no line ends, quotes and backslashes.
    pub(crate) fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Exposition {
        let word = match (kind, self.format) {
            (Kind::Counter, _) => "counter",
            (Kind::Info, Format::OpenMetrics) => "info",
            (Kind::Gauge | Kind::Info, _) => "gauge",
            (Kind::Histogram, _) => "histogram",
        };
        // In OpenMetrics the end of the name belongs to the value, not to the metric.
        let family = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total"),
            (Format::OpenMetrics, Kind::Info) => name.strip_suffix("_info"),
            _ => None,
        };
        let family = family.unwrap_or(name);
        for part in ["# HELP ", family, " ", help, "\n# TYPE ", family, " ", word, "\n"] {
            self.text.push_str(part);
        }
        self.name = name;
        self
    }

    /// Adds a value of the metric with these labels.
    pub(crate) fn value(&mut self, labels: &[(&str, &str)], number: Number) -> &mut Exposition {
        self.sample("", labels, number)
    }

    /// Adds the values of a histogram: how many there were up to each bound, their sum and their number.
    pub(crate) fn histogram(&mut self, bounds: &[(u64, &str)], buckets: &[u64], sum: Duration) {
        let mut so_far = 0_u64;
        let names = bounds.iter().map(|(_, written)| *written).chain(["+Inf"]);
        for (name, count) in names.zip(buckets) {
            so_far = so_far.wrapping_add(*count);
            self.sample("_bucket", &[("le", name)], Number::Count(so_far));
        }
        self.sample("_sum", &[], Number::Seconds(sum));
        self.sample("_count", &[], Number::Count(so_far));
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], number: Number) -> &mut Exposition {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        // Writing to a string does not fail.
        let _ = match number {
            Number::Count(count) => writeln!(self.text, " {count}"),
            Number::At(seconds) => writeln!(self.text, " {seconds}"),
            Number::Seconds(time) => writeln!(self.text, " {}.{:09}", time.as_secs(), time.subsec_nanos()),
        };
        self
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut text = Exposition::new(format);
        text.metric("a_total", Kind::Counter, "How many.")
            .value(&[("of", "x\"\\\n")], Number::Count(u64::MAX))
            .value(&[("of", "é"), ("by", "")], Number::Count(0));
        text.metric("b_seconds", Kind::Gauge, "How long.")
            .value(&[], Number::Seconds(Duration::from_millis(1_050)));
        text.metric("c_info", Kind::Info, "What.").value(&[("v", "1")], Number::Count(1));
        text.metric("d", Kind::Gauge, "When.").value(&[], Number::At(-1));
        text.metric("e_seconds", Kind::Histogram, "By time.");
        text.histogram(&[(1, "0.5"), (2, "1.0")], &[2, 0, 1], Duration::from_secs(3));
        text.end()
    }

    const VALUES: &str = r#"a_total{of="x\"\\\n"} 18446744073709551615
a_total{of="é",by=""} 0
b_seconds 1.050000000
c_info{v="1"} 1
d -1
e_seconds_bucket{le="0.5"} 2
e_seconds_bucket{le="1.0"} 2
e_seconds_bucket{le="+Inf"} 3
e_seconds_sum 3.000000000
e_seconds_count 3
"#;

    #[test]
    fn both_formats_have_the_same_values_and_their_own_words_before_them() {
        for (format, heads) in [
            (
                Format::Prometheus,
                ["a_total counter", "b_seconds gauge", "c_info gauge", "d gauge", "e_seconds histogram"],
            ),
            (
                Format::OpenMetrics,
                ["a counter", "b_seconds gauge", "c info", "d gauge", "e_seconds histogram"],
            ),
        ] {
            let text = written(format);
            let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
            assert_eq!(types, heads);
            let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(values, VALUES.lines().collect::<Vec<_>>());
            let open = format == Format::OpenMetrics;
            assert_eq!(text.ends_with("\n# EOF\n"), open, "{text}");
            assert!(text.ends_with('\n') && !text.contains("\n\n"));
        }
    }

    #[test]
    fn openmetrics_goes_to_those_that_ask_for_it() {
        for accept in [
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text",
            // Prometheus 2.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // Prometheus 3.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(Format::accepted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=1.0.0;q=0",
            "application/openmetrics-text;version=1.0.0;q=x",
            "application/openmetrics-text;version=1.0.0;q=0.1234",
            // It prefers the other one, as `scrape_protocols` of Prometheus can say.
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5",
        ] {
            assert_eq!(Format::accepted(accept), Format::Prometheus, "{accept}");
        }
    }

    /// Prometheus refuses a Content-Type whose parameter stands twice, and what a client accepts is no type of an answer.
    #[test]
    fn a_content_type_is_one_type_with_each_parameter_once() {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let content_type = format.content_type();
            assert!(!content_type.contains(','));
            assert_eq!(content_type.matches("charset").count(), 1);
            assert_eq!(content_type.matches("version").count(), 1);
        }
    }
}
