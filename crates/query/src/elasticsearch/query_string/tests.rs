use super::*;
use proptest::prelude::*;

/// Writes a tree so that it can be read.
fn show(tree: &Tree) -> String {
    match tree {
        Tree::Nothing => "nothing".to_owned(),
        Tree::All => "all".to_owned(),
        Tree::Boosted(inner, boost) => format!("{}^{boost}", show(inner)),
        Tree::Clauses(clauses) => {
            let parts: Vec<String> = clauses
                .iter()
                .map(|(occur, tree)| {
                    let sign = match occur {
                        Occur::Must => "+",
                        Occur::Should => "",
                        Occur::MustNot => "-",
                    };
                    format!("{sign}{}", show(tree))
                })
                .collect();
            format!("({})", parts.join(" "))
        }
        Tree::Leaf { field, leaf } => {
            let end = |end: &Option<(String, bool)>| match end {
                Some((text, included)) => format!("{text}{}", if *included { "=" } else { "" }),
                None => "*".to_owned(),
            };
            let leaf = match leaf {
                Leaf::Words(text) => format!("<{text}>"),
                Leaf::Phrase { text, slop: None } => format!("\"{text}\""),
                Leaf::Phrase { text, slop: Some(slop) } => format!("\"{text}\"~{slop}"),
                Leaf::Wildcard(text) => format!("wild {text}"),
                Leaf::Regexp(text) => format!("/{text}/"),
                Leaf::Range { from, to } => format!("[{} {}]", end(from), end(to)),
                Leaf::Exists => "exists".to_owned(),
            };
            match field {
                Some(field) => format!("{field}:{leaf}"),
                None => leaf,
            }
        }
    }
}

fn parsed(text: &str, all: bool) -> String {
    match parse(text, Dialect::Full, all) {
        Ok(tree) => show(&tree),
        Err(error) => error.reason,
    }
}

#[test]
fn the_grammar_binds_as_lucene_does() {
    for (text, any, all) in [
        ("", "nothing", "nothing"),
        ("*:*", "all", "all"),
        ("fox", "<fox>", "<fox>"),
        ("quick brown fox", "<quick brown fox>", "<quick brown fox>"),
        ("a AND b", "(+<a> +<b>)", "(+<a> +<b>)"),
        ("a && b || c", "(+<a> +<b> <c>)", "(+<a> <b> <c>)"),
        ("a OR b AND c", "(<a> +<b> +<c>)", "(<a> +<b> +<c>)"),
        ("a NOT b", "(<a> -<b>)", "(+<a> -<b>)"),
        ("+a -b c", "(+<a> -<b> <c>)", "(+<a> -<b> +<c>)"),
        ("(a OR b) AND c", "(+(<a> <b>) +<c>)", "(+(<a> <b>) +<c>)"),
        ("new york OR boston", "(<new> <york> <boston>)", "(+<new> <york> <boston>)"),
        ("status:active", "status:<active>", "status:<active>"),
        (
            "title:(quick OR brown)",
            "(title:<quick> title:<brown>)",
            "(title:<quick> title:<brown>)",
        ),
        ("title:(quick brown)", "title:<quick brown>", "title:<quick brown>"),
        ("author:\"John Smith\"~2^3", "author:\"John Smith\"~2^3", "author:\"John Smith\"~2^3"),
        ("_exists_:title", "title:exists", "title:exists"),
        ("age:>=10", "age:[10= *]", "age:[10= *]"),
        ("age:(>=10 AND <20)", "(+age:[10= *] +age:[* 20])", "(+age:[10= *] +age:[* 20])"),
        ("count:[1 TO 5}", "count:[1= 5]", "count:[1= 5]"),
        ("date:{* TO \"2012-01-01\"]", "date:[* 2012-01-01=]", "date:[* 2012-01-01=]"),
        ("@timestamp:[now-1d TO now]", "@timestamp:[now-1d= now=]", "@timestamp:[now-1d= now=]"),
        ("name:/joh?n(ath[oa]n)/", "name:/joh?n(ath[oa]n)/", "name:/joh?n(ath[oa]n)/"),
        ("qu?ck bro*", "(wild qu?ck wild bro*)", "(+wild qu?ck +wild bro*)"),
        ("path:\\/var\\/log", "path:</var/log>", "path:</var/log>"),
        ("kimchy\\!", "<kimchy!>", "<kimchy!>"),
        ("a^2 b", "(<a>^2 <b>)", "(+<a>^2 +<b>)"),
        ("well-known 10.0.0.1", "<well-known 10.0.0.1>", "<well-known 10.0.0.1>"),
    ] {
        assert_eq!(parsed(text, false), any, "{text} (any)");
        assert_eq!(parsed(text, true), all, "{text} (all)");
    }
}

#[test]
fn mistakes_are_named() {
    for (text, why) in [
        ("(a", "missing closing parenthesis"),
        ("a)", "unmatched closing parenthesis"),
        ("\"a", "missing closing quote"),
        ("a AND", "it ends where a clause is expected"),
        ("AND a", "an operator needs a clause before it"),
        ("a:[1 2]", "a range needs `TO`"),
        ("a:[1 TO", "a range lacks an end"),
        ("a\\", "it ends with an escape"),
        ("quikc~", "fuzzy words"),
        ("a:", "it ends where a clause is expected"),
        ("a ]", "unexpected `]`"),
        ("a^x", "the number behind `^`"),
    ] {
        let reason = parsed(text, false);
        assert!(reason.starts_with("Failed to parse query ["), "{text}: {reason}");
        assert!(reason.contains(why), "{text}: {reason}");
    }
    for (text, at) in
        [("a)", 2), ("ä \"b", 3), ("a AND", 6), (" AND a", 2), ("a AND OR b", 7), ("x a:[1 2]", 5)]
    {
        let reason = parsed(text, false);
        assert!(reason.ends_with(&format!("(at character {at})")), "{text}: {reason}");
    }
    assert!(parse("*x", Dialect::NoLeadingWildcard, false).is_err());
    assert!(parsed(&"(".repeat(5000), false).contains("nested parentheses"));
    let wide = "a:b ".repeat(3000);
    assert_eq!(parse(&wide, Dialect::Full, false).unwrap_err().kind, "too_many_clauses");
}

fn simple(text: &str, all: bool) -> String {
    show(&parse_simple(text, all).unwrap())
}

#[test]
fn the_simple_language_never_fails() {
    for (text, any, all) in [
        ("fox", "<fox>", "<fox>"),
        ("quick fox", "(<quick> <fox>)", "(+<quick> +<fox>)"),
        (
            "\"quick fox\"~2 + jump*",
            "(+\"quick fox\"~2 +wild jump*)",
            "(+\"quick fox\"~2 +wild jump*)",
        ),
        ("a | b", "(<a> <b>)", "(<a> <b>)"),
        ("a -b", "(<a> (-<b>))", "(+<a> +(-<b>))"),
        ("a +(b | c)", "(+<a> +(<b> <c>))", "(+<a> +(<b> <c>))"),
        ("a + b | c", "((+<a> +<b>) <c>)", "((+<a> +<b>) <c>)"),
        ("(a", "<a>", "<a>"),
        ("a)", "<a>", "<a>"),
        ("\"a", "<a>", "<a>"),
        ("well-known", "<well-known>", "<well-known>"),
        ("", "nothing", "nothing"),
        ("- + |", "nothing", "nothing"),
    ] {
        assert_eq!(simple(text, false), any, "{text} (any)");
        assert_eq!(simple(text, true), all, "{text} (all)");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9 +\\-!():^\\[\\]\"{}~*?\\\\/<>=&|ANDORTO.ß]{0,60}", all: bool) {
        let _ = parse(&text, Dialect::Full, all);
        let _ = parse_simple(&text, all);
    }

    #[test]
    fn quoted_words_come_back(words in proptest::collection::vec("[a-z]{1,8}", 1..6)) {
        let text = words.join(" ");
        let tree = parse(&format!("\"{text}\""), Dialect::Full, false).unwrap();
        prop_assert_eq!(tree, Tree::Leaf { field: None, leaf: Leaf::Phrase { text, slop: None } });
    }
}
