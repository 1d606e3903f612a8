package jinja

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// numbered is format with each of 0..n-1.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Templates that would take memory, time, the stack or the process end with an error that says where.
func TestBombs(t *testing.T) {
	again := "{% set x = 'x' * 1000000 %}{% for i in range(60000) %}"
	deep := func(open, end string) string { return strings.Repeat(open, 2000) + "1" + strings.Repeat(end, 2000) }
	for _, src := range []string{
		"{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(32) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}{{ ns.x|tojson }}",
		"{% set ns = namespace(x=[1]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
		"{% set ns = namespace(x={'a': 1}) %}{% for i in range(2000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x|tojson }}",
		"{% for a in range(60000) %}{% for b in range(60000) %}{% endfor %}{% endfor %}",
		"{% for a in range(60000) %}{% for b in range(60000) if b is none %}{% endfor %}{% endfor %}",
		"{% for i in range(1000000000) %}{% endfor %}",
		"{% for i in range(0, 9223372036854775807, 9223372036854775807) %}{% endfor %}{% for i in range(9223372036854775806, 9223372036854775807, 2) %}x{% endfor %}",
		"{% for i in range(1, 2, 0) %}{% endfor %}",
		"{% for i in range(60000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
		"{% set x = 'x' * 1000000 %}{% for i in range(60000) %}{% if x|length == 1 or x in x or x.find('y') == 0 or x|upper == x %}{% endif %}{% endfor %}",
		"{{ 'x' * 9223372036854775807 }}", "{{ ('x' * 1000000) * 1000000 }}", "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
		"{{ ('x' * 1000000).split('x') }}", "{{ ('x' * 1000000)|list }}", "{{ ('x\n' * 1000)|indent(1000000) }}", "{{ 'x'|indent(9223372036854775807) }}",
		"{{ range(60000)|join('x' * 1000000) }}", "{{ [1]|tojson(indent=1000000000) }}",
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}",
		"{% macro f(x=f()) %}{% endmacro %}{{ f() }}",
		"{% macro f() %}{{ f()" + strings.Repeat("~x", 30000) + " }}{% endmacro %}{{ f() }}", "{% macro f() %}{{ f()" + strings.Repeat(".a", 30000) + " }}{% endmacro %}{{ f() }}",
		again + "{% set y = x.split('y') %}{% endfor %}", again + "{% set y = x.rsplit('y') %}{% endfor %}", again + "{% set y = x.split() %}{% endfor %}", again + "{% set y = x.splitlines() %}{% endfor %}",
		again + "{% set y = namespace(" + strings.Repeat("1,", 10000) + ") %}{% endfor %}", "{{ ('x' * 300000).strip('y' * 300000 ~ 'x') }}",
		again + "{% set y = namespace({" + numbered(4000, "'%d':0,") + "}) %}{% endfor %}", "{% set d = {" + numbered(4000, "'%d':0,") + "} %}" + again + "{% set y = namespace(d) %}{% endfor %}",
		"{% macro f(" + strings.TrimSuffix(numbered(4000, "p%d,"), ",") + ") %}{% endmacro %}" + again + "{% set y = f() %}{% endfor %}",
		"{{ " + deep("(", ")") + " }}", "{{ " + deep("[", "]") + " }}", "{{ " + deep("x[", "]") + " }}", "{{ " + deep("f(", ")") + " }}",
		"{{ " + deep("not ", "") + " }}", "{{ " + deep("-", "") + " }}", "{{ " + deep("1 if 1 else ", "") + " }}", "{{ " + deep("{'a':", "}") + " }}",
		deep("{% if 1 %}", "{% endif %}"), deep("{% for x in y %}", "{% endfor %}"), deep("{% set x %}", "{% endset %}"),
		"{% include '/etc/passwd' %}", "{% import '/etc/passwd' as x %}", "{% from 'x' import y %}", "{% extends 'x' %}",
		"{{ 9223372036854775807 // 0 }}", "{{ 99999999999999999999 }}", "{{ 'x'[::0] }}", "{{ loop.cycle() }}{{ [].x.y }}",
		"{% for x in [1] %}{{ loop.cycle() }}{% endfor %}", "{{ '\\ud8000000000' }}{{ nothing.x }}", "{{ 'a'", "{% set x", "{{", "{%", "{#", "{% raw %}",
		strings.Repeat("x", MaxSource+1), "\xff",
	} {
		_, err := render(src)
		if err == nil {
			t.Errorf("%.100s: no error", src)
		} else if len(err.Error()) > 300 {
			t.Errorf("%.100s: an error of %d bytes: %.300s", src, len(err.Error()), err)
		}
	}
}

// What is close to a limit works.
func TestWithinBounds(t *testing.T) {
	for _, src := range []string{
		"{{ " + strings.Repeat("1 + ", 16000) + "1 }}", "{{ ''" + strings.Repeat("|trim", 12000) + " }}", "{{ " + strings.Repeat("(", 50) + "1" + strings.Repeat(")", 50) + " }}",
		"{{ 'x' * 1000000 }}", "{% for i in range(60000) %}x{% endfor %}", "{{ -9223372036854775807 // -1 }}{{ 9223372036854775807 + 1 }}{{ 'abc'[9223372036854775807:] }}{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775807] }}",
		strings.Repeat("{% if 1 %}x{% elif 2 %}y{% endif %}", 1500),
	} {
		if _, err := render(src); err != nil {
			t.Errorf("%.60s: %v", src, err)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a\nb {{ 1 + }}", `chat template test, line 2, column 10: want a value, found "}}"`},
		{"{% if x %}\n\n{% nope %}", `chat template test, line 3, column 4: no block is called "nope"`},
		{"{% if x %}", "chat template test, line 1, column 11: want elif or else or endif, found the end of the template"},
		{"\n{{ 'a' }}{{ messages[0].content.nope() }}", `chat template test, line 2, column 37: there is no method "nope" here`},
		{"{{ a.b }}", `chat template test, line 1, column 5: a is undefined, so it has no "b"`},
		{"{% include 'x' %}", "chat template test, line 1, column 4: include: a chat template is one file: other templates are not read"},
	} {
		_, err := render(c.src)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q:\n got  %v\n want %s", c.src, err, c.want)
		}
	}
	_, err := render("{{ raise_exception('no such role: ' ~ messages[0].role) }}")
	var e *Error
	if !errors.As(err, &e) || !e.Raised || e.Message != "no such role: system" {
		t.Errorf("raise_exception: %v", err)
	}
	if _, err := render("{{ nothing.x }}"); !errors.As(err, &e) || e.Raised {
		t.Errorf("a mistake counts as raised: %v", err)
	}
}

// Whatever a template does with a message, its bytes stay marked as given, and none of its own does.
func TestFrom(t *testing.T) {
	for _, src := range []string{
		"{{ m }}", "<{{ m }}>", "{{ '<' + m + '>' }}", "{{ '<' ~ m ~ '>' }}", "{{ m.strip() }}", "{{ m|trim }}", "{{ m[1:] }}", "{{ m[::-1] }}", "{{ m[0] }}{{ m[-1] }}",
		"{{ m.upper() }}", "{{ m|title }}", "{{ m|lower|capitalize }}", "{{ m.split('G')|join('<') }}", "{{ m.replace('G', '<') }}", "{{ '<x>'.replace('x', m) }}",
		"{% for c in m %}<{{ c }}>{% endfor %}", "{{ m|list|join }}", "{{ m|tojson }}", "{{ [m, '<'] }}", "{{ {'<': m} }}", "{{ m * 3 }}",
		"{% set x %}<{{ m }}{% endset %}{{ x }}", "{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(m) }}", "{{ m|indent }}", "{{ m.splitlines() }}", "{{ m|reverse }}",
		"{{ m|default('<') }}{{ nothing|default(m) }}", "{{ [m]|map('upper')|first }}", "{{ (m ~ '<').rsplit('<') }}", "{% filter upper %}<{{ m }}{% endfilter %}",
		"{{ messages|map(attribute='content')|join('<') }}", "{{ ['<', '>']|tojson(separators=(m, m)) }}",
	} {
		tmpl, err := Parse("test", src)
		if err != nil {
			t.Fatal(err)
		}
		// Letters and the newline come from messages, everything else from the template: its own strings have no letter but x.
		m := Message("Gé\nG ñ")
		out, err := tmpl.Render(map[string]any{"m": m, "messages": []any{Map{{"content", m}}}}, clock)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		seen := false
		for i, c := range out.S {
			isGiven := strings.ContainsRune("GgÉéÑñ", c)
			seen = seen || isGiven
			if strings.ContainsRune("<>[]{}:,", c) && out.From[i] != Trusted || isGiven && out.From[i] != Given {
				t.Errorf("%s: %q is marked %q at byte %d", src, out.S, out.From, i)
				break
			}
		}
		if !seen || len(out.S) != len(out.From) {
			t.Errorf("%s: %q %q", src, out.S, out.From)
		}
	}
}

// A template that is wild makes an error, never a panic, and what it makes stays within bounds.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{ messages }}", "{% for m in messages %}{{ m.content|trim }}{% endfor %}", "{% set ns = namespace(a=1) %}{{ ns.a[1:] ~ 'x' * 3 }}",
		"{% macro f(a, b=1) %}{{ a }}{% endmacro %}{{ f(1) }}", "{#- x -#}{%- if a is defined and not b %}{%- endif -%}", "{{ 'a'.split(' ')[::-1]|tojson(indent=2) }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tmpl, err := Parse("fuzz", src)
		if err != nil {
			return
		}
		out, err := tmpl.Render(variables(), clock)
		if err == nil && (len(out.S) > MaxOutput || len(out.S) != len(out.From)) {
			t.Fatalf("%q makes %d bytes, %d marks", src, len(out.S), len(out.From))
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Line < 1 || e.Col < 1) {
			t.Fatalf("%q: %v", src, err)
		}
	})
}
