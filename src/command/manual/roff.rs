//! Text in the language of manual pages, man(7). Knows nothing; the pages are written with it.

use crate::command::terminal::wrapped;

/// A page, as it is written.
pub(super) struct Page {
    text: String,
    /// Whether a section has just begun, so that no distance is needed.
    is_fresh: bool,
}

impl Page {
    /// Begins a page: its name in capitals, its section, and what stands at its foot. No words are divided, because what is to be
    /// typed would be too.
    pub(super) fn new(name: &str, section: u8, date: &str, heading: &str) -> Page {
        let name = escaped(&name.to_uppercase().replace(' ', "-"));
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            ".\\\" Made by lockgate manual, from the tables of the command's options.\n\
             .TH \"{name}\" {section} \"{date}\" \"lockgate {version}\" \"{heading}\"\n\
             .nh\n.ad l\n"
        );
        Page { text, is_fresh: true }
    }

    pub(super) fn section(&mut self, title: &str) {
        self.text.push_str(&format!(".SH \"{}\"\n", escaped(&title.to_uppercase())));
        self.is_fresh = true;
    }

    pub(super) fn subsection(&mut self, title: &str) {
        self.text.push_str(&format!(".SS \"{}\"\n", escaped(title)));
        self.is_fresh = true;
    }

    /// A paragraph of prose. Options in it are bold.
    pub(super) fn paragraph(&mut self, prose: &str) {
        self.distance();
        self.prose(prose);
    }

    /// Prose on a line of its own.
    pub(super) fn next_line(&mut self, prose: &str) {
        self.line(".br");
        self.prose(prose);
    }

    fn distance(&mut self) {
        if !self.is_fresh {
            self.line(".PP");
        }
        self.is_fresh = false;
    }

    fn prose(&mut self, prose: &str) {
        self.is_fresh = false;
        // Pages are read by people too, so their lines end.
        for line in wrapped(prose, 78, 0, 0).lines() {
            self.line(&with_bold_options(line));
        }
    }

    /// Lines as they are: a command line, or a part of a file.
    pub(super) fn example(&mut self, lines: &[&str]) {
        self.distance();
        self.text.push_str(".RS 4\n.nf\n");
        for line in lines {
            self.line(&escaped(line));
        }
        self.text.push_str(".fi\n.RE\n");
    }

    /// An item of a list: its name as it stands, and what it says.
    pub(super) fn item(&mut self, name: &str, prose: &str) {
        self.text.push_str(".TP\n");
        self.line(name);
        self.prose(prose);
    }

    /// A help's text: paragraphs, and lines with spaces before them, which are examples.
    pub(super) fn help(&mut self, text: &str) {
        for block in
            text.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty())
        {
            let mut lines = block.lines().peekable();
            while let Some(first) = lines.peek() {
                let is_example = first.starts_with(' ');
                let mut part = Vec::new();
                while let Some(line) = lines.next_if(|line| line.starts_with(' ') == is_example) {
                    part.push(line);
                }
                if is_example {
                    self.example(&unindented(&part));
                } else {
                    self.paragraph(&part.join(" "));
                }
            }
        }
    }

    /// Pages to read too, each with its section.
    pub(super) fn see_also(&mut self, pages: &[(String, u8)]) {
        self.section("See also");
        let pages: Vec<String> =
            pages.iter().map(|(name, section)| format!("{}({section})", bold(name))).collect();
        self.line(&pages.join(",\n"));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A line that is in the language already.
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Without the spaces that all lines begin with.
fn unindented<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let indent = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().filter_map(|line| line.get(indent..)).collect()
}

pub(super) fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

pub(super) fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escaped(text))
}

/// A line whose characters are shown as they are: without this a `-` may be shown as a hyphen that no shell takes, and a line
/// that begins with `.` or `'` is a request (groff_char(7), "Fundamental character set").
fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    if line.starts_with('.') {
        out.push_str("\\&");
    }
    for character in line.chars() {
        match character {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            other => out.push(other),
        }
    }
    out
}

/// Prose, with what is an option in bold.
fn with_bold_options(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("--") {
        let (before, from) = rest.split_at(at);
        let is_of_name = |character: char| character.is_ascii_lowercase() || character == '-';
        let length = from.find(|character| !is_of_name(character)).unwrap_or(from.len());
        let (option, after) = from.split_at(length);
        // The line's own first character, not that of a piece of it, may be a request.
        out.push_str(&if out.is_empty() { escaped(before) } else { escaped(before).replacen("\\&", "", 1) });
        out.push_str(&if option.len() > 2 { bold(option) } else { escaped(option) });
        rest = after;
    }
    out.push_str(&if out.is_empty() { escaped(rest) } else { escaped(rest).replacen("\\&", "", 1) });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_shown_as_they_are() {
        for (line, expected) in [
            ("kept-alive", "kept\\-alive"),
            (".well-known", "\\&.well\\-known"),
            ("...", "\\&..."),
            ("'quoted'", "\\(aqquoted\\(aq"),
            ("C:\\new", "C:\\enew"),
            ("~/x `y` ^z \"q\"", "\\(ti/x \\(gay\\(ga \\(haz \\(dqq\\(dq"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(escaped(line), expected);
        }
    }

    #[test]
    fn options_in_prose_are_bold() {
        for (line, expected) in [
            ("Needs --backend-key.", "Needs \\fB\\-\\-backend\\-key\\fR."),
            ("--to and --route", "\\fB\\-\\-to\\fR and \\fB\\-\\-route\\fR"),
            ("a -- b", "a \\-\\- b"),
            (".x --to .y", "\\&.x \\fB\\-\\-to\\fR .y"),
            ("--to.", "\\fB\\-\\-to\\fR."),
            ("no option", "no option"),
        ] {
            assert_eq!(with_bold_options(line), expected);
        }
    }

    #[test]
    fn indented_lines_of_a_help_are_examples() {
        let mut page = Page { text: String::new(), is_fresh: true };
        page.help("Serves. Or\nnot:\n  lockgate serve\n    --x\n\nMore.\n\n  y\n");
        let expected = "Serves. Or not:\n.PP\n.RS 4\n.nf\nlockgate serve\n  \\-\\-x\n.fi\n.RE\n.PP\nMore.\n\
                        .PP\n.RS 4\n.nf\ny\n.fi\n.RE\n";
        assert_eq!(page.finish(), expected);
    }
}
