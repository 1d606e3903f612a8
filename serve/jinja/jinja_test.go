package jinja

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

var clock = time.Date(2024, 7, 26, 0, 0, 0, 0, time.UTC)

// variables are those of testdata/record.py.
func variables() map[string]any {
	message := func(role, content string) any {
		return Map{{"role", role}, {"content", Message(content)}}
	}
	return map[string]any{
		"messages":  []any{message("system", "Be <brief>."), message("user", " Hi "), message("assistant", "Hello!"), message("user", "Bye\n")},
		"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
	}
}

func render(src string) (string, error) {
	t, err := Parse("test", src)
	if err != nil {
		return "", err
	}
	out, err := t.Render(variables(), clock)
	if err == nil && len(out.S) != len(out.From) {
		panic("From is not as long as S")
	}
	return out.S, err
}

// unsupported are templates of testdata/snippets.txt that Jinja2 takes and this package refuses by name.
var unsupported = map[string]bool{
	`{{ ['a', 'b'].index('b') }} {{ [1, 1].count(1) }}`:                true,
	`{{ 'a%sb' % 'x' }} {{ '%s' | format('x') }} {{ '{}'.format(1) }}`: true,
	`{{ 'a'.isupper() }} {{ 'A'.islower() }} {{ 'a,b'.partition(',') }} {{ 'a b'.swapcase() }} {{ 'x'.zfill(3) }} {{ 'x'.center(3) }} {{ [1, 2]|sum }} {{ [1,2,3]|max }} {{ 2.567|round(1) }} {{ '<'|e }}`: true,
	`{% raw %}{{ x }}{% endraw %}`:         true,
	`{% with a = 1 %}{{ a }}{% endwith %}`: true,
}

func TestJinja2(t *testing.T) {
	data, err := os.ReadFile("testdata/jinja2.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template string
		Want     *string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got, err := render(c.Template)
		switch {
		case unsupported[c.Template]:
			if err == nil {
				t.Errorf("%s\n is supported now: %q", c.Template, got)
			}
		case c.Want == nil && err == nil:
			t.Errorf("%s\n got  %q, want an error", c.Template, got)
		case c.Want != nil && (err != nil || got != *c.Want):
			t.Errorf("%s\n got  %q (%v)\n want %q", c.Template, got, err, *c.Want)
		}
	}
}
