//! Small changes to a template's source, for what Python's Jinja has and `minijinja` has not.
//!
//! * `{% generation %}` and `{% endgeneration %}` mark what a model is trained on; they print nothing.
//! * Lists change in place in Python: `{% set _ = ns.ids.append(x) %}`, `{% set id = ns.ids.pop(0) %}`.
//!   Values are immutable here, so a list that hangs on a name is set anew.
//! * `[::-1]` in a loop or an assignment becomes `|reverse`: the slice of an empty list panics here.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

static CHANGES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new_many(&[
        r"\{%([-+]?)\s*generation\s*([-+]?)%\}",
        r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}",
        r"(?s:\{%([-+]?)[ \t\n]*set[ \t]+\w+[ \t]*=[ \t]*(\w+(?:\.\w+)*)\.append\(([^%]*)\)[ \t\n]*([-+]?)%\})",
        r"(?s:\{%([-+]?)[ \t\n]*do[ \t]+(\w+(?:\.\w+)*)\.append\(([^%]*)\)[ \t\n]*([-+]?)%\})",
        r"(?s:\{%([-+]?)[ \t\n]*set[ \t]+(\w+)[ \t]*=[ \t]*(\w+(?:\.\w+)*)\.pop\(0\)[ \t\n]*([-+]?)%\})",
        r"(?s:\{%([-+]?)[ \t\n]*set[ \t]+(\w+)[ \t]*=[ \t]*(\w+(?:\.\w+)*)\.pop\((?:-1)?\)[ \t\n]*([-+]?)%\})",
        r"(\{%[-+]?[ \t\n]*(?:for[ \t]+\w+(?:[ \t]*,[ \t]*\w+)*[ \t]+in|set[ \t]+\w+(?:\.\w+)*[ \t]*=)[ \t]*\w+(?:\.\w+)*)\[::-1\]([ \t\n]*[-+]?%\})",
    ])
    .expect("the patterns are tested")
});

/// The template with the changes made.
pub(super) fn rewrite(source: &str) -> Cow<'_, str> {
    let mut captures = CHANGES.create_captures();
    let mut out = String::new();
    let mut at = 0;
    while at < source.len() {
        CHANGES.search_captures(
            &regex_automata::Input::new(source).range(at..),
            &mut captures,
        );
        let (Some(found), Some(changed)) = (captures.get_match(), change(source, &captures)) else {
            break;
        };
        out.push_str(&source[at..found.start()]);
        out.push_str(&changed);
        at = found.end();
    }
    if at == 0 {
        return Cow::Borrowed(source);
    }
    out.push_str(&source[at..]);
    Cow::Owned(out)
}

fn change(source: &str, captures: &Captures) -> Option<String> {
    let group = |index: usize| captures.get_group(index).map_or("", |span| &source[span]);
    let (a, b, c, d) = (group(1), group(2), group(3), group(4));
    Some(match captures.pattern()?.as_usize() {
        0 => format!("{{%{a} if true {b}%}}"),
        1 => format!("{{%{a} endif {b}%}}"),
        2 | 3 => format!("{{%{a} set {b} = {b} + [{c}] {d}%}}"),
        4 => format!("{{%{a} set {b} = {c}[0] -%}}{{%- set {c} = {c}[1:] {d}%}}"),
        6 => format!("{a}|reverse{b}"),
        _ => format!("{{%{a} set {b} = {c}[-1] -%}}{{%- set {c} = {c}[:-1] {d}%}}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_on_a_name_are_set_anew() {
        assert_eq!(
            rewrite("a{%- set _ = ns.ids.append(x.id) -%}b"),
            "a{%- set ns.ids = ns.ids + [x.id] -%}b"
        );
        assert_eq!(
            rewrite("{% set id = ns.ids.pop(0) %}"),
            "{% set id = ns.ids[0] -%}{%- set ns.ids = ns.ids[1:] %}"
        );
        assert_eq!(
            rewrite("{%- generation %}x{% endgeneration -%}"),
            "{%- if true %}x{% endif -%}"
        );
        assert_eq!(
            rewrite("{%- for a, b in ns.list[::-1] -%}{%set x = y[::-1]%}[::-1]"),
            "{%- for a, b in ns.list|reverse -%}{%set x = y|reverse%}[::-1]"
        );
        assert_eq!(
            rewrite("{{ x.pop(0) }} é {% set y = 1 %}"),
            "{{ x.pop(0) }} é {% set y = 1 %}"
        );
    }
}
