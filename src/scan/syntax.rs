//! The syntax of comments and strings in each language, as data for the lexer in `tokens`.

/// The syntax of a language, as far as the lexer needs it.
pub(super) struct Syntax {
    /// The marks of comments that end with the line.
    pub line: &'static [&'static str],
    pub line_begins: Begins,
    pub block: Option<Block>,
    /// A mark comes before another one with which it begins.
    pub quotes: &'static [Quote],
    pub quote_begins: Begins,
    pub also: Also,
}

/// Where a mark may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Anywhere,
    /// After white space or punctuation that opens or separates, or at a line's beginning.
    AtWord,
    /// Only white space is before it in the line.
    AtLine,
}

pub(super) struct Block {
    pub open: &'static str,
    pub close: &'static str,
    pub nests: bool,
}

/// A kind of string.
pub(super) struct Quote {
    pub open: &'static str,
    pub close: &'static str,
    /// A backslash escapes the byte after it.
    pub escapes: bool,
    /// The string may go on in the next line. When it may not, a stray quote affects only the rest of its line.
    pub lines: bool,
}

/// Special cases that do not fit into a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Also {
    Nothing,
    /// Regular expressions between slashes.
    JavaScript,
    /// A triple-quoted string that is a whole statement is documentation.
    Python,
    /// Lifetimes, and `r#"…"#`.
    Rust,
    /// `R"(…)"`, and digit separators.
    C,
    /// `@"…"`.
    CSharp,
    /// HTML around `<?php … ?>`, and `<<<TAG`.
    Php,
    /// Regular expressions between slashes, `<<~TAG`, and `=begin … =end`.
    Ruby,
    /// `<<TAG`, and a backslash outside strings.
    Shell,
}

const fn line_string(quote: &'static str) -> Quote {
    Quote { open: quote, close: quote, escapes: true, lines: false }
}

const fn long_string(quote: &'static str) -> Quote {
    Quote { open: quote, close: quote, escapes: true, lines: true }
}

const fn raw_string(quote: &'static str, lines: bool) -> Quote {
    Quote { open: quote, close: quote, escapes: false, lines }
}

const C_BLOCK: Option<Block> = Some(Block { open: "/*", close: "*/", nests: false });
const NESTED_BLOCK: Option<Block> = Some(Block { open: "/*", close: "*/", nests: true });

/// A syntax with `//`, `/* */` and these quotes.
const fn like_c(block: Option<Block>, quotes: &'static [Quote], also: Also) -> Syntax {
    Syntax {
        line: &["//"],
        line_begins: Begins::Anywhere,
        block,
        quotes,
        quote_begins: Begins::Anywhere,
        also,
    }
}

/// A syntax with `#` and these quotes.
const fn like_shell(line_begins: Begins, quotes: &'static [Quote], also: Also) -> Syntax {
    Syntax { line: &["#"], line_begins, block: None, quotes, quote_begins: Begins::Anywhere, also }
}

pub(super) static JAVASCRIPT: Syntax =
    like_c(C_BLOCK, &[line_string("\""), line_string("'"), long_string("`")], Also::JavaScript);
pub(super) static GO: Syntax =
    like_c(C_BLOCK, &[line_string("\""), line_string("'"), raw_string("`", true)], Also::Nothing);
pub(super) static RUST: Syntax = like_c(NESTED_BLOCK, &[long_string("\""), line_string("'")], Also::Rust);
pub(super) static JAVA: Syntax =
    like_c(NESTED_BLOCK, &[long_string("\"\"\""), line_string("\""), line_string("'")], Also::Nothing);
pub(super) static CSHARP: Syntax =
    like_c(C_BLOCK, &[raw_string("\"\"\"", true), line_string("\""), line_string("'")], Also::CSharp);
pub(super) static SWIFT: Syntax =
    like_c(NESTED_BLOCK, &[long_string("\"\"\""), line_string("\"")], Also::Nothing);
pub(super) static C: Syntax = like_c(C_BLOCK, &[line_string("\""), line_string("'")], Also::C);
pub(super) static PHP: Syntax = Syntax {
    line: &["//", "#"],
    line_begins: Begins::Anywhere,
    block: C_BLOCK,
    quotes: &[long_string("\""), long_string("'")],
    quote_begins: Begins::Anywhere,
    also: Also::Php,
};
pub(super) static PYTHON: Syntax = like_shell(
    Begins::Anywhere,
    &[long_string("\"\"\""), long_string("'''"), line_string("\""), line_string("'")],
    Also::Python,
);
pub(super) static RUBY: Syntax =
    like_shell(Begins::Anywhere, &[line_string("\""), line_string("'"), line_string("`")], Also::Ruby);
pub(super) static SHELL: Syntax =
    like_shell(Begins::AtWord, &[long_string("\""), raw_string("'", true)], Also::Shell);
pub(super) static DOCKERFILE: Syntax = like_shell(Begins::AtLine, &[], Also::Nothing);
pub(super) static MAKEFILE: Syntax = like_shell(Begins::AtWord, &[], Also::Nothing);
pub(super) static YAML: Syntax = Syntax {
    quote_begins: Begins::AtWord,
    ..like_shell(Begins::AtWord, &[line_string("\""), raw_string("'", false)], Also::Nothing)
};
pub(super) static TOML: Syntax = like_shell(
    Begins::Anywhere,
    &[long_string("\"\"\""), raw_string("'''", true), line_string("\""), raw_string("'", false)],
    Also::Nothing,
);
pub(super) static INI: Syntax = Syntax {
    line: &["#", ";", "!", "//"],
    line_begins: Begins::AtLine,
    block: None,
    quotes: &[],
    quote_begins: Begins::Anywhere,
    also: Also::Nothing,
};
pub(super) static JSON: Syntax = like_c(C_BLOCK, &[line_string("\"")], Also::Nothing);
pub(super) static XML: Syntax = Syntax {
    line: &[],
    line_begins: Begins::Anywhere,
    block: Some(Block { open: "<!--", close: "-->", nests: false }),
    quotes: &[],
    quote_begins: Begins::Anywhere,
    also: Also::Nothing,
};
