//! Cuts a `query_string` into tokens.

/// One token. `raw` keeps the escapes, `text` has them resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Plus,
    Minus,
    Open,
    Close,
    Colon,
    /// `^` and what stands behind it.
    Boost(String),
    /// `~` and what stands behind it.
    Tilde(String),
    Quoted(String),
    Regexp(String),
    Range {
        from: Option<(String, bool)>,
        to: Option<(String, bool)>,
    },
    Word {
        text: String,
        raw: String,
        wildcard: bool,
    },
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

/// The tokens of a text, or what is wrong with it and with which token.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, (String, usize)> {
    let mut lexer = Lexer { rest: text.chars().peekable() };
    let mut tokens = Vec::new();
    while let Some(c) = lexer.next_start() {
        let token = lexer.token(c).map_err(|why| (why, tokens.len()))?;
        tokens.push(token);
    }
    Ok(tokens)
}

/// With which character of a text a token begins, from 1; behind the last one: the end.
pub(super) fn position(text: &str, token: usize) -> usize {
    let mut lexer = Lexer { rest: text.chars().peekable() };
    for _ in 0..token {
        let Some(c) = lexer.next_start() else { break };
        if lexer.token(c).is_err() {
            break;
        }
    }
    lexer.next_start();
    text.chars().count() - lexer.rest.count() + 1
}

impl Lexer<'_> {
    /// The first character of the next token.
    fn next_start(&mut self) -> Option<char> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn token(&mut self, first: char) -> Result<Token, String> {
        let single = match first {
            '+' => Some(Token::Plus),
            '-' => Some(Token::Minus),
            '!' => Some(Token::Not),
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            ':' => Some(Token::Colon),
            _ => None,
        };
        if let Some(token) = single {
            self.rest.next();
            return Ok(token);
        }
        match first {
            '^' => Ok(Token::Boost(self.amount())),
            '~' => Ok(Token::Tilde(self.amount())),
            '"' => self.quoted().map(Token::Quoted),
            '/' => self.regexp(),
            '[' | '{' => self.range(),
            ']' | '}' => Err(format!("unexpected `{first}`")),
            '&' | '|' if self.doubled(first) => {
                Ok(if first == '&' { Token::And } else { Token::Or })
            }
            _ => self.word(),
        }
    }

    fn doubled(&mut self, c: char) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        if ahead.next() != Some(c) {
            return false;
        }
        self.rest = ahead;
        true
    }

    /// The number behind `^` or `~`.
    fn amount(&mut self) -> String {
        self.rest.next();
        let mut amount = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
            amount.push(c);
        }
        amount
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.rest.next();
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.rest.next().ok_or("it ends with an escape")?),
                other => text.push(other),
            }
        }
        Err("missing closing quote".to_owned())
    }

    /// `/…/`; a slash without its partner begins a word.
    fn regexp(&mut self) -> Result<Token, String> {
        let start = self.rest.clone();
        self.rest.next();
        let mut pattern = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '/' => return Ok(Token::Regexp(pattern)),
                '\\' if self.rest.peek() == Some(&'/') => {
                    self.rest.next();
                    pattern.push('/');
                }
                '\\' => {
                    pattern.push('\\');
                    pattern.extend(self.rest.next());
                }
                other => pattern.push(other),
            }
        }
        self.rest = start;
        self.word()
    }

    /// `[a TO b]`, `{a TO b}` and the mixed forms; `*` is open.
    fn range(&mut self) -> Result<Token, String> {
        let from_included = self.rest.next() == Some('[');
        let from = self.range_end()?;
        if self.range_end()?.as_deref() != Some("TO") {
            return Err("a range needs `TO` between its ends".to_owned());
        }
        let to = self.range_end()?;
        self.skip_blanks();
        let to_included = match self.rest.next() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err("a range needs `]` or `}` at its end".to_owned()),
        };
        Ok(Token::Range {
            from: from.map(|text| (text, from_included)),
            to: to.map(|text| (text, to_included)),
        })
    }

    fn skip_blanks(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn range_end(&mut self) -> Result<Option<String>, String> {
        self.skip_blanks();
        if self.rest.peek() == Some(&'"') {
            return self.quoted().map(Some);
        }
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !c.is_whitespace() && !matches!(c, ']' | '}')) {
            match c {
                '\\' => text.push(self.rest.next().ok_or("it ends with an escape")?),
                other => text.push(other),
            }
        }
        match text.as_str() {
            "" => Err("a range lacks an end; `*` stands for an open one".to_owned()),
            "*" => Ok(None),
            _ => Ok(Some(text)),
        }
    }

    fn word(&mut self) -> Result<Token, String> {
        let (mut text, mut raw, mut wildcard) = (String::new(), String::new(), false);
        let ends = |c: &char| c.is_whitespace() || "!():^[]\"{}~".contains(*c);
        while let Some(c) = self.rest.next_if(|c| !ends(c)) {
            raw.push(c);
            if c == '\\' {
                let escaped = self.rest.next().ok_or("it ends with an escape")?;
                raw.push(escaped);
                text.push(escaped);
                continue;
            }
            wildcard |= matches!(c, '*' | '?');
            text.push(c);
        }
        Ok(match raw.as_str() {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => Token::Word { text, raw, wildcard },
        })
    }
}
