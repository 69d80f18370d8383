//! Chat templates with each feature that real ones use, and answers in each notation. Expected texts
//! are what Python's Jinja makes of the same templates, set up as `transformers` does.

use aienv_engine::chat::{Answer, Chat, Error, Format, Parser, Piece, Template, ToolCall};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn chat(messages: Json) -> Chat {
    Chat {
        messages: messages.as_array().expect("a list").clone(),
        add_generation_prompt: true,
        now: "2026-03-05T14:07:09Z[UTC]".parse().ok(),
        ..Chat::default()
    }
}

fn render_with(source: &str, chat: &Chat) -> Result<String, Error> {
    Template::new(source, "<s>", "</s>")?.render(chat)
}

fn render(source: &str) -> String {
    let messages =
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]);
    render_with(source, &chat(messages)).expect("it renders")
}

#[test]
fn blocks_leave_no_white_space() {
    let source = "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\nend\n";
    assert_eq!(render(source), "user\nassistant\nend");
}

#[test]
fn values_look_as_in_python() {
    assert_eq!(
        render("{{ [1, 'a\\'b', none, true, 2.0] }}"),
        "[1, \"a'b\", None, True, 2.0]"
    );
    assert_eq!(
        render("{{ {'a': [1e20, 0.00001]} }}"),
        "{'a': [1e+20, 1e-05]}"
    );
    assert_eq!(render("{{ undefined_thing }}{{ none | string }}"), "None");
    assert_eq!(
        render("{{ {'b': 'é\"\n', 'a': [], 'c': {'d': 1}} | tojson }}"),
        r#"{"b": "é\"\n", "a": [], "c": {"d": 1}}"#
    );
    assert_eq!(
        render("{{ {'b': [1, 2], 'a': {}} | tojson(indent=2, sort_keys=true) }}"),
        "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2\n  ]\n}"
    );
    assert_eq!(
        render("{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}"),
        r#"{"a":[1,2]}"#
    );
    assert_eq!(
        render("{{ 'é<' | tojson(ensure_ascii=true) }}"),
        r#""\u00e9<""#
    );
}

#[test]
fn python_methods_loops_and_namespaces_work() {
    assert_eq!(
        render("{{ ' a,b '.strip().split(',')[-1].upper() + 'x'.replace('x', 'y') }}"),
        "By"
    );
    assert_eq!(
        render("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}"),
        "a=1"
    );
    assert_eq!(
        render("{% for m in messages[::-1] %}{{ m.content }}{% endfor %}"),
        "YoHi"
    );
    let counted = "{% set ns = namespace(n=0) %}{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}";
    assert_eq!(render(counted), "4");
    let queue = "{% set ns = namespace(ids=[]) %}{% for m in messages %}{% set _ = ns.ids.append(m.role) %}{% endfor %}{% set first = ns.ids.pop(0) %}{{ first }} {{ ns.ids }}";
    assert_eq!(render(queue), "user ['assistant']");
    assert_eq!(render("a{% generation %}b{% endgeneration %}c"), "abc");
    assert_eq!(
        render("{% macro f(x, y=2) %}{{ x + y }}{% endmacro %}{{ f(1) }}"),
        "3"
    );
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}"), "05 Mar 2026");
    assert_eq!(
        render("{{ bos_token }}{{ tools is none }}{{ add_generation_prompt }}{{ eos_token }}"),
        "<s>TrueTrue</s>"
    );
    assert_eq!(
        render("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"),
        "1"
    );
}

#[test]
fn a_template_may_refuse() {
    let error = render_with(
        "{{ raise_exception('Roles must alternate') }}",
        &chat(json!([])),
    )
    .unwrap_err();
    assert!(matches!(&error, Error::Refused(message) if message == "Roles must alternate"));
    assert_eq!(
        error.to_string(),
        "the model's chat template refuses this conversation: Roles must alternate"
    );
}

#[test]
fn broken_and_endless_templates_are_errors() {
    assert!(matches!(
        Template::new("{% if %}", "", ""),
        Err(Error::Syntax(_))
    ));
    assert!(matches!(
        Template::new("{{ 'x' | nosuch }}", "", "").map(|t| t.render(&Chat::default())),
        Ok(Err(Error::Failed(_))) | Err(_)
    ));
    let endless =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
    assert!(matches!(
        render_with(endless, &chat(json!([]))),
        Err(Error::Endless(_))
    ));
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Template::new(&format!("{{{{ {deep} }}}}"), "", "").is_err());
    let recursive = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(render_with(recursive, &chat(json!([]))).is_err());
    let growing = "{% set ns = namespace(s='x') %}{% for i in range(64) %}{{ ns.s }}{% endfor %}{{ nothing.more }}";
    assert!(matches!(
        render_with(growing, &chat(json!([]))),
        Err(Error::Failed(_))
    ));
    for doubling in [
        "{% set ns.s = ns.s ~ ns.s %}",
        "{% set ns.s = ns.s + 'x' + ns.s %}",
        "{% set ns.l = ns.l + ns.l %}",
        "{% set s %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = s %}",
    ] {
        let source = format!(
            "{{% set ns = namespace(s='x', l=[1]) %}}{{% for i in range(64) %}}{doubling}{{% endfor %}}"
        );
        assert!(
            matches!(render_with(&source, &chat(json!([]))), Err(Error::TooLong)),
            "{doubling}"
        );
    }
    // The engine itself fails here; the program goes on.
    assert!(render_with("{{ messages[::-1] }}", &chat(json!([]))).is_err());
}

#[test]
fn no_filter_makes_a_template_grow_without_end() {
    for growing in [
        "{% set ns.s = ns.s | replace('x', 'xxxx') %}",
        "{% set ns.s = ns.s.replace('x', 'xxxx') %}",
        "{% set ns.s = [ns.s, ns.s] | join(ns.s) %}",
        "{% set ns.s = ns.s.join([ns.s, ns.s]) %}",
        "{% set ns.s = ('\"' ~ ns.s) | tojson %}",
        "{% set ns.s = '%s%s' | format(ns.s, ns.s) %}",
        "{% set ns.s = '{0}{0}'.format(ns.s) %}",
        "{% set ns.s = [ns.s ~ '\\\\'] | string %}",
        "{% set ns.l = [ns.l, ns.l] %}{% set ns.s = ns.l %}",
        "{% set ns.l = [ns.l, ns.l] | sum(start=[]) + [1] %}",
        "{% set ns.s = [ns.s] %}",
        "{% set ns.s = {'a': ns.s} %}",
        "{% set ns.l = ns.l | batch(1) | list %}",
        "{% set n = namespace() %}{% set n.next = ns.s %}{% set ns.s = n %}",
        "{% set ns.l = ns.l + ['x' * 9999999] %}",
    ] {
        let source = format!(
            "{{% set ns = namespace(s='x', l=[1]) %}}{{% for i in range(9000) %}}{growing}{{% endfor %}}\
             {{{{ ns.s | length }}}}"
        );
        let rendered = render_with(&source, &chat(json!([])));
        assert!(
            matches!(rendered, Err(Error::TooLong)),
            "{growing}: {rendered:?}"
        );
    }
}

#[test]
fn no_filter_makes_much_of_little() {
    for much in [
        "{{ '%999999999d' | format(3) }}",
        "{{ '%*d' | format(999999999, 3) }}",
        "{{ '{:999999999}'.format(3) }}",
        "{{ 'x' | indent(999999999, true) }}",
        "{{ 'x' | indent(width=999999999, first=true) }}",
        "{{ [1] | batch(999999999, 0) }}",
        "{{ [1] | slice(999999999) }}",
        "{{ ('x' * 99999999) | list | length }}",
        "{{ ('x' * 99999999).split('x') | length }}",
        "{{ ('x' * 99999999).replace('x', 'xxxx') | length }}",
    ] {
        let rendered = render_with(much, &chat(json!([])));
        assert!(
            matches!(rendered, Err(Error::TooLong)),
            "{much}: {rendered:?}"
        );
    }
}

#[test]
fn a_tag_that_would_overflow_the_stack_is_refused() {
    for part in ["not ", "-", "a.", "a|upper~", "1+", "a or "] {
        let source = format!("{{{{ {}a }}}}", part.repeat(50_000));
        let read = Template::new(&source, "", "");
        assert!(matches!(read, Err(Error::TagTooLong(_))), "{part}");
        // The longest that is let through is run.
        let source = format!("{{{{ {}a }}}}", part.repeat(300));
        let _ = render_with(&source, &chat(json!([])));
    }
}

#[test]
fn a_long_conversation_is_not_too_long() {
    let text = "One & two <three>. ".repeat(500);
    let messages: Vec<Json> = (0..400)
        .map(|i| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": text}))
        .collect();
    let source = "{% set ns = namespace(all='', list=[]) %}{% for m in messages %}\
        {% set ns.all = ns.all ~ m.content | trim %}{% set ns.list = ns.list + [m] %}\
        {% if loop.index0 == messages | length - 1 and m.role != 'user' %}last{% endif %}\
        {% endfor %}{{ ns.all | length }} {{ ns.list | length }}";
    let rendered = render_with(source, &chat(Json::from(messages))).unwrap();
    let length = 400 * text.trim().len();
    assert_eq!(rendered, format!("last{length} 400"));
}

#[test]
fn what_python_says_of_nothing_and_of_empty_lists() {
    let nobody = chat(json!([]));
    let backwards = "{% for m in messages[::-1] %}{{ m }}{% endfor %}";
    assert_eq!(render_with(backwards, &nobody).unwrap(), "");
    let tools = "{{ tools is iterable and tools | length > 0 }} {{ [] is iterable }}";
    assert_eq!(render_with(tools, &nobody).unwrap(), "False True");
}

#[test]
fn a_conversation_is_given_in_the_form_that_works() {
    let call = json!({"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}});
    let messages = json!([{"role": "assistant", "content": null, "tool_calls": [call]}]);
    let get = "{{ messages[0].tool_calls[0].function.arguments";
    assert_eq!(
        render_with(&format!("{get}.a }}}}"), &chat(messages.clone())).unwrap(),
        "1"
    );
    let text = render_with(&format!("{get} + '' }}}}"), &chat(messages)).unwrap();
    assert_eq!(text, "{\"a\": 1}");
    // Arguments that came as an object are written as Python writes them.
    let call = json!({"function": {"name": "f", "arguments": {"a": 1, "b": ["é", null]}}});
    let messages = json!([{"role": "assistant", "content": null, "tool_calls": [call]}]);
    let text = render_with(&format!("{get} + '' }}}}"), &chat(messages)).unwrap();
    assert_eq!(text, "{\"a\": 1, \"b\": [\"é\", null]}");
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
    assert_eq!(
        render_with("{{ messages[0].content + '!' }}", &chat(parts)).unwrap(),
        "ab!"
    );
}

fn call(name: &str, arguments: Json) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
        id: None,
    }
}

/// The answer, which has to be the same however it is cut.
fn parse(format: Format, prompt: &str, answer: &str) -> Answer {
    let whole = Parser::parse(format, prompt, answer);
    let mut parser = Parser::new(format, prompt);
    let mut streamed = Answer::default();
    let mut pieces: Vec<Piece> = answer
        .chars()
        .flat_map(|c| parser.push(c.encode_utf8(&mut [0; 4])))
        .collect();
    pieces.extend(parser.finish());
    for piece in pieces {
        match piece {
            Piece::Text(text) => streamed.text.push_str(&text),
            Piece::Reasoning(text) => streamed.reasoning.push_str(&text),
            Piece::Call(call) => streamed.calls.push(call),
        }
    }
    assert_eq!(streamed.text.trim(), whole.text);
    assert_eq!(streamed.reasoning.trim(), whole.reasoning);
    assert_eq!(streamed.calls, whole.calls);
    whole
}

#[test]
fn calls_are_found_in_every_notation() {
    let wanted = call("get", json!({"city": "Paris", "days": 2}));
    let arguments = r#"{"city": "Paris", "days": 2}"#;
    let object = format!(r#"{{"name": "get", "arguments": {arguments}}}"#);
    let parameters = format!(r#"{{"name": "get", "parameters": {arguments}}}"#);
    let answers = [
        (Format::Tagged, format!("<tool_call>\n{object}\n</tool_call>")),
        (Format::Tagged, "<tool_call>\n<function=get>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>".to_owned()),
        (Format::Tagged, "<tool_call>get\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>".to_owned()),
        (Format::Llama3, parameters.clone()),
        (Format::Llama3, format!("<|python_tag|>{parameters}")),
        (Format::Llama3, "<|python_tag|>get.call(city=\"Paris\", days=2)".to_owned()),
        (Format::Mistral, format!("[TOOL_CALLS][{object}]")),
        (Format::Mistral, format!("[TOOL_CALLS]get[ARGS]{arguments}")),
        (Format::Function, format!("<function=get>{arguments}</function>")),
        (Format::Functionary, format!(">>>get\n{arguments}")),
        (Format::CommandR, format!(r#"<|START_ACTION|>[{{"tool_name": "get", "parameters": {arguments}}}]<|END_ACTION|>"#)),
        (Format::DeepSeek, format!("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{arguments}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>")),
        (Format::DeepSeek, format!("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜><｜tool▁calls▁end｜>")),
        (Format::Harmony, format!("<|channel|>commentary to=functions.get <|constrain|>json<|message|>{arguments}<|call|>")),
        (Format::Json, object.clone()),
    ];
    for (format, answer) in answers {
        let parsed = parse(format, "", &answer);
        assert_eq!(parsed.calls, std::slice::from_ref(&wanted), "{answer}");
        assert_eq!(parsed.text, "", "{answer}");
    }
    let kimi = format!(
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0<|tool_call_argument_begin|>{arguments}<|tool_call_end|><|tool_calls_section_end|>"
    );
    let parsed = parse(Format::Kimi, "", &kimi);
    assert_eq!(parsed.calls[0].id.as_deref(), Some("functions.get:0"));
    let two =
        format!("Both: <tool_call>{object}</tool_call>\n<tool_call>{object}</tool_call> done");
    let parsed = parse(Format::Tagged, "", &two);
    assert_eq!((parsed.calls.len(), &*parsed.text), (2, "Both: \n done"));
}

#[test]
fn calls_are_found_as_models_write_them() {
    let get = call("get", json!({"city": "Paris"}));
    let object = r#"{"name": "get", "arguments": {"city": "Paris"}}"#;
    let bare = r#"{"city": "Paris"}"#;
    let now = call("now", json!({}));
    let quoting = call(
        "write",
        json!({"text": "a </tool_call> or </function> or >>>b\n"}),
    );
    let quoted = r#"{"text": "a </tool_call> or </function> or >>>b\n"}"#;
    let cases = [
        // The mark that ends a call stands within an argument.
        (
            Format::Tagged,
            format!(r#"<tool_call>{{"name": "write", "arguments": {quoted}}}</tool_call>"#),
            vec![&quoting],
        ),
        (Format::Function, format!("<function=write>{quoted}</function>"), vec![&quoting]),
        (Format::Functionary, format!(">>>write\n{quoted}>>>get\n{bare}"), vec![&quoting, &get]),
        // Qwen3-Coder forgets the mark that opens.
        (
            Format::Tagged,
            "<function=get>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>".to_owned(),
            vec![&get],
        ),
        (Format::Tagged, "<tool_call>now\n</tool_call>".to_owned(), vec![&now]),
        (Format::Tagged, "<tool_call>\n<function=now>\n</function>\n</tool_call>".to_owned(), vec![&now]),
        (Format::Tagged, format!("<|tool_call|>[{object}]"), vec![&get]),
        (Format::Tagged, format!("<|tool_call|>[{object}]<|/tool_call|>"), vec![&get]),
        (Format::Tagged, format!("<TOOLCALL>[{object}]</TOOLCALL>"), vec![&get]),
        (
            Format::Tagged,
            "<seed:tool_call>\n<function=get>\n<parameter=city>Paris</parameter>\n</function>\n</seed:tool_call>".to_owned(),
            vec![&get],
        ),
        (Format::Llama3, format!("{object}; {object}"), vec![&get, &get]),
        (Format::Mistral, format!("[TOOL_CALLS] [{object}, {object}]"), vec![&get, &get]),
        (
            Format::Mistral,
            format!("[TOOL_CALLS]get[ARGS]{bare}[TOOL_CALLS]now[ARGS]{{}}"),
            vec![&get, &now],
        ),
        (
            Format::Harmony,
            format!(" to=functions.get<|channel|>commentary json<|message|>{bare}<|call|>"),
            vec![&get],
        ),
    ];
    for (format, answer, wanted) in cases {
        let parsed = parse(format, "", &answer);
        assert_eq!(parsed.calls.iter().collect::<Vec<_>>(), wanted, "{answer}");
        assert_eq!(parsed.text, "", "{answer}");
    }
}

#[test]
fn text_that_looks_like_marks_stays_text() {
    let python = "In Python:\n>>> print(1)\n1";
    let parsed = parse(Format::Functionary, ">>>", &format!("all\n{python}"));
    assert_eq!((&*parsed.text, parsed.calls.len()), (python, 0));
    // A grammar leaves no room for channels.
    let parsed = parse(Format::Harmony, "<|start|>assistant", "{\"a\": 1}");
    assert_eq!(parsed.text, "{\"a\": 1}");
    let parsed = parse(Format::Harmony, "<|start|>assistant", "as");
    assert_eq!(parsed.text, "as");
    let answer = "<|START_RESPONSE|>Yes.<|END_RESPONSE|>";
    let parsed = parse(Format::CommandR, "", answer);
    assert_eq!((&*parsed.text, parsed.calls.len()), ("Yes.", 0));
}

#[test]
fn reasoning_is_split_off() {
    let parsed = parse(Format::Tagged, "", "<think>\nHm, <b>.\n</think>\n\nYes.");
    assert_eq!((&*parsed.reasoning, &*parsed.text), ("Hm, <b>.", "Yes."));
    let parsed = parse(Format::Json, "assistant\n<think>\n", "Hm.</think>Yes.");
    assert_eq!((&*parsed.reasoning, &*parsed.text), ("Hm.", "Yes."));
    let harmony = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>";
    let parsed = parse(Format::Harmony, "<|start|>assistant", harmony);
    assert_eq!((&*parsed.reasoning, &*parsed.text), ("Hm.", "Yes."));
    let parsed = parse(Format::Json, "", "<think>never ends");
    assert_eq!((&*parsed.reasoning, &*parsed.text), ("never ends", ""));
}

#[test]
fn what_is_no_call_is_text() {
    for (format, answer) in [
        (Format::Tagged, "a <tool_call>not json</tool_call> b"),
        (Format::Llama3, "{\"no\": \"name\"}"),
        (Format::Json, "[1, 2, 3]"),
        (Format::Tagged, "1 < 2 <tool"),
    ] {
        let parsed = parse(format, "", answer);
        assert_eq!((&*parsed.text, parsed.calls.len()), (answer, 0));
    }
}

proptest! {
    #[test]
    fn no_answer_does_harm(answer in "([a-z {}\\[\\]\":,=\n]|<tool_call>|<\\|tool_call\\|>|<\\|start\\|>|assistant|</tool_call>|<think>|</think>|<function=|\\[TOOL_CALLS\\]|<\\|channel\\|>|<\\|message\\|>|>>>|<\\|python_tag\\|>){0,30}") {
        for format in [Format::Tagged, Format::Llama3, Format::Mistral, Format::Function, Format::Functionary, Format::CommandR, Format::DeepSeek, Format::Kimi, Format::Harmony, Format::Json] {
            parse(format, "", &answer);
        }
    }

    #[test]
    fn no_template_does_harm(source in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}|[a-z .|()\\[\\]:'0-9+*~-]|messages|set |for |if |endif|endfor| in |namespace|range\\(99\\)|tojson){0,25}") {
        if let Ok(template) = Template::new(&source, "", "") {
            let _ = template.render(&chat(json!([{"role": "user", "content": "x"}])));
        }
    }
}
